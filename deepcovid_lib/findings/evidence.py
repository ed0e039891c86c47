"""What a run leaves to judge a claim by, and what came of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from deepcovid_lib import style
from deepcovid_lib.checks import FEWEST_PATIENTS

REPLICATES = 2000
NO_CLASS = "a class has no images, or no model is there"
NO_SPREAD = "every draw of the patients gives the same, so no interval"


class Evidence(NamedTuple):
    """What a run leaves to judge a claim by.

    Attributes
    ----------
    scores : mapping of str to DataFrame
        By backbone, of the same test images: ``image_id, patient_id, label, group, score``.
    counts : DataFrame
        Of `tables.dataset`.
    histories : mapping of str to DataFrame
        By backbone: ``epoch, loss``; no rows where the training was not recorded.
    manifest : DataFrame or None
        None where a run starts from recorded scores.
    heads : mapping of str to tuple
        By backbone, the shapes of what was trained and those of the network's last layer; empty where unknown.
    """

    scores: Mapping[str, pd.DataFrame]
    counts: pd.DataFrame
    histories: Mapping[str, pd.DataFrame]
    manifest: pd.DataFrame | None
    heads: Mapping[str, tuple[dict, dict]]


class Finding(NamedTuple):
    """Whether a sentence holds of a run, None where that cannot be decided, with value, interval and reason."""

    holds: bool | None
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


def quiet(function, *rest, **options):
    """Call a metric without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the reason of a finding tells it
        return function(*rest, **options)


def decided(yes: bool, no: bool) -> bool | None:
    """Return True or False where one of them is sure, else None."""
    return True if yes else False if no else None


def all_hold(each: list[bool | None]) -> bool | None:
    """Return whether something holds of all: False where it fails once, None where it is unsure once."""
    return False if False in each else None if None in each else True


def resampled(values: pd.Series, patients: pd.Series, seed: int = 0) -> np.ndarray:
    """Return means of values by image over draws of as many patients as there are; NaN for want of patients."""
    codes = pd.factorize(patients.loc[values.index])[0]
    sums, sizes = np.bincount(codes, weights=values.to_numpy(float)), np.bincount(codes)
    if len(sizes) < FEWEST_PATIENTS:
        return np.full(REPLICATES, math.nan)
    drawn = np.random.default_rng(seed).integers(len(sizes), size=(REPLICATES, len(sizes)))
    return sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)


def difference(value: float, drawn: np.ndarray, rival: str, model: str = "") -> Finding:
    """Return whether a difference is above 0, from its resampled values; equal ones make no interval."""
    told = f"{style.model(model).label} {against(rival)}" if model else against(rival)
    if np.ptp(drawn) < 1e-9:
        return Finding(None, float(value), reason=f"{told}; {NO_SPREAD}")
    low, high = np.quantile(drawn, [0.025, 0.975])
    if math.isnan(low):
        told += f"; fewer than {FEWEST_PATIENTS} patients"
    return Finding(decided(low > 0, high < 0), float(value), float(low), float(high), told)


def lacks(model: str) -> Finding:
    """Return that a comparison lacks one of its sides."""
    label = style.MODELS[model].label if model in style.MODELS else model
    return Finding(None, reason=f"needs {label} and another model, with both classes")


def against(model: str) -> str:
    return f"against {style.model(model).label}"
