"""The chart of what separates this run from the paper."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepcovid_lib import style
from deepcovid_lib.style import Drawing
from deepcovid_lib.tables import AGREES, DIFFERS, NO_TEST

SEPARATION = 0.17


def paper_versus_run(table: pd.DataFrame) -> Drawing:
    """Draw how far this run's specificities and areas lie from the printed ones, each with its 95% interval.

    Only what a run could have met or missed is drawn: the specificities of Tables II to V (Table VI repeats one of
    each) and the areas of the released figure. A filled mark was tested, a hollow one was not.

    Parameters
    ----------
    table : DataFrame
        Of `verdicts.paper_versus_run`.

    Returns
    -------
    Drawing
        Its data: ``id, model, quantity``; ``difference, low, high``, run minus paper, as fractions; ``verdict``.

    References
    ----------
    Paper, Tables II to V.

    Examples
    --------
    >>> row = {"id": "table-2/0.04/specificity", "model": "resnet18", "quantity": "specificity at 100% sensitivity"}
    >>> row |= {"paper": 0.816, "run": 0.8, "low": 0.78, "high": 0.82, "difference": -0.016, "verdict": "agrees"}
    >>> paper_versus_run(pd.DataFrame([row])).alt
    'This run minus the paper. ResNet18 −1.6 points. Agreeing: 1 of 1; differing: 0.'
    """
    drawn = table["id"].str.fullmatch(r"table-[2-5]/.+/specificity|released-figure/.+") & table["difference"].notna()
    data = table[drawn].reset_index(drop=True)
    data = data.assign(low=data["low"] - data["paper"], high=data["high"] - data["paper"])
    data = data[["id", "model", "quantity", "difference", "low", "high", "verdict"]]
    quantities = sorted(data["quantity"].unique(), key=_order)
    models = list(dict.fromkeys(data["model"]))
    tested = bool((data["verdict"] != NO_TEST).any())
    figure = Figure(figsize=(style.WIDTH, 0.62 * max(1, len(quantities)) + 1.9), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=style.ink(), linewidth=1.2, zorder=0)
    for row in data.itertuples():
        look = style.model(row.model)
        place = quantities.index(row.quantity) + SEPARATION * (models.index(row.model) - (len(models) - 1) / 2)
        axes.plot([row.low, row.high], [place] * 2, color=look.colour, linewidth=2)
        face = "none" if row.verdict == NO_TEST else look.colour
        axes.plot(row.difference, place, look.marker, color=look.colour, markerfacecolor=face, markersize=6)
    axes.set_yticks(
        range(len(quantities)), [name.replace(" at ", "\nat ").replace(" the ", "\nthe ") for name in quantities]
    )
    axes.set(ylim=(max(1, len(quantities)) - 0.5, -0.5), xlabel="this run minus the paper, in percentage points")
    axes.set_title("" if tested else "Not a test of the paper:\nother images, weights or settings", weight="bold")
    axes.xaxis.set(major_locator=MaxNLocator(6), major_formatter=FuncFormatter(lambda value, _: _points(value)))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, colors=style.ink())
    if data.empty:
        axes.text(0.5, 0.5, "this run has none of the printed shares", transform=axes.transAxes, ha="center")
    marks = [
        Line2D([], [], color=style.model(name).colour, marker=style.model(name).marker, label=style.model(name).label)
        for name in models
    ]
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), handlelength=1.6, columnspacing=1.2)
    return Drawing(figure, data, _told(data, models, tested))


def _order(quantity: str) -> float:
    """Specificities from the highest sensitivity down, then the area."""
    share = quantity.partition(" at ")[2].partition("%")[0]
    return -float(share) if share else 0.0


def _points(fraction: float, form: str = "+.3g") -> str:
    text = format(100 * fraction, form)
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _told(data: pd.DataFrame, models: list[str], tested: bool) -> str:
    if data.empty:
        return "This run has none of the printed shares."
    told = []
    for model in models:
        own = data.loc[data["model"] == model, "difference"]
        ends = " to ".join(_points(end, "+.1f") for end in dict.fromkeys((own.min(), own.max())))
        told.append(f"{style.model(model).label} {ends} points")
    number = data["verdict"].value_counts()
    tail = f"Agreeing: {number.get(AGREES, 0)} of {len(data)}; differing: {number.get(DIFFERS, 0)}."
    tail = tail if tested else "Not a test of the paper: other images, weights or settings."
    return f"This run minus the paper. {'; '.join(told)}. {tail}"
