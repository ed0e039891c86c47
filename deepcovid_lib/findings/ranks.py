"""Claims about how models rank the images: scores, and areas under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from deepcovid_lib import metrics, ranges, style
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.findings.evidence import (
    NO_CLASS,
    NO_SPREAD,
    Evidence,
    Finding,
    against,
    all_hold,
    decided,
    lacks,
    quiet,
)
from deepcovid_lib.pairs import LEVEL, by_patient, deviation, reserve, studentised


def ranked(evidence: Evidence, *, above: Sequence[str], below: Sequence[str]) -> Finding:
    """Test that some groups score above others in every model: the area between them, its range against 0.5.

    The value is the least area of any model, with its range by `ranges.area`, which counts that it was picked. A group
    of fewer than five patients decides nothing.

    Examples
    --------
    >>> scores = pd.DataFrame({"group": ["covid"] * 9 + ["normal"] * 9, "score": range(18, 0, -1)})
    >>> scores["patient_id"] = range(18)
    >>> ranked(Evidence({"resnet18": scores}, None, {}, None, {}), above=["covid"], below=["normal"])[:2]
    (True, 1.0)
    """
    told = {}
    for model, scores in evidence.scores.items():
        own = scores[scores["group"].isin([*above, *below])]
        upper = own["group"].isin(above).to_numpy()
        if upper.all() or not upper.any():
            return Finding(None, reason="a group has no images")
        told[model] = _apart(own, upper, picked=len(evidence.scores))
    if not told:
        return Finding(None, reason="none of the paper's networks")
    lowest = min(told, key=lambda model: told[model].value)
    least, reasons = told[lowest], {finding.reason for finding in told.values()} - {""}
    reason = "; ".join([f"least in {style.model(lowest).label}", *sorted(reasons)])
    return Finding(all_hold([finding.holds for finding in told.values()]), *least[1:4], reason=reason)


def _apart(own: pd.DataFrame, upper: np.ndarray, *, picked: int) -> Finding:
    """Whether the scores marked by `upper` lie above the others: the area, its range, and the reason of None."""
    area, low, high = ranges.area(upper, own["score"], own["patient_id"], confidence=1 - LEVEL / picked)
    if math.isnan(low):
        few = min(own["patient_id"][side].nunique() for side in (upper, ~upper)) < FEWEST_PATIENTS
        reason = f"a group has fewer than {FEWEST_PATIENTS} patients" if few else "all scores are equal"
        return Finding(None, area, reason=reason)
    return Finding(decided(low > 0.5, high < 0.5), area, low, high)


def farthest_apart(evidence: Evidence, *, model: str) -> Finding:
    """Test that a model parts the mean scores of the classes more than the best other model does.

    The value is the difference of the two gaps, with its interval by Student's *t*, patients kept together and the
    choice of the rival counted.

    Examples
    --------
    >>> one = pd.DataFrame({"image_id": range(40), "patient_id": range(40), "label": ["covid", "non_covid"] * 20})
    >>> far, near = one.assign(score=[0.9, 0.1, 0.8, 0.2] * 10), one.assign(score=[0.5, 0.1, 0.6, 0.2] * 10)
    >>> known = Evidence({"squeezenet": far, "resnet18": near}, None, {}, None, {})
    >>> farthest_apart(known, model="squeezenet").holds
    True
    """
    gaps = {}
    for name, scores in evidence.scores.items():
        means = scores.groupby("label")["score"].mean()
        if len(means) < 2:
            return Finding(None, reason=NO_CLASS)
        gaps[name] = means["covid"] - means["non_covid"]
    if model not in gaps or len(gaps) < 2:
        return lacks(model)
    rival = max((name for name in gaps if name != model), key=gaps.get)
    own, other = _aligned(evidence.scores[model], evidence.scores[rival])
    farther, ill = (own["score"] - other["score"]).to_numpy(), (own["label"] == "covid").to_numpy()
    patients, told = own["patient_id"].to_numpy(), against(rival)
    sides = patients[ill], patients[~ill]
    spread, freedom = by_patient(farther[ill][:, None] - farther[~ill], *sides)
    value = float(gaps[model] - gaps[rival])
    if math.isnan(spread):
        few = freedom + 1 < FEWEST_PATIENTS
        reason = f"{told}; fewer than {FEWEST_PATIENTS} patients" if few else f"{told}; {NO_SPREAD}"
        return Finding(None, value, reason=reason)
    low, high, _ = studentised(value, math.hypot(spread, reserve(*sides)), freedom, picked=len(gaps) - 1)
    return Finding(decided(low > 0, high < 0), value, low, high, told)


def largest_area(evidence: Evidence, *, model: str) -> Finding:
    """Test that a model's area under the ROC curve exceeds the best other one, patients kept together.

    The interval counts that the rival was picked.

    Examples
    --------
    >>> one = pd.DataFrame({"label": ["covid", "non_covid"] * 2, "score": [0.9, 0.1, 0.8, 0.2]})
    >>> one = one.assign(image_id=range(4), patient_id=range(4))
    >>> known = Evidence({"squeezenet": one, "resnet18": one}, None, {}, None, {})
    >>> largest_area(known, model="squeezenet").reason
    'the areas leave their difference no interval'
    """
    areas = _areas(evidence)
    if model not in areas or len(areas) < 2:
        return lacks(model)
    rival = max((name for name in areas if name != model), key=areas.get)
    apart = areas[model] - areas[rival]
    low, high = _paired(evidence, apart, model, rival, picked=len(areas) - 1)
    if math.isnan(low):
        return Finding(None, apart, reason="the areas leave their difference no interval")
    return Finding(decided(low > 0, high < 0), apart, low, high, against(rival))


def similar_areas(evidence: Evidence, *, within: float) -> Finding:
    """Test that no two models' areas are farther apart than `within`: the extremes, patients kept together.

    The interval counts that these were picked of all pairs.

    Examples
    --------
    >>> one = pd.DataFrame({"label": ["covid", "non_covid"] * 2, "score": [0.9, 0.1, 0.8, 0.2]})
    >>> one = one.assign(image_id=range(4), patient_id=range(4))
    >>> similar_areas(Evidence({"squeezenet": one, "resnet18": one}, None, {}, None, {}), within=0.02)[:2]
    (None, 0.0)
    """
    areas = _areas(evidence)
    if len(areas) < 2:
        return Finding(None, reason="needs two models and both classes")
    best, *_, worst = sorted(areas, key=areas.get, reverse=True)
    apart = areas[best] - areas[worst]
    low, high = _paired(evidence, apart, best, worst, picked=math.comb(len(areas), 2))
    told = f"{style.model(best).label} against {style.model(worst).label}"
    if math.isnan(low):
        return Finding(None, apart, reason=f"{told}; the areas leave their difference no interval")
    return Finding(decided(high <= within, low > within), apart, low, high, told)


def _aligned(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    one = one.set_index("image_id")
    return one, other.set_index("image_id").loc[one.index]


def _areas(evidence: Evidence) -> dict[str, float]:
    found = {}
    for model, scores in evidence.scores.items():
        area = quiet(metrics.auc_interval, scores["label"] == "covid", scores["score"], method="delong").auc
        if not math.isnan(area):
            found[model] = area
    return found


def _paired(evidence: Evidence, apart: float, one: str, other: str, *, picked: int) -> tuple[float, float]:
    """The interval of a difference of two areas, as `pairs.areas` gives it, and wider where the pair was picked."""
    own, rival = _aligned(evidence.scores[one], evidence.scores[other])
    both = own.assign(score_a=own["score"], score_b=rival["score"])
    return studentised(apart, *deviation(both), picked=picked)[:2]
