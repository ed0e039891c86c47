"""Charts that compare models: ROC curves, intervals, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import roc_curve
from statsmodels.stats.proportion import proportion_confint

from deepcovid_lib import ranges, style
from deepcovid_lib.style import Drawing

CORNERS = (0.1, 0.25, 0.5)
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
METHODS = {
    "Eq. 3 (Wald)": ("wald_low", "wald_high", "s"),
    "Wilson": ("wilson_low", "wilson_high", "o"),
    "Clopper–Pearson": ("clopper_pearson_low", "clopper_pearson_high", "^"),
    "paper": ("paper_low", "paper_high", "D"),
}


def roc(scores_by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw the ROC curves, and beside them their upper left corner enlarged.

    The corner is 10%, 25% or 50% wide: the smallest that well holds each curve's point nearest to perfection. Its bands
    are 95% Wilson intervals of the sensitivity at each threshold. The legend has each area with the 95%
    range of `ranges.area`; a dash stands where fewer than five patients of a class, or equal scores, leave it none.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        By backbone: ``label`` (``covid``/``non_covid``), ``patient_id`` and ``score`` (0 to 1). Models for which one
        class has no images are left out.

    Returns
    -------
    Drawing
        Its data: ``model, threshold`` (positive when ``score >= threshold``), ``false_positive_rate, sensitivity,
        low, high``; every corner of every curve.

    References
    ----------
    Paper, Fig. 10. Wilson (1927), J. Am. Stat. Assoc. 22:209.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "covid", "non_covid", "non_covid"], "score": [0.9, 0.2, 0.3, 0.1]})
    >>> roc({"resnet18": frame.assign(patient_id=["a", "b", "c", "d"])}).alt
    'ROC curves. Area under the curve with 95% interval: ResNet18 0.750 (–).'
    """
    curves = {name: _curve(frame) for name, frame in scores_by_model.items() if frame["label"].nunique() == 2}
    side = _corner(curves)
    figure = Figure(figsize=(style.WIDTH, 3.4 + 0.26 * len(curves)), layout="constrained")
    whole, corner = figure.subplots(1, 2)
    handles, told = [], []
    for name, curve in curves.items():
        look, area = style.model(name), _area(scores_by_model[name])
        false, true = curve["false_positive_rate"], curve["sensitivity"]
        corner.fill_between(false, curve["low"], curve["high"], color=look.colour, alpha=0.1, linewidth=0)
        for axes in (whole, corner):
            axes.plot(false, true, color=look.colour, linestyle=look.dash)
        handles.append(Line2D([], [], color=look.colour, linestyle=look.dash, label=f"{look.label}   {area}"))
        told.append(f"{look.label} {area}")
    whole.plot([0, 1], [0, 1], color=style.muted(), linewidth=1, linestyle=(0, (1, 2)))
    whole.set(xlim=(-0.02, 1), ylim=(0, 1.02), ylabel="sensitivity", xticks=QUARTERS, yticks=QUARTERS)
    whole.add_patch(Rectangle((0, 1 - side), side, side, fill=False, edgecolor=style.muted(), linewidth=1.2))
    steps = np.linspace(0, side, 6)
    corner.set(xlim=(-0.02 * side, side), ylim=(1 - side, 1 + 0.02 * side), xticks=steps, yticks=1 - steps)
    corner.set_title("the corner, enlarged")
    for axes in (whole, corner):
        axes.set(xlabel="1 − specificity", box_aspect=1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if handles:
        legend = {"loc": "outside lower center", "handlelength": 2.8, "title": "area under the curve (95% interval)"}
        figure.legend(handles=handles, **legend, title_fontsize=11)
    else:
        whole.text(0.52, 0.2, "no curve of\none class alone", ha="center", fontsize=style.SMALL)
    columns = ["model", "threshold", "false_positive_rate", "sensitivity", "low", "high"]
    parts = [curve.assign(model=name)[columns] for name, curve in curves.items()]
    data = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    alt = f"ROC curves. Area under the curve with 95% interval: {'; '.join(told)}." if told else "No ROC curve."
    return Drawing(figure, data, alt)


def intervals(table: pd.DataFrame) -> Drawing:
    """Draw the 95% intervals of sensitivity and specificity by three methods, beside the paper's.

    What lies beyond 100%, where no rate can be, is hatched: Eq. 3 reaches into it.

    Parameters
    ----------
    table : DataFrame
        Of `tables.reliability`.

    Returns
    -------
    Drawing
        Its data: ``model, quantity, method, value, low, high``; rows without a value are left out.

    References
    ----------
    Paper, Eq. 3 and Table VI.

    Examples
    --------
    >>> row = {"model": "resnet18", "quantity": "sensitivity", "value": 0.975, "margin": 0.048, "paper": 0.975}
    >>> row |= {"wilson_low": 0.871, "wilson_high": 0.996, "clopper_pearson_low": 0.868, "clopper_pearson_high": 0.999}
    >>> print(*intervals(pd.DataFrame([row | {"paper_margin": 0.048}])).data.loc[0, ["method", "high"]])
    Eq. 3 (Wald) 1.023
    """
    wide = table.assign(
        wald_low=table["value"] - table["margin"],
        wald_high=table["value"] + table["margin"],
        paper_low=table["paper"] - table["paper_margin"],
        paper_high=table["paper"] + table["paper_margin"],
    )
    parts = []
    for method, (low, high, _) in METHODS.items():
        value = "paper" if method == "paper" else "value"
        part = wide[["model", "quantity", value, low, high]].set_axis(
            ["model", "quantity", "value", "low", "high"], axis=1
        )
        parts.append(part.assign(method=method))
    data = pd.concat(parts, ignore_index=True).dropna(subset="value")
    data = data[["model", "quantity", "method", "value", "low", "high"]].reset_index(drop=True)
    models = list(dict.fromkeys(table["model"]))
    figure = Figure(figsize=(style.WIDTH, 0.95 * len(models) + 1.35), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, quantity in zip(panels, ("sensitivity", "specificity"), strict=True):
        own = data[data["quantity"] == quantity]
        for row in own.itertuples():
            place = models.index(row.model) + 0.2 * (list(METHODS).index(row.method) - 1.5)
            colour, face = style.model(row.model).colour, style.model(row.model).colour
            if row.method == "paper":
                colour, face = style.ink(), "none"
            axes.plot([row.low, row.high], [place] * 2, color=colour, linewidth=2)
            marker = {"markerfacecolor": face, "markeredgewidth": 1.4, "markersize": 6}
            axes.plot(row.value, place, METHODS[row.method][2], color=colour, **marker)
        bounds = own[["low", "high", "value"]].to_numpy(float)
        if bounds.size:
            room = max(0.08 * (np.nanmax(bounds) - np.nanmin(bounds)), 0.01)
            low, high = np.nanmin(bounds) - room, max(np.nanmax(bounds) + room, 1 + room)
            axes.axvspan(1, high, facecolor="none", edgecolor=style.rule(), hatch="////", linewidth=0, zorder=0)
            axes.axvline(1, color=style.muted(), linewidth=1, zorder=0)
            if low < 0:
                axes.axvspan(low, 0, facecolor="none", edgecolor=style.rule(), hatch="////", linewidth=0, zorder=0)
            axes.set_xlim(low, high)
        axes.set_title(quantity.capitalize())
        axes.xaxis.set(
            major_locator=MaxNLocator(4, steps=[1, 2, 5, 10]), major_formatter=PercentFormatter(1, decimals=0)
        )
        axes.tick_params(axis="y", length=0, colors=style.ink())
    panels[0].set(ylim=(len(models) - 0.5, -0.5))
    panels[0].set_yticks(range(len(models)), [style.model(name).label for name in models])
    ink = style.ink()
    marks = [
        Line2D([], [], color=ink, marker=marker, ms=6, mew=1.4, mfc="none" if method == "paper" else ink, label=method)
        for method, (_, _, marker) in METHODS.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handlelength=2.4)
    told = [
        f"{style.model(row.model).label} {row.quantity} {style.percent(row.value)}, Wilson {style.percent(row.low)} to "
        f"{style.percent(row.high)}"
        for row in data[data["method"] == "Wilson"].itertuples()
    ]
    beyond = int(((data["high"] > 1) & (data["method"] == "Eq. 3 (Wald)")).sum())
    past = f" {beyond} of the intervals by Eq. 3 pass 100%." if beyond else ""
    told = told or ["This run has no rates"]
    return Drawing(figure, data, f"95% intervals by three methods and the paper's. {'; '.join(told)}.{past}")


def confusion(counts: Mapping[str, float], model: str, threshold: float) -> Drawing:
    """Draw a confusion matrix: rows are the true class, columns the predicted one.

    Parameters
    ----------
    counts : mapping
        ``tp, fn, fp, tn``, COVID-19 being the positive class; a row of `tables.confusion_matrices` will do.
    model : str
        A backbone.
    threshold : float
        Predicted COVID-19 when ``score >= threshold``.

    Returns
    -------
    Drawing
        Its data: ``true, predicted, images`` and ``share`` of the true class (NaN where it has no images).

    References
    ----------
    Paper, Figs. 11-12.

    Examples
    --------
    >>> confusion({"tp": 39, "fn": 1, "fp": 66, "tn": 2934}, "squeezenet", 0.18).data["share"].tolist()
    [0.975, 0.025, 0.022, 0.978]
    """
    names = ("COVID-19", "Non-COVID")
    cells = [np.nan if pd.isna(counts[name]) else counts[name] for name in ("tp", "fn", "fp", "tn")]
    cells = np.array(cells, dtype=float).reshape(2, 2)
    totals = cells.sum(axis=1, keepdims=True)
    shares = np.divide(cells, totals, out=np.full((2, 2), np.nan), where=totals > 0)
    figure = Figure(figsize=(style.WIDTH, 3.9), layout="constrained")
    axes = figure.subplots()
    records = []
    for row, column in np.ndindex(2, 2):
        share, count = shares[row, column], cells[row, column]
        look = style.CLASSES["covid" if row != column else "non_covid"]
        fill = _blend(style.surface(), look.colour, np.nan_to_num(share))
        axes.add_patch(Rectangle((column + 0.015, row + 0.015), 0.97, 0.97, facecolor=fill))
        words = {"color": style.text_on(fill), "ha": "center", "va": "center"}
        axes.text(column + 0.5, row + 0.46, _number(count, ",.0f"), fontsize=24, **words)
        axes.text(column + 0.5, row + 0.72, _number(share, ".1%"), **words)
        records.append((names[row], names[column], count, share))
    axes.set(xlim=(0, 2), ylim=(2, 0), xlabel="predicted", ylabel="true")
    axes.set_xticks((0.5, 1.5), names)
    axes.set_yticks((0.5, 1.5), names, rotation=90, va="center")
    axes.xaxis.set(label_position="top", ticks_position="top")
    axes.tick_params(length=0, colors=style.ink(), labelsize=12)
    axes.spines[:].set_visible(False)
    data = pd.DataFrame(records, columns=["true", "predicted", "images", "share"])
    sentences = [
        f"of {total:,.0f} {name} images {right:,.0f} are predicted {name}"
        for name, total, right in zip(names, totals[:, 0], np.diag(cells), strict=True)
        if total > 0
    ]
    told = ", ".join(sentences) if sentences else "undefined, for want of COVID-19 images"
    title = f"{style.model(model).label}, threshold {style.exact(threshold)}"
    return Drawing(figure, data, f"Confusion matrix of {title}: {told}.")


def _curve(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a ROC curve with Wilson's interval of the sensitivity, every corner and no more."""
    positive = (frame["label"] == "covid").to_numpy()
    false, true, thresholds = roc_curve(positive, frame["score"].to_numpy(), drop_intermediate=True)
    low, high = proportion_confint(np.round(true * positive.sum()), positive.sum(), method="wilson")
    columns = {"threshold": thresholds, "false_positive_rate": false, "sensitivity": true, "low": low, "high": high}
    return pd.DataFrame(columns)


def _corner(curves: Mapping[str, pd.DataFrame]) -> float:
    """Return the side of the corner worth enlarging."""
    needed = 0.0
    for curve in curves.values():
        best = curve.loc[np.hypot(curve["false_positive_rate"], 1 - curve["sensitivity"]).idxmin()]
        needed = max(needed, best["false_positive_rate"], 1 - best["sensitivity"])
    return next((side for side in CORNERS if needed <= 0.6 * side), CORNERS[-1])


def _area(frame: pd.DataFrame) -> str:
    """Return the area under the curve and its interval in words."""
    area = ranges.area(frame["label"] == "covid", frame["score"], frame["patient_id"])
    return f"{style.decimal(area.auc)} ({'–' if np.isnan(area.low) else style.between(area.low, area.high)})"


def _blend(ground: str, colour: str, share: float) -> str:
    """Return a colour between two, the first at 0 and the second at 1."""
    return to_hex((1 - share) * np.array(to_rgb(ground)) + share * np.array(to_rgb(colour)))


def _number(value: float, form: str) -> str:
    """Return a number in words, a dash for one that is missing."""
    return "–" if np.isnan(value) else format(value, form)
