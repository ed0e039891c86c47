"""Precision and recall: of the images called COVID-19, how many are, and of those that are, how many are called."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_curve

from deepcovid_lib import tables
from deepcovid_lib.checks import FEWEST_PATIENTS

REPLICATES = 300
ROUNDING = 1e-9


def curve(frame: pd.DataFrame) -> pd.DataFrame:
    """Return precision and recall at every threshold.

    Parameters
    ----------
    frame : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score``.

    Returns
    -------
    DataFrame
        ``threshold`` (positive when ``score >= threshold``), ``recall`` (the sensitivity), ``precision``, from the
        lowest threshold up; no rows where a class has no image.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> curve(frame).values.tolist()
    [[0.2, 1.0, 0.5], [0.9, 1.0, 1.0]]
    """
    columns = ["threshold", "recall", "precision"]
    if frame["label"].nunique() < 2:
        return pd.DataFrame(columns=columns, dtype=float)
    precision, recall, thresholds = precision_recall_curve(frame["label"] == "covid", frame["score"])
    return pd.DataFrame({"threshold": thresholds, "recall": recall[:-1], "precision": precision[:-1]})[columns]


def summary(
    scores_by_model: Mapping[str, pd.DataFrame], *, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Return each model's average precision beside its floor.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``patient_id, label`` (``covid``/``non_covid``) and ``score``.
    replicates, seed : int
        Of the bootstrap, which draws patients with all their images of a class, within each class.

    Returns
    -------
    DataFrame
        ``model, average_precision``, the precision averaged over the steps of the recall; ``low, high``, percentiles
        of the bootstrap at 95%, NaN where all replicates are equal or a class has fewer than five patients; ``floor``,
        the share of COVID-19 images, which scores that tell nothing reach. NaN where a class has no image.

    References
    ----------
    Saito & Rehmsmeier (2015), PLoS ONE 10:e0118432.

    Examples
    --------
    >>> frame = pd.DataFrame({"patient_id": list("abc"), "label": ["covid", "non_covid", "non_covid"],
    ...                       "score": [0.9, 0.2, 0.1]})
    >>> summary({"resnet18": frame}).loc[0, ["average_precision", "low", "high"]].tolist()
    [1.0, nan, nan]
    """
    rows = []
    for model, frame in scores_by_model.items():
        covid, score = (frame["label"] == "covid").to_numpy(), frame["score"].to_numpy(float)
        if covid.all() or not covid.any():
            row = dict.fromkeys(("average_precision", "low", "high"), math.nan)
        else:
            drawn = [
                average_precision_score(covid, score, sample_weight=weights)
                for weights in _drawn(tables.unnamed(frame).to_numpy(), covid, replicates, np.random.default_rng(seed))
            ]
            drawn = np.minimum(1.0, drawn)  # the last bit of a sum may lie above
            few = min(frame.loc[own, "patient_id"].nunique() for own in (covid, ~covid)) < FEWEST_PATIENTS
            low, high = (math.nan,) * 2 if few or np.ptp(drawn) < ROUNDING else np.quantile(drawn, [0.025, 0.975])
            whole = min(1.0, float(average_precision_score(covid, score)))
            row = {"average_precision": whole, "low": low, "high": high}
        rows.append({"model": model, **row, "floor": covid.mean() if len(covid) else math.nan})
    return pd.DataFrame(rows)


def _drawn(patients: np.ndarray, covid: np.ndarray, replicates: int, rng: np.random.Generator):
    """How often each image is drawn, once per replicate."""
    for _ in range(replicates):
        weights = np.zeros(len(covid))
        for own in (covid, ~covid):
            names, place = np.unique(patients[own], return_inverse=True)
            weights[own] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[place]
        yield weights
