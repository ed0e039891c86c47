"""A run as one side of a comparison: made here, recorded, or brought along as a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from deepcovid_lib import fits, manifest, records, runs, style
from deepcovid_lib.files import read_csv, sha256
from deepcovid_lib.problems import Misuse, Problem

NEEDED = {"models": list, "recipe": dict, "seed": int}
WORDS = ("title", "about", "publish_films", "tests_paper")


class Side(NamedTuple):
    """One of the two runs.

    Attributes
    ----------
    label : str
        Its folder's last two names, e.g. ``recorded/phantom``.
    folder : Path
    edition : str
    settings, asked, facts : dict
        As in its `run.yaml` and `facts.json`; without folders.
    inputs : dict
        Of `records.inputs`; of a run without them, the counts of its Table I.
    scores : dict of str to DataFrame
        By model, under numbered names.
    """

    label: str
    folder: Path
    edition: str
    settings: dict[str, Any]
    asked: dict[str, Any]
    facts: dict[str, Any]
    inputs: dict[str, Any]
    scores: dict[str, pd.DataFrame]


def read(argument: str) -> Side:
    """Read a run: its folder, or a name, which is looked for under `results/` and then among the recorded runs.

    Raises
    ------
    Misuse
        If there is no such run (the line names those there are), or it replays recorded scores and has none.
    Problem
        If a file of the run is not what it should be.
    """
    folder = _found(argument)
    digests = folder / "digests.json"
    if digests.is_file() or (folder / "scores").is_dir():  # a record, or results that were archived
        beside = {path.name for path in folder.glob("*.*")} - {digests.name}
        for name in sorted(beside.union(_content(digests) if digests.is_file() else ())):
            records.sealed(folder, name)
    told = _asked(folder / "run.yaml")
    if told.get("speed") == "replay":
        raise Misuse(f"'{argument}' replays recorded scores and has none of its own", remedy="compare the recorded run")
    trained_on = _films(folder, told["asked"])
    asked = {key: value for key, value in told["asked"].items() if key != "folders"}
    settings = {key: value for key, value in told["settings"].items() if str(key).split(".")[0] != "folders"}
    noted, kept = folder / "facts.json", folder / "inputs.json"
    facts = runs.unedited(_content(noted)) if noted.is_file() else {}
    facts = {stage: note for stage, note in facts.items() if isinstance(note, dict) and not stage.startswith("replay-")}
    inputs = _content(kept) if kept.is_file() else records.inputs(folder)
    inputs = {"images": inputs.get("images") or _counted(folder), "models": inputs.get("models", {})}
    scores = {}
    for model in asked["models"]:
        kept = folder / "scores" / f"{model}.csv"
        fit = folder / "fits" / model / asked["recipe"]["name"] / f"seed-{asked['seed']}"
        if kept.is_file():
            scores[model] = manifest.read_scores(records.sealed(folder, f"scores/{model}.csv"))
        elif (fit / "head.safetensors").is_file() or (fit / "scores.csv").is_file():
            fits.check(fit, folder / "manifest.csv", asked, **trained_on)
            _noted_of(facts, model, fit / "head.safetensors")
            scores[model] = records.opaque(manifest.read_scores(fit / "scores.csv"))
    scores = {model: frame.sort_values("image_id", ignore_index=True) for model, frame in scores.items()}
    label = f"{folder.parent.name}/{folder.name}"
    return Side(label, folder, told["edition"], settings, asked, facts, inputs, scores)


def _noted_of(facts: dict[str, Any], model: str, head: Path) -> None:
    """Refuse notes of the training of another head than lies there."""
    noted = (runs.trained(facts, model) or {}).get("head")
    if noted and head.is_file() and noted != sha256(head):
        raise Problem(
            f"notes the training of another head of {style.model(model).label} than lies there",
            file="facts.json",
            remedy="delete the file; when and where the stages ran is then not told",
        )


def _films(folder: Path, asked: dict[str, Any]) -> dict[str, str]:
    """Return what the heads of a run say they were trained on, as its curation noted it.

    A manifest that was changed since, or that was curated for an edition that asked otherwise, is refused.
    """
    note, films = folder / "curated.json", folder / "manifest.csv"
    if not note.is_file():
        return {}
    known, remedy = _content(note), "bring the run up to date: deepcovid reproduce"
    differing = [key for key, value in known.get("asked", {}).items() if key in asked and asked[key] != value]
    if differing:
        raise Problem(f"was curated for another {differing[0]}", file=films, remedy=remedy)
    if films.is_file() and known.get(films.name) != sha256(films):
        raise Problem("was changed since the curation", file=films, remedy=remedy)
    return {"manifest": known[films.name]} if films.name in known else {}


def untold(one: Side) -> str:
    """Say of how many test films the source does not tell the patients; empty where it tells all."""
    count = max(map(manifest.untold, one.scores.values()), default=0)
    return f"the patients of {count:,} test films are not told, each counts as one patient" if count else ""


def stem(one: Side) -> str:
    """Return a run's name for use in a file's: that of its folder, with ``recorded-`` before a recorded one's."""
    return one.folder.name if one.folder.parent.name == "results" else one.label.replace("/", "-")


def made(one: Side) -> str:
    """Say when a run's stages ran, in UTC."""
    times = sorted(str(note["started"]) for note in one.facts.values() if note.get("started"))
    if not times:
        return "not known"
    (first, began), (last, ended) = (time[:16].split("T") for time in (times[0], times[-1]))
    return f"{first}, {began} to {ended} UTC" if first == last else f"{first} to {last}"


def entered(side: Side) -> dict[tuple[str, str], str | None]:
    """Return what went into a run, as text by kind and name; None is not known.

    The kinds are ``asked``, ``words`` (keys of an edition that bear on no number), ``images``, ``heads``, ``software``.
    """
    known: dict[tuple[str, str], str | None] = {("asked", "edition"): str(side.edition)}
    for key, value in _flat(side.asked).items():
        known["words" if key in WORDS else "asked", key] = _text(value)
    for split, name in (("train", "training images"), ("test", "test images")):
        told = side.inputs["images"].get(split, {})
        known["images", f"{name}, contents"] = told.get("sha256")
        for label, look in style.CLASSES.items():
            counts = told.get(label)
            words = f"{counts['images']:,} of {counts['patients']:,} patients" if counts else None
            words = f"{words}, who are not told of {counts['untold']:,}" if counts and counts.get("untold") else words
            known["images", f"{name}, {look.label}"] = words
    for model in side.asked["models"]:
        digests, name = side.inputs["models"].get(model, {}), style.model(model).label
        known["heads", f"head of {name}"] = digests.get("head")
        known["software", f"code that trained {name}"] = digests.get("code")
    for what in ("python", "device", "commit"):
        told = {str(note[what]) for note in side.facts.values() if note.get(what)}
        if what == "commit" and any(text.endswith("+") for text in told):
            known["software", what] = None  # files were changed since, so the commit does not tell the code
        elif told:
            known["software", {"python": "Python"}.get(what, what)] = ", ".join(sorted(told))
    versions: dict[str, set[str]] = {}
    for note in side.facts.values():
        for package, version in note.get("versions", {}).items():
            versions.setdefault(package, set()).add(str(version))
    return known | {("software", package): ", ".join(sorted(told)) for package, told in versions.items()}


def _found(argument: str) -> Path:
    """Return the folder of a run."""
    given, root, recorded = Path(argument), runs.root(), records.folder()
    if len(given.parts) == 1 and given.name:
        places = [root / "results" / given, recorded / given, given]
    else:
        places = [given, root / given]
        if given.parts[:1] == ("recorded",):
            places.append(recorded.joinpath(*given.parts[1:]))
    for place in places:
        if (place / "run.yaml").is_file():
            return place.resolve()
    there = [
        f"{kind}: {', '.join(names)}"
        for kind, folder in (("results", root / "results"), ("recorded", recorded))
        if (names := sorted(path.parent.name for path in folder.glob("*/run.yaml")))
    ]
    fault = "holds no run.yaml" if given.is_dir() else "is no run"
    raise Misuse(f"'{argument}' {fault}", remedy=f"there are {'; '.join(there)}" if there else "make one first")


def _counted(folder: Path) -> dict[str, Any]:
    """Return how many images and patients each class has, from the run's Table I if it is there."""
    paths = [path for path in (folder / "tab-dataset.csv", folder / "tables" / "tab-dataset.csv") if path.is_file()]
    counts: dict[str, Any] = {}
    for row in read_csv(paths[0]).to_dict("records") if paths else []:
        for label, look in style.CLASSES.items():
            if row["class"] == look.label:
                counts.setdefault(row["split"], {})[label] = {"images": row["run"], "patients": row["patients"]}
    return counts


def _asked(path: Path) -> dict[str, Any]:
    """Read a `run.yaml` as far as a comparison needs it."""
    told = _content(path)
    asked = told.get("asked")
    if not isinstance(asked, dict) or not isinstance(told.get("settings"), dict) or "edition" not in told:
        raise Problem("is no run's record", file=path, remedy="compare a folder that a run has left")
    for key, kind in NEEDED.items():
        if not isinstance(asked.get(key), kind):
            raise Problem(f"asks for no {key}", file=path, remedy="compare a folder that a run has left")
    for model in asked["models"]:
        if model not in style.MODELS:
            raise Problem(f"asks for an unknown model '{model}'", file=path, remedy=f"use {', '.join(style.MODELS)}")
    return told


def _content(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds names and values."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        raise Problem("cannot be read", file=path, remedy="make or copy the run again")
    return content


def _flat(content: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{above}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return {name: value for name, value in flat.items() if value is not None and value != []}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
