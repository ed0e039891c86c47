"""Charts of what scores mean: calibration, precision, net benefit, and differences between models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import average_precision_score

from deepcovid_lib import calibration, pairs, precision, style
from deepcovid_lib.style import Drawing

QUARTERS = (0, 0.25, 0.5, 0.75, 1)
THRESHOLDS = np.round(np.arange(0, 0.51, 0.01), 2)


def reliability_curves(
    scores_by_model: Mapping[str, pd.DataFrame], *, offset: float, bins: int = calibration.BINS
) -> Drawing:
    """Draw how often images of each score are COVID-19, before and after the scores are moved to the test mix.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score``.
    offset : float
        Of `calibration.mix`; without one (NaN) the scores are drawn as they are.
    bins : int

    Returns
    -------
    Drawing
        Its data: ``model, scores`` (``as given``, ``moved to the test mix``) and the columns of `calibration.curve`.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> reliability_curves({"resnet18": frame}, offset=-2.0).alt
    'Share of COVID-19 by score. Mean distance from the diagonal: ResNet18 0.150 as given, 0.242 moved to the test mix.'
    """
    across = min(2, max(1, len(scores_by_model)))
    down = -(-max(1, len(scores_by_model)) // across)
    figure = Figure(figsize=(style.WIDTH, 3.0 * down + 0.6), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    parts, told = [], []
    for axes, (model, frame) in zip(grid.flat, scores_by_model.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=style.muted(), linewidth=1, linestyle=(0, (1, 2)))
        words = []
        moved = {} if np.isnan(offset) else {"moved to the test mix": offset}
        for name, shift in {"as given": 0.0, **moved}.items():
            curve = calibration.curve(frame.assign(score=calibration.shift(frame["score"], shift)), bins=bins)
            colour = style.muted() if name == "as given" else style.model(model).colour
            face = "none" if name == "as given" else colour
            bars = np.array([curve["share"] - curve["low"], curve["high"] - curve["share"]]).clip(0)
            look = {"marker": "o", "markersize": 6, "markerfacecolor": face, "linewidth": 1.6, "elinewidth": 1}
            axes.errorbar(curve["score"], curve["share"], bars, color=colour, **look)
            parts.append(curve.assign(model=model, scores=name))
            error = (curve["images"] * (curve["score"] - curve["share"]).abs()).sum() / max(1, curve["images"].sum())
            words.append(f"{style.decimal(error)} {name}")
        told.append(f"{style.model(model).label} {', '.join(words)}")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=QUARTERS, yticks=QUARTERS, box_aspect=1)
        axes.set_title(style.model(model).label)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in grid.flat[len(scores_by_model) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("score")
    for axes in grid[:, 0]:
        axes.set_ylabel("share of COVID-19")
    marks = [
        Line2D([], [], color=style.muted(), marker="o", markerfacecolor="none", label="as given"),
        Line2D([], [], color=style.ink(), marker="o", label="moved to the test mix"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2)
    columns = ["model", "scores", "above", "upto", "images", "score", "share", "low", "high"]
    data = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return Drawing(figure, data, f"Share of COVID-19 by score. Mean distance from the diagonal: {'; '.join(told)}.")


def precision_recall(scores_by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw precision against recall, with the share of COVID-19 images as the floor.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score``. Models for which one class has no images are
        left out.

    Returns
    -------
    Drawing
        Its data: ``model`` and the columns of `precision.curve`.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> precision_recall({"resnet18": frame}).alt
    'Precision against recall. Average precision: ResNet18 1.000; the floor is 0.500.'
    """
    figure = Figure(figsize=(style.WIDTH, 4.9), layout="constrained")
    axes = figure.subplots()
    parts, told, floor = [], [], np.nan
    for model, frame in scores_by_model.items():
        curve = precision.curve(frame)
        if curve.empty:
            continue
        look, covid = style.model(model), frame["label"] == "covid"
        area, floor = average_precision_score(covid, frame["score"]), covid.mean()
        axes.step(curve["recall"], curve["precision"], where="post", color=look.colour, linestyle=look.dash)
        axes.lines[-1].set_label(f"{look.label}   {style.decimal(area)}")
        parts.append(curve.assign(model=model))
        told.append(f"{look.label} {style.decimal(area)}")
    axes.axhline(
        floor,
        color=style.muted(),
        linewidth=1.2,
        linestyle=(0, (1, 2)),
        label=f"share of COVID-19   {style.decimal(floor)}",
    )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall (sensitivity)", ylabel="precision")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    if told:
        title = {"title": "average precision", "title_fontsize": 11}
        figure.legend(loc="outside lower center", ncols=2, handlelength=2.8, **title)
    else:
        axes.text(0.5, 0.5, "no curve of one class alone", ha="center")
    columns = ["model", "threshold", "recall", "precision"]
    data = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    alt = f"Precision against recall. Average precision: {', '.join(told)}; the floor is {style.decimal(floor)}."
    return Drawing(figure, data, alt if told else "No curve of precision: one class has no images.")


def net_benefit(scores_by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw the net benefit of calling images by score, beside calling all and calling none.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score``, a probability in the mix of these images.

    Returns
    -------
    Drawing
        Its data: ``model, threshold, net_benefit``; the models ``all`` and ``none`` call every image and no image.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> drawn = net_benefit({"resnet18": frame})
    >>> drawn.alt
    'Net benefit of a call over thresholds up to 0.5. Above calling all and none: ResNet18 at 30 of 51 thresholds.'
    """
    figure = Figure(figsize=(style.WIDTH, 4.3), layout="constrained")
    axes = figure.subplots()
    parts, told, share = [], [], 0.0
    for model, frame in scores_by_model.items():
        look, found = style.model(model), calibration.net_benefit(frame, thresholds=THRESHOLDS)
        axes.plot(found["threshold"], found["model"], color=look.colour, linestyle=look.dash, label=look.label)
        parts.append(found[["threshold"]].assign(model=model, net_benefit=found["model"]))
        better = int((found["model"] > found["all"].clip(lower=0) + 1e-12).sum())
        told.append(f"{look.label} at {better} of {len(found)} thresholds")
        share = max(share, found["all"].iloc[0])
    if parts:
        axes.plot(found["threshold"], found["all"], color=style.ink(), linewidth=1.2, label="call all")
        parts.append(found[["threshold"]].assign(model="all", net_benefit=found["all"]))
        parts.append(found[["threshold"]].assign(model="none", net_benefit=0.0))
    axes.axhline(0, color=style.muted(), linewidth=1.2, linestyle=(0, (1, 2)), label="call none")
    top = max(share, 0.01)
    axes.set(xlim=(0, THRESHOLDS[-1]), ylim=(-0.45 * top, 1.08 * top))
    axes.set(xlabel="threshold: the probability at which a call is made", ylabel="net benefit per image")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    figure.legend(loc="outside lower center", ncols=3, handlelength=2.8)
    columns = ["model", "threshold", "net_benefit"]
    data = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    alt = f"Net benefit of a call over thresholds up to 0.5. Above calling all and none: {'; '.join(told)}."
    return Drawing(figure, data, alt)


def area_differences(table: pd.DataFrame) -> Drawing:
    """Draw the difference of every two areas under the curve with its 95% interval, patients kept together.

    Parameters
    ----------
    table : DataFrame
        Of `pairs.areas`.

    Returns
    -------
    Drawing
        Its data: ``model_a, model_b, difference, low, high, verdict``. A filled mark differs after Holm's correction.

    Examples
    --------
    >>> row = {"model_a": "resnet18", "model_b": "resnet50", "difference": 0.02, "low": -0.01, "high": 0.05}
    >>> area_differences(pd.DataFrame([row | {"verdict": "no difference shown"}])).alt
    'Differences of areas. ResNet18 minus ResNet50 +0.020 (−0.010 to +0.050), no difference shown.'
    """
    data = table[["model_a", "model_b", "difference", "low", "high", "verdict"]]
    figure = Figure(figsize=(style.WIDTH, 0.42 * max(2, len(data)) + 1.3), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=style.ink(), linewidth=1.2, zorder=0)
    names, told = [], []
    for place, row in enumerate(data.itertuples()):
        axes.plot([row.low, row.high], [place] * 2, color=style.muted(), linewidth=2)
        face = style.ink() if row.verdict == pairs.DIFFER else style.surface()
        axes.plot(row.difference, place, "o", color=style.ink(), markerfacecolor=face, markersize=8)
        names.append(" − ".join(style.model(model).label for model in (row.model_a, row.model_b)))
        span = " to ".join(_signed(value) for value in (row.low, row.high))
        told.append(f"{names[-1].replace('−', 'minus')} {_signed(row.difference)} ({span}), {row.verdict}")
    if not names:
        axes.text(0.5, 0.5, "one model has no pair", transform=axes.transAxes, ha="center")
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(max(1, len(names)) - 0.5, -0.5), xlabel="difference of the areas under the curve")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, colors=style.ink())
    marks = [
        Line2D([], [], color=style.ink(), marker="o", markersize=8, markerfacecolor=face, linestyle="", label=label)
        for face, label in ((style.ink(), "differ"), (style.surface(), "no difference shown"))
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handlelength=1.2)
    return Drawing(figure, data, f"Differences of areas. {'; '.join(told)}." if told else "One model has no pair.")


def _signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.3f}".replace("-", "−")
