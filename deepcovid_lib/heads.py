"""A trained head on disk: its weights and what they belong to, never code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as packed
from torch import Tensor

from deepcovid_lib import backbones
from deepcovid_lib.files import replacing
from deepcovid_lib.finetune import CLASSES
from deepcovid_lib.problems import Problem


def save(path: str | Path, head: dict[str, Tensor], metadata: dict[str, object]) -> None:
    """Write a head as safetensors: weights, and what they belong to, under a checksum; equal heads, equal bytes.

    Parameters
    ----------
    path : path-like
    head : dict
        ``weight`` and ``bias``, from `fit`.
    metadata : dict
        Anything JSON holds; ``backbone`` (its name) is needed. ``classes`` is added.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "head.safetensors"
    >>> save(path, {"weight": torch.zeros(2, 512), "bias": torch.zeros(2)}, {"backbone": "resnet18"})
    >>> load(path, expect={"backbone": "resnet18"})[1]
    {'backbone': 'resnet18', 'classes': ['non_covid', 'covid']}
    """
    metadata = {**metadata, "classes": list(CLASSES)}
    with replacing(path) as temporary:
        temporary.write_bytes(
            packed({name: head[name].contiguous() for name in head}, {"head": _stamp(head, metadata)})
        )


def load(path: str | Path, *, expect: dict[str, object]) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Read a head back, with its metadata.

    Parameters
    ----------
    path : path-like
        Written by `save`.
    expect : dict
        Metadata that the head must have, e.g. ``backbone``, ``weights_id``, ``preset``.

    Raises
    ------
    Problem
        If the file is absent, damaged or changed, or the head's network, classes, shapes or anything expected differ,
        or a weight is not finite.
    """
    again = "train the head again"
    try:
        with safe_open(path, framework="pt") as stream:
            head = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118, the stream is no dict
            stamp = stream.metadata()["head"]
        metadata = json.loads(stamp)
        del metadata["checksum"]
    except FileNotFoundError as fault:
        raise Problem("there is no such head", file=path, remedy="train it first") from fault
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as fault:
        raise Problem("is not a head, or is damaged", file=path, remedy=again) from fault
    if stamp != _stamp(head, metadata):
        raise Problem("has been changed since it was written: its checksum differs", file=path, remedy=again)
    backbone = backbones.CATALOGUE.get(str(metadata.get("backbone")))
    if backbone is None:
        raise Problem(f"no model is named {metadata.get('backbone')!r}", file=path, remedy=again)
    found = {**metadata, **{name: tuple(head[name].shape) for name in head}, "tensors": sorted(head)}
    wanted = {"tensors": ["bias", "weight"], "classes": list(CLASSES), **backbone.head_shapes, **expect}
    differing = [f"{key} is {found.get(key)}, not {wanted[key]}" for key in wanted if found.get(key) != wanted[key]]
    if differing:
        raise Problem(f"is another head: {', '.join(differing)}", file=path, remedy=again)
    odd = [name for name in head if head[name].dtype != torch.float32 or not head[name].isfinite().all()]
    if odd:
        raise Problem(f"its {odd[0]} holds what is no finite number of single precision", file=path, remedy=again)
    return head, metadata


def _stamp(head: dict[str, Tensor], metadata: dict[str, object]) -> str:
    """The metadata as one sorted JSON value, with a SHA-256 over it and the weights."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(head):
        digest.update(f"{name} {head[name].dtype} {tuple(head[name].shape)}\n".encode())
        digest.update(head[name].contiguous().flatten().view(torch.uint8).numpy())
    return json.dumps({**metadata, "checksum": digest.hexdigest()}, sort_keys=True)
