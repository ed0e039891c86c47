"""Charts of how many: images of each class, what the selection left, how training went."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, PercentFormatter, StrMethodFormatter

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

FUNNEL_SPAN_OF_LOGARITHMS = 20
BAR = 0.36


def class_counts(table: pd.DataFrame) -> Drawing:
    """Draw how many images each class has in training and test, on one linear scale.

    Parameters
    ----------
    table : DataFrame
        Of `tables.dataset`: ``split, class, run``.

    Returns
    -------
    Drawing
        Its data: ``split, class, images``.

    References
    ----------
    Paper, Table I.

    Examples
    --------
    >>> table = pd.DataFrame({"split": ["test"] * 2, "class": ["COVID-19", "Non-COVID"], "run": [40, 3000]})
    >>> class_counts(table).alt
    'Bars of the images in each class. Test: 40 COVID-19, 3,000 Non-COVID.'
    """
    data = table[["split", "class", "run"]].rename(columns={"run": "images"}).reset_index(drop=True)
    gaps = data["split"].ne(data["split"].shift()).cumsum() - 1
    places = np.arange(len(data)) + 0.75 * gaps.to_numpy()
    figure = Figure(figsize=(style.WIDTH, BAR * (places[-1] + 1) + 0.7), layout="constrained")
    axes = figure.subplots()
    colours = [style.CLASSES["covid" if name.startswith("COVID") else "non_covid"].colour for name in data["class"]]
    bars = axes.barh(places, data["images"], height=0.7, color=colours)
    axes.bar_label(bars, [f"{count:,}" for count in data["images"]], padding=4)
    axes.set_yticks(places, [name.replace(" after augmentation", ",\naugmented") for name in data["class"]])
    names = {"train": "Training", "test": "Test"}
    for split, part in data.groupby("split", sort=False):
        place = (0, places[part.index[0]] - 0.5)
        axes.annotate(
            names[split], place, (3, 0), textcoords="offset points", va="bottom", weight="bold", fontsize=style.SMALL
        )
    axes.set(xlim=(0, 1.14 * max(1, data["images"].max())), ylim=(places[-1] + 0.5, -1.1), xlabel="images")
    axes.xaxis.set(major_locator=MaxNLocator(4, integer=True), major_formatter=StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(axis="y", length=0, colors=style.ink())
    parts = [
        f"{names[split]}: " + ", ".join(f"{row.images:,} {row[2]}" for row in part.itertuples())
        for split, part in data.groupby("split", sort=False)
    ]
    return Drawing(figure, data, f"Bars of the images in each class. {'. '.join(parts)}.")


def funnel(frame: pd.DataFrame) -> Drawing:
    """Draw what every rule of the selection left, one panel per source, each rule above its bar.

    A source whose counts span a factor of 20 or more stands on a logarithmic scale, and its axis says so.

    Parameters
    ----------
    frame : DataFrame
        ``source, step, rule, rows, patients``, as `sources.Candidates` has it.

    Returns
    -------
    Drawing
        Its data is `frame`.

    Examples
    --------
    >>> rules = {"source": "cohen", "step": [1, 2], "rule": ["all", "view is PA"], "rows": [149, 71]}
    >>> funnel(pd.DataFrame(rules | {"patients": [70, 49]})).alt
    'Bars of the images left after every rule. cohen, all: 149, view is PA: 71.'
    """
    parts = [(source, part.reset_index(drop=True)) for source, part in frame.groupby("source", sort=False)]
    inches = [0.52 * len(part) + 0.6 for _, part in parts]
    figure = Figure(figsize=(style.WIDTH, sum(inches)), layout="constrained")
    panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=inches)[:, 0]
    for axes, (source, part) in zip(panels, parts, strict=True):
        counts, largest = part["rows"].to_numpy(), max(1, part["rows"].max())
        logarithmic = largest >= FUNNEL_SPAN_OF_LOGARITHMS * max(1, part["rows"].min())
        start = 1 if logarithmic else 0
        places = np.arange(len(part))
        axes.barh(
            places, np.maximum(counts - start, 0), left=start, height=0.34, color=style.CLASSES["non_covid"].colour
        )
        for place, row in zip(places, part.itertuples(), strict=True):
            images = f"{row.rows:,} image{'' if row.rows == 1 else 's'}"
            patients = f" · {row.patients:,} patient{'' if row.patients == 1 else 's'}" if row.patients else ""
            rule = textwrap.shorten(str(row.rule), 44, placeholder=" …")
            options = {"textcoords": "offset points", "va": "bottom", "annotation_clip": False}
            axes.annotate(rule, (start, place - 0.2), (2, 2), fontsize=style.SMALL, **options)
            corner = axes.get_yaxis_transform()
            axes.annotate(
                images + patients,
                (1, place - 0.2),
                (0, 2),
                xycoords=corner,
                ha="right",
                fontsize=style.SMALL,
                **options,
            )
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set(major_locator=LogLocator(numticks=6), minor_locator=NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set(major_formatter=StrMethodFormatter("{x:,.0f}"), minor_formatter=NullFormatter())
        axes.set(xlim=(start, 1.02 * largest), ylim=(len(part) - 0.65, -0.8), yticks=[])
        axes.set_xlabel("images, logarithmic" if logarithmic else "images", fontsize=style.SMALL)
        axes.set_title(source, weight="bold")
    told = [
        f"{source}, " + ", ".join(f"{row.rule}: {row.rows:,}" for row in part.itertuples()) for source, part in parts
    ]
    return Drawing(figure, frame, f"Bars of the images left after every rule. {'; '.join(told)}.")


def training(histories: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw loss and accuracy on the training images, epoch by epoch.

    Parameters
    ----------
    histories : mapping of str to DataFrame
        By backbone: ``epoch, loss`` (mean of Eq. 1) and ``accuracy`` (0 to 1), at least one epoch.

    Returns
    -------
    Drawing
        Its data: ``model, epoch, loss, accuracy``.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [0.6, 0.5], "accuracy": [0.75, 0.8]})
    >>> training({"resnet18": history}).alt.split(". ", 1)[1]
    'ResNet18: loss 0.600 to 0.500, accuracy 75.0% to 80.0%, epochs 1 to 2.'
    """
    data = pd.concat([history.assign(model=name) for name, history in histories.items()], ignore_index=True)
    data = data[["model", "epoch", "loss", "accuracy"]]
    figure = Figure(figsize=(style.WIDTH, 3.2 + 0.25 * (len(histories) > 1)), layout="constrained")
    panels = figure.subplots(1, 2)
    for name, history in histories.items():
        look = style.model(name)
        few = {"marker": look.marker, "markersize": 5} if len(history) <= 12 else {}
        for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
            axes.plot(history["epoch"], history[quantity], color=look.colour, ls=look.dash, label=look.label, **few)
    panels[0].set(title="Loss", ylim=(0, 1.08 * data["loss"].max()))
    panels[1].set(title="Accuracy")
    panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=_decimals(data["accuracy"])))
    for axes in panels:
        axes.set(xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y")
    if len(histories) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, handlelength=2.8)
    told = []
    for name, history in histories.items():
        first, last = history.iloc[0], history.iloc[-1]
        accuracy = " to ".join(style.percent(epoch["accuracy"]) for epoch in (first, last))
        told.append(
            f"{style.model(name).label}: loss {first['loss']:.3f} to {last['loss']:.3f}, accuracy {accuracy}, "
            f"epochs {first['epoch']:.0f} to {last['epoch']:.0f}"
        )
    return Drawing(figure, data, f"Lines of loss and accuracy over the epochs. {'; '.join(told)}.")


def _decimals(shares: pd.Series) -> int:
    """Return how many decimals tell percentages of this range apart."""
    return 0 if shares.max() - shares.min() > 0.03 else 1
