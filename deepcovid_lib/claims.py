"""The paper's sentences as data, each with a test, and what a run says of it.

A verdict on the paper is kept apart from what holds of a run: on other images, weights or settings than the paper's it
never confirms or refutes a sentence about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import pandas as pd
import yaml

from deepcovid_lib import findings, stages, style
from deepcovid_lib.findings import Evidence, Finding
from deepcovid_lib.runs import Run

HOLDS, DOES_NOT, UNDECIDED, NO_TEST = "holds", "does not", "cannot be decided", "not a test of this claim"
SPOKEN = {True: HOLDS, False: DOES_NOT, None: UNDECIDED}
MODELS = ("resnet18", "resnet50", "squeezenet", "densenet121")
WHY_NO_TEST = {
    "images": "other images or settings than the paper's, or as many as the curation was asked for",
    "recipe": "the head is trained otherwise than the paper prints",
    "performance": "other images, weights or settings than the paper's",
    "practice": "what the authors did cannot be seen from a run",
}
COLUMNS = ["claim", "where", "scope", "test", "unit", "value", "low", "high", "of_this_run", "verdict", "reason"]


def listed() -> pd.DataFrame:
    """Return the claims.

    Returns
    -------
    DataFrame
        ``claim``, in short words; ``where`` the paper prints it; ``scope``, what a test needs (``method``: any run;
        ``recipe``: a head trained as the paper prints; ``images``: the paper's; ``performance``: its images and
        weights; ``practice``: no run can test it); ``test``, a function of `findings`, ``with`` its parameters,
        ``unit`` of its value, and ``reading``, where the paper's words had to be turned into a number.

    References
    ----------
    Paper, abstract, Sections I to V.

    Examples
    --------
    >>> listed().loc[1, ["claim", "scope", "test"]].tolist()
    ['The test set has 40 COVID-19 images.', 'images', 'images']
    """
    table = pd.DataFrame(_content(), columns=["claim", "where", "scope", "test", "with", "unit", "reading"])
    table["with"] = [parameters if isinstance(parameters, dict) else {} for parameters in table["with"]]
    return table.fillna({"unit": "", "reading": ""})


def evidence(run: Run, scores_by_model: Mapping[str, pd.DataFrame]) -> Evidence:
    """Return what a run leaves to judge the claims by, of the paper's models alone.

    Parameters
    ----------
    run : Run
        A replayed one has no manifest and no heads.
    scores_by_model : mapping of str to DataFrame
        Of `stages.all_scores`.
    """
    present = [model for model in scores_by_model if model in MODELS]
    replayed = run.speed == "replay"
    return Evidence(
        scores={model: scores_by_model[model] for model in present},
        counts=stages.counts(run),
        histories={model: stages.history(run, model) for model in present},
        manifest=None if replayed else stages.manifest(run),
        heads={} if replayed else {model: _trained(run, model) for model in present},
    )


def judge(found: Finding, *, scope: str, recipe: bool, images: bool, performance: bool) -> tuple[str, str]:
    """Say whether a sentence holds of a run, and what that says of the paper.

    Parameters
    ----------
    found : findings.Finding
    scope : {"method", "recipe", "images", "performance", "practice"}
    recipe, images, performance : bool
        Whether the run's recipe, its images, and its images and weights are the paper's.

    Returns
    -------
    tuple of str
        Each ``holds``, ``does not`` or ``cannot be decided``; the second is ``not a test of this claim`` where the
        scope asks for what the run has not.

    Examples
    --------
    >>> judge(Finding(False), scope="performance", recipe=True, images=True, performance=False)
    ('does not', 'not a test of this claim')
    >>> judge(Finding(True), scope="recipe", recipe=True, images=False, performance=False)
    ('holds', 'holds')
    """
    known = {"method": True, "recipe": recipe, "images": images, "performance": performance, "practice": False}
    testing = known[scope]
    return SPOKEN[found.holds], SPOKEN[found.holds] if testing else NO_TEST


def table(evidence: Evidence, *, recipe: bool, images: bool, performance: bool) -> pd.DataFrame:
    """Judge every claim by a run.

    Parameters
    ----------
    evidence : findings.Evidence
    recipe, images, performance : bool
        Whether the run's recipe, its images, and its images and weights are the paper's. A claim on performance is
        judged only where all four of the paper's models are there, none with one score for all.

    Returns
    -------
    DataFrame
        ``claim, where, scope, test, unit``; the run's ``value`` with its 95% interval ``low, high`` (NaN where there is
        none); ``of_this_run``, whether the sentence holds of the run; the ``verdict`` on the paper's sentence; and
        the ``reason``.

    Examples
    --------
    >>> from deepcovid_lib import tables
    >>> manifest = pd.DataFrame({"patient_id": ["a"], "label": ["covid"], "split": ["test"]})
    >>> counts = tables.dataset(manifest, copies=4, comparable=False)
    >>> known = Evidence({}, counts, {}, None, {})
    >>> judged = table(known, recipe=True, images=False, performance=False)
    >>> print(*judged.loc[1, ["claim", "value", "of_this_run", "verdict"]], sep="; ")
    The test set has 40 COVID-19 images.; 1.0; does not; not a test of this claim
    """
    rows = []
    missing = [style.model(model).label for model in MODELS if model not in evidence.scores]
    alike = [style.model(model).label for model, own in evidence.scores.items() if own["score"].nunique() == 1]
    lacking = [f"without {' and '.join(missing)}"] if missing else []
    lacking += [f"{' and '.join(alike)}: the same score for every image"] if alike else []
    for row in listed().to_dict("records"):
        found = getattr(findings, row["test"])(evidence, **row["with"])
        own, verdict = judge(found, scope=row["scope"], recipe=recipe, images=images, performance=performance)
        why = WHY_NO_TEST[row["scope"]] if verdict == NO_TEST else ""
        if row["scope"] == "performance" and lacking:
            verdict = UNDECIDED if performance else verdict
            why = "; ".join(filter(None, [why, *lacking]))
        reason = "; ".join(filter(None, [found.reason, row["reading"], why]))
        measured = {"value": found.value, "low": found.low, "high": found.high}
        rows.append({**row, **measured, "of_this_run": own, "verdict": verdict, "reason": reason})
    return pd.DataFrame(rows)[COLUMNS]


def tally(words: pd.Series) -> str:
    """Count verdicts.

    Examples
    --------
    >>> tally(pd.Series([HOLDS, NO_TEST, NO_TEST]))
    '1 holds, 0 do not, 0 cannot be decided, 2 are not a test of this claim'
    """
    number = words.value_counts().reindex([HOLDS, DOES_NOT, UNDECIDED, NO_TEST], fill_value=0)
    hold, fail, unsure, idle = number
    said = [f"{hold} {'holds' if hold == 1 else 'hold'}", f"{fail} {'does' if fail == 1 else 'do'} not"]
    said += [f"{unsure} cannot be decided"]
    said += [f"{idle} {'is' if idle == 1 else 'are'} {NO_TEST}"] if idle or NO_TEST in set(words) else []
    return ", ".join(said)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Add the texts that a page shows: ``run_shown``, the value with its unit, and ``interval_shown``.

    Examples
    --------
    >>> row = {"unit": "share", "value": 0.905, "low": 0.89, "high": 0.92}
    >>> shown(pd.DataFrame([row]))[["run_shown", "interval_shown"]].iloc[0].tolist()
    ['90.5%', '89.0% to 92.0%']
    """
    runs, intervals = [], []
    for row in table.to_dict("records"):
        runs.append(_said(row["value"], row["unit"]))
        low, high = _said(row["low"], row["unit"]), _said(row["high"], row["unit"])
        intervals.append("–" if pd.isna(row["low"]) else f"{low.removesuffix(' points')} to {high}")
    return table.assign(run_shown=runs, interval_shown=intervals)


def _said(value: float, unit: str) -> str:
    if pd.isna(value):
        return "–"
    if unit in ("share", "points"):
        return style.percent(value).replace("-", "−") if unit == "share" else f"{style.points(value)} points"
    if unit in ("area", "score", "ratio"):
        return style.decimal(value).replace("-", "−") if unit != "ratio" else f"{value:.2f}"
    return f"{value:,.0f} {unit.removesuffix('s') if value == 1 else unit}"


def _trained(run: Run, model: str) -> tuple[dict, dict]:
    from deepcovid_lib import backbones, heads  # torch is slow to import; a replay needs none

    head, _ = heads.load(run.fit(model) / "head.safetensors", expect={"backbone": model})
    shapes = {name: tuple(tensor.shape) for name, tensor in head.items()}
    return shapes, {name: tuple(shape) for name, shape in backbones.get(model).head_shapes.items()}


@cache
def _content() -> list[dict]:
    return yaml.safe_load(files(__package__).joinpath("claims.yaml").read_text(encoding="utf-8"))
