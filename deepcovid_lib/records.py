"""Recorded runs: the numbers of runs that cannot be repeated everywhere, shipped with the project."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from deepcovid_lib import editions, fits, manifest, paper, runs, tables
from deepcovid_lib.files import read_csv, read_json, replacing, sha256, write_csv, write_json
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import NORMAL, OTHER, UNTOLD

ASIDE = ("title", "about", "folders", "models", "tests_paper", "publish_films")  # these bear on no score
FINDINGS = {"covid": "COVID-19", "normal": NORMAL, "other_disease": OTHER, "unknown": ""}


def folder() -> Path:
    """Return the folder of the recorded runs: the checkout's, or the one shipped in the package."""
    package = Path(__file__).parent
    checkout = package.parent / "recorded"
    return checkout if checkout.is_dir() else package / "shipped" / "recorded"


def told(name: str) -> dict[str, Any]:
    """Return what a recorded run was asked for: ``edition``, ``settings`` and ``asked``, the edition with these."""
    return yaml.safe_load(sealed(_of(name), "run.yaml").read_text(encoding="utf-8"))


def scores(name: str) -> dict[str, pd.DataFrame]:
    """Return the recorded scores of a run by model, in its order; images and patients carry opaque names."""
    models = told(name)["asked"]["models"]
    return {model: manifest.read_scores(sealed(_of(name), f"scores/{model}.csv")) for model in models}


def history(name: str, model: str) -> pd.DataFrame:
    """Return a model's recorded ``epoch, loss, accuracy``; no rows where the training was not recorded."""
    if not (_of(name) / "history" / f"{model}.csv").is_file():
        return pd.DataFrame(columns=["epoch", "loss", "accuracy"], dtype=float)
    return read_csv(sealed(_of(name), f"history/{model}.csv"))


def table(name: str, stem: str) -> pd.DataFrame:
    """Return a recorded table, e.g. ``"funnel"``."""
    return read_csv(sealed(_of(name), f"{stem}.csv"))


def facts(name: str) -> dict[str, Any]:
    """Return when, where and with which versions a recorded run was made."""
    return read_json(sealed(_of(name), "facts.json"))


def of(run: Run) -> str:
    """Return the name of the recorded run that a replayed run starts from.

    It has the same edition, the models asked for, and equal values of everything that bears on a score; of several, the
    one of the run's own name comes first.

    Raises
    ------
    Misuse
        Where there is none; the line says what differs and what is recorded.

    Examples
    --------
    >>> of(runs.resolve("open-cxr", settings={"weights": "random"}, speed="replay"))
    'open-cxr-weights-random'
    """
    asked = run.edition.model_dump(mode="json")
    names = sorted((path.parent.name for path in folder().glob("*/scores")), key=lambda name: (name != run.name, name))
    recorded = {name: told(name) for name in names}
    lacking = ""
    for name, known in recorded.items():
        if known["edition"] != run.edition_name:
            continue
        before = editions.Edition(**known["asked"]).model_dump(mode="json")
        differing = [key for key, value in before.items() if key not in ASIDE and asked[key] != value]
        differing += ["models"] if set(run.edition.models) - set(known["asked"]["models"]) else []
        if not differing:
            return name
        lacking = f" with {differing[0]} {asked[differing[0]]}"
    choices = (f"edition '{known['edition']}', settings {known['settings']}" for known in recorded.values())
    raise Misuse(
        f"no recorded run of edition '{run.edition_name}'{lacking}", remedy=f"recorded are {' and '.join(choices)}"
    )


def note(run: Run) -> str:
    """Say of a replayed run which recorded scores it shows, and when their heads were trained; empty for any other run.

    Examples
    --------
    >>> note(runs.resolve("phantom", speed="replay"))[:48]
    'Replayed from recorded scores (run phantom, trai'
    """
    if run.speed != "replay":
        return ""
    name = of(run)
    noted = filter(None, (runs.trained(facts(name), model) for model in told(name)["asked"]["models"]))
    day = max((fact["started"][:10] for fact in noted), default="a day that was not noted")
    return f"Replayed from recorded scores (run {name}, trained on {day}); nothing was trained here."


def replay_seconds(edition: str, stage: str, *, settings: dict[str, Any] | None = None) -> float | None:
    """Return how long a notebook took that started from the recorded scores of an edition.

    Parameters
    ----------
    edition : str
    stage : str
        The notebook, as `runs.retrain_seconds` names it.
    settings : dict, optional
        The overrides, as `runs.resolve` takes them.

    Returns
    -------
    float or None
        Seconds; None where no such run is recorded or the notebook was not timed.

    Examples
    --------
    >>> replay_seconds("tiny", "scores") is None
    True
    """
    try:
        name = of(runs.resolve(edition, settings=settings, speed="replay"))
    except Misuse:
        return None
    return facts(name).get(f"replay-{stage}", {}).get("seconds")


def add_facts(name: str, noted: dict[str, Any]) -> None:
    """Add stages to what is noted of a recorded run."""
    write_json({**facts(name), **noted}, _of(name) / "facts.json")
    seal(_of(name))


def keep(run: Run) -> Path:
    """Record a run: what was asked, its facts, tables and scores, without paths, file names or images.

    Images and patients are numbered in an order that tells nothing; images of one patient keep one number. Where
    images or scores differ from those recorded before, all that was measured from these goes, its sweeps too.

    Raises
    ------
    Misuse
        For a replayed run, whose scores are recorded already; for a run that has no scores, or under the name of
        a record of another edition or with other settings.
    """
    if run.speed == "replay":
        raise Misuse(f"run '{run.name}' made no scores: it replays '{of(run)}'", remedy="record a retrained run")
    target = folder() / run.name
    asked = run.edition.model_dump(mode="json", exclude={"folders"})
    settings = {key: value for key, value in run.settings.items() if not key.startswith("folders")}
    fitted = [model for model in run.edition.models if (run.fit(model) / "scores.csv").is_file()]
    if (target / "run.yaml").is_file():
        there = told(run.name)
        if (there["edition"], there["settings"]) != (run.edition_name, settings):
            other = there["settings"] or "no other settings"
            raise Misuse(
                f"recorded/{run.name} is of edition '{there['edition']}' with {other}",
                remedy="give this run another name, or remove that record first",
            )
    if not fitted:
        raise Misuse(f"run '{run.name}' has no scores to record", remedy="train its heads first: deepcovid reproduce")
    for model in fitted:
        fits.check(run.fit(model), run.manifest, asked)
    entered, stays = inputs(run.folder), {}
    try:
        before, known = (read_json(sealed(target, name)) for name in ("facts.json", "inputs.json"))
        same = _results(known) == _results(entered)
    except Problem:
        same = False  # there is no whole record
    if same:
        stays = {stage: fact for stage, fact in before.items() if stage.startswith(("replay-", "ladder"))}
    else:
        for kind in ("scores", "history", "tables"):
            shutil.rmtree(target / kind, ignore_errors=True)
        shutil.rmtree(folder() / f"recipes-{run.name}", ignore_errors=True)
    with replacing(target / "run.yaml") as temporary:
        content = {"edition": run.edition_name, "settings": settings, "asked": asked}
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    write_json({**stays, **runs.facts_of(run)}, target / "facts.json")
    write_json(entered, target / "inputs.json")
    if (run.folder / "funnel.csv").is_file():
        write_csv(read_csv(run.folder / "funnel.csv"), target / "funnel.csv")
    if run.manifest.is_file():
        write_csv(counts(run, manifest.read(run.manifest)), target / "tab-dataset.csv")
    for model in fitted:
        write_csv(opaque(manifest.read_scores(run.fit(model) / "scores.csv")), target / "scores" / f"{model}.csv")
        write_csv(read_csv(run.fit(model) / "history.csv"), target / "history" / f"{model}.csv")
    seal(target)
    return target


def _results(entered: dict[str, Any]) -> tuple[Any, Any]:
    """The images and scores among the inputs of a record."""
    return entered["images"], {model: known.get("scores") for model, known in entered["models"].items()}


def counts(run: Run, films: pd.DataFrame) -> pd.DataFrame:
    """Count a run's images as `tables.dataset` does, with verdicts where the counts test the paper's Table I.

    What the curation was asked for tests nothing.

    Parameters
    ----------
    run : Run
    films : DataFrame
        The rows of its manifest.
    """
    counted = tables.dataset(films, copies=run.edition.copies, comparable=True)
    if run.edition.split == "released" and tests_counts(run, counted):
        return counted
    return tables.dataset(films, copies=run.edition.copies, comparable=False)


def tests_counts(run: Run, counted: pd.DataFrame) -> bool:
    """Say whether a run's counts test the paper's.

    Its edition may, and its images come from what the paper's came from. The authors published several archives: the
    paper's has as many images as Table I. covid-chestxray-dataset grew: in the paper's state, its rules leave the
    paper's numbers of rows (Section II). Others say nothing about the paper.

    Parameters
    ----------
    run : Run
    counted : DataFrame
        Of `tables.dataset`.
    """
    if not run.tests("counts"):
        return False
    if run.edition.positives == "released":
        return bool((counted["run"] == counted["paper"]).all())
    path = run.folder / "funnel.csv"
    return path.is_file() and in_the_papers_state(read_csv(path))


def in_the_papers_state(funnel: pd.DataFrame) -> bool:
    """Say whether the rules left as many rows of covid-chestxray-dataset as the paper counts (Section II).

    Parameters
    ----------
    funnel : DataFrame
        ``source, rule, rows``.

    Examples
    --------
    >>> in_the_papers_state(table("covid-xray-5k-rebuilt", "funnel"))
    True
    """
    steps = funnel.query("source == 'cohen'").set_index("rule")["rows"]
    told = paper.values().set_index("id")["value"]
    left = {"x-ray": steps.get("modality is X-ray"), "x-ray/covid": steps.get("finding contains COVID-19")}
    return bool(steps.iloc[-1:].eq(told["section-2/covid"]).all()) and all(
        rows == told[f"section-2/cohen/{part}"] for part, rows in left.items()
    )


def seal(place: Path) -> None:
    """Write the digests of all files of a folder into its `digests.json`."""
    listed = (path for path in sorted(place.rglob("*")) if path.is_file() and path.name != "digests.json")
    write_json({path.relative_to(place).as_posix(): sha256(path) for path in listed}, place / "digests.json")


def sealed(place: Path, file: str) -> Path:
    """Return the path of a file of a sealed folder, refusing one that was changed since.

    Raises
    ------
    Problem
        Naming the file.
    """
    path, digests = place / file, place / "digests.json"
    if not digests.is_file() or not path.is_file() or read_json(digests).get(file) != sha256(path):
        raise Problem(
            "was removed or changed since it was recorded", file=path, remedy="restore it, or record the run again"
        )
    return path


def inputs(folder: Path) -> dict[str, Any]:
    """Return what a run's scores hang on, as counts and digests that tell no name and no place.

    Parameters
    ----------
    folder : Path
        Of a run under `results/`.

    Returns
    -------
    dict
        ``images``, by split: ``sha256`` over every image's number, content, label and patient's number, and the
        ``images`` and ``patients`` of each class, and of how many images they are ``untold``. ``models``, by
        backbone: the SHA-256 of the ``head`` and of the ``scores`` as `keep` writes them, and the digest of the
        ``code`` that trained. What the run has not made yet is left out.
    """
    asked = yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))["asked"]
    known: dict[str, Any] = {"images": {}, "models": {}}
    if (folder / "manifest.csv").is_file():
        for split, films in manifest.read(folder / "manifest.csv").groupby("split"):
            columns = (numbered(films["image_id"], "i"), films["sha256"], films["label"])
            rows = zip(*columns, numbered(films["patient_id"], "p"), strict=True)
            digest = hashlib.sha256("".join(sorted(" ".join(row) + "\n" for row in rows)).encode()).hexdigest()
            counts = {
                label: {"images": len(own), "patients": own["patient_id"].nunique()}
                | ({"untold": manifest.untold(own)} if manifest.untold(own) else {})
                for label, own in films.groupby("label")
            }
            known["images"][split] = {"sha256": digest, **counts}
    for model in asked["models"]:
        fit = folder / "fits" / model / asked["recipe"]["name"] / f"seed-{asked['seed']}"
        digests = {}
        if (fit / "head.safetensors").is_file():
            digests |= {"head": sha256(fit / "head.safetensors"), "code": fits.told(fit).get("code", "not told")}
        if (fit / "scores.csv").is_file():
            text = opaque(manifest.read_scores(fit / "scores.csv")).to_csv(index=False, lineterminator="\n")
            digests["scores"] = hashlib.sha256(text.encode()).hexdigest()
        if digests:
            known["models"][model] = digests
    return known


def opaque(frame: pd.DataFrame) -> pd.DataFrame:
    """Return scores under numbered names, in an order that tells nothing."""
    names = {column: numbered(frame[column], column[0]) for column in ("image_id", "patient_id")}
    return frame.assign(finding=frame["group"].map(FINDINGS), **names).sort_values("image_id")


def numbered(names: pd.Series, letter: str) -> pd.Series:
    """Return numbers in place of names, the same for the same set of names; patients who are not told stay so.

    Examples
    --------
    >>> numbered(pd.Series(["nih:2_0", "nih:1_0", "nih:2_0"]), "i").tolist()
    ['recorded:i0001', 'recorded:i0000', 'recorded:i0001']
    >>> numbered(pd.Series(["released:untold-a"]), "p").tolist()
    ['recorded:untold-p0000']
    """
    order = sorted(names.unique(), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    marks = {name: UNTOLD if f":{UNTOLD}" in name else "" for name in order}
    return names.map({name: f"recorded:{marks[name]}{letter}{number:04d}" for number, name in enumerate(order)})


def _of(name: str) -> Path:
    path = folder() / name
    if not path.is_dir():
        there = ", ".join(sorted(known.name for known in folder().iterdir() if known.is_dir()))
        raise Misuse(f"no recorded run '{name}'", remedy=f"there are {there}")
    return path
