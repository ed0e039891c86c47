"""Fine-tuning: the last layer, trained on features that passed the frozen layers once (Sections III and IV.A)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.special import expit
from torch import Tensor

from deepcovid_lib import backbones
from deepcovid_lib.problems import Misuse
from deepcovid_lib.progress import track

CLASSES = ("non_covid", "covid")
ROWS_SCORED_TOGETHER = 64

_ONE_HOT = torch.eye(len(CLASSES))
_MASK_OF_BYTE = torch.from_numpy(2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)).float()


@dataclass(frozen=True)
class Recipe:
    """How the head is trained; the default is the paper's way.

    Attributes
    ----------
    name : str
        The name used in files.
    optimizer : {"adam", "sgd"}
        ``"sgd"`` has momentum 0.9 and a learning rate divided by 10 every 7 epochs.
    learning_rate : float
    batch_size : int
        Rows per step; the last batch of an epoch may be shorter.
    epochs : int
    weight_decay : float
        L2 penalty: half of it times the squared weights and biases is added to the loss.

    References
    ----------
    Section IV.A of the paper: Adam, learning rate 0.0001, batches of 20, 100 epochs.

    Examples
    --------
    >>> Recipe()
    Recipe(name='paper', optimizer='adam', learning_rate=0.0001, batch_size=20, epochs=100, weight_decay=0.0)
    """

    name: str = "paper"
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    batch_size: int = 20
    epochs: int = 100
    weight_decay: float = 0.0

    def __post_init__(self):
        if self.optimizer not in ("adam", "sgd"):
            raise Misuse(f"no optimizer is named {self.optimizer!r}", remedy="use 'adam' or 'sgd'")
        if min(self.batch_size, self.epochs) < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise Misuse(f"nothing can be trained with {self}", remedy="use positive numbers")

    def optimiser(self, parameters: list[Tensor]) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.StepLR]:
        """Return torch's optimizer for these parameters, and the schedule to step after each epoch."""
        common = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        if self.optimizer == "adam":
            optimiser, step_size, gamma = torch.optim.Adam(parameters, **common, fused=True), self.epochs, 1.0
        else:
            optimiser, step_size, gamma = torch.optim.SGD(parameters, momentum=0.9, **common), 7, 0.1
        return optimiser, torch.optim.lr_scheduler.StepLR(optimiser, step_size, gamma)


class Fit(NamedTuple):
    """A trained head (torch's names and shapes) and its history: ``epoch, loss, accuracy``, one row per epoch."""

    head: dict[str, Tensor]
    history: pd.DataFrame


class Draws:
    """Everything random in a fit, from its seed alone: three independent streams of numpy's PCG64.

    Examples
    --------
    >>> draws = Draws(seed=1)
    >>> sorted(draws.order(4).tolist())
    [0, 1, 2, 3]
    >>> draws.masks(torch.empty(2, 64, 5)).unique().tolist()
    [0.0, 2.0]
    """

    def __init__(self, seed: int):
        self._initial, self._order, self._masks = np.random.default_rng(seed).spawn(3)

    def head(self, backbone: backbones.Backbone) -> dict[str, Tensor]:
        """Draw the first weights as torch's ``nn.Linear``, or for a map as torchvision's SqueezeNet, draws its own."""
        shapes = backbone.head_shapes
        if len(backbone.feature_shape) > 1:
            weight, bias = self._initial.normal(0.0, 0.01, shapes["weight"]), np.zeros(shapes["bias"])
        else:
            bound = 1 / np.sqrt(backbone.feature_shape[0])
            weight, bias = (self._initial.uniform(-bound, bound, shapes[part]) for part in ("weight", "bias"))
        return {"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()}

    def order(self, rows: int) -> Tensor:
        """Draw the order of an epoch."""
        return torch.from_numpy(self._order.permutation(rows))

    def masks(self, out: Tensor) -> Tensor:
        """Fill `out` (rows, channels, places) with dropout masks of 0 and 2, one random bit for each value.

        A row holds a multiple of 64 values.
        """
        words = self._masks.bit_generator.random_raw(out.numel() // 64)
        bits = torch.from_numpy(words.view(np.uint8).astype(np.int32))
        torch.index_select(_MASK_OF_BYTE, 0, bits, out=out.view(-1, 8))
        return out


def fit(features: Tensor, labels: ArrayLike, *, backbone_name: str, recipe: Recipe, seed: int) -> Fit:
    """Train a two-class head by cross-entropy (Eq. 1) on cached features.

    It does what a loop over the whole network would do with its frozen layers in eval mode: the same batches, the
    same dropout, the same optimizer; only the gradient of the last layer is written out. SqueezeNet's head is dropout
    (one half), a 1x1 convolution, ReLU and the mean over the map (an output that its ReLU silences everywhere learns no
    more, and stays at 0); the others' is a linear layer. It runs on one thread of the CPU, where equal seeds give
    equal bytes however many threads there are.

    Parameters
    ----------
    features : Tensor of float32, shape (n, ...)
        From `features.gather`.
    labels : array-like of shape (n,)
        1 (or True) for COVID-19, the positive class, else 0.
    backbone_name : str
        Where the features come from.
    recipe : Recipe
    seed : int
        Of the first weights, the order of the rows and the dropout.

    Returns
    -------
    Fit
        ``head`` has ``weight`` and ``bias``, rows in the order of `CLASSES`. The history's ``loss`` (mean of Eq. 1,
        without the penalty) and ``accuracy`` (0 to 1) are those of the batches as they were met, dropout included,
        before the step that each one caused: no second pass is made.

    Raises
    ------
    Misuse
        If shapes or labels do not fit.

    References
    ----------
    Section III.A, Equation 1 and Section IV.A of the paper.

    Examples
    --------
    >>> features = torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    >>> head, history = fit(features, features[:, 0] > 0, backbone_name="resnet18", recipe=Recipe(epochs=3), seed=0)
    >>> tuple(head["weight"].shape), history.columns.tolist(), len(history)
    ((2, 512), ['epoch', 'loss', 'accuracy'], 3)
    """
    backbone = backbones.get(backbone_name)
    _check_features(features, backbone)
    targets = _targets(labels, len(features))
    draws = Draws(seed)
    head, whole = _in_one_piece(draws.head(backbone))
    optimiser, schedule = recipe.optimiser([whole])
    size = min(recipe.batch_size, len(features))
    step = (_map_step if len(backbone.feature_shape) > 1 else _linear_step)(head, features, draws, size)
    rows = []
    for epoch in track(range(1, recipe.epochs + 1), label=f"fine-tune {backbone_name}"):
        loss, right = torch.zeros(2)
        with _one_thread():
            for batch in draws.order(len(features)).split(recipe.batch_size):
                batch_loss, batch_right = step(batch, targets.index_select(0, batch))
                optimiser.step()
                loss += batch_loss
                right += batch_right
        schedule.step()
        rows.append({"epoch": epoch, "loss": float(loss) / len(features), "accuracy": float(right) / len(features)})
    return Fit({name: part.clone() for name, part in head.items()}, pd.DataFrame(rows))


def score(features: Tensor, head: dict[str, Tensor], backbone_name: str) -> np.ndarray:
    """Return each image's probability of COVID-19: the softmax of the head's outputs, dropout off.

    Parameters
    ----------
    features : Tensor of float32, shape (n, ...)
    head : dict
        ``weight`` and ``bias``, from `fit` or `load_head`.
    backbone_name : str

    Returns
    -------
    ndarray of float64, shape (n,)
        From 0 to 1, computed in double precision, so that sure scores near 1 do not run together.

    References
    ----------
    Section IV.C of the paper: a probability score for each image.

    Examples
    --------
    >>> head = {"weight": torch.zeros(2, 512), "bias": torch.tensor([0.0, 1.0])}
    >>> score(torch.zeros(2, 512), head, "resnet18").round(3).tolist()
    [0.731, 0.731]
    """
    _check_features(features, backbones.get(backbone_name))
    weight, bias = head["weight"].double().flatten(1), head["bias"].double()
    differences = []
    with _one_thread():
        for rows in features.split(ROWS_SCORED_TOGETHER):
            places = rows.double().reshape(*rows.shape[:2], math.prod(rows.shape[2:]))
            outputs = torch.matmul(weight, places) + bias[:, None]
            if rows.ndim > 2:
                outputs = outputs.relu()
            logits = outputs.mean(dim=2)
            differences.append(logits[:, 1] - logits[:, 0])
    return expit(torch.cat(differences).numpy()) if differences else np.empty(0)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: sums in one order, and no waiting for each other in steps this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_one_piece(head: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """The head's parts and their gradients as views into one tensor, which an optimizer moves in one go."""
    whole = torch.cat([part.flatten() for part in head.values()])
    whole.grad = torch.zeros_like(whole)
    sizes = [part.numel() for part in head.values()]
    pieces = zip(head.items(), whole.split(sizes), whole.grad.split(sizes), strict=True)
    views = {}
    for (name, part), values, slopes in pieces:
        views[name] = values.view_as(part)
        views[name].grad = slopes.view_as(part)
    return views, whole


Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _linear_step(head: dict[str, Tensor], features: Tensor, draws: Draws, size: int) -> Step:
    """A function of a batch's rows and targets that sets a linear head's gradient and gives its loss and hits."""
    weight, bias = head["weight"], head["bias"]
    inputs = torch.empty(size, features.shape[1])

    def step(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        batch = torch.index_select(features, 0, rows, out=inputs[: len(rows)])
        loss, right, slope = _cross_entropy(torch.addmm(bias, batch, weight.T), targets)
        torch.mm(slope.T, batch, out=weight.grad)
        torch.sum(slope, 0, out=bias.grad)
        return loss, right

    return step


def _map_step(head: dict[str, Tensor], features: Tensor, draws: Draws, size: int) -> Step:
    """The same for dropout, a 1x1 convolution, ReLU and the mean over the map."""
    maps = features.flatten(2)
    channels, places = maps.shape[1:]
    weight, bias = head["weight"].view(2, channels), head["bias"]
    slope_of_weight = head["weight"].grad.view(2, channels)
    inputs, masks = torch.empty(2, size, channels, places)

    def step(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        count = len(rows)
        batch = torch.index_select(maps, 0, rows, out=inputs[:count])
        batch *= draws.masks(masks[:count])
        outputs = torch.matmul(weight, batch).add_(bias[:, None]).relu_()
        loss, right, slope = _cross_entropy(outputs.mean(dim=2), targets)
        slopes = (outputs > 0) * (slope[:, :, None] / places)
        torch.sum(torch.bmm(slopes, batch.transpose(1, 2)), 0, out=slope_of_weight)
        torch.sum(slopes, (0, 2), out=head["bias"].grad)
        return loss, right

    return step


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of Eq. 1 over a batch (n, 2), how many are right, and the slope of the mean by the logits."""
    logarithms = torch.log_softmax(logits, dim=1)
    loss = logarithms.gather(1, targets[:, None]).sum().neg_()
    right = (logits.argmax(dim=1) == targets).sum()
    slope = logarithms.exp_().sub_(_ONE_HOT.index_select(0, targets))
    return loss, right, slope.div_(len(logits))


def _targets(labels: ArrayLike, rows: int) -> Tensor:
    """Class numbers of the labels."""
    labels = np.asarray(labels)
    if labels.shape != (rows,) or not rows:
        raise Misuse(f"{len(labels)} labels for {rows} features", remedy="give one label per feature, one at least")
    if not np.isin(labels, (0, 1)).all():
        raise Misuse("a label is neither 0 nor 1", remedy="give 1 for COVID-19, 0 for the others")
    return torch.from_numpy(labels.astype(np.int64))


def _check_features(features: Tensor, backbone: backbones.Backbone) -> None:
    if tuple(features.shape[1:]) != backbone.feature_shape:
        raise Misuse(
            f"features of shape {tuple(features.shape[1:])} are not those of {backbone.title}",
            remedy=f"{backbone.feature_shape} is needed",
        )
