"""Recorded runs: the numbers of runs that cannot be repeated everywhere, shipped with the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from deepcovid_lib import manifest, runs
from deepcovid_lib.files import replacing, write_csv, write_json
from deepcovid_lib.problems import Misuse
from deepcovid_lib.runs import Run


def folder() -> Path:
    """Return the folder of the recorded runs: the checkout's, or the one shipped in the package."""
    package = Path(__file__).parent
    checkout = package.parent / "recorded"
    return checkout if checkout.is_dir() else package / "shipped" / "recorded"


def scores(name: str) -> dict[str, pd.DataFrame]:
    """Return the recorded scores of a run by model; images and patients carry opaque names."""
    return {path.stem: manifest.read_scores(path) for path in sorted((_of(name) / "scores").glob("*.csv"))}


def table(name: str, stem: str) -> pd.DataFrame:
    """Return a recorded table, e.g. ``"funnel"``."""
    return pd.read_csv(_of(name) / f"{stem}.csv")


def facts(name: str) -> dict[str, Any]:
    """Return when, where and with which versions a recorded run was made."""
    return json.loads((_of(name) / "facts.json").read_text(encoding="utf-8"))


def keep(run: Run) -> Path:
    """Record a run: what was asked, its facts, tables and scores, without paths, file names or images.

    Images and patients are numbered in the order of their names, so that groups stay together and nothing else can be read.
    """
    target = folder() / run.name
    asked = json.loads(json.dumps({"edition": run.edition_name, "settings": run.settings}))
    asked["settings"] = {key: value for key, value in asked["settings"].items() if not key.startswith("folders")}
    write_json(asked, target / "run.json")
    write_json(runs.facts_of(run), target / "facts.json")
    for source in (run.folder / "funnel.csv", run.folder / "tables" / "tab-dataset.csv"):
        if source.is_file():
            with replacing(target / source.name) as temporary:
                temporary.write_bytes(source.read_bytes())
    for model in run.edition.models:
        path = run.fit(model) / "scores.csv"
        if path.is_file():
            write_csv(_opaque(manifest.read_scores(path)), target / "scores" / f"{model}.csv")
    return target


def _opaque(frame: pd.DataFrame) -> pd.DataFrame:
    opaque = frame.assign(finding="", score=frame["score"].round(6))
    for column, letter in (("image_id", "i"), ("patient_id", "p")):
        numbers = {name: f"recorded:{letter}{number:04d}" for number, name in enumerate(sorted(frame[column].unique()))}
        opaque[column] = frame[column].map(numbers)
    return opaque.sort_values("image_id")


def _of(name: str) -> Path:
    path = folder() / name
    if not path.is_dir():
        raise Misuse(f"no recorded run '{name}'", remedy=f"there are {', '.join(sorted(p.name for p in folder().iterdir()))}")
    return path
