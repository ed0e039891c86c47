"""Two runs beside each other: what differed in their inputs, and whether their numbers do.

A difference is always A minus B. An image is called positive, COVID-19, when ``score >= threshold``.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import ks_2samp, spearmanr
from sklearn.exceptions import UndefinedMetricWarning

from deepcovid_lib import manifest, metrics, ranges, sides, style, tables
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.pairs import by_patient, deviation, reserve, studentised, wins
from deepcovid_lib.sides import Side

EQUAL, SAME, DIFFER, UNDECIDED = "equal", "same within uncertainty", "differ", "cannot be decided"
BINS = 10
LEVEL = 0.05


class Comparison(NamedTuple):
    """Two runs and what their comparison gives: a sentence, and the frames of the functions of the same name."""

    a: Side
    b: Side
    conclusion: str
    areas: pd.DataFrame
    rates: pd.DataFrame
    agreement: pd.DataFrame
    inputs: pd.DataFrame


def compare(a: Side, b: Side) -> Comparison:
    """Compare two runs."""
    compared, entered = areas(a, b), inputs(a, b)
    return Comparison(a, b, conclusion(a, b, compared, entered), compared, rates(a, b), agreement(a, b), entered)


def inputs(a: Side, b: Side) -> pd.DataFrame:
    """Set what went into the runs beside each other.

    Returns
    -------
    DataFrame
        ``kind`` (``asked``, ``words``, ``images``, ``heads``, ``software``), ``what``, the texts ``a`` and ``b`` (None
        where not known) and ``verdict``: ``same``, ``differs`` or ``not known``. Digests are cut to 12 digits.
    """
    columns = [sides.entered(one) for one in (a, b)]
    rows = []
    for kind, what in dict.fromkeys([*columns[0], *columns[1]]):
        absent = "not set" if kind in ("asked", "words") else None
        one, other = (column.get((kind, what), absent) for column in columns)
        known = one is not None and other is not None
        verdict = ("same" if one == other else "differs") if known else "not known"
        short = [text[:12] if text and len(text) == 64 else text for text in (one, other)]
        rows.append((kind, what, *short, verdict))
    order = {"asked": 0, "images": 1, "heads": 2, "software": 3, "words": 4}
    frame = pd.DataFrame(rows, columns=["kind", "what", "a", "b", "verdict"], dtype=object)
    return frame.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable", ignore_index=True)


def shared(a: Side, b: Side) -> list[str]:
    """Return the models that both runs have scored, in A's order."""
    return [model for model in a.scores if model in b.scores]


def unmatched(a: Side, b: Side, model: str) -> str:
    """Say why a model's test images cannot be matched one by one; empty where they can.

    They match where the scores are identical, or where both runs tested the same image contents, known by their digest,
    and scored all of them under the same labels and groups.
    """
    one, other = a.scores[model], b.scores[model]
    if _alike(one, other, "score"):
        return ""
    if not _alike(one, other):
        return "the test images or their labels differ"
    digests = [side.inputs["images"].get("test", {}).get("sha256") for side in (a, b)]
    for side, digest in zip((a, b), digests, strict=True):
        if not digest:
            return f"the contents of the test images of {side.label} are not known"
    return "" if digests[0] == digests[1] else "the test images, or the names of their patients, differ"


def areas(a: Side, b: Side) -> pd.DataFrame:
    """Compare the areas under the ROC curve.

    Returns
    -------
    DataFrame
        One row per model of either run: ``model``; for ``_a`` and ``_b`` each ``auc`` with the ``low`` and ``high`` of
        `ranges.area`; ``difference`` with its 95% bounds ``low`` and
        ``high``, NaN where it has no variance; ``p``; ``test`` (``paired``, ``unpaired`` or empty); ``verdict``
        (``equal``: identical scores; ``same within uncertainty``: p >= 0.05; ``differ``; ``cannot be decided``) and
        its ``reason``.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837, with patients kept together (Obuchowski 1997, Biometrics 53:567): paired
    where the images match, else from the two variances.
    """
    rows = []
    for model in dict.fromkeys([*a.scores, *b.scores]):
        row: dict[str, Any] = {"model": model}
        for letter, side in (("a", a), ("b", b)):
            if model in side.scores:
                scores = side.scores[model]
                area = ranges.area(scores["label"] == "covid", scores["score"], scores["patient_id"])
                row |= {f"{name}_{letter}": value for name, value in area._asdict().items()}
        rows.append(row | _difference(a, b, model))
    names = [f"{end}_{letter}" for letter in "ab" for end in ("auc", "low", "high")]
    columns = ["model", *names, "difference", "low", "high", "p", "test", "verdict", "reason"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(names, float))


def rates(a: Side, b: Side) -> pd.DataFrame:
    """Compare sensitivity, specificity and calibration, each run at its own threshold of 97.5% sensitivity.

    Returns
    -------
    DataFrame
        ``model, quantity`` (``sensitivity``, ``specificity``, ``calibration error`` in 10 bins); for ``_a`` and ``_b``
        each ``value`` and Wilson's ``low`` and ``high``, NaN for the calibration error; ``difference``.
    """
    sides = [_rates_of(side) for side in (a, b)]
    rows = []
    for model, quantity in dict.fromkeys([*sides[0], *sides[1]]):
        row: dict[str, Any] = {"model": model, "quantity": quantity}
        for letter, known in zip("ab", sides, strict=True):
            values = known.get((model, quantity), (math.nan,) * 3)
            row |= {f"{name}_{letter}": value for name, value in zip(("value", "low", "high"), values, strict=True)}
        rows.append(row | {"difference": row["value_a"] - row["value_b"]})
    names = [f"{name}_{letter}" for letter in "ab" for name in ("value", "low", "high")]
    return pd.DataFrame(rows, columns=["model", "quantity", *names, "difference"])


def pairs(a: Side, b: Side, model: str) -> pd.DataFrame:
    """Return ``label, score_a, score_b`` of each test image; the images must match (`unmatched`)."""
    one, other = a.scores[model], b.scores[model]
    return pd.DataFrame({"label": one["label"], "score_a": one["score"], "score_b": other["score"]})


def agreement(a: Side, b: Side) -> pd.DataFrame:
    """Compare the scores themselves.

    Returns
    -------
    DataFrame
        One row per shared model: ``model``; ``unmatched``, why images cannot be matched, or empty. Where they match:
        ``images``, the ``greatest`` and ``median`` absolute difference, ``spearman`` (NaN where scores are constant),
        ``threshold``, A's at 97.5% sensitivity, and ``changed``, the images called otherwise by B's scores there.
        Where not: the Kolmogorov-Smirnov distances ``ks_covid`` and ``ks_non_covid``, 0 (alike) to 1.
    """
    rows = []
    for model in shared(a, b):
        row: dict[str, Any] = {"model": model, "unmatched": unmatched(a, b, model)}
        if row["unmatched"]:
            row |= {f"ks_{label}": _distance(a.scores[model], b.scores[model], label) for label in manifest.LABELS}
        else:
            known = pairs(a, b, model)
            apart = (known["score_a"] - known["score_b"]).abs()
            constant = (known[["score_a", "score_b"]].nunique() == 1).any()
            rank = math.nan if constant else spearmanr(known["score_a"], known["score_b"]).statistic
            cut = tables.confusion_matrices({model: a.scores[model]}).loc[0, "threshold"]
            changed = ((known["score_a"] >= cut) != (known["score_b"] >= cut)).sum() if cut == cut else math.nan
            row |= {"images": len(known), "greatest": apart.max(), "median": apart.median(), "spearman": rank}
            row |= {"threshold": cut, "changed": changed}
        rows.append(row)
    numbers = ["images", "greatest", "median", "spearman", "threshold", "changed", "ks_covid", "ks_non_covid"]
    return pd.DataFrame(rows, columns=["model", "unmatched", *numbers])


def conclusion(a: Side, b: Side, compared: pd.DataFrame, entered: pd.DataFrame) -> str:
    """Say in one or two sentences what the numbers of `areas` and the `inputs` come to."""
    both = compared[compared["model"].isin(shared(a, b))]
    if both.empty:
        bare = list(dict.fromkeys(side.label for side in (a, b) if not side.scores))
        why = f"{' and '.join(bare)} {'has' if len(bare) == 1 else 'have'} no scores" if bare else "no model is in both"
        return f"Nothing can be compared but the inputs: {why}."
    verdicts = both["verdict"]
    if (verdicts == EQUAL).all():
        where = f"all {len(both)} models" if len(both) > 1 else _names(both["model"])
        told = f"The two runs give the same scores in {where}"
    else:
        agreeing = int(verdicts.isin([EQUAL, SAME]).sum())
        parts = [f"agree within uncertainty in {agreeing} of {len(both)} models"]
        for verdict, words in ((DIFFER, "differ in"), (UNDECIDED, "cannot be compared in")):
            names = _names(both.loc[verdicts == verdict, "model"])
            parts += [f"{words} {names}"] if names else []
        told = f"The areas under the curve {' and '.join(parts)}"
    differing = _differing(entered)
    more = f" and {len(differing) - 6} more" if len(differing) > 6 else ""
    told += f"; inputs differ in: {', '.join(differing[:6])}{more}." if differing else "; no input is known to differ."
    alone = _names(compared.loc[~compared["model"].isin(both["model"]), "model"])
    return told + (f" Only one run has scores of {alone}." if alone else "")


def _names(models: pd.Series) -> str:
    return ", ".join(style.model(model).label for model in models)


def _differing(entered: pd.DataFrame) -> list[str]:
    """Name what differed and bears on numbers; keys of one group that differ together go by the group's name."""
    bearing = entered[(entered["verdict"] == "differs") & entered["kind"].isin(["asked", "images", "software"])]
    keys = [what.partition(",")[0] for what in bearing["what"]]
    groups = [key.partition(".")[0] for key in keys]
    names = [group if groups.count(group) > 1 else key for key, group in zip(keys, groups, strict=True)]
    return list(dict.fromkeys(names))


def _alike(one: pd.DataFrame, other: pd.DataFrame, *more: str) -> bool:
    columns = ["image_id", "label", "group", *more]
    return one[columns].equals(other[columns])


def _difference(a: Side, b: Side, model: str) -> dict[str, Any]:
    """Compare one model's areas: the difference, how it was tested, and the verdict."""
    undecided = {"difference": math.nan, "test": "", "verdict": UNDECIDED}
    for side in (a, b):
        if model not in side.scores:
            return undecided | {"reason": f"{side.label} has no scores of it"}
    one, other = a.scores[model], b.scores[model]
    if _alike(one, other, "score"):
        return {"difference": 0.0, "test": "", "verdict": EQUAL, "reason": ""}
    for side, frame in ((a, one), (b, other)):
        for label, look in style.CLASSES.items():
            if frame.loc[frame["label"] == label, "patient_id"].nunique() < FEWEST_PATIENTS:
                few = f"fewer than {FEWEST_PATIENTS} patients"
                return undecided | {"reason": f"{side.label} has {look.label} images of {few}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the reason says it
        apart = _area(one) - _area(other)
        why = unmatched(a, b, model)
        if not why:
            spread, freedom = deviation(one.assign(score_a=one["score"], score_b=other["score"]))
            told = {"difference": apart, "test": "paired"}
            if math.isnan(spread) and abs(apart) < 1e-12:
                alike = "each patient's images have the same rank in sum against the other class"
                return told | {"verdict": SAME, "reason": alike}
            if math.isnan(spread):
                return told | {"verdict": UNDECIDED, "reason": "the difference has no variance"}
        else:
            told = {"difference": apart, "test": "unpaired"}
            alone = [_alone(frame) for frame in (one, other)]
            spread, freedom = math.hypot(*(part for part, _ in alone)), min(part for _, part in alone)
            if math.isnan(spread):
                wholly = any(_area(frame) in (0, 1) for frame in (one, other))
                why = "an area has no variance" + ("; the classes do not overlap" if wholly else "")
                return told | {"verdict": UNDECIDED, "reason": why}
    low, high, p = studentised(apart, spread, freedom)
    return told | {"low": low, "high": high, "p": p, "verdict": DIFFER if p < LEVEL else SAME, "reason": ""}


def _alone(frame: pd.DataFrame) -> tuple[float, int]:
    """The deviation of one run's area, half of what `pairs.deviation` adds among it, and what it stands on."""
    positive, patients = (frame["label"] == "covid").to_numpy(), frame["patient_id"].to_numpy()
    sides = patients[positive], patients[~positive]
    spread, freedom = by_patient(wins(positive, frame["score"].to_numpy(float)), *sides)
    return math.hypot(spread, reserve(*sides) / math.sqrt(2)), freedom


def _distance(one: pd.DataFrame, other: pd.DataFrame, label: str) -> float:
    scores = [frame.loc[frame["label"] == label, "score"] for frame in (one, other)]
    return ks_2samp(*scores, method="asymp").statistic if all(map(len, scores)) else math.nan


def _area(frame: pd.DataFrame) -> float:
    return metrics.auc_interval(frame["label"] == "covid", frame["score"], method="delong").auc


def _rates_of(side: Side) -> dict[tuple[str, str], tuple[float, float, float]]:
    known = {}
    for row in tables.reliability(side.scores, comparable=False).to_dict("records") if side.scores else []:
        known[row["model"], row["quantity"]] = (row["value"], row["wilson_low"], row["wilson_high"])
        if row["quantity"] == "specificity":
            frame = side.scores[row["model"]]
            error = metrics.calibration_error(frame["label"] == "covid", frame["score"], bins=BINS)
            known[row["model"], "calibration error"] = (error, math.nan, math.nan)
    return known
