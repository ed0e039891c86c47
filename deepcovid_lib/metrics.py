"""The numbers of Section IV: operating points, intervals, areas under the curve, calibration.

`y_true` holds 1 for COVID-19 and 0 otherwise; an image is called positive when ``score >= threshold``.
What is undefined is NaN, with an `UndefinedMetricWarning`; input that cannot be right is a `ValueError`.
"""

from __future__ import annotations

import math
import warnings
from collections import namedtuple
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from sklearn.exceptions import UndefinedMetricWarning
from statsmodels.stats.proportion import proportion_confint

Confusion = namedtuple("Confusion", "tp fn fp tn")
SensitivitySpecificity = namedtuple("SensitivitySpecificity", "sensitivity specificity")
Classification = namedtuple("Classification", "accuracy precision f1")
Interval = namedtuple("Interval", "low high")
AucInterval = namedtuple("AucInterval", "auc low high")
AucComparison = namedtuple("AucComparison", "z p")
PredictiveValues = namedtuple("PredictiveValues", "ppv npv")
CrossEntropy = namedtuple("CrossEntropy", "total mean")

WEIGHTS_AT_ONCE = 2_000_000


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
    positive, score = _checked(y_true, y_score)
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
        _ratio(tp, tp + fn, "sensitivity without COVID-19 images"),
        _ratio(tn, tn + fp, "specificity without non-COVID images"),
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
        _ratio(tp + tn, tp + fn + fp + tn, "accuracy without images"),
        _ratio(tp, tp + fp, "precision when nothing is called positive"),
        _ratio(2 * tp, 2 * tp + fp + fn, "F1 when nothing is, or is called, positive"),
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
    positive, score = _checked(y_true, y_score)
    targets = _within_unit("sensitivities", _column("sensitivities", sensitivities))
    positives, negatives = np.sort(score[positive]), np.sort(score[~positive])
    thresholds, reached, spared = (np.full(len(targets), np.nan) for _ in range(3))
    if not len(positives):
        _undefined("operating points without COVID-19 images")
    else:
        needed = np.searchsorted(np.arange(len(positives) + 1) / len(positives), targets)
        thresholds = np.where(needed > 0, positives[-np.maximum(needed, 1)], score.max())
        reached = (len(positives) - np.searchsorted(positives, thresholds)) / len(positives)
        if len(negatives):
            spared = np.searchsorted(negatives, thresholds) / len(negatives)
        else:
            _undefined("specificity without non-COVID images")
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
        of 40. The others lie within [0, 1].
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
    quantile = _quantile(confidence)
    if method not in ("wald", "wilson", "clopper-pearson"):
        raise ValueError(f"method must be 'wald', 'wilson' or 'clopper-pearson', not {method!r}")
    if successes != int(successes) or trials != int(trials) or not 0 <= successes <= trials:
        raise ValueError(f"successes and trials must be whole, 0 <= successes <= trials, not {successes} of {trials}")
    if trials == 0:
        return Interval(_undefined("a proportion without trials"), math.nan)
    if method == "wald":
        share = successes / trials
        margin = (1.96 if confidence == 0.95 else quantile) * math.sqrt(share * (1 - share) / trials)
        return Interval(share - margin, share + margin)
    named = {"wilson": "wilson", "clopper-pearson": "beta"}[method]
    low, high = proportion_confint(successes, trials, alpha=1 - confidence, method=named)
    return Interval(max(0.0, float(low)), min(1.0, float(high)))


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
        or a class has one image. ``bootstrap``: percentiles; no width under perfect separation.
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
    quantile = _quantile(confidence)
    positive, score = _checked(y_true, y_score)
    if method not in ("delong", "bootstrap"):
        raise ValueError(f"method must be 'delong' or 'bootstrap', not {method!r}")
    if method == "delong" and groups is not None:
        raise ValueError("groups are for the bootstrap: DeLong's variance takes the images as independent")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, not {replicates}")
    if positive.all() or not positive.any():
        return AucInterval(_undefined("the area under the curve of one class"), math.nan, math.nan)
    over, under = _placements(positive, score)
    auc = float(over.sum() / (len(over) * len(under)))
    if method == "delong":
        variance = _delong_variance(over, under)
        if not variance > 0:
            return AucInterval(auc, _undefined("DeLong's interval of an area without variance"), math.nan)
        margin = quantile * math.sqrt(variance)
        return AucInterval(auc, max(0.0, auc - margin), min(1.0, auc + margin))
    resampled = _bootstrap_aucs(positive, score, groups, replicates, np.random.default_rng(seed))
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
        ``z`` of a minus b and the two-sided ``p``; NaN, with a warning, where the difference has no variance.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837. Sun & Xu (2014), IEEE Signal Process. Lett. 21:1389.

    Examples
    --------
    >>> comparison = compare_aucs([1, 1, 0, 0, 0], [5, 4, 3, 2, 1], [5, 2, 3, 4, 1])
    >>> round(comparison.z, 3), round(comparison.p, 3)
    (0.894, 0.371)
    """
    positive, a, b = _checked(y_true, score_a, score_b)
    if positive.all() or not positive.any():
        return AucComparison(_undefined("the area under the curve of one class"), math.nan)
    over, under = (of_a - of_b for of_a, of_b in zip(_placements(positive, a), _placements(positive, b), strict=True))
    variance = _delong_variance(over, under)
    if not variance > 0:
        return AucComparison(_undefined("the test of a difference without variance"), math.nan)
    z = float(over.sum() / (len(over) * len(under)) / math.sqrt(variance))
    return AucComparison(z, float(2 * norm.sf(abs(z))))


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
    positive, score = _checked(y_true, y_score)
    if bins != int(bins) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, not {bins}")
    place = np.searchsorted(np.arange(1, bins) / bins, _within_unit("y_score", score), side="left")
    return _ratio(np.abs(np.bincount(place, weights=positive - score)).sum(), len(score), "calibration without images")


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
    positive, score = _checked(y_true, y_score)
    _within_unit("y_score", score)
    with np.errstate(divide="ignore"):
        total = float(-np.where(positive, np.log(score), np.log1p(-score)).sum())
    return CrossEntropy(total, _ratio(total, len(score), "cross-entropy without images"))


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
        _within_unit(name, np.array([share], dtype=float))
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    spared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return PredictiveValues(
        _ratio(found, found + alarmed, "the positive predictive value without positive calls"),
        _ratio(spared, spared + missed, "the negative predictive value without negative calls"),
    )


def _column(name: str, values: ArrayLike) -> np.ndarray:
    try:
        column = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers") from None
    if column.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, its shape is {column.shape}")
    if np.isnan(column).any():
        raise ValueError(f"{name} holds NaN at position {int(np.isnan(column).argmax())}")
    return column


def _checked(y_true: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, ...]:
    labels = _column("y_true", y_true)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y_true must hold 1 (COVID-19) and 0 only, it holds {labels[~np.isin(labels, (0, 1))][0]:g}")
    columns = [_column("scores", score) for score in scores]
    for column in columns:
        if len(column) != len(labels):
            raise ValueError(f"{len(labels)} labels but {len(column)} scores")
    return labels == 1, *columns


def _within_unit(name: str, values: np.ndarray) -> np.ndarray:
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"{name} must lie in [0, 1]")
    return values


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(norm.ppf((1 + confidence) / 2))


def _undefined(what: str) -> float:
    warnings.warn(f"{what} is undefined; NaN", UndefinedMetricWarning, stacklevel=3)
    return math.nan


def _ratio(part: float, whole: float, what: str) -> float:
    return float(part / whole) if whole > 0 else _undefined(what)


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
