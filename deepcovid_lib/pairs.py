"""Two models on the same images: do their areas and their calls differ, or could it be chance?

Tests come twice: with images taken as independent, and with the images of a patient kept together. P values of all
pairs are corrected together by Holm's method (Holm 1979, Scand. J. Stat. 6:65).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.exceptions import UndefinedMetricWarning
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from deepcovid_lib import metrics, tables
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.problems import Problem

LEVEL = 0.05
DIFFER, NOT_SHOWN, UNDECIDED = "differ", "no difference shown", "cannot be decided"


def areas(scores_by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare every two models' areas under the ROC curve.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        By backbone: ``image_id, patient_id, label`` (``covid``/``non_covid``), ``score``; the same images for all.

    Returns
    -------
    DataFrame
        One row per pair: ``model_a, model_b, auc_a, auc_b, difference`` (a minus b); ``low, high``, its 95% interval
        with patients kept together; ``p``, paired DeLong, and ``p_patients``, the same with patients kept together;
        both after Holm (``p_holm, p_patients_holm``); ``verdict`` by the last: ``differ`` below 0.05, ``no difference
        shown``, or ``cannot be decided`` where the difference has no variance (NaN), as for equal rankings or where a
        class has fewer than five patients.

    Raises
    ------
    Problem
        If two models did not score the same images.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837. Obuchowski (1997), Biometrics 53:567, for patients.

    Examples
    --------
    >>> one = pd.DataFrame({"image_id": list("abcd"), "patient_id": list("abcd"), "score": [0.9, 0.3, 0.5, 0.1],
    ...                     "label": ["covid", "covid", "non_covid", "non_covid"]})
    >>> print(*areas({"resnet18": one, "resnet50": one}).loc[0, ["auc_a", "difference", "verdict"]])
    0.75 0.0 cannot be decided
    """
    rows = []
    for a, b in combinations(scores_by_model, 2):
        both = _both(scores_by_model, a, b)
        positive = (both["label"] == "covid").to_numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # the verdict says it
            p = metrics.compare_aucs(positive, both["score_a"], both["score_b"]).p
            of_a, of_b = (
                metrics.auc_interval(positive, both[name], method="delong").auc for name in ("score_a", "score_b")
            )
        low, high, p_patients = studentised(of_a - of_b, *deviation(both))
        row = {"model_a": a, "model_b": b, "auc_a": of_a, "auc_b": of_b, "difference": of_a - of_b}
        rows.append(row | {"low": low, "high": high, "p": p, "p_patients": p_patients})
    columns = ["model_a", "model_b", "auc_a", "auc_b", "difference", "low", "high", "p", "p_patients"]
    return _judged(pd.DataFrame(rows, columns=columns))


def calls(scores_by_model: Mapping[str, pd.DataFrame], *, target: float = tables.TARGET) -> pd.DataFrame:
    """Compare what every two models call right, each at its own operating point (McNemar, exact).

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        As in `areas`.
    target : float in [0, 1]
        Each model's threshold is the highest score whose sensitivity is >= the target, on these very images.

    Returns
    -------
    DataFrame
        Two rows per pair, of the ``sensitivity`` (on COVID-19 images) and the ``specificity`` (on the others):
        ``model_a, model_b, quantity, images; rate_a, rate_b``; ``only_a, only_b``, how many images one model alone
        calls right; ``p``, McNemar's exact test, and ``p_patients``, which lets each patient's images change sides
        together; both after Holm within the quantity; ``verdict`` as in `areas`, ``cannot be decided`` where both
        models are right about the same images.

    References
    ----------
    McNemar (1947), Psychometrika 12:153.

    Examples
    --------
    >>> one = pd.DataFrame({"image_id": list("abcd"), "patient_id": list("abcd"), "score": [0.9, 0.3, 0.5, 0.1],
    ...                     "label": ["covid", "covid", "non_covid", "non_covid"]})
    >>> other = one.assign(score=[0.9, 0.6, 0.5, 0.1])
    >>> print(*calls({"resnet18": one, "resnet50": other}).loc[1, ["quantity", "only_a", "only_b", "p"]])
    specificity 0 1 1.0
    """
    thresholds = {model: _threshold(frame, target) for model, frame in scores_by_model.items()}
    rows = []
    for a, b in combinations(scores_by_model, 2):
        both = _both(scores_by_model, a, b)
        positive = both["label"] == "covid"
        right = {name: (both[f"score_{name}"] >= thresholds[model]) == positive for name, model in (("a", a), ("b", b))}
        for quantity, own in (("sensitivity", positive), ("specificity", ~positive)):
            of_a, of_b = right["a"][own], right["b"][own]
            only_a, only_b = int((of_a & ~of_b).sum()), int((of_b & ~of_a).sum())
            by_patient = (of_a.astype(int) - of_b.astype(int)).groupby(both.loc[own, "patient_id"]).sum()
            row = {"model_a": a, "model_b": b, "quantity": quantity, "images": int(own.sum())}
            row |= {"rate_a": of_a.mean(), "rate_b": of_b.mean(), "only_a": only_a, "only_b": only_b}
            rows.append(row | {"p": _mcnemar(only_a, only_b), "p_patients": flipped(by_patient.to_numpy())})
    columns = ["model_a", "model_b", "quantity", "images", "rate_a", "rate_b", "only_a", "only_b", "p", "p_patients"]
    frame = pd.DataFrame(rows, columns=columns)
    parts = [_judged(frame[frame["quantity"] == quantity]) for quantity in ("sensitivity", "specificity")]
    return pd.concat(parts).sort_index()


def flipped(differences: np.ndarray) -> float:
    """Return the exact two-sided p of a sum of whole numbers, each of which might as well have had the other sign.

    With differences of 1 and -1 alone it is McNemar's exact test; here there is one number per patient.

    Returns
    -------
    float
        In (0, 1]; NaN where all differences are 0.

    Examples
    --------
    >>> flipped(np.array([1, 1, 1, 0])), flipped(np.array([3]))
    (0.25, 1.0)
    """
    steps = np.abs(differences[differences != 0]).astype(int)
    if not len(steps):
        return math.nan
    weights = np.ones(1)
    for step in steps:
        either = np.zeros(2 * step + 1)
        either[[0, -1]] = 0.5
        weights = np.convolve(weights, either)
    sums = np.arange(len(weights)) - len(weights) // 2
    return float(min(1.0, weights[np.abs(sums) >= abs(differences.sum())].sum()))


def holm(p: pd.Series) -> pd.Series:
    """Return p values corrected together by Holm's method; NaN stays NaN and is not counted.

    Examples
    --------
    >>> holm(pd.Series([0.01, 0.04, float("nan")])).tolist()
    [0.02, 0.04, nan]
    """
    corrected, there = p.astype(float).copy(), p.notna()
    if there.any():
        corrected[there] = multipletests(p[there], method="holm")[1]
    return corrected


def deviation(both: pd.DataFrame) -> tuple[float, int]:
    """Return the standard deviation of the difference of two areas, patients kept together, and what it stands on.

    To DeLong's variance, by patients, it adds what the films at hand may not show: see `reserve`.

    Parameters
    ----------
    both : DataFrame
        ``patient_id, label`` (``covid``/``non_covid``), ``score_a`` and ``score_b`` of the same images. Equal scores of
        all images have an area of 0.5 without variance: with them the deviation is that of the other area alone.

    Returns
    -------
    tuple of float and int
        The deviation, NaN where it is 0 or a class has fewer than five patients; and the degrees of freedom, one
        less than the patients of the rarer class.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837; Obuchowski (1997), Biometrics 53:567, for images in clusters; Bonett &
    Price (2012), J. Educ. Behav. Stat. 37:479, for what is added.

    Examples
    --------
    >>> both = pd.DataFrame({"label": ["covid", "non_covid"] * 5, "patient_id": range(10), "score_a": range(10)})
    >>> deviation(both.assign(score_b=both["score_a"]))
    (nan, 4)
    >>> f"{deviation(both.assign(score_b=range(0, -10, -1)))[0]:.2f}"
    '0.57'
    """
    positive = (both["label"] == "covid").to_numpy()
    patients = both["patient_id"].to_numpy()
    of_a, of_b = (wins(positive, both[name].to_numpy(float)) for name in ("score_a", "score_b"))
    spread, freedom = by_patient(of_a - of_b, patients[positive], patients[~positive])
    unseen = 0.0 if math.isnan(spread) else reserve(patients[positive], patients[~positive])
    return math.hypot(spread, unseen), freedom


def reserve(ill: np.ndarray, well: np.ndarray) -> float:
    """Return the deviation that two more patients of each class would add, whom either model alone scores right.

    Near an area of 1 a model may miss whole films of a few patients, of whom none is among so few. The variance
    observed then is far too small, and what is not there would often be told as a difference.

    Parameters
    ----------
    ill, well : ndarray
        The patients of the images of each class.

    References
    ----------
    Bonett & Price (2012), J. Educ. Behav. Stat. 37:479, who add one pair of each kind to shares of matched pairs.

    Examples
    --------
    >>> f"{reserve(np.arange(40), np.arange(3000)):.3f}"
    '0.035'
    """
    return math.sqrt(2) * math.hypot(*(1 / len(np.unique(own)) for own in (ill, well)))


def wins(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return for each positive (row) and each negative (column) 1 where the positive scores higher, 0.5 for a tie.

    The mean is the area under the ROC curve.

    Examples
    --------
    >>> wins(np.array([True, True, False]), np.array([0.9, 0.5, 0.5])).tolist()
    [[1.0], [0.5]]
    """
    return np.heaviside(score[positive][:, None] - score[~positive][None, :], 0.5)


def by_patient(gained: np.ndarray, ill: np.ndarray, well: np.ndarray) -> tuple[float, int]:
    """Return what `deviation` does, of the mean of a table of wins or of their differences.

    Parameters
    ----------
    gained : ndarray of float, shape (positives, negatives)
        Of `wins`, or one less another.
    ill, well : ndarray
        The patients of its rows and of its columns.
    """
    ill, well = pd.Index(ill), pd.Index(well)
    fewest = min(ill.nunique(), well.nunique())
    if fewest < FEWEST_PATIENTS:
        return math.nan, fewest - 1
    found = pd.Series((gained.mean(axis=1) - gained.mean()) / len(ill)).groupby(ill).sum()
    spared = pd.Series((gained.mean(axis=0) - gained.mean()) / len(well)).groupby(well).sum()
    shared = found.index.intersection(spared.index)
    everyone = len(found.index.union(spared.index))
    variance = sum(len(part) / (len(part) - 1) * (part**2).sum() for part in (found, spared))
    variance += 2 * everyone / (everyone - 1) * (found[shared] * spared[shared]).sum()
    return math.sqrt(variance) if variance > 1e-16 else math.nan, fewest - 1


def studentised(difference: float, spread: float, freedom: float, *, picked: int = 1) -> tuple[float, float, float]:
    """Return the 95% interval of a difference of areas and its two-sided p, by Student's t.

    Of few patients the deviation itself is uncertain. With five of a class and the normal distribution, a difference
    that is not there would be called twice as often as the level says.

    Parameters
    ----------
    difference : float
    spread, freedom : float
        Of `deviation`.
    picked : int
        Of how many differences this one was picked on the same films: its level is divided by them (Bonferroni), which
        the p does not count.

    Returns
    -------
    tuple of float
        ``low, high``, within [-1, 1], and ``p``; NaN where the deviation is.

    Examples
    --------
    >>> [round(value, 3) for value in studentised(0.1, 0.04, 4)]
    [-0.011, 0.211, 0.067]
    """
    if math.isnan(spread):
        return math.nan, math.nan, math.nan
    margin = float(t.ppf(1 - LEVEL / 2 / picked, freedom)) * spread
    return (
        max(-1.0, difference - margin),
        min(1.0, difference + margin),
        float(2 * t.sf(abs(difference) / spread, freedom)),
    )


def _both(scores_by_model: Mapping[str, pd.DataFrame], a: str, b: str) -> pd.DataFrame:
    """Two models' scores of the same images, side by side."""
    one, other = scores_by_model[a], scores_by_model[b][["image_id", "score"]]
    both = one.merge(other, on="image_id", suffixes=("_a", "_b"))
    if not len(one) == len(other) == len(both):
        raise Problem(f"{a} and {b} did not score the same images", remedy="score them with one manifest")
    return both


def _threshold(frame: pd.DataFrame, target: float) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # without COVID-19 images there is no call to compare
        points = metrics.operating_points(frame["label"] == "covid", frame["score"], sensitivities=[target])
    return float(points["threshold"].iloc[0])


def _mcnemar(only_a: int, only_b: int) -> float:
    if not only_a + only_b:
        return math.nan
    return float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue)


def _judged(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with Holm's corrections and the verdict."""
    frame = frame.assign(p_holm=holm(frame["p"]), p_patients_holm=holm(frame["p_patients"]))
    p = frame["p_patients_holm"]
    verdict = np.select([p.isna(), p < LEVEL], [UNDECIDED, DIFFER], default=NOT_SHOWN)
    return frame.assign(verdict=verdict)
