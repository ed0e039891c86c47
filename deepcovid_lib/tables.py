"""The paper's tables, each with this run beside the printed values.

Shares are fractions of 1 and intervals are at 95%. A share that a run cannot have, for want of images, is NaN.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from deepcovid_lib import metrics, paper
from deepcovid_lib.problems import Problem

AGREES, DIFFERS, NO_TEST = "agrees", "differs", "not a test of this value"

HEADINGS = {
    "split": "Split",
    "class": "Class",
    "run": "This run",
    "patients": "Patients",
    "model": "Model",
    "quantity": "Quantity",
    "target": "Target sensitivity",
    "threshold": "Threshold",
    "sensitivity": "Sensitivity",
    "sensitivity_low": "Sensitivity, low",
    "sensitivity_high": "Sensitivity, high",
    "specificity": "Specificity",
    "specificity_low": "Specificity, low",
    "specificity_high": "Specificity, high",
    "successes": "Right",
    "trials": "Images",
    "value": "This run",
    "margin": "± (Eq. 3)",
    "wilson_low": "Wilson, low",
    "wilson_high": "Wilson, high",
    "clopper_pearson_low": "Clopper-Pearson, low",
    "clopper_pearson_high": "Clopper-Pearson, high",
    "auc": "AUC",
    "delong_low": "DeLong, low",
    "delong_high": "DeLong, high",
    "bootstrap_low": "Bootstrap, low",
    "bootstrap_high": "Bootstrap, high",
    "tp": "TP",
    "fn": "FN",
    "fp": "FP",
    "tn": "TN",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "f1": "F1",
    "always_negative_accuracy": "Accuracy of always negative",
    "paper": "Paper",
    "paper_margin": "Paper, ±",
    "paper_threshold": "Paper, threshold",
    "paper_sensitivity": "Paper, sensitivity",
    "paper_specificity": "Paper, specificity",
    "paper_tp": "Paper, TP",
    "paper_fn": "Paper, FN",
    "paper_fp": "Paper, FP",
    "paper_tn": "Paper, TN",
    "released_figure": "Released figure",
    "verdict": "Verdict",
    "note": "Note",
}


def verdict(value: float, low: float, high: float, *, comparable: bool) -> str:
    """Say whether a printed value agrees with this run.

    Parameters
    ----------
    value : float
        What the paper prints.
    low, high : float
        This run's 95% interval, bounds included; for a count, the run's count twice.
    comparable : bool
        Whether data and weights are the paper's.

    Returns
    -------
    str
        ``agrees``, ``differs`` or, where nothing is comparable, printed or defined, ``not a test of this value``.

    Examples
    --------
    >>> verdict(0.888, 0.876, 0.899, comparable=True)
    'agrees'
    >>> verdict(40, 38, 38, comparable=True)
    'differs'
    """
    if not comparable or pd.isna([value, low, high]).any():
        return NO_TEST
    return AGREES if low <= value <= high else DIFFERS


def implied_counts(percent: str | float, trials: int, decimals: int) -> range:
    """Return the counts out of `trials` that print as `percent` when rounded to `decimals`.

    Halves may go either way. No count at all means that the percentage cannot come from so many images.

    Examples
    --------
    >>> implied_counts("90.5", 3000, 1)
    range(2714, 2717)
    >>> list(implied_counts(97.5, 40, 1)), list(implied_counts(97.4, 40, 1))
    ([39], [])
    """
    half_step = Decimal(5).scaleb(-decimals - 1)
    lowest, highest = ((Decimal(str(percent)) + step) * trials / 100 for step in (-half_step, half_step))
    first = max(0, int(lowest.to_integral_value(ROUND_CEILING)))
    return range(first, min(trials, int(highest.to_integral_value(ROUND_FLOOR))) + 1)


def dataset(manifest: pd.DataFrame, *, copies: int, comparable: bool) -> pd.DataFrame:
    """Count the images of each split and class (paper, Table I).

    Parameters
    ----------
    manifest : DataFrame
        With ``patient_id``, ``label`` and ``split``, one row per source image.
    copies : int
        Training images made of each COVID-19 source image; 16 in the paper.
    comparable : bool
        Whether the images are the paper's.

    Returns
    -------
    DataFrame
        ``split, class, run`` (images), ``patients, paper, verdict``; a count agrees when it is equal.

    Examples
    --------
    >>> manifest = pd.DataFrame({"patient_id": ["a", "a"], "label": ["covid"] * 2, "split": ["train"] * 2})
    >>> dataset(manifest, copies=16, comparable=False).loc[1, ["class", "run", "patients"]].tolist()
    ['COVID-19 after augmentation', 32, 1]
    """
    printed = paper.values().set_index("id")["value"]
    rows = []
    for split, label, times, name, place in (
        ("train", "covid", 1, "COVID-19", "table-1/training/covid"),
        ("train", "covid", copies, "COVID-19 after augmentation", "table-1/training/covid-augmented"),
        ("train", "non_covid", 1, "Non-COVID", "table-1/training/non-covid"),
        ("test", "covid", 1, "COVID-19", "table-1/test/covid"),
        ("test", "non_covid", 1, "Non-COVID", "table-1/test/non-covid"),
    ):
        images = manifest[(manifest["split"] == split) & (manifest["label"] == label)]
        count, told = times * len(images), int(printed[place])
        decision = verdict(told, count, count, comparable=comparable)
        rows.append((split, name, count, images["patient_id"].nunique(), told, decision))
    return pd.DataFrame(rows, columns=["split", "class", "run", "patients", "paper", "verdict"])


def thresholds(scores: pd.DataFrame, model: str, *, comparable: bool) -> pd.DataFrame:
    """Set this run's operating points beside those the paper lists for a model (paper, Tables II-V).

    Parameters
    ----------
    scores : DataFrame
        With ``label`` (``covid``/``non_covid``) and ``score``; positive when ``score >= threshold``.
    model : str
        A backbone. For one the paper has no table of, the targets are all that it lists for the others.
    comparable : bool
        Whether data and weights are the paper's.

    Returns
    -------
    DataFrame
        One row per sensitivity the paper lists: ``target``; the run's ``threshold``, the highest observed score whose
        sensitivity is >= the target, ``sensitivity`` and ``specificity`` with Wilson bounds ``_low`` and ``_high``;
        ``paper_threshold``, ``paper_specificity``; and the ``verdict`` on the latter.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> thresholds(scores, "resnet18", comparable=False).loc[4, ["target", "threshold", "specificity"]].tolist()
    [0.875, 0.2, 0.0]
    """
    listed = _operating_points_of_the_paper(model)
    if listed.empty:
        every = sorted(_operating_points_of_the_paper("")["sensitivity"].unique(), reverse=True)
        listed = pd.DataFrame({"threshold": np.nan, "sensitivity": every, "specificity": np.nan})
    y_true, y_score = _classes(scores)
    with _undefined_as_nan():
        points = metrics.operating_points(y_true, y_score, sensitivities=listed["sensitivity"])
    rows = []
    for target, threshold, told in zip(points["target"], points["threshold"], listed.itertuples(), strict=True):
        shares = _shares_with_bounds(y_true, y_score, threshold)
        decision = verdict(
            told.specificity, shares["specificity_low"], shares["specificity_high"], comparable=comparable
        )
        printed = {"paper_threshold": told.threshold, "paper_specificity": told.specificity, "verdict": decision}
        rows.append({"target": target, "threshold": threshold, **shares, **printed})
    return pd.DataFrame(rows)


def at_paper_thresholds(scores: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return what this run's scores give at the very thresholds the paper prints (paper, Tables II-V).

    Parameters
    ----------
    scores : DataFrame
        With ``label`` and ``score``; positive when ``score >= threshold``.
    model : str
        A backbone; one the paper has no table of gives no rows.

    Returns
    -------
    DataFrame
        ``threshold``; ``sensitivity`` and ``specificity`` with Wilson bounds ``_low`` and ``_high``;
        ``paper_sensitivity`` and ``paper_specificity``.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> at_paper_thresholds(scores, "resnet50").loc[2, ["threshold", "sensitivity", "specificity"]].tolist()
    [0.24, 0.5, 0.0]
    """
    y_true, y_score = _classes(scores)
    shares = [name + bound for name in ("sensitivity", "specificity") for bound in ("", "_low", "_high")]
    rows = [
        {
            "threshold": told.threshold,
            **_shares_with_bounds(y_true, y_score, told.threshold),
            "paper_sensitivity": told.sensitivity,
            "paper_specificity": told.specificity,
        }
        for told in _operating_points_of_the_paper(model).itertuples()
    ]
    return pd.DataFrame(rows, columns=["threshold", *shares, "paper_sensitivity", "paper_specificity"])


def reliability(
    scores_by_model: Mapping[str, pd.DataFrame], *, comparable: bool, target: float = 0.975
) -> pd.DataFrame:
    """Compare the models where each reaches the target sensitivity, with three kinds of interval (paper, Table VI).

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` and ``score``; positive when ``score >= threshold``.
    comparable : bool
        Whether data and weights are the paper's.
    target : float in [0, 1]

    Returns
    -------
    DataFrame
        Two rows per model: ``model, quantity, threshold, successes, trials, value``; ``margin``, the paper's Eq. 3;
        Wilson and Clopper-Pearson bounds; ``paper`` and ``paper_margin``; the ``verdict`` by Wilson's bounds; and a
        ``note`` that the sensitivity was chosen, so that its agreement says nothing. The intervals take the threshold
        as given although it was found on the same images.

    References
    ----------
    Paper, Eq. 3 and Table VI. Wilson (1927), J. Am. Stat. Assoc. 22:209. Clopper & Pearson (1934), Biometrika 26:404.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> reliability({"resnet18": scores}, comparable=False)[["quantity", "value", "paper", "paper_margin"]]
          quantity  value  paper  paper_margin
    0  sensitivity    1.0  0.975         0.048
    1  specificity    0.0  0.888         0.011
    """
    printed = paper.values().set_index("id")[["value", "margin"]]
    rows = []
    for model, scores in scores_by_model.items():
        threshold, counts = _at_target(scores, target)
        tp, fn, fp, tn = counts
        for quantity, right, wrong in (("sensitivity", tp, fn), ("specificity", tn, fp)):
            share, bounds = _share(right, wrong), {}
            for method in ("wald", "wilson", "clopper-pearson"):
                bounds[method] = _interval(right, wrong, method)
            told = printed.reindex([f"table-6/{model}/{quantity}"]).iloc[0]
            rows.append(
                {
                    "model": model,
                    "quantity": quantity,
                    "threshold": threshold,
                    "successes": right,
                    "trials": right + wrong,
                    "value": share,
                    "margin": (bounds["wald"].high - bounds["wald"].low) / 2,
                    "wilson_low": bounds["wilson"].low,
                    "wilson_high": bounds["wilson"].high,
                    "clopper_pearson_low": bounds["clopper-pearson"].low,
                    "clopper_pearson_high": bounds["clopper-pearson"].high,
                    "paper": told["value"],
                    "paper_margin": told["margin"],
                    "verdict": verdict(told["value"], *bounds["wilson"], comparable=comparable),
                    "note": "chosen, not found" if quantity == "sensitivity" else "",
                }
            )
    return pd.DataFrame(rows).astype({"successes": "Int64", "trials": "Int64"})
