"""Block diagrams of the networks, drawn from what an image meets on its way (paper, Figs. 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

MIDDLE, WIDEST, NARROWEST = 3.05, 1.75, 0.5
SIZES, COUNTS = 4.3, style.WIDTH - 0.05
GAP = 0.12
ABSORBED = ("BatchNorm2d", "ReLU")
NAMES = {
    "Conv2d": "convolution",
    "BatchNorm2d": "batch norm",
    "ReLU": "ReLU",
    "MaxPool2d": "max pooling",
    "AdaptiveAvgPool2d": "average pooling",
    "BasicBlock": "residual block",
    "Bottleneck": "bottleneck",
    "Fire": "fire module",
    "DenseBlock": "dense block",
    "Transition": "transition",
    "Dropout": "dropout",
    "Linear": "linear",
}


class _Unit(NamedTuple):
    """One or more equal blocks that are drawn together."""

    kind: str
    output: str
    parameters: int
    trainable: int
    repeats: int


def architecture(summary: pd.DataFrame, title: str) -> Drawing:
    """Draw a network from top to bottom; the wider a block, the larger the map that leaves it.

    Equal neighbours are stacked under one label; normalisation and activation that follow a convolution belong to it.
    A residual block carries an arc past its layers, a fire module squeezes and then expands, a dense block leads every
    layer to all later ones (its four strips are an emblem, not a count). What training changes stands out in colour.

    Parameters
    ----------
    summary : DataFrame
        Of `backbones.summary`: ``name, kind, output`` (channels x height x width), ``parameters, trainable``.
    title : str
        The network's name.

    Returns
    -------
    Drawing
        Its data is `summary`.

    References
    ----------
    Paper, Figs. 3-5. He et al. (2016), CVPR. Iandola et al. (2016), arXiv:1602.07360. Huang et al. (2017), CVPR.

    Examples
    --------
    >>> row = {"name": "fc", "kind": "Linear", "output": "2", "parameters": 1026, "trainable": 1026}
    >>> architecture(pd.DataFrame([row]), "Head").alt.split(". ")[0]
    'Block diagram of Head: 1 layer with 1,026 parameters, of which 1,026 in the head are trained'
    """
    units = _units(summary)
    heights = [_height(unit) for unit in units]
    tops = 0.72 + np.cumsum([0, *(height + GAP for height in heights)])
    tall = tops[-1] + 0.3
    figure = Figure(figsize=(style.WIDTH, tall))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, style.WIDTH), ylim=(tall, 0))
    axes.set_axis_off()
    axes.text(0.05, 0.2, title, weight="bold", va="center")
    for place, words, side in ((0.05, "block", "left"), (SIZES, "output", "left"), (COUNTS, "parameters", "right")):
        axes.text(place, 0.5, words, ha=side, va="center", color=style.muted(), fontsize=style.SMALL)
    largest = max(_side(unit.output) for unit in units)
    widths = [NARROWEST + (WIDEST - NARROWEST) * (_side(unit.output) / largest) ** 0.5 for unit in units]
    before = [widths[0], *widths]
    for unit, top, height, width, above in zip(units, tops, heights, widths, before, strict=False):
        colour = style.CLASSES["covid" if unit.trainable else "non_covid"].colour
        _shape(unit.kind)(axes, unit, top, height, width, above, colour)
        line = top + height / 2
        words = f"{unit.repeats} × {_name(unit)}" if unit.repeats > 1 else _name(unit)
        weight = "bold" if unit.trainable else "normal"
        axes.text(0.05, line, words, va="center", fontsize=11, weight=weight)
        axes.text(SIZES, line, unit.output.replace("x", " × "), va="center", fontsize=11)
        axes.text(COUNTS, line, _count(unit.parameters), ha="right", va="center", fontsize=11, weight=weight)
    for top in tops[1:-1]:
        axes.plot([MIDDLE] * 2, [top - GAP, top], color=style.muted(), linewidth=1.2)
    total, trained = int(summary["parameters"].sum()), int(summary["trainable"].sum())
    foot = tops[-1] + 0.08
    axes.plot(0.13, foot, "s", color=style.CLASSES["covid"].colour, markersize=9)
    axes.text(0.28, foot, f"trained: {trained:,}", va="center", fontsize=style.SMALL)
    axes.plot(MIDDLE - 0.87, foot, "s", color=style.CLASSES["non_covid"].colour, markersize=9)
    axes.text(MIDDLE - 0.72, foot, f"frozen: {total - trained:,}", va="center", fontsize=style.SMALL)
    sides = [_side(output) for output in summary["output"]]
    blocks = "1 layer" if len(summary) == 1 else f"{len(summary)} layers and blocks"
    alt = (
        f"Block diagram of {title}: {blocks} with {total:,} parameters, of which {trained:,} in the head are trained. "
        f"From top to bottom the map shrinks from {max(sides)} to {min(sides)} pixels a side."
    )
    return Drawing(figure, summary, alt)


def _units(summary: pd.DataFrame) -> list[_Unit]:
    """Return the blocks with equal neighbours joined and what follows a convolution taken into it."""
    units: list[_Unit] = []
    for row in summary.itertuples():
        unit = _Unit(row.kind, str(row.output), int(row.parameters), int(row.trainable), 1)
        last = units[-1] if units else None
        if last and last.kind == unit.kind and last.output == unit.output:
            units[-1] = _joined(last, unit, repeats=last.repeats + 1)
        elif last and last.kind == "Conv2d" and unit.kind in ABSORBED:
            units[-1] = _joined(last, unit, repeats=last.repeats)
        else:
            units.append(unit)
    return units


def _joined(one: _Unit, other: _Unit, repeats: int) -> _Unit:
    parameters, trainable = one.parameters + other.parameters, one.trainable + other.trainable
    return one._replace(parameters=parameters, trainable=trainable, repeats=repeats)


def _shape(kind: str) -> Callable[..., None]:
    """Return what draws a block of that kind."""
    shapes = {"BasicBlock": _residual, "Bottleneck": _residual, "Fire": _fire, "DenseBlock": _dense}
    shapes |= dict.fromkeys(("MaxPool2d", "AdaptiveAvgPool2d", "Transition"), _funnel)
    return shapes.get(kind, _plain)


def _height(unit: _Unit) -> float:
    """Return the height of a unit in inches."""
    each = {"BasicBlock": 0.3, "Bottleneck": 0.3, "Fire": 0.34, "DenseBlock": 0.62, "Conv2d": 0.3, "Linear": 0.3}
    return each.get(unit.kind, 0.24) * unit.repeats + 0.07 * (unit.repeats - 1)


def _slices(top: float, height: float, repeats: int, gap: float = 0.07) -> list[tuple[float, float]]:
    """Return where each of the stacked blocks begins, and how high it is."""
    each = (height - gap * (repeats - 1)) / repeats
    return [(top + k * (each + gap), each) for k in range(repeats)]


def _box(axes: Axes, left: float, top: float, width: float, height: float, colour: str) -> None:
    axes.add_patch(Rectangle((left, top), width, height, facecolor=colour))


def _plain(axes: Axes, unit: _Unit, top: float, height: float, width: float, above: float, colour: str) -> None:
    """Draw layers without inner structure."""
    for start, each in _slices(top, height, unit.repeats):
        _box(axes, MIDDLE - width / 2, start, width, each, colour)


def _funnel(axes: Axes, unit: _Unit, top: float, height: float, width: float, above: float, colour: str) -> None:
    """Draw a layer that makes the map smaller: as wide above as what it takes, as wide below as what it gives."""
    corners = [(-above / 2, top), (above / 2, top), (width / 2, top + height), (-width / 2, top + height)]
    face = {"facecolor": (colour, 0.45), "edgecolor": colour, "linewidth": 1.2}
    axes.add_patch(Polygon([(MIDDLE + across, down) for across, down in corners], **face))


def _residual(axes: Axes, unit: _Unit, top: float, height: float, width: float, above: float, colour: str) -> None:
    """Draw blocks of two or three layers, each with an arc past them."""
    layers = 3 if unit.kind == "Bottleneck" else 2
    for start, each in _slices(top, height, unit.repeats):
        for down, thick in _slices(start, each, layers, gap=0.03):
            _box(axes, MIDDLE - width / 2, down, width, thick, colour)
        _arc(axes, MIDDLE + width / 2 + 0.03, start + 0.01, start + each - 0.01)


def _fire(axes: Axes, unit: _Unit, top: float, height: float, width: float, above: float, colour: str) -> None:
    """Draw modules that squeeze to few channels and expand to two kinds of filters side by side."""
    for start, each in _slices(top, height, unit.repeats):
        _box(axes, MIDDLE - 0.2 * width, start, 0.4 * width, 0.36 * each, colour)
        for side in (-width / 2, 0.02):
            _box(axes, MIDDLE + side, start + 0.46 * each, width / 2 - 0.02, 0.54 * each, colour)


def _dense(axes: Axes, unit: _Unit, top: float, height: float, width: float, above: float, colour: str) -> None:
    """Draw blocks in which every layer is led to all later ones; an arc stands for each way past a layer."""
    for start, each in _slices(top, height, unit.repeats):
        strips = _slices(start, each, 4, gap=0.05)
        centres = [down + thick / 2 for down, thick in strips]
        for down, thick in strips:
            _box(axes, MIDDLE - width / 2, down, width, thick, colour)
        for k, begin in enumerate(centres):
            for end in centres[k + 2 :]:
                _arc(axes, MIDDLE + width / 2 + 0.03, begin, end)


def _arc(axes: Axes, left: float, begin: float, end: float) -> None:
    """Draw an arrow past what lies between two heights, further out the longer its way."""
    arrow = {"arrowstyle": "-|>", "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.1}
    ends = (left, begin), (left, end)
    axes.add_patch(FancyArrowPatch(*ends, connectionstyle="arc3,rad=-0.6", color=style.ink(), **arrow))


def _side(output: str) -> int:
    """Return the height of a map, 1 for what has none."""
    lengths = str(output).split("x")
    return int(lengths[1]) if len(lengths) > 1 else 1


def _name(unit: _Unit) -> str:
    return NAMES.get(unit.kind, unit.kind)


def _count(number: int) -> str:
    """Return a count in few characters."""
    if number >= 1e6:
        return f"{number / 1e6:.2f} M"
    return f"{number:,}" if number else "–"
