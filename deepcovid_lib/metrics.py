"""The numbers of Section IV: operating points, intervals, areas under the curve, calibration.

`y_true` holds 1 for COVID-19 and 0 otherwise; an image is called positive when ``score >= threshold``.
What is undefined is NaN, with an `UndefinedMetricWarning`; input that cannot be right is a `ValueError`.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.stats.proportion import proportion_confint

from deepcovid_lib.areas import AucComparison, AucInterval, auc_interval, compare_aucs
from deepcovid_lib.checks import checked, column, normal_quantile, ratio, undefined, within_unit

__all__ = [
    "AucComparison",
    "AucInterval",
    "auc_interval",
    "calibration_error",
    "classification",
    "compare_aucs",
    "confusion",
    "cross_entropy",
    "operating_points",
    "predictive_values",
    "proportion_interval",
    "sensitivity_specificity",
]

Confusion = namedtuple("Confusion", "tp fn fp tn")
SensitivitySpecificity = namedtuple("SensitivitySpecificity", "sensitivity specificity")
Classification = namedtuple("Classification", "accuracy precision f1")
Interval = namedtuple("Interval", "low high")
PredictiveValues = namedtuple("PredictiveValues", "ppv npv")
CrossEntropy = namedtuple("CrossEntropy", "total mean")


def confusion(y_true: ArrayLike, y_score: ArrayLike, *, threshold: float) -> Confusion:
    """Count the images called rightly and wrongly (paper, Figs 11 and 12).

    Parameters
    ----------
    y_true, y_score : array-like of shape (n,)
        1 for COVID-19, 0 otherwise; the scores.
    threshold : float
        Positive when ``score >= threshold``.

    Returns
    -------
    Confusion
        ``tp`` (COVID-19 called positive), ``fn``, ``fp``, ``tn``, as integers.

    Examples
    --------
    >>> confusion([1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1], threshold=0.3)
    Confusion(tp=2, fn=0, fp=1, tn=1)
    """
    positive, score = checked(y_true, y_score)
    if math.isnan(threshold):
        raise ValueError("threshold is NaN")
    called = score >= threshold
    cells = (positive & called, positive & ~called, ~positive & called, ~positive & ~called)
    return Confusion(*(int(np.count_nonzero(cell)) for cell in cells))


def sensitivity_specificity(y_true: ArrayLike, y_score: ArrayLike, *, threshold: float) -> SensitivitySpecificity:
    """Return the shares of COVID-19 and of non-COVID images called rightly (paper, Eq. 2).

    Parameters are those of `confusion`. A class without images leaves its share NaN, with a warning.

    Examples
    --------
    >>> sensitivity_specificity([1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1], threshold=0.3)
    SensitivitySpecificity(sensitivity=1.0, specificity=0.5)
    """
    tp, fn, fp, tn = confusion(y_true, y_score, threshold=threshold)
    return SensitivitySpecificity(
        ratio(tp, tp + fn, "sensitivity without COVID-19 images"),
        ratio(tn, tn + fp, "specificity without non-COVID images"),
    )


def classification(y_true: ArrayLike, y_score: ArrayLike, *, threshold: float) -> Classification:
    """Return accuracy, precision and F1 of the COVID-19 class at a threshold (paper, Section IV.B).

    Parameters are those of `confusion`. Precision is NaN, with a warning, when no image is called positive; F1 when
    there is moreover none to be found.

    Examples
    --------
    >>> classification([1, 0, 0, 0], [0.9, 0.8, 0.1, 0.1], threshold=0.5)
    Classification(accuracy=0.75, precision=0.5, f1=0.6666666666666666)
    """
    tp, fn, fp, tn = confusion(y_true, y_score, threshold=threshold)
    return Classification(
        ratio(tp + tn, tp + fn + fp + tn, "accuracy without images"),
        ratio(tp, tp + fp, "precision when nothing is called positive"),
        ratio(2 * tp, 2 * tp + fp + fn, "F1 when nothing is, or is called, positive"),
    )


def operating_points(y_true: ArrayLike, y_score: ArrayLike, *, sensitivities: Sequence[float]) -> pd.DataFrame:
    """Find the strictest thresholds that keep the wanted sensitivities (paper, Tables II-V).

    Parameters
    ----------
    y_true, y_score : array-like of shape (n,)
        1 for COVID-19, 0 otherwise; the scores.
    sensitivities : sequence of float in [0, 1]
        The targets.

    Returns
    -------
    DataFrame
        One row per target: ``target``; ``threshold``, the highest observed score whose sensitivity is >= the target;
        the ``sensitivity`` and ``specificity`` reached there, positive when ``score >= threshold``. Without COVID-19
        images all but the target is NaN, without non-COVID images the specificity is, each with a warning.

    Examples
    --------
    >>> operating_points([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], sensitivities=[1.0, 0.5])
       target  threshold  sensitivity  specificity
    0     1.0        0.3          1.0          0.5
    1     0.5        0.9          0.5          1.0
    """
    positive, score = checked(y_true, y_score)
    targets = within_unit("sensitivities", column("sensitivities", sensitivities))
    positives, negatives = np.sort(score[positive]), np.sort(score[~positive])
    thresholds, reached, spared = (np.full(len(targets), np.nan) for _ in range(3))
    if not len(positives):
        undefined("operating points without COVID-19 images")
    else:
        needed = np.searchsorted(np.arange(len(positives) + 1) / len(positives), targets)
        thresholds = np.where(needed > 0, positives[-np.maximum(needed, 1)], score.max())
        reached = (len(positives) - np.searchsorted(positives, thresholds)) / len(positives)
        if len(negatives):
            spared = np.searchsorted(negatives, thresholds) / len(negatives)
        else:
            undefined("specificity without non-COVID images")
    columns = {"target": targets, "threshold": thresholds, "sensitivity": reached, "specificity": spared}
    return pd.DataFrame(columns)


def proportion_interval(successes: int, trials: int, *, method: str, confidence: float = 0.95) -> Interval:
    """Return a confidence interval for a sensitivity or specificity seen as `successes` out of `trials`.

    Parameters
    ----------
    successes, trials : int
        ``0 <= successes <= trials``. Without trials both bounds are NaN, with a warning.
    method : {"wald", "wilson", "clopper-pearson"}
        ``wald`` is the paper's Eq. 3, z = 1.96 at 95%, not clipped: it passes 1 at 39 of 40 and has no width at 40
        of 40. The others lie within [0, 1], with 0 and 1 themselves as bounds of none and of all.
    confidence : float in (0, 1)

    References
    ----------
    Paper, Eq. 3 and Table VI. Wilson (1927), J. Am. Stat. Assoc. 22:209. Clopper & Pearson (1934), Biometrika 26:404.

    Examples
    --------
    >>> low, high = proportion_interval(39, 40, method="wald")
    >>> round((high - low) / 2, 3), round(high, 3)
    (0.048, 1.023)
    """
    quantile = normal_quantile(confidence)
    if method not in ("wald", "wilson", "clopper-pearson"):
        raise ValueError(f"method must be 'wald', 'wilson' or 'clopper-pearson', not {method!r}")
    if successes != int(successes) or trials != int(trials) or not 0 <= successes <= trials:
        raise ValueError(f"successes and trials must be whole, 0 <= successes <= trials, not {successes} of {trials}")
    if trials == 0:
        return Interval(undefined("a proportion without trials"), math.nan)
    if method == "wald":
        share = successes / trials
        margin = (1.96 if confidence == 0.95 else quantile) * math.sqrt(share * (1 - share) / trials)
        return Interval(share - margin, share + margin)
    named = {"wilson": "wilson", "clopper-pearson": "beta"}[method]
    low, high = proportion_confint(successes, trials, alpha=1 - confidence, method=named)
    low, high = 0.0 if successes == 0 else low, 1.0 if successes == trials else high  # exact, whatever the rounding
    return Interval(float(low), float(high))


def calibration_error(y_true: ArrayLike, y_score: ArrayLike, *, bins: int) -> float:
    """Return the expected calibration error, in [0, 1]: how far scores are from the shares of COVID-19 images.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n,)
        1 for COVID-19, 0 otherwise; probabilities of COVID-19, in [0, 1].
    bins : int
        Number of equal-width bins, closed on the right; 0 belongs to the first.

    Examples
    --------
    >>> round(calibration_error([1, 1, 0, 0], [0.9, 0.7, 0.2, 0.2], bins=2), 3)
    0.2
    """
    positive, score = checked(y_true, y_score)
    if bins != int(bins) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, not {bins}")
    place = np.searchsorted(np.arange(1, bins) / bins, within_unit("y_score", score), side="left")
    return ratio(np.abs(np.bincount(place, weights=positive - score)).sum(), len(score), "calibration without images")


def cross_entropy(y_true: ArrayLike, y_score: ArrayLike) -> CrossEntropy:
    """Return the paper's loss (Eq. 1), which sums over images, and its mean, which training minimises.

    Parameters
    ----------
    y_true, y_score : array-like of shape (n,)
        1 for COVID-19, 0 otherwise; probabilities of COVID-19, in [0, 1].

    Returns
    -------
    CrossEntropy
        ``total`` and ``mean`` over images of -ln q, in nats, with q the probability given to the image's own class.
        Infinite where a class was given probability 0; the mean of no image is NaN, with a warning.

    Examples
    --------
    >>> total, mean = cross_entropy([1, 0], [0.5, 0.5])
    >>> round(total, 4), round(mean, 4)
    (1.3863, 0.6931)
    """
    positive, score = checked(y_true, y_score)
    within_unit("y_score", score)
    with np.errstate(divide="ignore"):
        total = float(-np.where(positive, np.log(score), np.log1p(-score)).sum())
    return CrossEntropy(total, ratio(total, len(score), "cross-entropy without images"))


def predictive_values(sensitivity: float, specificity: float, *, prevalence: float) -> PredictiveValues:
    """Return what a positive and a negative call are worth where `prevalence` of the patients have COVID-19 (Bayes).

    Parameters
    ----------
    sensitivity, specificity, prevalence : float in [0, 1]

    Returns
    -------
    PredictiveValues
        ``ppv``, the share of positive calls that are right, and ``npv``; NaN, with a warning, where no such call is
        made or an argument is NaN.

    Examples
    --------
    >>> ppv, npv = predictive_values(0.975, 0.905, prevalence=0.01)
    >>> round(ppv, 3), round(npv, 4)
    (0.094, 0.9997)
    """
    shares = {"sensitivity": sensitivity, "specificity": specificity, "prevalence": prevalence}
    for name, share in shares.items():
        within_unit(name, np.array([share], dtype=float))
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    spared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return PredictiveValues(
        ratio(found, found + alarmed, "the positive predictive value without positive calls"),
        ratio(spared, spared + missed, "the negative predictive value without negative calls"),
    )
