"""Pictures of speed: images per second by engine."""

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
    figure = Figure(figsize=(style.WIDTH, 0.32 * len(rates) + 1.6), layout="constrained")
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
    figure.legend(loc="outside lower center", ncols=2)
    told = [
        f"{style.model(name).label}: "
        + ", ".join(
            f"{row.engine} {row[-1]:.0f}" for row in rows[["engine", "images per second"]].itertuples(index=False)
        )
        for name, rows in rates.groupby("model", sort=False)
    ]
    return Drawing(figure, rates, f"Images per second. {'; '.join(told)}.")
