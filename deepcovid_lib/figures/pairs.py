"""Charts that lay one run over another, one model at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import roc_auc_score, roc_curve

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

SIDE = 3.4
"""Width of a panel in inches: it stands unscaled on a page 360 pixels wide."""

LINES = {"A": {"linestyle": "-", "linewidth": 1.4}, "B": {"linestyle": (0, (1.8, 1.2)), "linewidth": 3}}
"""A thin and solid, B broad and dashed: where the curves are one, both are seen."""

QUARTERS = (0, 0.25, 0.5, 0.75, 1)


def rocs(a: pd.DataFrame, b: pd.DataFrame, model: str) -> Drawing:
    """Draw a model's ROC curve in two runs.

    Parameters
    ----------
    a, b : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score``, both classes present.
    model : str
        A backbone.

    Returns
    -------
    Drawing
        Its data: ``run`` (``A`` or ``B``), ``threshold`` (positive when ``score >= threshold``),
        ``false_positive_rate, sensitivity``.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> rocs(frame, frame, "resnet18").alt
    'ROC curves of ResNet18 in both runs. Area under the curve: A 0.500, B 0.500.'
    """
    look = style.model(model)
    figure, axes = _panel()
    parts, told = [], []
    for name, frame in (("A", a), ("B", b)):
        positive = (frame["label"] == "covid").to_numpy()
        false, true, cut = roc_curve(positive, frame["score"].to_numpy())
        area = roc_auc_score(positive, frame["score"])
        axes.plot(false, true, color=look.colour, label=f"{name}   {style.decimal(area)}", **LINES[name])
        columns = {"run": name, "threshold": cut, "false_positive_rate": false, "sensitivity": true}
        parts.append(pd.DataFrame(columns))
        told.append(f"{name} {style.decimal(area)}")
    axes.plot([0, 1], [0, 1], color=style.muted(), linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="1 − specificity", ylabel="sensitivity")
    axes.set(xticks=QUARTERS, yticks=QUARTERS, title=look.label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower right", title="area", alignment="left", handlelength=2.6, title_fontsize=style.SMALL)
    alt = f"ROC curves of {look.label} in both runs. Area under the curve: {', '.join(told)}."
    return Drawing(figure, pd.concat(parts, ignore_index=True), alt)


def agreement(pairs: pd.DataFrame, model: str) -> Drawing:
    """Draw the score of each test image in run B against its score in run A.

    Parameters
    ----------
    pairs : DataFrame
        ``label`` (``covid``/``non_covid``), ``score_a`` and ``score_b`` (0 to 1), one row per image.
    model : str
        A backbone.

    Returns
    -------
    Drawing
        Its data is `pairs`. The points are drawn as one small picture, so that 3,000 of them stay light.

    Examples
    --------
    >>> pairs = pd.DataFrame({"label": ["covid", "non_covid"], "score_a": [0.9, 0.2], "score_b": [0.8, 0.2]})
    >>> agreement(pairs, "resnet18").alt
    'Scores of ResNet18 in run B against run A, 2 images. Half of them differ by 0.05 or less, the furthest by 0.1.'
    """
    look = style.model(model)
    figure, axes = _panel()
    axes.plot([0, 1], [0, 1], color=style.muted(), linewidth=1, zorder=0)
    for label, size in (("non_covid", 3.2), ("covid", 4.6)):
        own, drawn = pairs[pairs["label"] == label], style.CLASSES[label]
        marks = {"markersize": size, "markeredgewidth": 0, "alpha": 0.65, "rasterized": True}
        axes.plot(own["score_a"], own["score_b"], drawn.marker, color=drawn.colour, **marks)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="score in A", ylabel="score in B")
    axes.set(xticks=QUARTERS, yticks=QUARTERS, title=look.label)
    marks = [
        Line2D([], [], linestyle="", marker=drawn.marker, color=drawn.colour, markersize=5, label=drawn.label)
        for drawn in style.CLASSES.values()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handletextpad=0.1, columnspacing=1.2)
    apart = (pairs["score_a"] - pairs["score_b"]).abs()
    alt = (
        f"Scores of {look.label} in run B against run A, {len(pairs):,} images. "
        f"Half of them differ by {apart.median():.2g} or less, the furthest by {apart.max():.2g}."
    )
    return Drawing(figure, pairs, alt)


def distributions(a: pd.DataFrame, b: pd.DataFrame, model: str) -> Drawing:
    """Draw what share of each class scores at most so much, in two runs on different images.

    Parameters
    ----------
    a, b : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score`` (0 to 1).
    model : str
        A backbone.

    Returns
    -------
    Drawing
        Its data: ``run`` (``A`` or ``B``), ``label, score, share``.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.8, 0.3]})
    >>> distributions(frame, frame, "resnet18").alt
    'Cumulative scores of ResNet18 by class. Median: COVID-19 A 0.85, B 0.85; Non-COVID A 0.3, B 0.3.'
    """
    look = style.model(model)
    figure, axes = _panel()
    parts, told = [], []
    for label, drawn in style.CLASSES.items():
        medians = []
        for name, frame in (("A", a), ("B", b)):
            score = np.sort(frame.loc[frame["label"] == label, "score"].to_numpy())
            if not len(score):
                continue
            share = np.arange(1, len(score) + 1) / len(score)
            axes.step([0, *score, 1], [0, *share, 1], where="post", color=drawn.colour, **LINES[name])
            parts.append(pd.DataFrame({"run": name, "label": label, "score": score, "share": share}))
            medians.append(f"{name} {np.median(score):.2g}")
        told.append(f"{drawn.label} {', '.join(medians) or 'no image'}")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="score", ylabel="share scored at most this")
    axes.set(xticks=QUARTERS, yticks=QUARTERS, title=look.label)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles = [
        Line2D([], [], color=drawn.colour, label=f"{drawn.label}, {name}", **LINES[name])
        for name in LINES
        for drawn in style.CLASSES.values()
    ]
    places = {"loc": "outside lower center", "ncols": 2, "handlelength": 2.2, "columnspacing": 1, "handletextpad": 0.5}
    figure.legend(handles=handles, **places, fontsize=style.SMALL)
    alt = f"Cumulative scores of {look.label} by class. Median: {'; '.join(told)}."
    return Drawing(figure, pd.concat(parts, ignore_index=True), alt)


def _panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    return figure, figure.subplots()
