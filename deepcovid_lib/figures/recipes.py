"""The forest plot of recipes."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

COLUMNS = ["origin", "factor", "variation", "reference_auc", "auc", "difference", "low", "high", "verdict"]


def recipes(own: pd.DataFrame, recorded: pd.DataFrame) -> Drawing:
    """Draw how far each variation's area under the ROC curve lies from its reference's, with 95% intervals.

    A filled mark is this run's, a hollow one was recorded on a small part of the synthetic films; a mark without a bar
    has no interval.

    Parameters
    ----------
    own : DataFrame
        Of `variations.compared`.
    recorded : DataFrame
        Of `sweeps.recorded`.

    Returns
    -------
    Drawing
        Its data: ``origin`` (``this run`` or ``recorded``), ``factor, variation, reference_auc, auc, difference, low,
        high, verdict``.

    Examples
    --------
    >>> row = {"factor": "copies", "variation": "no augmented copies", "reference_auc": 0.8, "auc": 0.79}
    >>> row |= {"difference": -0.01, "low": -0.02, "high": 0.0, "verdict": "no difference seen"}
    >>> recipes(pd.DataFrame([row]), pd.DataFrame()).alt
    'Differences in area under the curve to the reference. This run: no augmented copies −0.010 (−0.020 to 0.000).'
    """
    parts = [frame.assign(origin=origin) for frame, origin in ((own, "this run"), (recorded, "recorded")) if len(frame)]
    data = pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)
    figure = Figure(figsize=(style.WIDTH, 0.42 * max(1, len(data)) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=style.ink(), linewidth=1.2, zorder=0)
    for place, row in enumerate(data.itertuples()):
        colour = style.MODELS["resnet18"].colour if row.origin == "this run" else style.muted()
        axes.plot([row.low, row.high], [place] * 2, color=colour, linewidth=2)
        face = colour if row.origin == "this run" else "none"
        axes.plot(row.difference, place, "o", color=colour, markerfacecolor=face, markeredgewidth=1.6, markersize=7)
    axes.set_yticks(range(len(data)), [textwrap.fill(name, 24) for name in data["variation"]])
    axes.tick_params(axis="y", length=0, colors=style.ink())
    axes.set(ylim=(max(1, len(data)) - 0.5, -0.5), xlabel="AUC less the reference's")
    axes.xaxis.set(major_locator=MaxNLocator(5, steps=[1, 2, 5, 10]), major_formatter=FuncFormatter(_tick))
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    marks = [
        Line2D([], [], linestyle="", marker="o", ms=7, mew=1.6, color=colour, mfc=face, label=origin)
        for origin, colour, face in (
            ("this run", style.MODELS["resnet18"].colour, style.MODELS["resnet18"].colour),
            ("recorded", style.muted(), "none"),
        )
        if origin in set(data["origin"])
    ]
    if len(marks) > 1:
        figure.legend(handles=marks, loc="outside lower center", ncols=2)
    return Drawing(figure, data, _told(data))


def _told(data: pd.DataFrame) -> str:
    sentences = []
    for origin, rows in data.groupby("origin", sort=False):
        parts = []
        for row in rows.itertuples():
            interval = f"{_signed(row.low, 3)} to {_signed(row.high, 3)}" if row.low == row.low else "no interval"
            parts.append(f"{row.variation} {_signed(row.difference, 3)} ({interval})")
        sentences.append(f"{origin.capitalize()}: {'; '.join(parts)}.")
    return " ".join(["Differences in area under the curve to the reference.", *sentences])


def _signed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")


def _tick(value: float, _position: int) -> str:
    return f"{value:+.2g}".replace("-", "−") if value else "0"
