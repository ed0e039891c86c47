"""Pictures of speed: images per second by engine, and where a run's time goes."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

COLOURS = tuple(style.MODELS[name].colour for name in ("resnet18", "densenet121", "squeezenet", "resnet50"))


def engines(rates: pd.DataFrame) -> Drawing:
    """Draw how many images per second each engine carries through each backbone.

    Parameters
    ----------
    rates : DataFrame
        Of `speeds.rates`: ``model, engine, images per second``.

    Examples
    --------
    >>> rows = [{"model": "resnet18", "engine": "PyTorch", "images per second": 26.0}]
    >>> engines(pd.DataFrame(rows)).alt
    'Images per second. ResNet18: PyTorch 26.'
    """
    names, kinds = list(dict.fromkeys(rates["model"])), list(dict.fromkeys(rates["engine"]))
    figure = Figure(figsize=(style.WIDTH, 0.32 * len(rates) + 2.2), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(kinds)
    for place, kind in enumerate(kinds):
        rows = rates[rates["engine"] == kind].set_index("model")["images per second"].reindex(names)
        spots = [number + (place - (len(kinds) - 1) / 2) * height for number in range(len(names))]
        bars = axes.barh(spots, rows, height * 0.9, color=COLOURS[place % len(COLOURS)], label=kind)
        axes.bar_label(bars, fmt="{:.0f}", padding=3, color=style.ink())
    axes.set_yticks(range(len(names)), [style.model(name).label for name in names])
    axes.tick_params(axis="y", length=0, colors=style.ink())
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="images per second")
    axes.set_xlim(0, rates["images per second"].max() * 1.12)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower left")
    told = [
        f"{style.model(name).label}: "
        + ", ".join(
            f"{row.engine} {row[-1]:.0f}" for row in rows[["engine", "images per second"]].itertuples(index=False)
        )
        for name, rows in rates.groupby("model", sort=False)
    ]
    return Drawing(figure, rates, f"Images per second. {'; '.join(told)}.")


def stages(seconds: pd.DataFrame) -> Drawing:
    """Draw which part of a run's time each stage takes.

    Parameters
    ----------
    seconds : DataFrame
        Of `speeds.stages`: ``stage, seconds``.

    Examples
    --------
    >>> stages(pd.DataFrame({"stage": ["heads", "pages"], "seconds": [30.0, 10.0]})).alt
    'Share of the time: heads 75%, pages 25%.'
    """
    data = seconds.assign(share=seconds["seconds"] / seconds["seconds"].sum())
    figure = Figure(figsize=(style.WIDTH, 0.42 * len(data) + 1.0), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(data["stage"], 100 * data["share"], 0.65, color=COLOURS[0])
    told = [f"{row.share:.0%}  ({row.seconds:.0f} s)" for row in data.itertuples()]
    axes.bar_label(bars, told, padding=4, color=style.ink())
    axes.tick_params(axis="y", length=0, colors=style.ink())
    axes.set(ylim=(len(data) - 0.5, -0.5), xlim=(0, 130 * data["share"].max()), xlabel="share of the stages' time, %")
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    shares = ", ".join(f"{row.stage} {row.share:.0%}" for row in data.itertuples())
    return Drawing(figure, data, f"Share of the time: {shares}.")
