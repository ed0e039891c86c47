"""The networks whose frozen layers turn a radiograph into features (Section III of the paper)."""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pooch
import torch
from torch import Tensor, nn
from torchvision import models

from deepcovid_lib import engines
from deepcovid_lib.files import replacing, sha256
from deepcovid_lib.problems import Misuse, Problem

IMAGE_SIZE = 224
DOWNLOAD_TIMEOUT = 30.0


@dataclass(frozen=True)
class Backbone:
    """A network of the catalogue.

    Attributes
    ----------
    name, title : str
        The name used in files and commands, and the one used in prose.
    builder : callable
        Torchvision's function that builds the network.
    url : str
        Torchvision's address of the ImageNet weights (``IMAGENET1K_V1``); the name carries the start of the SHA-256.
    head : str
        The attribute of the network that holds its last layer.
    feature_shape : tuple of int
        The shape in which the last layer receives one 224x224 image.
    fan : {"in", "out"}
        Which count of connections scales the random weights: the one torchvision uses for this family.
    citation : str
        The key of the network's article in the bibliography.
    """

    name: str
    title: str
    builder: Callable[..., nn.Module]
    url: str
    head: str
    feature_shape: tuple[int, ...]
    fan: str
    citation: str

    @property
    def file_name(self) -> str:
        """The file name of the ImageNet weights."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def hash_prefix(self) -> str:
        """The first digits of the weights file's SHA-256, as its name gives them."""
        return re.search(r"-([0-9a-f]{8,})\.", self.file_name)[1]

    @property
    def head_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of a two-class head: a linear layer, or a 1x1 convolution where the features are a map."""
        kernel = (1,) * (len(self.feature_shape) - 1)
        return {"weight": (2, self.feature_shape[0], *kernel), "bias": (2,)}


_CLASSIFIED: dict[str, Any] = {"head": "classifier", "fan": "in"}
_RESIDUAL: dict[str, Any] = {"head": "fc", "fan": "out", "citation": "he2016"}
_SQUEEZED: dict[str, Any] = {**_CLASSIFIED, "feature_shape": (512, 13, 13), "citation": "iandola2016"}
_DENSE: dict[str, Any] = {**_CLASSIFIED, "citation": "huang2017"}


def _entry(name: str, title: str, builder: str, **rest: Any) -> Backbone:
    """A catalogue entry for one of torchvision's networks."""
    weights = models.get_model_weights(builder)["IMAGENET1K_V1"]
    return Backbone(name, title, models.get_model_builder(builder), weights.url, **rest)


CATALOGUE: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        _entry("resnet18", "ResNet18", "resnet18", feature_shape=(512,), **_RESIDUAL),
        _entry("resnet50", "ResNet50", "resnet50", feature_shape=(2048,), **_RESIDUAL),
        _entry("squeezenet", "SqueezeNet 1.0", "squeezenet1_0", **_SQUEEZED),
        _entry("squeezenet1_1", "SqueezeNet 1.1", "squeezenet1_1", **_SQUEEZED),
        _entry("densenet121", "DenseNet-121", "densenet121", feature_shape=(1024,), **_DENSE),
        _entry("densenet161", "DenseNet-161", "densenet161", feature_shape=(2208,), **_DENSE),
    )
}


@dataclass(frozen=True)
class Loaded:
    """A backbone with its weights, in eval mode, its head removed.

    Attributes
    ----------
    backbone : Backbone
        Which network it is.
    module : torch.nn.Module
        Maps normalised images (n, 3, 224, 224) to features (n, ...).
    weights : {"imagenet", "random"}
        Where the weights come from; with ``"random"`` the network is untrained.
    weights_id : str
        16 hexadecimal digits of a SHA-256 over the weights themselves: equal weights, equal id.
    engine : {"pytorch", "openvino"}
        What carries images through it on a processor (see `engines`).
    """

    backbone: Backbone
    module: nn.Module
    weights: str
    weights_id: str
    engine: str = "pytorch"


def get(name: str) -> Backbone:
    """Return the backbone of that name.

    Raises
    ------
    Misuse
        If the catalogue has no such name; the message gives the nearest one.

    Examples
    --------
    >>> get("squeezenet").title
    'SqueezeNet 1.0'
    >>> get("resnet18").head_shapes
    {'weight': (2, 512), 'bias': (2,)}
    """
    if name not in CATALOGUE:
        nearest = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.0)[0]
        raise Misuse(
            f"no model is named {name!r}", remedy=f"did you mean {nearest!r}? The models are {', '.join(CATALOGUE)}"
        )
    return CATALOGUE[name]


def load(name: str, *, weights: str, seed: int = 0, cache: str | Path | None = None, engine: str = "pytorch") -> Loaded:
    """Load a backbone, ready to turn images into features.

    Parameters
    ----------
    name : str
        A name of `CATALOGUE`.
    weights : {"imagenet", "random"}
        ``"imagenet"``: torchvision's ``IMAGENET1K_V1``, looked for in `cache`, fetched if absent, its SHA-256 checked
        before it is opened. ``"random"``: untrained, Kaiming-normal (He et al., 2015), batch normalisation at its
        defaults, biases zero; drawn by numpy from the seed and each parameter's name, whatever torch's version.
    seed : int
        The seed of the random weights; without effect on ``"imagenet"``.
    cache : path-like, optional
        The folder of weights files; by default torch's own (``torch.hub.get_dir()/checkpoints``).
    engine : {"pytorch", "openvino"}
        What shall carry images through the network; PyTorch does where OpenVINO is not installed.

    Raises
    ------
    Misuse
        If the name, the kind of weights or the engine is unknown.
    Problem
        If the weights file is absent and cannot be fetched, or is not the one its name promises.

    References
    ----------
    Section III.A of the paper: pre-trained networks as feature extractors.

    He et al. (2015), Delving deep into rectifiers, ICCV.

    Examples
    --------
    >>> load("squeezenet1_1", weights="random", seed=0).weights_id
    '4cbc0f4ad97c344d'
    """
    backbone = get(name)
    with torch.device("meta"):
        module = backbone.builder(weights=None)
    if weights == "random":
        state = _random_state(module, backbone.fan, seed)
    elif weights == "imagenet":
        state = _imagenet_state(backbone, _weights_file(backbone, cache))
    else:
        raise Misuse(f"no weights are named {weights!r}", remedy="use 'imagenet' or 'random'")
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as fault:
        raise Problem(
            f"the weights do not fit {backbone.title}", file=backbone.file_name, remedy=_remedy(backbone)
        ) from fault
    if len(backbone.feature_shape) > 1:
        module = module.features  # torchvision's forward would flatten the map that the head receives
    else:
        setattr(module, backbone.head, nn.Identity())
    module.eval().requires_grad_(False)
    return Loaded(backbone, module, weights, _content_id(module.state_dict()), engines.at_hand(engine))


def at_hand(name: str, *, cache: str | Path | None = None) -> bool:
    """Tell whether a backbone's ImageNet weights lie where `load` looks for them; their hash is not checked here.

    Examples
    --------
    >>> at_hand("resnet18", cache="no-such-folder")
    False
    """
    return weights_path(name, cache=cache).is_file()


def damage(name: str, *, cache: str | Path | None = None) -> str:
    """Say what is wrong with a backbone's ImageNet weights that lie where `load` looks; empty if nothing, or none.

    Examples
    --------
    >>> damage("resnet18", cache="no-such-folder")
    ''
    """
    path = weights_path(name, cache=cache)
    try:
        if path.is_file():
            _check_hash(path, get(name), path)
    except Problem as problem:
        return str(problem)
    return ""


def weights_path(name: str, *, cache: str | Path | None = None) -> Path:
    """Return where `load` looks for a backbone's ImageNet weights.

    Examples
    --------
    >>> weights_path("resnet18", cache="weights").as_posix()
    'weights/resnet18-f37072fd.pth'
    """
    return _weights_path(get(name), cache)


def summary(name: str) -> pd.DataFrame:
    """Tell a two-class network's layers and blocks, as a 224x224 image passes them.

    Returns
    -------
    DataFrame
        One row per block in the order of the forward pass: ``name``, ``kind`` (its class), ``output`` (channels x
        height x width of what leaves it), ``parameters``, and ``trainable``, the part of these that fine-tuning
        changes: the head's.

    References
    ----------
    Figures 3-5 of the paper.

    Examples
    --------
    >>> print(summary("resnet18").iloc[[0, 4, -1]].to_string(index=False))
        name       kind     output  parameters  trainable
       conv1     Conv2d 64x112x112        9408          0
    layer1.0 BasicBlock   64x56x56       73984          0
          fc     Linear          2        1026       1026
    """
    backbone = get(name)
    with torch.device("meta"):
        network = backbone.builder(weights=None, num_classes=2).eval()
        image = torch.empty(1, 3, IMAGE_SIZE, IMAGE_SIZE)
    rows: list[dict[str, object]] = []
    for block_name, block in _blocks(network):

        def record(block: nn.Module, _inputs: tuple, output: Tensor, block_name: str = block_name) -> None:
            parameters = sum(parameter.numel() for parameter in block.parameters())
            in_head = block_name.split(".")[0] == backbone.head
            rows.append(
                {
                    "name": block_name,
                    "kind": type(block).__name__.lstrip("_"),
                    "output": "x".join(str(length) for length in output.shape[1:]),
                    "parameters": parameters,
                    "trainable": parameters if in_head else 0,
                }
            )

        block.register_forward_hook(record)
    with torch.inference_mode():
        network(image)
    return pd.DataFrame(rows)


def trainable_share(name: str) -> float:
    """Return the fraction (0 to 1) of a two-class network's parameters that fine-tuning the head changes.

    Examples
    --------
    >>> f"{trainable_share('resnet18'):.6f}"
    '0.000092'
    """
    counts = summary(name)[["parameters", "trainable"]].sum()
    return float(counts["trainable"] / counts["parameters"])


def _blocks(network: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The network's children, plain sequences opened."""
    found = []
    for name, child in network.named_children():
        if type(child) is nn.Sequential:
            found += _blocks(child, f"{prefix}{name}.")
        else:
            found.append((prefix + name, child))
    return found


def _random_state(module: nn.Module, fan: str, seed: int) -> dict[str, Tensor]:
    """Untrained values for every entry of the module's state."""
    state = {}
    for name, entry in module.state_dict().items():
        shape = tuple(entry.shape)
        if len(shape) >= 2:
            word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
            connections = shape[0 if fan == "out" else 1] * math.prod(shape[2:])
            values = np.random.default_rng([seed, word]).standard_normal(shape) * math.sqrt(2.0 / connections)
            state[name] = torch.from_numpy(values.astype(np.float32))
        else:
            fill = 1 if name.endswith(("weight", "running_var")) else 0
            state[name] = torch.full(shape, fill, dtype=entry.dtype)
    return state


def _remedy(backbone: Backbone) -> str:
    return f"delete it, or put the right file there: {backbone.url}"


def _weights_path(backbone: Backbone, cache: str | Path | None) -> Path:
    folder = Path(cache) if cache is not None else Path(torch.hub.get_dir()) / "checkpoints"
    return folder / backbone.file_name


def _weights_file(backbone: Backbone, cache: str | Path | None) -> Path:
    """The weights file with its hash checked, fetched if absent."""
    path = _weights_path(backbone, cache)
    if not path.exists():
        try:
            with replacing(path) as temporary:
                pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT)(backbone.url, str(temporary), None)
                _check_hash(temporary, backbone, path)
        except OSError as fault:
            raise Problem(
                f"the ImageNet weights of {backbone.title} are not here and could not be fetched",
                file=path,
                remedy=f"fetch {backbone.url} on another machine and place it there under the name "
                f"{backbone.file_name}, or choose weights=random",
            ) from fault
    _check_hash(path, backbone, path)
    return path


def _check_hash(held: Path, backbone: Backbone, path: Path) -> None:
    """Refuse what a file holds, meant for `path`, unless it is what the name promises."""
    found = sha256(held)
    if not found.startswith(backbone.hash_prefix):
        raise Problem(
            f"not the weights of {backbone.title}: its SHA-256 starts with {found[: len(backbone.hash_prefix)]}, "
            f"expected {backbone.hash_prefix}",
            file=path,
            remedy=_remedy(backbone),
        )


def _imagenet_state(backbone: Backbone, path: Path) -> dict[str, Tensor]:
    """The state in a checked weights file; the dotted layer names of DenseNet's first release are made today's."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): state[name] for name in state}
    except Exception as fault:  # on damaged bytes torch raises a dozen types
        raise Problem("not a file of network weights", file=path, remedy=_remedy(backbone)) from fault


def _content_id(state: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits over the names, types, shapes and bytes of a state."""
    digest = hashlib.sha256()
    for name in sorted(state):
        entry = state[name].contiguous()
        digest.update(f"{name} {entry.dtype} {tuple(entry.shape)}\n".encode())
        digest.update(entry.numpy())
    return digest.hexdigest()[:16]
