"""Charts of predicted scores: their distribution, their log-odds, and what a threshold makes of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from scipy.special import expit, logit
from sklearn.exceptions import UndefinedMetricWarning
from statsmodels.stats.proportion import proportion_confint

from deepcovid_lib import metrics, paper, style
from deepcovid_lib.style import Drawing
from deepcovid_lib.tables import TARGET, in_few_digits

CERTAIN = 1e-12
ROUND_SHARES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
DASHED = (0, (4, 2))
PAPER = {"markerfacecolor": "none", "markeredgewidth": 1.4, "markersize": 6}


def scores(frame: pd.DataFrame, model: str) -> Drawing:
    """Draw the distribution of a model's scores, one panel per group of test images.

    The panels share the scores' axis, which covers the range in which there are scores. Each has its own scale of
    counts, on which heights go with the square root of the count, so that one image stays visible beside a thousand.
    Every COVID-19 image is a tick below its panel.

    Parameters
    ----------
    frame : DataFrame
        ``label`` (``covid``/``non_covid``), ``group`` and ``score`` (0 to 1).
    model : str
        A backbone.

    Returns
    -------
    Drawing
        Its data: ``group, low, high, images``, one row per bin; a score equal to an edge is in the bin above.

    References
    ----------
    Paper, Figs. 6-9. Tukey (1977), Exploratory Data Analysis, on square roots of counts (rootograms).

    Examples
    --------
    >>> frame = pd.DataFrame({"group": ["covid", "normal"], "label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> int(scores(frame, "resnet18").data["images"].sum())
    2
    """
    present = _groups(frame)
    edges = np.linspace(*_range(frame["score"]), _bins(frame) + 1)
    threshold = _threshold(frame)
    figure = Figure(figsize=(style.WIDTH, max(1.3 * len(present), 1.7) + 0.75), layout="constrained")
    panels = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
    records, told = [], []
    for axes, name in zip(panels, present, strict=True):
        look, own = style.group(name), frame.loc[frame["group"] == name, "score"].to_numpy()
        counts, _ = np.histogram(own, edges)
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=look.colour)
        axes.set_yscale("function", functions=(_root, np.square))
        axes.set(ylim=(0, 1.25 * counts.max()), yticks=_steps(counts.max()), title=f"{look.label}, {len(own):,}")
        if name == "covid":
            rug = {"transform": axes.get_xaxis_transform(), "clip_on": False, "markersize": 6, "markeredgewidth": 1.2}
            axes.plot(own, np.full(len(own), -0.06), "|", color=look.colour, **rug)
        called = np.count_nonzero(own >= threshold)
        if not np.isnan(threshold):
            axes.axvline(threshold, color=style.ink(), linewidth=1.3, linestyle=DASHED)
            axes.set_title(f"{called:,} called COVID-19", loc="right", fontsize=style.SMALL)
        records += [(name, *row) for row in zip(edges[:-1], edges[1:], counts, strict=True)]
        told.append(
            f"{look.label}: {len(own):,} images, median {style.decimal(np.median(own))}, {called:,} called COVID-19"
        )
    panels[-1].set_xlabel("score" if np.isnan(threshold) else f"score  (dashed: threshold {style.exact(threshold)})")
    for axes in panels:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panels[-1].set_xlim(edges[0], edges[-1])
    panels[-1].xaxis.set_major_locator(MaxNLocator(6))
    figure.supylabel("images, square-root scale", fontsize=12, color=style.ink())
    cut = "No threshold, for want of COVID-19 images."
    if not np.isnan(threshold):
        cut = f"Threshold {style.exact(threshold)}, the highest at which the sensitivity is at least {TARGET:.1%}."
    data = pd.DataFrame(records, columns=["group", "low", "high", "images"])
    return Drawing(
        figure, data, f"Histograms of {style.model(model).label}'s scores by group. {'; '.join(told)}. {cut}"
    )


def learned(frame: pd.DataFrame, model: str) -> Drawing:
    """Draw what the head has learned: the log-odds of COVID-19 on the test images, by group.

    Where the head is one linear layer, log-odds are the place of an image along the one direction it has learned. A
    violin shows the distribution, dots the images of groups of up to 60, the bar quartiles and median.

    Parameters
    ----------
    frame : DataFrame
        ``group`` and ``score`` (0 to 1), with ``image_id`` if it has them.
    model : str
        A backbone.

    Returns
    -------
    Drawing
        Its data: ``group, images``, and the log-odds' ``lowest, lower_quartile, median, upper_quartile, highest``.

    Examples
    --------
    >>> frame = pd.DataFrame({"group": ["covid", "normal"], "label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> learned(frame, "resnet18").data["median"].round(2).tolist()
    [2.2, -1.39]
    """
    present = _groups(frame)
    odds = logit(frame["score"].clip(CERTAIN, 1 - CERTAIN))
    figure = Figure(figsize=(style.WIDTH, 0.8 * len(present) + 0.85), layout="constrained")
    axes = figure.subplots()
    records, told = [], []
    for place, name in enumerate(present):
        look, own = style.group(name), np.sort(odds[frame["group"] == name].to_numpy())
        quartiles = np.quantile(own, [0, 0.25, 0.5, 0.75, 1])
        if np.ptp(own) > 1e-9 and len(own) > 2:
            body = axes.violinplot(own, [place], orientation="horizontal", widths=0.85, showextrema=False)["bodies"][0]
            body.set(facecolor=look.colour, edgecolor=look.colour, alpha=0.45)
        if len(own) <= 60:
            spread = 0.2 * np.sin(np.arange(len(own)) * 2.4)
            axes.plot(own, place + spread, "o", ms=4, color=look.colour, mew=0, alpha=0.8)
        axes.plot(quartiles[[1, 3]], [place] * 2, color=style.ink(), linewidth=4, solid_capstyle="butt", zorder=3)
        axes.plot(quartiles[2], place, "|", color=style.ink(), ms=17, mew=2.5, zorder=3)
        records.append((name, len(own), *quartiles))
        told.append(f"{look.label} {_signed(quartiles[2])} ({_signed(quartiles[1])} to {_signed(quartiles[3])})")
    axes.axvline(0, color=style.muted(), linewidth=1, zorder=0)
    axes.set_yticks(range(len(present)), [style.group(name).label.replace(" ", "\n") for name in present])
    axes.tick_params(axis="y", length=0, colors=style.ink())
    axes.set(xlabel="log-odds of COVID-19", ylim=(len(present) - 0.45, -0.55))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    above = axes.secondary_xaxis("top")
    low, high = axes.get_xlim()
    shares = [share for share in ROUND_SHARES if low <= logit(share) <= high]
    if len(shares) < 3:
        shares = [share for share in MaxNLocator(4).tick_values(expit(low), expit(high)) if low < logit(share) < high]
    apart: list[float] = []
    for share in shares:  # those whose labels would touch are left out
        if not apart or logit(share) - logit(apart[-1]) >= 0.1 * (high - low):
            apart.append(share)
    above.set_ticks(logit(apart), [f"{share:g}" for share in apart])
    above.set_xlabel("score", fontsize=style.SMALL)
    above.spines["top"].set_visible(False)
    names = ["group", "images", "lowest", "lower_quartile", "median", "upper_quartile", "highest"]
    alt = f"Log-odds of COVID-19 by {style.model(model).label}, median and quartiles: {'; '.join(told)}."
    return Drawing(figure, pd.DataFrame(records, columns=names), alt)


def thresholds(scores_by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw sensitivity and specificity over the threshold, a panel per model, with the paper's printed points.

    Bands are 95% Wilson intervals at each threshold. The axis covers the range in which there are scores or printed
    thresholds.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        By backbone: ``label`` (``covid``/``non_covid``) and ``score`` (0 to 1).

    Returns
    -------
    Drawing
        Its data: ``model, quantity, origin`` (``run`` or ``paper``), ``threshold`` (positive when ``score >=
        threshold``), ``value, low, high``.

    References
    ----------
    Paper, Tables II-V. Wilson (1927), J. Am. Stat. Assoc. 22:209.

    Examples
    --------
    >>> frame = pd.DataFrame({"group": ["covid", "normal"], "label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> thresholds({"densenet161": frame}).alt.split(". ")[1]
    'DenseNet-161 reaches 97.5% sensitivity at 0.9.'
    """
    models = list(scores_by_model)
    columns = min(2, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(style.WIDTH, (2.2 if columns > 1 else 2.9) * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    told, frames = [], []
    for axes, (name, frame) in zip(panels, scores_by_model.items(), strict=False):
        curves = pd.concat([_printed(name), _curves(frame, _printed(name)["threshold"])], ignore_index=True)
        for quantity, label in (("sensitivity", "covid"), ("specificity", "non_covid")):
            look, own = style.CLASSES[label], curves[curves["quantity"] == quantity]
            line, marks = own[own["origin"] == "run"], own[own["origin"] == "paper"]
            axes.fill_between(line["threshold"], line["low"], line["high"], color=look.colour, alpha=0.22, linewidth=0)
            axes.plot(line["threshold"], line["value"], color=look.colour, linestyle=look.dash)
            axes.plot(marks["threshold"], marks["value"], look.marker, **PAPER, markeredgecolor=style.ink())
        cut = _threshold(frame)
        reached = (
            "has no COVID-19 image" if np.isnan(cut) else f"reaches {TARGET:.1%} sensitivity at {style.exact(cut)}"
        )
        told.append(f"{style.model(name).label} {reached}")
        if len(models) > 1:
            axes.set_title(style.model(name).label)
        axes.set(ylim=(-0.03, 1.03))
        axes.grid(axis="y")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        frames.append(curves.assign(model=name))
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    figure.supxlabel("threshold", fontsize=12)
    handles = [Line2D([], [], color=look.colour, linestyle=look.dash) for look in style.CLASSES.values()]
    names = ["sensitivity", "specificity"]
    data = pd.concat(frames, ignore_index=True)[["model", "quantity", "origin", "threshold", "value", "low", "high"]]
    if (data["origin"] == "paper").any():
        looks = style.CLASSES.values()
        options = {"linestyle": "", "markeredgecolor": style.ink(), **PAPER}
        handles.append(tuple(Line2D([], [], marker=look.marker, **options) for look in looks))
        names.append("paper")
    together = {tuple: HandlerTuple(ndivide=None)}
    figure.legend(handles, names, loc="outside upper center", ncols=3, handlelength=2.6, handler_map=together)
    return Drawing(figure, data, f"Sensitivity falls and specificity rises with the threshold. {'; '.join(told)}.")


def _groups(frame: pd.DataFrame) -> list[str]:
    """Return the groups that have images, in their fixed order."""
    return [name for name in style.GROUPS if (frame["group"] == name).any()]


def _bins(frame: pd.DataFrame) -> int:
    """Return how many bins a histogram has: fewer where all groups are small."""
    return 40 if frame["group"].value_counts().max() > 100 else 20


def _range(values: pd.Series) -> tuple[float, float]:
    """Return the whole scale where scores use most of it, else the part in which they lie, widened a little."""
    low, high = values.min(), values.max()
    if high - low > 0.6:
        return 0.0, 1.0
    room = max(0.04 * (high - low), 0.002)
    return max(0.0, low - room), min(1.0, high + room)


def _steps(largest: int) -> list[int]:
    """Return ticks for counts on a square-root scale: none, about a quarter of a round number, and that number."""
    if largest < 4:
        return [0, largest]
    digit = 10 ** (len(str(largest)) - 1)
    top = next(step * digit for step in (8, 4, 2, 1) if step * digit <= largest)
    return [0, max(1, top // 4), top]


def _root(counts: np.ndarray) -> np.ndarray:
    """Return square roots, below zero mirrored so that ticks may hang there."""
    return np.copysign(np.sqrt(np.abs(counts)), counts)


def _threshold(frame: pd.DataFrame) -> float:
    """Return the operating threshold, NaN without COVID-19 images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the figure shows what is undefined
        points = metrics.operating_points(frame["label"] == "covid", frame["score"], sensitivities=[TARGET])
    return in_few_digits(float(points["threshold"].iloc[0]), frame["score"].to_numpy(float))


def _printed(model: str) -> pd.DataFrame:
    """Return the paper's points of a model."""
    values = paper.values()
    points = values[(values["model"] == model) & values["quantity"].isin(["sensitivity", "specificity"])]
    points = points.dropna(subset="threshold")[["quantity", "threshold", "value"]]
    return points.assign(origin="paper", low=np.nan, high=np.nan)


def _curves(frame: pd.DataFrame, printed: pd.Series) -> pd.DataFrame:
    """Return both rates with their Wilson intervals on a grid that covers the scores and the printed thresholds."""
    low, high = _range(frame["score"])
    grid = np.linspace(low, high, 201)
    if len(printed):
        grid = np.union1d(grid, np.linspace(min(low, 0.9 * printed.min()), max(high, 1.1 * printed.max()), 101))
    parts = []
    for quantity, label in (("sensitivity", "covid"), ("specificity", "non_covid")):
        own = np.sort(frame.loc[frame["label"] == label, "score"].to_numpy())
        below = np.searchsorted(own, grid, side="left")
        right = len(own) - below if quantity == "sensitivity" else below
        if len(own):
            low, high = proportion_confint(right, len(own), method="wilson")
            part = {"quantity": quantity, "origin": "run", "threshold": grid, "value": right / len(own), "low": low}
            parts.append(pd.DataFrame(part | {"high": high}))
    return pd.concat(parts, ignore_index=True)


def _signed(odds: float) -> str:
    """Return a number with a true minus sign."""
    return f"{odds:.2f}".replace("-", "−")
