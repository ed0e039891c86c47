"""What every metric asks of its input, and how it says that a value is undefined."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.exceptions import UndefinedMetricWarning

FEWEST_PATIENTS = 5  # of a class: what fewer show, or differ by, says nothing of others


def column(name: str, values: ArrayLike) -> np.ndarray:
    """Return one-dimensional numbers without NaN."""
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers") from None
    if numbers.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, its shape is {numbers.shape}")
    if np.isnan(numbers).any():
        raise ValueError(f"{name} holds NaN at position {int(np.isnan(numbers).argmax())}")
    return numbers


def checked(y_true: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, ...]:
    """Return ``y_true`` as booleans and the scores, all of one length."""
    labels = column("y_true", y_true)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"y_true must hold 1 (COVID-19) and 0 only, it holds {labels[~np.isin(labels, (0, 1))][0]:g}")
    columns = [column("scores", score) for score in scores]
    for numbers in columns:
        if len(numbers) != len(labels):
            raise ValueError(f"{len(labels)} labels but {len(numbers)} scores")
    return labels == 1, *columns


def within_unit(name: str, values: np.ndarray) -> np.ndarray:
    """Return values that lie in [0, 1]."""
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"{name} must lie in [0, 1]")
    return values


def normal_quantile(confidence: float) -> float:
    """Return the normal quantile of a two-sided confidence, e.g. 1.96 of 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(norm.ppf((1 + confidence) / 2))


def undefined(what: str) -> float:
    """Warn that a value is undefined and return NaN."""
    warnings.warn(f"{what} is undefined; NaN", UndefinedMetricWarning, stacklevel=3)
    return math.nan


def ratio(part: float, whole: float, what: str) -> float:
    """Return a share, NaN with a warning where the whole is 0."""
    return float(part / whole) if whole > 0 else undefined(what)
