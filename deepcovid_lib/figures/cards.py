"""The chart of how well the models do in each group of films."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

COLUMNS = ["model", "characteristic", "level", "covid_patients", "other_patients", "auc", "auc_low", "auc_high", "note"]
SPREAD = 0.62


def by_group(table: pd.DataFrame) -> Drawing:
    """Draw the area under the ROC curve of each model in each group of test films, with its 95% interval.

    A group without enough patients keeps its line, which then says so.

    Parameters
    ----------
    table : DataFrame
        Of `cards.by_group`.

    Returns
    -------
    Drawing
        Its data: ``model, characteristic, level, covid_patients, other_patients, auc, auc_low, auc_high, note``.

    Examples
    --------
    >>> row = {"model": "resnet18", "characteristic": "sex", "level": "women", "covid_patients": 14, "note": ""}
    >>> row |= {"other_patients": 80, "auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}
    >>> by_group(pd.DataFrame([row])).alt
    'Area under the ROC curve by group. sex, women: 0.800. Too few patients: none.'
    """
    data = table[COLUMNS].reset_index(drop=True)
    models = list(dict.fromkeys(data["model"]))
    lines = list(dict.fromkeys(zip(data["characteristic"], data["level"], strict=True)))
    starts = [place for place, line in enumerate(lines) if place and line[0] != lines[place - 1][0]]
    figure = Figure(figsize=(style.WIDTH, 0.52 * max(1, len(lines)) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.5, color=style.muted(), linewidth=1, linestyle=(0, (4, 2)), zorder=0)
    for start in starts:
        axes.axhline(start - 0.5, color=style.rule(), linewidth=0.9, zorder=0)
    for row in data.dropna(subset="auc").itertuples():
        look = style.model(row.model)
        shift = SPREAD * ((models.index(row.model) + 0.5) / len(models) - 0.5)
        place = lines.index((row.characteristic, row.level)) + shift
        axes.plot([row.auc_low, row.auc_high], [place] * 2, color=look.colour, linewidth=2)
        axes.plot(row.auc, place, look.marker, color=look.colour, markersize=5.5)
    low = min([0.45, *data["auc_low"].dropna(), *data["auc"].dropna()])
    axes.set(xlim=(low - 0.02, 1.02), ylim=(max(1, len(lines)) - 0.5, -0.5), xlabel="area under the ROC curve")
    few = [line for line in lines if data.loc[_of(data, line), "auc"].isna().all()]
    for line in few:
        axes.text(0.52, lines.index(line), "too few patients", va="center", color=style.muted(), fontsize=style.SMALL)
    axes.set_yticks(range(len(lines)), [f"{characteristic}: {level}" for characteristic, level in lines])
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(axis="y", length=0, colors=style.ink())
    axes.grid(axis="x")
    looks = [style.model(model) for model in models]
    marks = [Line2D([], [], color=look.colour, marker=look.marker, label=look.label) for look in looks]
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), handlelength=1.6, columnspacing=1.2)
    return Drawing(figure, data, _told(data, lines, few))


def _of(data: pd.DataFrame, line: tuple[str, str]) -> pd.Series:
    return (data["characteristic"] == line[0]) & (data["level"] == line[1])


def _told(data: pd.DataFrame, lines: list[tuple[str, str]], few: list[tuple[str, str]]) -> str:
    told = []
    for line in lines:
        if line not in few:
            areas = data.loc[_of(data, line), "auc"].dropna()
            ends = " to ".join(dict.fromkeys((style.decimal(areas.min()), style.decimal(areas.max()))))
            told.append(f"{line[0]}, {line[1]}: {ends}")
    lost = "; ".join(f"{characteristic}, {level}" for characteristic, level in few) or "none"
    areas = f" {'; '.join(told)}." if told else ""
    return f"Area under the ROC curve by group.{areas} Too few patients: {lost}."
