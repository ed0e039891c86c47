"""Block diagrams of the networks, drawn from what an image meets on its way (paper, Figs. 3 to 5)."""

from __future__ import annotations

import re

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from deepcovid_lib.style import GROUPS, MODELS, WIDTH, Drawing

COLOURS = (("Basic", "resnet18"), ("Bottleneck", "resnet18"), ("Fire", "squeezenet"), ("Dense", "densenet121"))


def architecture(summary: pd.DataFrame, title: str) -> Drawing:
    """Draw a network from top to bottom, a bar per block: as wide as its map, named with its output and its size.

    Parameters
    ----------
    summary : DataFrame
        Of `backbones.summary`: ``name, kind, output, parameters, trainable``.
    title : str
    """
    figure = Figure(figsize=(WIDTH, 0.36 * len(summary) + 1.0), layout="constrained")
    axes = figure.subplots()
    ink, muted = mpl.rcParams["text.color"], mpl.rcParams["xtick.color"]
    sides = [_side(output) for output in summary["output"]]
    for number, (row, side) in enumerate(zip(summary.itertuples(), sides, strict=True)):
        width = 0.6 + 2.6 * (side / max(sides)) ** 0.5
        colour = GROUPS["covid"].colour if row.trainable else _colour(row.kind, muted)
        axes.add_patch(
            FancyBboxPatch(
                (-width / 2, -number - 0.3),
                width,
                0.6,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=colour,
                alpha=0.85 if row.trainable else 0.55,
                linewidth=0,
            )
        )
        axes.text(-1.75, -number, f"{row.name}", ha="right", va="center", color=ink)
        axes.text(1.75, -number, f"{row.output}", ha="left", va="center", color=ink)
        axes.text(4.6, -number, f"{row.parameters:,}" if row.parameters else "–", ha="right", va="center", color=ink)
        if row.kind in ("BasicBlock", "Bottleneck"):
            axes.annotate(
                "",
                (-width / 2, -number - 0.25),
                (-width / 2, -number + 0.25),
                arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=0.6", "color": ink, "linewidth": 0.9},
            )
    for place, words, side in (
        (-1.75, "block", "right"),
        (0, "map", "center"),
        (1.75, "output", "left"),
        (4.6, "parameters", "right"),
    ):
        axes.text(place, 0.8, words, ha=side, va="center", color=muted, fontsize="small")
    axes.set(xlim=(-4.4, 4.7), ylim=(-len(summary) + 0.4, 1.2), title=title)
    axes.set_axis_off()
    axes.set_title(title, loc="left")
    total, trained = int(summary["parameters"].sum()), int(summary["trainable"].sum())
    alt = (
        f"{title}: {len(summary)} blocks, {total:,} parameters, of which {trained:,} in the head are trained. "
        f"The map shrinks from {max(sides)} to {min(sides)} pixels a side."
    )
    return Drawing(figure, summary.assign(output=summary["output"].astype(str)), alt)


def _side(output: object) -> int:
    numbers = [int(number) for number in re.findall(r"\d+", str(output))]
    return numbers[-1] if len(numbers) > 1 else 1


def _colour(kind: str, other: str) -> str:
    return next((MODELS[model].colour for words, model in COLOURS if words in kind), other)
