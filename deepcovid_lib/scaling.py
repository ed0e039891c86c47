"""Standardised features: for untrained networks, whose features come on an arbitrary scale."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import ArrayLike
from torch import Tensor

from deepcovid_lib import finetune
from deepcovid_lib.finetune import Fit, Recipe


class Scale(NamedTuple):
    """What brings each feature to mean 0 and standard deviation 1 over images, each of shape (channels,)."""

    mean: Tensor
    deviation: Tensor


def measure(features: Tensor) -> Scale:
    """Measure the scale of training features.

    Parameters
    ----------
    features : Tensor of float32, shape (n, channels) or (n, channels, height, width)
        A map counts by its average. A feature that is constant keeps its scale.

    Examples
    --------
    >>> import torch
    >>> measure(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).mean.tolist()
    [2.0, 5.0]
    """
    images = features.flatten(2).mean(dim=2) if features.ndim > 2 else features
    deviation = images.std(dim=0, correction=0)
    return Scale(images.mean(dim=0), deviation.where(deviation > 0, 1.0))


def standardise(features: Tensor, scale: Scale) -> Tensor:
    """Return features brought to the scale."""
    shape = (1, -1, *(1,) * (features.ndim - 2))
    return (features - scale.mean.reshape(shape)) / scale.deviation.reshape(shape)


def fold(head: dict[str, Tensor], scale: Scale) -> dict[str, Tensor]:
    """Return the head that gives on raw features what `head` gives on standardised ones.

    Examples
    --------
    >>> import torch
    >>> raw = torch.tensor([[1.0, 5.0], [3.0, 6.0]])
    >>> head = {"weight": torch.tensor([[2.0, 1.0]]), "bias": torch.tensor([0.5])}
    >>> folded = fold(head, measure(raw))
    >>> one = standardise(raw, measure(raw)) @ head["weight"].T + head["bias"]
    >>> torch.allclose(raw @ folded["weight"].T + folded["bias"], one)
    True
    """
    weight = head["weight"]
    shape = (1, -1, *(1,) * (weight.ndim - 2))
    scaled = weight / scale.deviation.reshape(shape)
    shift = (scaled * scale.mean.reshape(shape)).flatten(1).sum(dim=1)
    return {"weight": scaled, "bias": head["bias"] - shift}


def fit(features: Tensor, labels: ArrayLike, *, scale: str, backbone_name: str, recipe: Recipe, seed: int) -> Fit:
    """Train a head as `finetune.fit` does, on raw or on standardised features; the head takes raw ones either way.

    Parameters
    ----------
    features : Tensor of float32, shape (n, ...)
        Raw, from `features.gather`.
    labels : array-like of shape (n,)
        1 (or True) for COVID-19, the positive class, else 0.
    scale : {"raw", "standardised"}
        ``"standardised"``: brought to mean 0 and deviation 1 over these rows.
    backbone_name, recipe, seed
        As for `finetune.fit`.

    Examples
    --------
    >>> import torch
    >>> features = 100 * torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    >>> asked = {"backbone_name": "resnet18", "recipe": Recipe(epochs=3), "seed": 0}
    >>> heads = [fit(features, features[:, 0] > 0, scale=scale, **asked).head for scale in ("raw", "standardised")]
    >>> torch.equal(heads[0]["weight"], heads[1]["weight"])
    False
    """
    if scale == "raw":
        return finetune.fit(features, labels, backbone_name=backbone_name, recipe=recipe, seed=seed)
    measured = measure(features)
    inputs = standardise(features, measured)
    fitted = finetune.fit(inputs, labels, backbone_name=backbone_name, recipe=recipe, seed=seed)
    return fitted._replace(head=fold(fitted.head, measured))
