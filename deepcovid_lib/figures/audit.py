"""Charts of what the printed numbers imply: bounds of the ROC curves, predictive values."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

WIDEST = 0.3
LOWEST = 0.85


def roc_bounds(points: pd.DataFrame, bounds: pd.DataFrame) -> Drawing:
    """Draw where a ROC curve through the printed points can lie, one panel per model, the upper left corner alone.

    Parameters
    ----------
    points : DataFrame
        Of `audit.roc_points`.
    bounds : DataFrame
        Of `audit.auc_bounds`.

    Returns
    -------
    Drawing
        Its data is `points`.

    References
    ----------
    Paper, Tables II to V, Fig. 10.

    Examples
    --------
    >>> from deepcovid_lib import audit
    >>> roc_bounds(audit.roc_points(), audit.auc_bounds()).alt.split(": ")[1].split(";")[0]
    'ResNet18 0.984 to 0.995'
    """
    figure = Figure(figsize=(style.WIDTH, 5.4), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    told = []
    for axes, row in zip(panels.flat, bounds.itertuples(), strict=True):
        look, own = style.model(row.model), points[points["model"] == row.model]
        corners = list(zip(own["false_positive_rate"], own["sensitivity"], strict=True))
        for (left, low), (right, high) in zip(corners, corners[1:], strict=False):
            axes.add_patch(Rectangle((left, low), right - left, high - low, color=look.colour, alpha=0.3, linewidth=0))
        axes.plot(*zip(*corners[1:-1], strict=True), look.marker, color=look.colour, markersize=7, clip_on=False)
        axes.set_title(look.label, pad=9)
        axes.text(0.97, 0.05, f"AUC {row.lowest:.3f}\nto {row.highest:.3f}", transform=axes.transAxes, ha="right")
        axes.set(xlim=(0, WIDEST), ylim=(LOWEST, 1.0))
        axes.grid(visible=True)
        told.append(f"{look.label} {row.lowest:.3f} to {row.highest:.3f}")
    for axes in panels[1]:
        axes.set_xlabel("1 − specificity")
        axes.xaxis.set(major_locator=FixedLocator([0, 0.1, 0.2, 0.3]), major_formatter=PercentFormatter(1, decimals=0))
    for axes in panels[:, 0]:
        axes.set_ylabel("sensitivity")
        axes.yaxis.set(
            major_locator=FixedLocator([0.85, 0.9, 0.95, 1]), major_formatter=PercentFormatter(1, decimals=0)
        )
    marks = [
        Line2D([], [], linestyle="", marker="o", color=style.ink(), label="printed"),
        Patch(color=style.muted(), alpha=0.4, label="where the curve can pass"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2)
    alt = f"Bounds of the area under any ROC curve through the paper's printed points: {'; '.join(told)}."
    return Drawing(figure, points, alt)


def predictive_values(table: pd.DataFrame) -> Drawing:
    """Draw how often a positive and a negative call are right, by the share of patients with COVID-19.

    Parameters
    ----------
    table : DataFrame
        Of `audit.predictive_values`, at several prevalences.

    Returns
    -------
    Drawing
        Its data is `table`.

    Examples
    --------
    >>> from deepcovid_lib import audit
    >>> predictive_values(audit.predictive_values()).alt.split(". ")[1][:-1]
    'At a prevalence of 1% a positive call is right in ResNet18 8%, ResNet50 9%, SqueezeNet 31%, DenseNet-121 5%'
    """
    figure = Figure(figsize=(style.WIDTH, 3.7), layout="constrained")
    panels = figure.subplots(1, 2)
    prevalences = sorted(table["prevalence"].unique())
    for model, part in table.groupby("model", sort=False):
        look = style.model(model)
        for axes, quantity in zip(panels, ("ppv", "npv"), strict=True):
            line = {"color": look.colour, "linestyle": look.dash, "marker": look.marker, "label": look.label}
            axes.plot(part["prevalence"], part[quantity], **line, markersize=6)
    for axes, title in zip(panels, ("Positive calls that are right", "Negative calls that are right"), strict=True):
        axes.set_title(title)
        axes.set(xscale="log", xlabel="patients with COVID-19")
        axes.xaxis.set(
            major_locator=FixedLocator(prevalences),
            minor_locator=NullLocator(),
            major_formatter=PercentFormatter(1, decimals=0),
        )
        axes.grid(axis="y")
    panels[0].set(ylim=(0, 1))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, handlelength=3.4)
    rarest = table[table["prevalence"] == prevalences[0]]
    told = ", ".join(f"{style.model(row.model).label} {style.percent(row.ppv, 0)}" for row in rarest.itertuples())
    alt = "Predictive values of the paper's Table VI by prevalence. "
    return Drawing(figure, table, f"{alt}At a prevalence of {prevalences[0]:.0%} a positive call is right in {told}.")
