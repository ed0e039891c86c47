"""The area under the ROC curve: DeLong's variance, a bootstrap over patients, and the paired comparison."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from deepcovid_lib.checks import FEWEST_PATIENTS, checked, normal_quantile, undefined

AucInterval = namedtuple("AucInterval", "auc low high")
AucComparison = namedtuple("AucComparison", "z p error")

WEIGHTS_AT_ONCE = 2_000_000


def auc_interval(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    method: str,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
    replicates: int = 2000,
    seed: int | np.random.Generator = 0,
) -> AucInterval:
    """Return the area under the ROC curve with a confidence interval (paper, Fig. 10).

    Parameters
    ----------
    y_true, y_score : array-like of shape (n,)
        1 for COVID-19, 0 otherwise; the scores. A tie between the classes counts one half.
    method : {"delong", "bootstrap"}
        ``delong``: normal, cut at 0 and 1; NaN bounds, with a warning, where the variance is 0 (perfect separation)
        or a class has one image. ``bootstrap``: percentiles; NaN bounds, with a warning, where all replicates are
        equal, as under perfect separation, or a class has fewer than five groups, whose draws say too little of others.
    confidence : float in (0, 1)
    groups : array-like of shape (n,), optional
        Patients, for the bootstrap: they are drawn with all their images of a class, within each class.
    replicates, seed : int
        Of the bootstrap. The result does not depend on the order of the images.

    Returns
    -------
    AucInterval
        ``auc, low, high``; all NaN, with a warning, where a class has no image.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837. Sun & Xu (2014), IEEE Signal Process. Lett. 21:1389.

    Examples
    --------
    >>> interval = auc_interval([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], method="delong")
    >>> round(interval.auc, 2), round(interval.low, 2), interval.high
    (0.75, 0.06, 1.0)
    """
    quantile = normal_quantile(confidence)
    positive, score = checked(y_true, y_score)
    if method not in ("delong", "bootstrap"):
        raise ValueError(f"method must be 'delong' or 'bootstrap', not {method!r}")
    if method == "delong" and groups is not None:
        raise ValueError("groups are for the bootstrap: DeLong's variance takes the images as independent")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, not {replicates}")
    if positive.all() or not positive.any():
        return AucInterval(undefined("the area under the curve of one class"), math.nan, math.nan)
    over, under = _placements(positive, score)
    auc = float(over.sum() / (len(over) * len(under)))
    if method == "delong":
        variance = _delong_variance(over, under)
        if not variance > 0:
            return AucInterval(auc, undefined("DeLong's interval of an area without variance"), math.nan)
        margin = quantile * math.sqrt(variance)
        return AucInterval(auc, max(0.0, auc - margin), min(1.0, auc + margin))
    resampled = _bootstrap_aucs(positive, score, groups, replicates, np.random.default_rng(seed))
    names = np.arange(len(score)) if groups is None else np.asarray(groups)
    fewest = min(len(np.unique(names[own])) for own in (positive, ~positive))
    if fewest < FEWEST_PATIENTS or (resampled == auc).all():
        return AucInterval(auc, undefined("a bootstrap interval of few patients or of equal replicates"), math.nan)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return AucInterval(auc, float(low), float(high))


def compare_aucs(y_true: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> AucComparison:
    """Test whether two models have the same area under the curve on the same images (paired DeLong).

    Parameters
    ----------
    y_true, score_a, score_b : array-like of shape (n,)
        1 for COVID-19, 0 otherwise; the two models' scores of the same images in the same order.

    Returns
    -------
    AucComparison
        ``z`` of a minus b, the two-sided ``p`` and the difference's standard ``error``; NaN, with a warning, where it
        has no variance.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837. Sun & Xu (2014), IEEE Signal Process. Lett. 21:1389.

    Examples
    --------
    >>> comparison = compare_aucs([1, 1, 0, 0, 0], [5, 4, 3, 2, 1], [5, 2, 3, 4, 1])
    >>> round(comparison.z, 3), round(comparison.p, 3)
    (0.894, 0.371)
    """
    positive, a, b = checked(y_true, score_a, score_b)
    if positive.all() or not positive.any():
        return AucComparison(undefined("the area under the curve of one class"), math.nan, math.nan)
    over, under = (of_a - of_b for of_a, of_b in zip(_placements(positive, a), _placements(positive, b), strict=True))
    variance = _delong_variance(over, under)
    if not variance > 0:
        return AucComparison(undefined("the test of a difference without variance"), math.nan, math.nan)
    error = math.sqrt(variance)
    z = float(over.sum() / (len(over) * len(under)) / error)
    return AucComparison(z, float(2 * norm.sf(abs(z))), error)


def _placements(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each positive the negatives below it, for each negative the positives above it; ties count one half."""
    ranks = rankdata(score)
    over = ranks[positive] - rankdata(score[positive])
    under = len(over) - (ranks[~positive] - rankdata(score[~positive]))
    return over, under


def _delong_variance(over: np.ndarray, under: np.ndarray) -> float:
    """Placements stay whole or half numbers until the end, so that a variance of 0 comes out as exactly 0."""
    m, n = len(over), len(under)
    if min(m, n) < 2:
        return math.nan
    return np.var(over, ddof=1) / (m * n**2) + np.var(under, ddof=1) / (m**2 * n)


def _bootstrap_aucs(
    positive: np.ndarray, score: np.ndarray, groups: ArrayLike | None, replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """Sort once; each replicate is then a weight per image, and its area one cumulative sum over the negatives."""
    order = np.argsort(score, kind="stable")
    codes = np.arange(len(score)) if groups is None else _codes(groups, len(score))[order]
    positive, score = positive[order], score[order]
    below = np.searchsorted(score[~positive], score[positive], side="left")
    not_above = np.searchsorted(score[~positive], score[positive], side="right")
    codes_positive = np.unique(codes[positive], return_inverse=True)[1]
    codes_negative = np.unique(codes[~positive], return_inverse=True)[1]
    aucs = []
    for rows in _blocks(replicates, max(1, WEIGHTS_AT_ONCE // len(score))):
        weights = _drawn(codes_positive, rows, rng)
        passed = np.cumsum(np.pad(_drawn(codes_negative, rows, rng), ((0, 0), (1, 0))), axis=1)
        won = (weights * (passed[:, below] + passed[:, not_above])).sum(axis=1) / 2
        aucs.append(won / (weights.sum(axis=1) * passed[:, -1]))
    return np.concatenate(aucs)


def _codes(groups: ArrayLike, size: int) -> np.ndarray:
    codes = pd.factorize(np.asarray(groups), sort=True)[0]
    if len(codes) != size:
        raise ValueError(f"{size} labels but {len(codes)} groups")
    if (codes < 0).any():
        raise ValueError(f"groups has no value at position {int((codes < 0).argmax())}")
    return codes


def _blocks(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


def _drawn(codes: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """How often each image is drawn, in `rows` draws of as many groups as there are."""
    count = codes.max() + 1
    drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)[:, codes]
