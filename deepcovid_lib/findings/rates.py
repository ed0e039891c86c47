"""Claims about sensitivity and specificity, where each model reaches 97.5% sensitivity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from deepcovid_lib import ranges, style, tables
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.findings.evidence import (
    NO_CLASS,
    Evidence,
    Finding,
    against,
    all_hold,
    decided,
    lacks,
)

FEW = f"a class has images of fewer than {FEWEST_PATIENTS} patients"


def specificities(evidence: Evidence, *, least: float, most: float, of: str) -> Finding:
    """Test specificities against a range; `of` is ``every`` model, ``half`` (more than half), ``mean`` or ``highest``.

    A share holds where its interval lies in the range and does not where it lies outside. The intervals are those of
    `ranges.specificity`, which count that the threshold was found on the same images; that of the mean has the means of
    their bounds. Images of fewer than five patients of a class decide nothing. The value is the least share for
    ``every``, the number of models inside for ``half``.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores.assign(patient_id=range(100))}, None, {}, None, {})
    >>> print(*specificities(known, least=0.7, most=1, of="every")[:2])
    None 0.9
    """
    rates = _rates(evidence, "specificity")
    if rates is None:
        return Finding(None, reason=NO_CLASS)
    if _few(evidence):
        return Finding(None, reason=FEW)
    if of == "mean":
        value, low, high = rates[["value", "anew_low", "anew_high"]].mean()
        return Finding(
            decided(*_inside(low, high, least, most)), value, low, high, f"mean over the models; {ranges.NOTE}"
        )
    if of == "highest":
        row = rates.loc[rates["value"].idxmax()]
        bounds, told = (row["anew_low"], row["anew_high"]), f"{style.model(row['model']).label}; {ranges.NOTE}"
        return Finding(decided(*_inside(*bounds, least, most)), row["value"], *bounds, told)
    sure = [_inside(row.anew_low, row.anew_high, least, most) for row in rates.itertuples()]
    lowest, highest = rates.loc[rates["value"].idxmin()], rates.loc[rates["value"].idxmax()]
    ends = [f"{style.percent(row['value'])} ({style.model(row['model']).label})" for row in (lowest, highest)]
    told = f"from {ends[0]} to {ends[1]}"
    if lowest["value"] == highest["value"]:
        told = f"{style.percent(lowest['value'])} in every model"
    told += f"; {ranges.NOTE}"
    if of == "every":
        holds = all_hold([decided(*each) for each in sure])
        return Finding(holds, lowest["value"], lowest["anew_low"], lowest["anew_high"], told)
    inside, outside = (sum(each[side] for each in sure) for side in (0, 1))
    number = int(rates["value"].between(least, most).sum())
    return Finding(decided(2 * inside > len(sure), 2 * outside >= len(sure)), number, reason=told)


def better_specificity(evidence: Evidence, *, models: Sequence[str]) -> Finding:
    """Test that the worst of some models has a higher specificity than the best of the others.

    It holds where their ranges lie apart, of `ranges.specificity`; so do the bounds of the difference. Images of fewer
    than five patients of a class decide nothing.
    """
    rates = _rates(evidence, "specificity")
    if rates is None:
        return Finding(None, reason=NO_CLASS)
    if _few(evidence):
        return Finding(None, reason=FEW)
    values = rates.set_index("model")["value"]
    own, others = values[values.index.isin(models)], values[~values.index.isin(models)]
    if set(own.index) != set(models) or others.empty:
        return lacks(" and ".join(style.model(name).label for name in models))
    worst, rival = (rates.set_index("model").loc[name] for name in (own.idxmin(), others.idxmax()))
    low, high = worst["anew_low"] - rival["anew_high"], worst["anew_high"] - rival["anew_low"]
    told = f"{style.model(worst.name).label} {against(rival.name)}; {ranges.NOTE}"
    return Finding(decided(low > 0, high < 0), worst["value"] - rival["value"], low, high, told)


def reaches(evidence: Evidence, *, share: float) -> Finding:
    """Test that every model has a threshold of exactly this sensitivity, to one decimal of a percent.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores}, None, {}, None, {})
    >>> print(*reaches(known, share=0.975)[:2])
    True 0.975
    """
    rates = _rates(evidence, "sensitivity")
    if rates is None:
        return Finding(None, reason=NO_CLASS)
    farthest = rates.loc[(rates["value"] - share).abs().idxmax()]
    return Finding(bool(abs(farthest["value"] - share) < 0.0005), farthest["value"], reason=_counted(farthest))


def margin(evidence: Evidence, *, quantity: str, least: float, most: float) -> Finding:
    """Test the mean margin of a rate by Eq. 3 over the models: ``least <= margin < most``.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores}, None, {}, None, {})
    >>> margin(known, quantity="sensitivity", least=0.0475, most=0.0485).holds
    True
    """
    rates = _rates(evidence, quantity)
    if rates is None:
        return Finding(None, reason=NO_CLASS)
    if not (rates["margin"] > 0).all():
        return Finding(None, rates["margin"].mean(), reason="Eq. 3 gives 0% and 100% no width")
    return Finding(bool(least <= rates["margin"].mean() < most), rates["margin"].mean(), reason="mean over the models")


def sensitivity_wider(evidence: Evidence) -> Finding:
    """Test that every model's margin by Eq. 3 is wider for the sensitivity; the value is the least ratio of the two.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores}, None, {}, None, {})
    >>> sensitivity_wider(known).holds
    False
    """
    both = [_rates(evidence, quantity) for quantity in ("sensitivity", "specificity")]
    if any(rates is None for rates in both):
        return Finding(None, reason=NO_CLASS)
    wide, narrow = (rates["margin"].to_numpy() for rates in both)
    if not ((wide > 0) & (narrow > 0)).all():
        return Finding(None, reason="Eq. 3 gives 0% and 100% no width")
    return Finding(bool((wide > narrow).all()), float((wide / narrow).min()))


def sensitivity_vague(evidence: Evidence, *, more_than: float) -> Finding:
    """Test that half of Wilson's interval of every sensitivity is more than `more_than`; the value is the least.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores}, None, {}, None, {})
    >>> sensitivity_vague(known, more_than=0.05).holds
    True
    """
    rates = _rates(evidence, "sensitivity")
    if rates is None:
        return Finding(None, reason=NO_CLASS)
    least = rates.loc[(rates["wilson_high"] - rates["wilson_low"]).idxmin()]
    width = (least["wilson_high"] - least["wilson_low"]) / 2
    return Finding(bool(width > more_than), width, reason=_counted(least))


def accuracy_misleads(evidence: Evidence) -> Finding:
    """Test that calling no image positive has a higher accuracy than some model; the value is that accuracy.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores}, None, {}, None, {})
    >>> accuracy_misleads(known).holds
    False
    """
    table = tables.confusion_matrices(evidence.scores) if evidence.scores else pd.DataFrame({"accuracy": [math.nan]})
    if table["accuracy"].isna().any() or table["always_negative_accuracy"].isin([0, 1]).any():
        return Finding(None, reason=NO_CLASS)
    idle, below = table["always_negative_accuracy"].iloc[0], table["accuracy"] < table["always_negative_accuracy"]
    return Finding(bool(below.any()), idle, reason=f"{below.sum()} of {len(table)} models are below it")


def rates_vary(evidence: Evidence) -> Finding:
    """Test that every model has several pairs of sensitivity and specificity; the value is the least number of them.

    A model that gives every image the same score has no thresholds to compare.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid"] * 40 + ["non_covid"] * 60})
    >>> scores["score"] = [0.9] * 39 + [0.1] + [0.95] * 6 + [0.2] * 54
    >>> known = Evidence({"resnet18": scores}, None, {}, None, {})
    >>> rates_vary(known)[:2]
    (True, 4)
    """
    numbers = []
    for scores in evidence.scores.values():
        if scores["label"].nunique() < 2:
            return Finding(None, reason=NO_CLASS)
        numbers.append(scores["score"].nunique())
    if not numbers:
        return Finding(None, reason="none of the paper's networks")
    if min(numbers) == 1:
        return Finding(None, 1, reason="a model gives every image the same score")
    return Finding(True, min(numbers))


def _inside(low: float, high: float, least: float, most: float) -> tuple[bool, bool]:
    return least <= low and high <= most, high < least or low > most


def _rates(evidence: Evidence, quantity: str) -> pd.DataFrame | None:
    """One row per model at 97.5% sensitivity; None where a class or every model is missing."""
    if not evidence.scores:
        return None
    table = tables.reliability(evidence.scores, comparable=False)
    if table["value"].isna().any():
        return None
    return table[table["quantity"] == quantity].reset_index(drop=True)


def _few(evidence: Evidence) -> bool:
    scores = next(iter(evidence.scores.values()))
    return scores.groupby("label")["patient_id"].nunique().min() < FEWEST_PATIENTS


def _counted(row: pd.Series) -> str:
    return f"{style.model(row['model']).label}, {row['successes']} of {row['trials']}"
