"""Charts of what can be told without the lungs: the ladder, and the power of its two plainest rungs."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

PLAIN = "#5f7d99"
ROW = 0.33
BAND = {"linewidth": 9, "solid_capstyle": "butt", "zorder": 1}
WORLDS = {"no sign": ("#2b93a8", "s", "-"), "a sign": ("#d55e00", "o", (0, (5, 1.2)))}


def ladder(table: pd.DataFrame) -> Drawing:
    """Draw the area under the curve of every rung, the models on top, the best rung next.

    A mark with its line is the area on the run's test films with its 95% interval; the band behind it spans ten other
    patient-disjoint splits. Rungs that could not be measured are left out.

    Parameters
    ----------
    table : DataFrame
        Of `ladders.ladder`.

    Returns
    -------
    Drawing
        Its data: ``rung, kind, auc, low, high, auc_lowest, auc_highest``, from top to bottom.

    Examples
    --------
    >>> row = {"rung": "8x8 grey", "kind": "grey", "auc": 0.7, "low": 0.6, "high": 0.8}
    >>> ladder(pd.DataFrame([row | {"auc_lowest": 0.65, "auc_highest": 0.75}])).alt
    'Areas under the curve by what is seen. 8x8 grey 0.70 (0.60 to 0.80). Chance is 0.5.'
    """
    columns = ["rung", "kind", "auc", "low", "high", "auc_lowest", "auc_highest"]
    data = table.loc[table["auc"].notna(), columns]
    data = data.assign(below=data["kind"] != "model").sort_values(["below", "auc"], ascending=[True, False])
    models, data = int((data["kind"] == "model").sum()), data.drop(columns="below").reset_index(drop=True)
    figure = Figure(figsize=(style.WIDTH, ROW * max(3, len(data)) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.5, color=style.ink(), linewidth=1.2, linestyle=(0, (4, 2)), zorder=0)
    for row in data.itertuples():
        look = style.MODELS.get(row.rung, style.Look(row.rung, PLAIN, "o", "-"))
        if row.auc_lowest < row.auc_highest:
            axes.plot([row.auc_lowest, row.auc_highest], [row.Index] * 2, color=style.rule(), **BAND)
        axes.plot([row.low, row.high], [row.Index] * 2, color=look.colour, linewidth=2, zorder=2)
        face = "none" if row.kind == "null" else look.colour
        axes.plot(row.auc, row.Index, look.marker, color=look.colour, markerfacecolor=face, markersize=6, zorder=3)
    axes.set_yticks(range(len(data)), [_label(name) for name in data["rung"]])
    axes.set(ylim=(max(1, len(data)) - 0.4, -0.6), xlabel="area under the ROC curve (dashed: chance)")
    if 0 < models < len(data):
        axes.axhline(models - 0.5, color=style.muted(), linewidth=0.9)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, colors=style.ink())
    if data.empty:
        axes.text(0.5, 0.5, "no rung could be measured", transform=axes.transAxes, ha="center")
    marks = [
        Line2D([], [], color=PLAIN, marker="o", label="test films, 95% interval"),
        Line2D([], [], color=style.rule(), **BAND, label="range over ten splits"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handlelength=1.8, columnspacing=1.4)
    told = "; ".join(
        f"{_label(row.rung)} {style.decimal(row.auc, 2)} ({style.between(row.low, row.high, 2)})"
        for row in data.itertuples()
    )
    alt = f"Areas under the curve by what is seen. {told}. Chance is 0.5." if told else "No rung could be measured."
    return Drawing(figure, data, alt)


def power(table: pd.DataFrame) -> Drawing:
    """Draw how often each rung speaks as the planted mark grows, with and without a true sign.

    Parameters
    ----------
    table : DataFrame
        Of `controls.power`: ``rung, sign, strength, share, low, high``.

    Returns
    -------
    Drawing
        Its data: the same columns.

    Examples
    --------
    >>> row = {"rung": "border alone", "sign": "no sign", "strength": 1.0, "share": 0.9, "low": 0.7, "high": 0.97}
    >>> power(pd.DataFrame([row])).alt
    'Share of data sets in which a rung speaks, by strength of the mark. border alone, no sign: 90% at 1.'
    """
    data = table[["rung", "sign", "strength", "share", "low", "high"]].dropna().reset_index(drop=True)
    names = list(dict.fromkeys(table["rung"]))
    figure = Figure(figsize=(style.WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
    told = []
    for axes, name in zip(panels, names, strict=False):
        axes.axhline(0.025, color=style.muted(), linewidth=1, linestyle=(0, (1, 2)))
        for shift, (sign, (colour, marker, dash)) in enumerate(WORLDS.items()):
            own = data[(data["rung"] == name) & (data["sign"] == sign)]
            place = own["strength"] + 0.02 * (2 * shift - 1)
            axes.plot(place, own["share"], color=colour, marker=marker, linestyle=dash, markersize=6)
            axes.vlines(place, own["low"], own["high"], color=colour, linewidth=1.6)
            if len(own):
                steps = ", ".join(f"{style.percent(row.share, 0)} at {row.strength:g}" for row in own.itertuples())
                told.append(f"{name}, {sign}: {steps}")
        axes.set(title=name, xlabel="strength of the mark", ylim=(-0.03, 1.03), xlim=(-0.06, 1.06))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xticks([0, 0.5, 1])
        axes.grid(axis="y")
    panels[0].set_ylabel("data sets in which it speaks")
    marks = [
        Line2D([], [], color=colour, marker=marker, linestyle=dash, label=f"films with {sign}")
        for sign, (colour, marker, dash) in WORLDS.items()
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handlelength=2.4)
    start = "Share of data sets in which a rung speaks, by strength of the mark."
    told = told or [f"nothing could be decided for {len(names)} rungs"]
    return Drawing(figure, data, f"{start} {'; '.join(told)}.")


def _label(name: str) -> str:
    return style.MODELS[name].label if name in style.MODELS else name
