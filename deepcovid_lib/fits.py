"""What holds a fit's files together: the head tells what it was trained for, and the digests of what it gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from deepcovid_lib.files import sha256
from deepcovid_lib.images import Preset
from deepcovid_lib.problems import Problem

GIVEN = ("scores", "history")
ASKED = ("weights", "engine", "seed", "copies", "recipe")


def told(folder: Path) -> dict[str, Any]:
    """Return what a fit's head says of itself, without loading its weights.

    Raises
    ------
    Problem
        If the file is no head of a run, or is damaged.
    """
    path = folder / "head.safetensors"
    try:
        with safe_open(path, framework="numpy") as stream:
            known = json.loads(stream.metadata()["head"])
        return {**known, **{name: known[name] for name in (*GIVEN, "manifest")}}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as fault:
        raise Problem("is not a head of a run, or is damaged", file=path, remedy=_again(folder)) from fault


def meant(asked: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return what a head must say of itself that was trained for an edition, as far as `asked` tells it.

    Parameters
    ----------
    asked : mapping
        The edition with its overrides, as a `run.yaml` holds it.
    model : str

    Examples
    --------
    >>> meant({"seed": 7, "preset": {"size": 224, "fit": "squash"}}, "resnet18")
    {'backbone': 'resnet18', 'seed': 7, 'preset': '224-squash'}
    """
    told = {"backbone": model} | {key: asked[key] for key in ASKED if key in asked}
    return told | ({"preset": Preset(**asked["preset"]).key} if "preset" in asked else {})


def check(folder: Path, manifest: Path, asked: Mapping[str, Any], /, **more: Any) -> None:
    """Refuse a head that another manifest or edition trained, and scores or a history that it did not give.

    Parameters
    ----------
    folder : Path
        With ``head.safetensors, scores.csv, history.csv``.
    manifest : Path
        Of the run; where it is not there, as in a folder passed on without it, only the rest is checked.
    asked : mapping
        As for `meant`.
    **more
        What else the head must say of itself.

    Raises
    ------
    Problem
        Naming the changed file, or what the head was trained for.
    """
    known, again = told(folder), f"delete {'/'.join(folder.parts[-6:])} to train again"
    if manifest.is_file() and known["manifest"] != sha256(manifest):
        raise Problem(
            f"was trained on another manifest than {'/'.join(manifest.parts[-3:])}",
            file=folder / "head.safetensors",
            remedy=f"restore the manifest, or {again}",
        )
    for name in GIVEN:
        path = folder / f"{name}.csv"
        if not path.is_file() or known[name] != sha256(path):
            raise Problem("was removed or changed since the head gave it", file=path, remedy=_again(folder))
    wanted = {**meant(asked, folder.parent.parent.name), **more}
    differing = [f"{key} is {known.get(key)}, not {value}" for key, value in wanted.items() if known.get(key) != value]
    if differing:
        raise Problem(f"is not this run's: {'; '.join(differing)}", file=folder / "head.safetensors", remedy=again)


def _again(folder: Path) -> str:
    return f"restore it, or delete {'/'.join(folder.parts[-6:])} to train again"
