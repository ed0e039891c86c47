"""Charts of what would change: other seeds, other patients, thresholds that were not chosen on the test images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

VARIED = {
    "seed": ("other seeds", "o", -0.24),
    "copies": ("no augmentation", "X", 0.0),
    "patients": ("no augmentation, other patients", "^", 0.24),
}
SPREAD = (0.05, 0.25, 0.5, 0.75, 0.95)


def repeats(repeated: pd.DataFrame) -> Drawing:
    """Draw each model's area and specificity when it is trained again.

    Parameters
    ----------
    repeated : DataFrame
        Of `repeats.repeat`, for any number of models.

    Returns
    -------
    Drawing
        Its data: ``model, varied, number, auc, specificity``.

    References
    ----------
    Paper, Table VI and Fig. 10.

    Examples
    --------
    >>> rows = [("resnet18", "run", 1, 0.9, 0.5), ("resnet18", "seed", 1, 0.9, 0.4), ("resnet18", "seed", 2, 0.8, 0.6)]
    >>> columns = ["model", "varied", "number", "auc", "specificity"]
    >>> repeats(pd.DataFrame(rows, columns=columns)).alt
    'Trained again. ResNet18, other seeds: AUC 0.800 to 0.900, specificity 40.0% to 60.0%.'
    """
    data = repeated[["model", "varied", "number", "auc", "specificity"]]
    models = list(dict.fromkeys(data["model"]))
    figure, panels = _panels(
        models, {"auc": "area under the curve", "specificity": "specificity at 97.5%\nsensitivity"}
    )
    told = []
    for place, model in enumerate(models):
        colour = style.model(model).colour
        own = data[data["model"] == model]
        for name, axes in panels.items():
            for value in own.loc[own["varied"] == "run", name]:
                axes.plot([value] * 2, [place - 0.36, place + 0.36], color=style.ink(), linewidth=1.4, zorder=1)
            for varied, (_, marker, shift) in VARIED.items():
                values = own.loc[own["varied"] == varied, name]
                axes.plot(values, [place + shift] * len(values), marker, color=colour, markersize=7, alpha=0.75)
        for varied, (words, _, _) in VARIED.items():
            again = own[own["varied"] == varied]
            if len(again):
                area, rate = (f"{{:{form}}} to {{:{form}}}" for form in (".3f", ".1%"))
                area = area.format(again["auc"].min(), again["auc"].max())
                rate = rate.format(again["specificity"].min(), again["specificity"].max())
                told.append(f"{style.model(model).label}, {words}: AUC {area}, specificity {rate}")
    panels["specificity"].xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    marks = [Line2D([], [], color=style.ink(), marker="|", markersize=14, markeredgewidth=1.4, ls="", label="this run")]
    for words, marker, _ in VARIED.values():
        marks.append(Line2D([], [], color=style.ink(), marker=marker, markersize=7, linestyle="", label=words))
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handlelength=1.2, columnspacing=1.4)
    return Drawing(figure, data, f"Trained again. {'; '.join(told)}." if told else "No model was trained again.")


def promises(table: pd.DataFrame) -> Drawing:
    """Draw what a threshold from training patients promised and what it kept on the test images.

    Parameters
    ----------
    table : DataFrame
        Of `thresholds.promises` at one target, with ``model``.

    Returns
    -------
    Drawing
        Its data: ``model, rate`` (sensitivity, specificity), ``promised, kept, chosen``: on the training patients left
        out, on the test images, and where the threshold is chosen on the test images themselves.

    Examples
    --------
    >>> row = {"model": "resnet18", "promised_sensitivity": 1.0, "promised_specificity": 0.5, "sensitivity": 0.9,
    ...        "specificity": 0.6, "chosen_sensitivity": 0.98, "chosen_specificity": 0.7}
    >>> promises(pd.DataFrame([row])).alt
    'Promised and kept. ResNet18: sensitivity 100.0% and 90.0%, specificity 50.0% and 60.0%.'
    """
    parts = [
        table[["model", f"promised_{rate}", rate, f"chosen_{rate}"]]
        .set_axis(["model", "promised", "kept", "chosen"], axis=1)
        .assign(rate=rate)
        for rate in ("sensitivity", "specificity")
    ]
    data = pd.concat(parts, ignore_index=True)[["model", "rate", "promised", "kept", "chosen"]]
    models = list(dict.fromkeys(data["model"]))
    figure, panels = _panels(models, {"sensitivity": "sensitivity", "specificity": "specificity"})
    for row in data.itertuples():
        axes, place, colour = panels[row.rate], models.index(row.model), style.model(row.model).colour
        axes.plot([row.chosen] * 2, [place - 0.3, place + 0.3], color=style.ink(), linewidth=1.4, zorder=1)
        axes.plot([row.promised, row.kept], [place] * 2, color=colour, linewidth=2)
        axes.plot(row.kept, place, "o", color=colour, markersize=8)
        hollow = {"markerfacecolor": "none", "markeredgewidth": 1.8, "markersize": 11}
        axes.plot(row.promised, place, "o", color=colour, **hollow)
    for axes in panels.values():
        low, high = axes.get_xlim()
        margin = 0.08 * (high - low)
        axes.set_xlim(max(low - margin, -margin), min(high + margin, 1 + margin))
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= 1 and low - margin <= tick])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ink = style.ink()
    marks = [
        Line2D([], [], color=ink, marker="o", markersize=11, mfc="none", mew=1.8, ls="", label="promised in training"),
        Line2D([], [], color=ink, marker="o", markersize=8, ls="", label="kept in test"),
        Line2D([], [], color=ink, marker="|", markersize=14, mew=1.4, ls="", label="chosen in test"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, handlelength=1.2, columnspacing=1.4)
    told = []
    for model in models:
        own = data[(data["model"] == model) & data["kept"].notna()]
        rates = [f"{row.rate} {style.percent(row.promised)} and {style.percent(row.kept)}" for row in own.itertuples()]
        told.append(f"{style.model(model).label}: {', '.join(rates) if rates else 'cannot be decided'}")
    return Drawing(figure, data, f"Promised and kept. {'; '.join(told)}." if told else "No threshold was tried.")


def halves(halved: pd.DataFrame) -> Drawing:
    """Draw what a threshold chosen on half of the test patients shows there, and on the other half.

    Parameters
    ----------
    halved : DataFrame
        Of `thresholds.halves`, with ``model``.

    Returns
    -------
    Drawing
        Its data: ``model, rate, where`` (``chosen half``, ``other half``) and the quantiles ``q05`` to ``q95``.

    Examples
    --------
    >>> frame = pd.DataFrame({"model": "resnet18", "promised_sensitivity": [1.0], "promised_specificity": 0.5,
    ...                       "sensitivity": 0.9, "specificity": 0.6})
    >>> halves(frame).alt
    'Medians where chosen, and on the other half. ResNet18: sensitivity 100.0% and 90.0%, specificity 50.0% and 60.0%.'
    """
    models = list(dict.fromkeys(halved["model"]))
    figure, panels = _panels(models, {"sensitivity": "sensitivity", "specificity": "specificity"})
    rows, told = [], []
    for place, model in enumerate(models):
        own, words = halved[halved["model"] == model], []
        for rate, axes in panels.items():
            medians = []
            for where, name, shift in (("chosen half", f"promised_{rate}", -0.17), ("other half", rate, 0.17)):
                low, lower, median, upper, high = found = own[name].quantile(SPREAD).to_numpy()
                rows.append((model, rate, where, *found))
                colour = style.model(model).colour if where == "other half" else style.muted()
                axes.plot([low, high], [place + shift] * 2, color=colour, linewidth=1.6)
                axes.plot([lower, upper], [place + shift] * 2, color=colour, linewidth=5, solid_capstyle="butt")
                mark = {"markerfacecolor": "none" if where == "chosen half" else colour, "markeredgewidth": 1.6}
                axes.plot(median, place + shift, "o", color=colour, markersize=8, **mark)
                medians.append(style.percent(median))
            words.append(f"{rate} {' and '.join(medians)}")
        told.append(f"{style.model(model).label}: {', '.join(words)}")
    for axes in panels.values():
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    marks = [
        Line2D(
            [], [], color=style.muted(), marker="o", markersize=8, mfc="none", mew=1.6, label="half it was chosen on"
        ),
        Line2D([], [], color=style.ink(), marker="o", markersize=8, label="other half"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, handlelength=2)
    columns = ["model", "rate", "where", *(f"q{round(100 * share):02d}" for share in SPREAD)]
    alt = f"Medians where chosen, and on the other half. {'; '.join(told)}." if told else "No threshold was tried."
    return Drawing(figure, pd.DataFrame(rows, columns=columns), alt)


def _panels(models: list[str], titles: dict[str, str]) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one row per model and one panel per quantity."""
    figure = Figure(figsize=(style.WIDTH, 0.72 * max(1, len(models)) + 1.5), layout="constrained")
    panels = dict(zip(titles, np.atleast_1d(figure.subplots(1, len(titles), sharey=True)), strict=True))
    for name, axes in panels.items():
        axes.set_title(titles[name])
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.tick_params(axis="y", length=0, colors=style.ink())
        if not models:
            axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center")
    first = next(iter(panels.values()))
    first.set_yticks(range(len(models)), [style.model(name).label for name in models])
    first.set_ylim(max(1, len(models)) - 0.5, -0.5)
    return figure, panels
