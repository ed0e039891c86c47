"""What a run leaves to judge a claim by, and what came of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from deepcovid_lib import style

NO_CLASS = "a class has no images, or no model is there"
NO_SPREAD = "every patient gives the same, so no interval"


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


def lacks(model: str) -> Finding:
    """Return that a comparison lacks one of its sides."""
    label = style.MODELS[model].label if model in style.MODELS else model
    return Finding(None, reason=f"needs {label} and another model, with both classes")


def against(model: str) -> str:
    return f"against {style.model(model).label}"
