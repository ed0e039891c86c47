"""What follows from the paper's printed numbers alone: counts, intervals, predictive values, areas, contradictions.

Nothing here depends on a run. Shares are fractions of 1, intervals are at 95%, COVID-19 is the positive class and an
image is called positive when ``score >= threshold``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml

from deepcovid_lib import metrics, paper, tables

PREVALENCES = (0.01, 0.05, 0.1, 0.2, 0.5)
METHODS = {"wald": "wald", "wilson": "wilson", "clopper_pearson": "clopper-pearson"}


def shares() -> pd.DataFrame:
    """Return every printed share of a known number of images with the counts that would print so.

    Returns
    -------
    DataFrame
        ``id, where, model, quantity, printed, value, margin, trials``; ``lowest`` and ``highest`` count that round to
        the printed decimals, and ``counts``, how many those are.

    References
    ----------
    Paper, Tables II to VI.

    Examples
    --------
    >>> table = shares().set_index("id")
    >>> print(len(table), *table.loc["table-6/resnet50/specificity", ["lowest", "highest", "counts"]])
    42 2714 2716 3
    """
    table = paper.values().dropna(subset="trials").reset_index(drop=True)
    fitting = [_fitting(row) for row in table.itertuples()]
    bounds = {"lowest": [each[0] for each in fitting], "highest": [each[-1] for each in fitting]}
    names = ["id", "where", "model", "quantity", "printed", "value", "margin", "trials"]
    return table[names].assign(**bounds, counts=[len(each) for each in fitting])


def margins() -> pd.DataFrame:
    """Recompute Table VI from every count that its shares leave possible.

    Returns
    -------
    DataFrame
        One row per possible count: ``model, quantity, successes, trials, value``; ``margin`` by Eq. 3 and
        ``margin_rounded`` to the decimal that the paper prints; ``paper`` and ``paper_margin``; ``fits``, whether
        both are equal; Wilson and Clopper-Pearson bounds.

    References
    ----------
    Paper, Eq. 3 and Table VI. Wilson (1927), J. Am. Stat. Assoc. 22:209. Clopper & Pearson (1934), Biometrika 26:404.

    Examples
    --------
    >>> table = margins().query("model == 'resnet50' and quantity == 'specificity'")
    >>> table[["successes", "margin_rounded", "paper_margin", "fits"]].to_string(index=False).splitlines()[1:]
    ['      2714           0.011         0.011  yes', '      2715           0.010         0.011   no', \
'      2716           0.010         0.011   no']
    """
    rows = []
    for told in shares().query("margin.notna()").itertuples():
        for count in range(told.lowest, told.highest + 1):
            row = {"model": told.model, "quantity": told.quantity, **_intervals(count, told.trials)}
            margin = row["wald_high"] - row["value"]
            rounded = round(margin, 3)
            row |= {"margin": margin, "margin_rounded": rounded, "paper": told.value, "paper_margin": told.margin}
            rows.append(row | {"fits": "yes" if rounded == told.margin else "no"})
    return pd.DataFrame(rows)


def as_printed(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of `margins` whose count gives the printed share exactly.

    Examples
    --------
    >>> as_printed(margins())["successes"].tolist()
    [39, 2664, 39, 2715, 39, 2934, 39, 2439]
    """
    return table[np.isclose(table["value"], table["paper"])].reset_index(drop=True)


def sensitivity_intervals() -> pd.DataFrame:
    """Return the intervals of every sensitivity that the paper prints, from the highest down.

    Returns
    -------
    DataFrame
        ``successes, trials, value``; bounds by Eq. 3 (``wald_low``, ``wald_high``, not clipped), Wilson and
        Clopper-Pearson.

    Examples
    --------
    >>> sensitivity_intervals()[["successes", "wald_low", "wald_high"]].head(2).round(3)
       successes  wald_low  wald_high
    0         40     1.000      1.000
    1         39     0.927      1.023
    """
    printed = shares().query("quantity == 'sensitivity'").drop_duplicates("lowest")
    rows = [_intervals(row.lowest, row.trials) for row in printed.sort_values("lowest", ascending=False).itertuples()]
    return pd.DataFrame(rows)


def confusion() -> pd.DataFrame:
    """Derive the confusion matrices of Table VI.

    Returns
    -------
    DataFrame
        ``model``; ``tp, fn`` and, as text, the ``fp`` and ``tn`` that the printed share leaves possible; from the
        printed shares ``accuracy, precision, f1`` and the likelihood ratios ``lr_positive`` = sensitivity / (1 -
        specificity) and ``lr_negative`` = (1 - sensitivity) / specificity; ``always_negative``, the accuracy of
        calling no image positive.

    References
    ----------
    Paper, Section IV.B, Tables I and VI.

    Examples
    --------
    >>> row = confusion().set_index("model").loc["squeezenet"]
    >>> print(row["fp"], row["tn"], round(row["accuracy"], 3), round(row["always_negative"], 3))
    65-67 2933-2935 0.978 0.987
    """
    rows = []
    for model, told in _table_vi().groupby(level="model", sort=False):
        found, spared = told.loc[(model, "sensitivity")], told.loc[(model, "specificity")]
        tp, tn = round(found["value"] * found["trials"]), round(spared["value"] * spared["trials"])
        fn, fp = found["trials"] - tp, spared["trials"] - tn
        row = {"model": model, "tp": tp, "fn": fn, "tn": f"{spared['lowest']}-{spared['highest']}"}
        row["fp"] = f"{spared['trials'] - spared['highest']}-{spared['trials'] - spared['lowest']}"
        total = found["trials"] + spared["trials"]
        row |= {"accuracy": (tp + tn) / total, "precision": tp / (tp + fp), "f1": 2 * tp / (2 * tp + fp + fn)}
        row["lr_positive"] = found["value"] / (1 - spared["value"])
        row["lr_negative"] = (1 - found["value"]) / spared["value"]
        rows.append(row | {"always_negative": spared["trials"] / total})
    return pd.DataFrame(rows)


def predictive_values(prevalences: tuple[float, ...] = PREVALENCES) -> pd.DataFrame:
    """Return what the calls of Table VI are worth where so many of the patients have COVID-19.

    Parameters
    ----------
    prevalences : tuple of float in (0, 1)

    Returns
    -------
    DataFrame
        ``model, prevalence, ppv, npv``.

    Examples
    --------
    >>> predictive_values((0.01,)).round(2)[["model", "ppv"]].set_index("model")["ppv"].to_dict()
    {'resnet18': 0.08, 'resnet50': 0.09, 'squeezenet': 0.31, 'densenet121': 0.05}
    """
    rows = []
    for model, told in _table_vi()["value"].groupby(level="model", sort=False):
        for prevalence in prevalences:
            both = metrics.predictive_values(
                told[(model, "sensitivity")], told[(model, "specificity")], prevalence=prevalence
            )
            rows.append({"model": model, "prevalence": prevalence, **both._asdict()})
    return pd.DataFrame(rows)


def roc_points() -> pd.DataFrame:
    """Return the printed operating points as points of a ROC curve, from the lower left corner to the upper right.

    Returns
    -------
    DataFrame
        ``model, threshold`` (NaN at the corners, which every curve has), ``false_positive_rate, sensitivity``.

    Examples
    --------
    >>> roc_points().query("model == 'resnet50'")["sensitivity"].tolist()
    [0.0, 0.875, 0.925, 0.95, 0.975, 1.0]
    """
    listed = paper.values().dropna(subset=["threshold", "trials"])
    models = dict.fromkeys(listed["model"])
    listed = listed.pivot(index=["model", "threshold"], columns="quantity", values="value").reset_index()
    listed["false_positive_rate"] = 1 - listed["specificity"]
    parts = []
    for model in models:
        own = listed[listed["model"] == model].sort_values("threshold", ascending=False)
        ends = [{"model": model, "false_positive_rate": end, "sensitivity": end} for end in (0.0, 1.0)]
        parts += [pd.DataFrame(ends[:1]), own, pd.DataFrame(ends[1:])]
    columns = ["model", "threshold", "false_positive_rate", "sensitivity"]
    return pd.concat(parts, ignore_index=True)[columns]


def auc_bounds() -> pd.DataFrame:
    """Return the least and greatest area under any curve that rises through a model's printed points.

    A ROC curve never falls, so between two points it stays within the rectangle they span. The shares are taken as
    printed; their rounding moves a bound by at most 0.0005.

    Returns
    -------
    DataFrame
        ``model``, ``points`` printed, ``lowest`` and ``highest`` area; ``released_figure``, the area in the legend of
        the figure released with the code, and whether it is ``inside``.

    References
    ----------
    Paper, Tables II to V, Fig. 10.

    Examples
    --------
    >>> print(*auc_bounds().round(4).loc[0, ["model", "lowest", "highest"]])
    resnet18 0.9835 0.995
    """
    released = paper.values().set_index("id")["value"]
    rows = []
    for model, points in roc_points().groupby("model", sort=False):
        widths, heights = np.diff(points["false_positive_rate"]), points["sensitivity"].to_numpy()
        low, high = float(widths @ heights[:-1]), float(widths @ heights[1:])
        told = released[f"released-figure/{model}/auc"]
        inside = "yes" if low <= told <= high else "no"
        rows.append((model, len(points) - 2, low, high, told, inside))
    return pd.DataFrame(rows, columns=["model", "points", "lowest", "highest", "released_figure", "inside"])


def contradictions(kind: str) -> pd.DataFrame:
    """Return where the paper disagrees with itself, or with the code released beside it.

    Parameters
    ----------
    kind : {"text", "code"}
        Within the paper's text, or between the text and the released code.

    Returns
    -------
    DataFrame
        ``about``; what ``one`` place (``one_where``) says and what the ``other`` (``other_where``); ``matters``, why it
        bears on a rerun.

    References
    ----------
    Paper, all sections. The authors' released code, ``ResNet18_train.py``, ``Inference.py`` and the two read-me files.

    Examples
    --------
    >>> contradictions("code").query("about == 'optimizer'")[["one", "other"]].iloc[0].tolist()
    ['Adam', 'stochastic gradient descent, momentum 0.9']
    """
    if kind not in _contradictions():
        raise ValueError(f"kind must be 'text' or 'code', not {kind!r}")
    return pd.DataFrame(_contradictions()[kind])


@cache
def _contradictions() -> dict[str, list[dict[str, str]]]:
    return yaml.safe_load(files(__package__).joinpath("contradictions.yaml").read_text(encoding="utf-8"))


def _fitting(row) -> range:
    percent = row.printed.split("%")[0]
    return tables.implied_counts(percent, int(row.trials), len(percent.partition(".")[2]))


def _intervals(successes: int, trials: int) -> dict[str, float]:
    row = {"successes": successes, "trials": trials, "value": successes / trials}
    for name, method in METHODS.items():
        row[f"{name}_low"], row[f"{name}_high"] = metrics.proportion_interval(successes, trials, method=method)
    return row


def _table_vi() -> pd.DataFrame:
    return shares().query("margin.notna()").set_index(["model", "quantity"])
