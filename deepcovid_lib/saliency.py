"""Which parts of a film speak for COVID-19: Grad-CAM and occlusion, by captum, on a run's own network."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam, Occlusion
from torch import Tensor, nn

from deepcovid_lib import backbones, frozen, heads, scaling, stages
from deepcovid_lib.backbones import Loaded
from deepcovid_lib.finetune import Draws
from deepcovid_lib.runs import Run

LAST_BLOCKS = {
    "resnet18": "layer4",
    "resnet50": "layer4",
    "squeezenet": "12",
    "squeezenet1_1": "12",
    "densenet121": "features.denseblock4",
    "densenet161": "features.denseblock4",
}
FILMS_AT_ONCE = 8
WINDOWS = 5  # a side; each covers a quarter of the film's side, and neighbours overlap by a quarter of that


class LogOdds(nn.Module):
    """A two-class head as one number: the output for COVID-19 less the other; its sigmoid is the score.

    Parameters
    ----------
    head : dict
        ``weight`` and ``bias``, which take raw features: from `heads.load` or `finetune.fit`.
    """

    def __init__(self, head: dict[str, Tensor]):
        super().__init__()
        self.register_buffer("weight", head["weight"].flatten(1))
        self.register_buffer("bias", head["bias"])

    def forward(self, features: Tensor) -> Tensor:
        """Return the log-odds (n,) of features (n, channels) or (n, channels, height, width)."""
        outputs = self.weight @ features.flatten(2) if features.ndim > 2 else (features @ self.weight.T)[..., None]
        outputs = outputs + self.bias[:, None]
        logits = (outputs.relu() if features.ndim > 2 else outputs).mean(dim=2)
        return logits[:, 1] - logits[:, 0]


def network(loaded: Loaded, head: dict[str, Tensor]) -> nn.Sequential:
    """Join a backbone and a head: normalised films (n, 3, size, size) in, log-odds of COVID-19 (n,) out.

    Examples
    --------
    >>> loaded = backbones.load("squeezenet1_1", weights="random", seed=0)
    >>> joined = network(loaded, {"weight": torch.zeros(2, 512, 1, 1), "bias": torch.tensor([0.0, 1.0])})
    >>> joined(torch.zeros(2, 3, 64, 64)).tolist()
    [1.0, 1.0]
    """
    joined = nn.Sequential(OrderedDict(backbone=loaded.module, head=LogOdds(head)))
    return joined.to(memory_format=torch.channels_last).eval()


def trained(run: Run, model: str) -> nn.Sequential:
    """Return the run's own network with the head it trained, training it first if it is not there."""
    path = stages.fit(run, model) / "head.safetensors"
    loaded = stages.backbone(run, model)
    head, _ = heads.load(path, expect={"backbone": model, "weights_id": loaded.weights_id})
    return network(loaded, head)


def redrawn(run: Run, model: str, *, draw: int) -> dict[str, nn.Sequential]:
    """Return networks that learned nothing from the run's labels, for the sanity check of a map.

    Parameters
    ----------
    run : Run
    model : str
    draw : int
        1 or more, each another draw.

    Returns
    -------
    dict of str to Sequential
        ``"head"``: the run's backbone under a first head drawn from another seed, on the scale that the run's recipe
        gives its features. ``"head and backbone"``: the same head on a backbone with weights drawn from another seed.

    References
    ----------
    Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS 31: randomisation from the last layer down.
    """
    seed = run.edition.seed + draw
    head = Draws(seed).head(backbones.get(model))
    if run.edition.recipe.features == "standardised":
        head = scaling.fold(head, scaling.measure(frozen.sides(run, model)[0].features))
    own = stages.backbone(run, model)
    other = backbones.load(model, weights="random", seed=seed)
    return {"head": network(own, head), "head and backbone": network(other, head)}


def grad_cam(network: nn.Sequential, films: Tensor, *, model: str) -> np.ndarray:
    """Map the evidence by Grad-CAM on the last convolutional block.

    Parameters
    ----------
    network : Sequential
        From `network`.
    films : Tensor of float32, shape (n, 3, size, size)
        Normalised, from `images.normalise`.
    model : str
        The backbone's name.

    Returns
    -------
    ndarray of float64, shape (n, size, size)
        Interpolated to the film's size; positive where the block speaks for COVID-19, negative where against. The
        positive part is Grad-CAM proper, which drops the rest.

    References
    ----------
    Selvaraju et al. (2017), Grad-CAM, ICCV.
    """
    method = LayerGradCam(network, network.backbone.get_submodule(LAST_BLOCKS[model]))
    parts = []
    for batch in films.split(FILMS_AT_ONCE):
        coarse = method.attribute(batch.clone().requires_grad_())
        fine = LayerAttribution.interpolate(coarse.detach(), tuple(films.shape[2:]), interpolate_mode="bilinear")
        parts.append(fine[:, 0].double().numpy())
    return np.concatenate(parts)


def places(network: nn.Sequential, films: Tensor, *, model: str) -> tuple[int, int]:
    """Return how many places, rows and columns, a Grad-CAM map has before it is interpolated to a film's size."""
    method = LayerGradCam(network, network.backbone.get_submodule(LAST_BLOCKS[model]))
    return tuple(method.attribute(films[:1].clone().requires_grad_()).shape[2:])


def noise(places: tuple[int, int], *, films: int, size: int, seed: int) -> np.ndarray:
    """Return maps of chance: normal noise at a Grad-CAM map's places, brought to a film's size as such a map is.

    Parameters
    ----------
    places : tuple of int
        Rows and columns, of `places`.
    films, size, seed : int

    Returns
    -------
    ndarray of float64, shape (films, size, size)

    Examples
    --------
    >>> noise((7, 7), films=2, size=224, seed=0).shape
    (2, 224, 224)
    """
    drawn = torch.randn(films, 1, *places, generator=torch.Generator().manual_seed(seed))
    return LayerAttribution.interpolate(drawn, (size, size), interpolate_mode="bilinear")[:, 0].double().numpy()


def occlusion(network: nn.Sequential, films: Tensor) -> np.ndarray:
    """Map the evidence by covering a film's parts, one after another, with its mean grey.

    Parameters
    ----------
    network, films
        As for `grad_cam`; the size is a multiple of 16.

    Returns
    -------
    ndarray of float64, shape (n, size, size)
        How far the log-odds of COVID-19 fall where a window covers the film, the mean over the windows that cover the
        place: positive where what is there speaks for COVID-19.

    References
    ----------
    Zeiler & Fergus (2014), Visualizing and understanding convolutional networks, ECCV.
    """
    window = films.shape[-1] // 4
    stride = (films.shape[-1] - window) // (WINDOWS - 1)
    parts = []
    for film in films.split(1):
        fallen = Occlusion(network).attribute(
            film,
            sliding_window_shapes=(3, window, window),
            strides=(3, stride, stride),
            baselines=film.mean(dim=(2, 3), keepdim=True).expand_as(film),
            perturbations_per_eval=WINDOWS**2,
        )
        parts.append(fallen[:, 0].double().numpy())
    return np.concatenate(parts)
