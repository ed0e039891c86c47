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


def check(folder: Path) -> None:
    """Refuse scores or a history that were changed since the head gave them.

    Parameters
    ----------
    folder : Path
        With ``head.safetensors, scores.csv, history.csv``.

    Raises
    ------
    Problem
        Naming the changed file.
    """
    known = told(folder)
    for name in GIVEN:
        path = folder / f"{name}.csv"
        if not path.is_file() or known[name] != sha256(path):
            raise Problem("was removed or changed since the head gave it", file=path, remedy=_again(folder))


def _again(folder: Path) -> str:
    return f"restore it, or delete {'/'.join(folder.parts[-5:])} to train again"
