"""What holds a fit's files together: the head tells what it was trained for, and the digests of what it gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Problem

GIVEN = ("scores", "history")


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


def check(folder: Path, manifest: Path) -> None:
    """Refuse a head that another manifest trained, and scores or a history that were changed since it gave them.

    Parameters
    ----------
    folder : Path
        With ``head.safetensors, scores.csv, history.csv``.
    manifest : Path
        Of the run; where it is not there, as in a folder passed on without it, only the rest is checked.

    Raises
    ------
    Problem
        Naming the changed file.
    """
    known = told(folder)
    if manifest.is_file() and known["manifest"] != sha256(manifest):
        raise Problem(
            f"was trained on another manifest than {'/'.join(manifest.parts[-3:])}",
            file=folder / "head.safetensors",
            remedy=f"restore the manifest, or delete {'/'.join(folder.parts[-6:])} to train again",
        )
    for name in GIVEN:
        path = folder / f"{name}.csv"
        if not path.is_file() or known[name] != sha256(path):
            raise Problem("was removed or changed since the head gave it", file=path, remedy=_again(folder))


def _again(folder: Path) -> str:
    return f"restore it, or delete {'/'.join(folder.parts[-6:])} to train again"
