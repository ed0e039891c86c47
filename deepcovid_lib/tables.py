"""The paper's tables, each with this run beside the printed values.

Shares are fractions of 1 and intervals are at 95%. What a run cannot have, for want of images, is NaN. In every table
an image is called positive, COVID-19, when ``score >= threshold``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from deepcovid_lib import metrics, paper, ranges
from deepcovid_lib.problems import Problem

AGREES, DIFFERS, NO_TEST = "agrees", "differs", "not a test of this value"
TARGET = 0.975  # the sensitivity at which the paper compares the models, Section IV.E
ACRONYMS = {name: name.upper() for name in ("auc", "tp", "fn", "fp", "tn")}
SPELLINGS = ACRONYMS | {"clopper": "Clopper-Pearson", "delong": "DeLong", "wilson": "Wilson"}


def heading(column: str) -> str:
    """Return a table column's name as it is shown.

    Examples
    --------
    >>> heading("clopper_pearson_low"), heading("paper_tp")
    ('Clopper-Pearson low', 'Paper TP')
    """
    words = [SPELLINGS.get(word, word) for word in column.split("_") if word != "pearson"]
    shown = " ".join(words)
    return shown[:1].upper() + shown[1:]


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


def verdict_by_range(value: float, low: float, high: float, *, comparable: bool) -> str:
    """Say what `verdict` does of a range of `ranges.specificity`; one that is open at an end never agrees.

    Examples
    --------
    >>> verdict_by_range(0.9, 0, 0.95, comparable=True), verdict_by_range(0.99, 0, 0.95, comparable=True)
    ('not a test of this value', 'differs')
    """
    decision = verdict(value, low, high, comparable=comparable)
    return NO_TEST if decision == AGREES and (low == 0 or high == 1) else decision


def implied_counts(percent: str | float, trials: int, decimals: int) -> range:
    """Return the counts out of `trials` that print as `percent` when rounded to `decimals`; halves may go either way.

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
        With ``patient_id``, ``label`` (``covid``/``non_covid``) and ``split``, one row per source image.
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
    >>> print(*dataset(manifest, copies=16, comparable=False).loc[1, ["class", "run", "patients"]])
    COVID-19 after augmentation 32 1
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
        With ``label`` (``covid``/``non_covid``) and ``score``.
    model : str
        A backbone. For one the paper has no table of, the targets are all that it lists for the others.
    comparable : bool
        Whether data and weights are the paper's.

    Returns
    -------
    DataFrame
        One row per sensitivity the paper lists: ``target``; ``threshold``, the highest whose sensitivity is
        >= the target, in few digits; ``sensitivity`` and ``specificity`` there, with Wilson bounds ``_low`` and
        ``_high``; ``anew_low, anew_high``, the range of `ranges.specificity`; ``paper_threshold``,
        ``paper_specificity`` and the ``verdict`` on the latter by that range.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> print(*thresholds(scores, "resnet18", comparable=False).loc[4, ["target", "threshold", "specificity"]])
    0.875 0.2 0.0
    """
    y_true, y_score = _classes(scores)
    rows = []
    for told in _listed(model).itertuples():
        threshold = _threshold(y_true, y_score, told.sensitivity)
        shares = _shares(_confusion(y_true, y_score, threshold))
        anew = ranges.specificity(y_true, y_score, threshold)
        shares |= dict(zip(("anew_low", "anew_high"), anew, strict=True))
        printed = {"paper_threshold": told.threshold, "paper_specificity": told.specificity}
        decision = verdict_by_range(told.specificity, *anew, comparable=comparable)
        rows.append({"target": told.sensitivity, "threshold": threshold, **shares, **printed, "verdict": decision})
    return pd.DataFrame(rows)


def at_paper_thresholds(scores: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return what this run's scores give at the very thresholds the paper prints (paper, Tables II-V).

    Parameters
    ----------
    scores : DataFrame
        With ``label`` (``covid``/``non_covid``) and ``score``.
    model : str
        A backbone; one the paper has no table of gives no rows.

    Returns
    -------
    DataFrame
        ``threshold``; ``sensitivity`` and ``specificity``, with Wilson bounds ``_low`` and ``_high``;
        ``paper_sensitivity`` and ``paper_specificity``.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> print(*at_paper_thresholds(scores, "resnet50").loc[2, ["threshold", "sensitivity", "specificity"]])
    0.24 0.5 0.0
    """
    y_true, y_score = _classes(scores)
    listed = _listed(model).dropna(subset="threshold").reset_index(drop=True)
    columns = list(_shares(_confusion(y_true, y_score, math.nan)))
    shares = [_shares(_confusion(y_true, y_score, threshold)) for threshold in listed["threshold"]]
    printed = listed[["sensitivity", "specificity"]].add_prefix("paper_")
    return pd.concat([listed[["threshold"]], pd.DataFrame(shares, columns=columns), printed], axis=1)


def reliability(
    scores_by_model: Mapping[str, pd.DataFrame], *, comparable: bool, target: float = TARGET
) -> pd.DataFrame:
    """Compare the models where each reaches the target sensitivity, with three kinds of interval (paper, Table VI).

    The intervals take the threshold as given, although it was found on the same images; the range does not.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score``.
    comparable : bool
        Whether data and weights are the paper's. Its values are tested at its own target alone.
    target : float in [0, 1]
        The threshold is the highest observed score whose sensitivity is >= the target.

    Returns
    -------
    DataFrame
        Two rows per model: ``model, quantity, threshold, successes, trials, value``; ``margin`` by the paper's Eq. 3;
        Wilson and Clopper-Pearson bounds; ``anew_low, anew_high``, for a specificity the range of `ranges.specificity`,
        else Wilson's; ``paper, paper_margin``; the ``verdict`` by that range; and a ``note`` where a value was set by
        the target, so that its agreement says nothing.

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
        y_true, y_score = _classes(scores)
        threshold = _threshold(y_true, y_score, target)
        tp, fn, fp, tn = _confusion(y_true, y_score, threshold)
        for quantity, right, wrong in (("sensitivity", tp, fn), ("specificity", tn, fp)):
            told, told_margin = printed.reindex([f"table-6/{model}/{quantity}"]).iloc[0]
            share, *wilson = _share(right, wrong, "wilson")
            row = {"model": model, "quantity": quantity, "threshold": threshold}
            row |= {"successes": right, "trials": right + wrong, "value": share}
            row |= {"margin": _share(right, wrong, "wald")[2] - share}
            row |= dict(zip(("wilson_low", "wilson_high"), wilson, strict=True))
            exact = _share(right, wrong, "clopper-pearson")[1:]
            row |= dict(zip(("clopper_pearson_low", "clopper_pearson_high"), exact, strict=True))
            anew = ranges.specificity(y_true, y_score, threshold) if quantity == "specificity" else wilson
            row |= dict(zip(("anew_low", "anew_high"), anew, strict=True))
            row |= {"paper": told, "paper_margin": told_margin}
            judge = verdict_by_range if quantity == "specificity" else verdict
            row |= {"verdict": judge(told, *anew, comparable=comparable and target == TARGET)}
            rows.append(row | {"note": "set by the target" if quantity == "sensitivity" else ""})
    return pd.DataFrame(rows).astype({"successes": "Int64", "trials": "Int64"})


def auc(
    scores_by_model: Mapping[str, pd.DataFrame], *, comparable: bool = False, replicates: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Return the models' areas under the ROC curve with three kinds of interval (paper, Fig. 10).

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``), ``score`` and ``patient_id``.
    comparable : bool
        Whether data and weights are the paper's.
    replicates, seed : int
        Of the bootstrap, which draws patients within each class.

    Returns
    -------
    DataFrame
        ``model, auc, delong_low, delong_high, bootstrap_low, bootstrap_high``; ``range_low, range_high``, of
        `ranges.area`; ``paper``, empty since its text prints no area; ``released_figure``, the area in the legend of
        the figure released with the paper's code; and the ``verdict`` on that area by the range.
        Near 1 and with few COVID-19 images the other two intervals are too narrow for one.

    References
    ----------
    DeLong et al. (1988), Biometrics 44:837. Sun & Xu (2014), IEEE Signal Process. Lett. 21:1389.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> print(*auc({"resnet18": scores.assign(patient_id=["a", "b", "c"])}).loc[0, ["auc", "released_figure"]])
    0.5 0.993
    """
    printed = paper.values().set_index("id")["value"]
    rows = []
    for model, scores in scores_by_model.items():
        y_true, y_score = _classes(scores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # the cell shows it
            area, *delong = metrics.auc_interval(y_true, y_score, method="delong")
            drawn = {"groups": unnamed(scores), "replicates": replicates, "seed": seed}
            bootstrap = metrics.auc_interval(y_true, y_score, method="bootstrap", **drawn)
        row = {"model": model, "auc": area, "delong_low": delong[0], "delong_high": delong[1]}
        row |= {"bootstrap_low": bootstrap.low, "bootstrap_high": bootstrap.high}
        _, low, high = ranges.area(y_true, y_score, scores["patient_id"])
        row |= {"range_low": low, "range_high": high, "paper": math.nan}
        told = printed.get(f"released-figure/{model}/auc", math.nan)
        rows.append(row | {"released_figure": told, "verdict": verdict(told, low, high, comparable=comparable)})
    return pd.DataFrame(rows)


def unnamed(scores: pd.DataFrame) -> pd.Series:
    """Return numbers in place of patients, in the order of their images' labels and scores.

    So that patients drawn at random are the same ones under other names, as in a recorded run.

    Examples
    --------
    >>> scores = pd.DataFrame({"patient_id": ["b", "a", "b"], "label": "covid", "score": [0.9, 0.5, 0.1]})
    >>> unnamed(scores).tolist()
    [0, 1, 0]
    """
    listed = scores.sort_values(["label", "score"])
    pairs = pd.Series(list(zip(listed["label"], listed["score"], strict=True)), index=listed.index)
    held = pairs.groupby(listed["patient_id"]).agg(tuple).sort_values(kind="stable")
    return scores["patient_id"].map(dict(zip(held.index, range(len(held)), strict=True)))


def confusion_matrices(scores_by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Count right and wrong calls where each model reaches 97.5% sensitivity (paper, Figs 11 and 12).

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score``.

    Returns
    -------
    DataFrame
        ``model, threshold, tp, fn, fp, tn``; ``accuracy, precision, f1`` (paper, Section IV.B);
        ``always_negative_accuracy``, what calling every image negative would reach; ``paper_tp`` to ``paper_tn``, the
        counts, as text, that the shares of the paper's Table VI leave possible.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> print(*confusion_matrices({"resnet50": scores}).loc[0, ["tp", "fn", "fp", "tn", "paper_fn", "paper_fp"]])
    2 0 1 0 1 284-286
    """
    rows = []
    for model, scores in scores_by_model.items():
        y_true, y_score = _classes(scores)
        threshold = _threshold(y_true, y_score, TARGET)
        counts = _confusion(y_true, y_score, threshold)
        rates = dict.fromkeys(metrics.Classification._fields, math.nan)
        if not math.isnan(threshold):
            rates = metrics.classification(y_true, y_score, threshold=threshold)._asdict()
        row = {"model": model, "threshold": threshold, **counts._asdict(), **rates}
        row |= {"always_negative_accuracy": 1 - y_true.mean() if len(y_true) else math.nan}
        rows.append(row | _counts_of_table_vi(model))
    return pd.DataFrame(rows).astype(dict.fromkeys(metrics.Confusion._fields, "Int64"))


def in_few_digits(threshold: float, *scores: np.ndarray) -> float:
    """Return a threshold in as few digits as make the same calls, so that it holds for whoever copies it from a page.

    Parameters
    ----------
    threshold : float
        Positive when ``score >= threshold``; NaN stays.
    *scores : numpy.ndarray
        All the scores it is applied to, in [0, 1].

    Returns
    -------
    float
        Of three significant digits, or more where rounding to three would call an image otherwise.

    Examples
    --------
    >>> in_few_digits(0.22871, np.array([0.22871, 0.1])), in_few_digits(0.22871, np.array([0.22871, 0.2287]))
    (0.228, 0.22871)
    """
    if math.isnan(threshold):
        return threshold
    together = np.concatenate(scores)
    called = (together >= threshold).sum()
    for digits in range(3, 17):
        exact = Decimal(float(threshold))
        step = Decimal(1).scaleb(exact.adjusted() - digits + 1) if exact else Decimal(1)
        for rounding in (ROUND_HALF_EVEN, ROUND_DOWN):
            short = float(exact.quantize(step, rounding))
            if (together >= short).sum() == called:
                return short
    return float(threshold)


def _classes(scores: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    strange = ~scores["label"].isin(["covid", "non_covid"])
    if strange.any():
        row = int(strange.to_numpy().argmax())
        found = scores["label"].iloc[row]
        raise Problem(f"label {found!r} is unknown", row=row + 2, remedy="use 'covid' or 'non_covid'")
    return (scores["label"] == "covid").to_numpy(), scores["score"].to_numpy(float)


def _listed(model: str) -> pd.DataFrame:
    """The paper's thresholds, sensitivities and specificities; for a model without a table its sensitivities alone."""
    printed = paper.values().dropna(subset="threshold")
    if model in set(printed["model"]):
        own = printed[printed["model"] == model]
        return own.pivot(index="threshold", columns="quantity", values="value").reset_index(drop=True)
    every = printed.loc[printed["quantity"] == "sensitivity", "value"].sort_values(ascending=False).unique()
    return pd.DataFrame({"threshold": np.nan, "sensitivity": every, "specificity": np.nan})


def _threshold(y_true: np.ndarray, y_score: np.ndarray, target: float) -> float:
    if not y_true.any():
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        found = metrics.operating_points(y_true, y_score, sensitivities=[target])["threshold"].iloc[0]
    return in_few_digits(found, y_score)


def _confusion(y_true: np.ndarray, y_score: np.ndarray, threshold: float) -> metrics.Confusion:
    if math.isnan(threshold):
        return metrics.Confusion(math.nan, math.nan, math.nan, math.nan)
    return metrics.confusion(y_true, y_score, threshold=threshold)


def _share(right: float, wrong: float, method: str) -> tuple[float, float, float]:
    trials = right + wrong
    if not trials > 0:
        return math.nan, math.nan, math.nan
    return right / trials, *metrics.proportion_interval(right, trials, method=method)


def _shares(counts: metrics.Confusion) -> dict[str, float]:
    found, spared = _share(counts.tp, counts.fn, "wilson"), _share(counts.tn, counts.fp, "wilson")
    names = [name + bound for name in ("sensitivity", "specificity") for bound in ("", "_low", "_high")]
    return dict(zip(names, found + spared, strict=True))


def _counts_of_table_vi(model: str) -> dict[str, str]:
    printed = paper.values().set_index("id")[["printed", "trials"]]
    cells = {}
    for quantity, right, wrong in (("sensitivity", "tp", "fn"), ("specificity", "tn", "fp")):
        told, trials = printed.reindex([f"table-6/{model}/{quantity}"]).iloc[0]
        possible = range(0)
        if not pd.isna(told):
            percent, trials = told.split("%")[0], int(trials)
            possible = implied_counts(percent, trials, len(percent.partition(".")[2]))
        cells[f"paper_{right}"] = _span(possible)
        cells[f"paper_{wrong}"] = _span([trials - count for count in reversed(possible)])
    return {f"paper_{name}": cells[f"paper_{name}"] for name in metrics.Confusion._fields}


def _span(counts: range | list[int]) -> str:
    return "-".join(str(count) for count in sorted({counts[0], counts[-1]})) if counts else ""
