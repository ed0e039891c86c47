"""Score any image files with a trained head. Research code, no medical device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from deepcovid_lib import backbones, editions, finetune, heads, images, lineage
from deepcovid_lib.problems import Misuse, Problem, spelled


def of_this_code(head: Path) -> bool:
    """Say whether the code that reads, passes and trains is the code that trained a head."""
    return heads.load(head, expect={})[1].get("code") == lineage.code(lineage.TRAINING)


def trained_on(head: Path) -> list[str]:
    """Return what the films and the network of a head were, in words of `editions.nature`, as far as it tells."""
    return editions.nature(heads.load(head, expect={})[1])


def score_files(paths: Sequence[Path], head: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Score image files; one that cannot be read is refused by name and stops no other.

    Parameters
    ----------
    paths : sequence of Path
    head : Path
        A `head.safetensors` that a run left; it says which backbone, weights and preset belong to it.

    Returns
    -------
    scored : DataFrame
        ``image, score``: the probability of COVID-19 that the network states, which is no diagnosis.
    refused : list of Problem

    Raises
    ------
    Problem
        If the head cannot be read, or its backbone's weights are not those it was trained on.
    """
    trained, metadata = heads.load(head, expect={})
    missing = [key for key in ("backbone", "weights", "weights_id", "seed", "preset") if key not in metadata]
    if missing:
        raise Problem(f"its metadata lacks '{missing[0]}'", file=head, remedy="use a head that a run left")
    preset = _preset(metadata["preset"], head)
    if not isinstance(metadata["seed"], int) or metadata["seed"] < 0:
        raise Problem(f"its seed is {metadata['seed']!r}", file=head, remedy="use a head that a run left")
    loaded = backbones.load(metadata["backbone"], weights=metadata["weights"], seed=metadata["seed"])
    if loaded.weights_id != metadata["weights_id"]:
        raise Problem(
            f"was trained on weights {metadata['weights_id']}, these are {loaded.weights_id}",
            file=head,
            remedy="train it again",
        )
    rows, refused = [], []
    for path in paths:
        try:
            square = images.normalise(images.square(path, preset)[np.newaxis])
        except Problem as problem:
            refused.append(problem)
            continue
        with torch.inference_mode():
            features = loaded.module(torch.from_numpy(square))
        if features.numel() != math.prod(loaded.backbone.feature_shape):
            raise Problem(f"does not take images of {preset.key}", file=head, remedy="use a head that a run left")
        features = features.reshape(1, *loaded.backbone.feature_shape)
        rows.append(
            {"image": spelled(path), "score": float(finetune.score(features, trained, metadata["backbone"])[0])}
        )
    if not paths:
        raise Misuse("no image was named")
    return pd.DataFrame(rows, columns=["image", "score"]), refused


def _preset(key: object, head: Path) -> images.Preset:
    """Return the preset that a head's metadata names."""
    try:
        size, fit = str(key).split("-", 1)
        return images.Preset(size=int(size), fit=fit)
    except (ValueError, Misuse) as fault:
        raise Problem(f"its preset is {key!r}", file=head, remedy="use a head that a run left") from fault
