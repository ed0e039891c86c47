"""Ranges that hold whatever the scores: of a specificity whose threshold is found anew, and of an area."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom, rankdata
from statsmodels.stats.proportion import proportion_confint

from deepcovid_lib import checks, metrics
from deepcovid_lib.metrics import AucInterval

NOTE = "the interval counts that the threshold was found on these images"


def specificity(y_true: ArrayLike, y_score: ArrayLike, threshold: float) -> tuple[float, float]:
    """Return the 95% range of the specificity on as many other images, at the threshold that misses as few there.

    A threshold found on few COVID-19 images is as uncertain as they are few. Another set of as many, of which equally
    many may be missed, has its threshold between two of this set's scores; their ranks follow from counting alone,
    whatever the scores' distribution. Below the lower one, and at the upper one, lie the shares of non-COVID images
    that Wilson's bounds then widen. Where COVID-19 scores equal the threshold, fewer are missed than may be, so the
    upper end allows for all of these but one. Images are taken as independent.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for COVID-19, 0 otherwise.
    y_score : array-like of shape (n,)
        Positive when ``score >= threshold``.
    threshold : float
        As found on these images.

    Returns
    -------
    tuple of float
        In [0, 1]: 0 where the other threshold may lie below all COVID-19 scores of this set, 1 where above; both
        where all scores are equal, which order nothing. NaN without one of the classes.

    References
    ----------
    David & Nagaraja (2003), Order Statistics, section 7.3 (prediction intervals). Wilson (1927), J. Am. Stat. Assoc.
    22:209.

    Examples
    --------
    >>> y_true, y_score = [1] * 40 + [0] * 60, [*range(30, 70), *range(60)]
    >>> print(*(f"{bound:.2f}" for bound in specificity(y_true, y_score, threshold=31)))
    0.00 0.73
    """
    positive, scores = checks.checked(y_true, y_score)
    found, others = np.sort(scores[positive]), scores[~positive]
    count, missed = len(found), int((found < threshold).sum())
    if not count or not len(others):
        return math.nan, math.nan
    most = max(missed, int((found <= threshold).sum()) - 1)
    ranks = np.arange(1, count + 1)
    below = betabinom(count, ranks, count + 1 - ranks)  # how many of the other set lie below the score of a rank
    lowest, highest = (below.sf(missed) <= 0.025).sum(), (below.cdf(most) > 0.025).sum()
    low = _spared(others, found[lowest - 1])[0] if lowest else 0.0
    high = _spared(others, found[highest])[1] if highest < count else 1.0
    return low, high


def area(y_true: ArrayLike, y_score: ArrayLike, patients: ArrayLike, *, confidence: float = 0.95) -> AucInterval:
    """Return the area under the ROC curve with the range of true areas that it may come from.

    Whatever the scores' distribution, an observed area varies at most as much as a share of as many trials as the rarer
    class has images. So the range is Clopper and Pearson's of that many trials. It takes the spread at the area it
    tests, not at the one observed, which near 1 is often far too small. Images of a patient are taken to repeat each
    other: a class counts as many trials as patients, or fewer where some have more images than others.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for COVID-19, 0 otherwise.
    y_score : array-like of shape (n,)
        A tie between the classes counts one half.
    patients : array-like of shape (n,)
    confidence : float in (0, 1)

    Returns
    -------
    AucInterval
        ``auc, low, high`` in [0, 1]. Bounds are NaN where all scores are equal or a class has fewer than five patients;
        all is NaN without a class.

    References
    ----------
    Birnbaum & Klose (1957), Ann. Math. Stat. 28:933, after van Dantzig (1951). Clopper & Pearson (1934), Biometrika
    26:404.

    Examples
    --------
    >>> y_true, y_score = [1] * 40 + [0] * 60, [*range(58, 98), *range(60)]
    >>> print(*(f"{value:.4f}" for value in area(y_true, y_score, range(100))))
    0.9992 0.9103 1.0000
    """
    positive, scores = checks.checked(y_true, y_score)
    names = np.asarray(patients)
    sizes = [np.unique(names[side], return_counts=True)[1] for side in (positive, ~positive)]
    found, others = (int(size.sum()) for size in sizes)
    if not found or not others:
        return AucInterval(math.nan, math.nan, math.nan)
    auc = float(rankdata(scores)[positive].sum() - found * (found + 1) / 2) / (found * others)
    if min(map(len, sizes)) < checks.FEWEST_PATIENTS or (scores == scores[0]).all():
        return AucInterval(auc, math.nan, math.nan)
    trials = min(size.sum() ** 2 / (size**2).sum() for size in sizes)
    low, high = proportion_confint(auc * trials, trials, alpha=1 - confidence, method="beta")
    return AucInterval(auc, float(low), float(high))


def _spared(others: np.ndarray, threshold: float) -> tuple[float, float]:
    return metrics.proportion_interval(int((others < threshold).sum()), len(others), method="wilson")
