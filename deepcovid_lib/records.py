"""Recorded runs: the numbers of runs that cannot be repeated everywhere, shipped with the project."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from deepcovid_lib import manifest, runs
from deepcovid_lib.files import replacing, write_csv, write_json
from deepcovid_lib.problems import Misuse
from deepcovid_lib.runs import Run

FINDINGS = {"covid": "COVID-19", "normal": "No Finding", "other_disease": "other", "unknown": ""}


def folder() -> Path:
    """Return the folder of the recorded runs: the checkout's, or the one shipped in the package."""
    package = Path(__file__).parent
    checkout = package.parent / "recorded"
    return checkout if checkout.is_dir() else package / "shipped" / "recorded"


def scores(name: str) -> dict[str, pd.DataFrame]:
    """Return the recorded scores of a run by model, in its order; images and patients carry opaque names."""
    asked = yaml.safe_load((_of(name) / "run.yaml").read_text(encoding="utf-8"))["asked"]
    return {model: manifest.read_scores(_of(name) / "scores" / f"{model}.csv") for model in asked["models"]}


def table(name: str, stem: str) -> pd.DataFrame:
    """Return a recorded table, e.g. ``"funnel"``."""
    return pd.read_csv(_of(name) / f"{stem}.csv")


def facts(name: str) -> dict[str, Any]:
    """Return when, where and with which versions a recorded run was made."""
    return json.loads((_of(name) / "facts.json").read_text(encoding="utf-8"))


def keep(run: Run) -> Path:
    """Record a run: what was asked, its facts, tables and scores, without paths, file names or images.

    Images and patients are numbered in an order that tells nothing; images of one patient keep one number.
    """
    target = folder() / run.name
    asked = run.edition.model_dump(mode="json", exclude={"folders"})
    settings = {key: value for key, value in run.settings.items() if not key.startswith("folders")}
    with replacing(target / "run.yaml") as temporary:
        told = {"edition": run.edition_name, "settings": settings, "asked": asked}
        temporary.write_text(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), encoding="utf-8")
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
    """The scores under numbered names, in an order that tells nothing."""
    opaque = frame.assign(finding=frame["group"].map(FINDINGS))
    for column, letter in (("image_id", "i"), ("patient_id", "p")):
        names = sorted(frame[column].unique(), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        opaque[column] = frame[column].map(
            {name: f"recorded:{letter}{number:04d}" for number, name in enumerate(names)}
        )
    return opaque.sort_values("image_id")


def _of(name: str) -> Path:
    path = folder() / name
    if not path.is_dir():
        raise Misuse(
            f"no recorded run '{name}'", remedy=f"there are {', '.join(sorted(p.name for p in folder().iterdir()))}"
        )
    return path
