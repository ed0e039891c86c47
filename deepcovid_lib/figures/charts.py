"""Charts of counts, training, scores, thresholds, intervals, ROC curves and confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from sklearn.metrics import roc_curve

from deepcovid_lib import metrics, paper
from deepcovid_lib.style import GROUPS, MODELS, WIDTH, Drawing

BINS = 40
TARGET = 0.975
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.0f}%")


def funnel(frame: pd.DataFrame) -> Drawing:
    """Draw what every rule of the curation left, as bars on a logarithmic scale."""
    figure = Figure(figsize=(WIDTH, 0.42 * len(frame) + 0.9), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(frame))[::-1]
    axes.barh(places, np.maximum(frame["rows"], 1), color=MODELS["resnet18"].colour, height=0.6)
    for place, count in zip(places, frame["rows"], strict=True):
        axes.annotate(f"{count:,}", (max(count, 1), place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set(xscale="log", xlim=(1, 6 * frame["rows"].max()), xlabel="images (logarithmic)")
    axes.set_yticks(places, [f"{source}: {rule}" for source, rule in zip(frame["source"], frame["rule"], strict=True)])
    told = "; ".join(f"{row.source}, {row.rule}: {row.rows:,}" for row in frame.itertuples())
    return Drawing(figure, frame, f"Images left after every rule of the selection. {told}.")


def training(histories: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw loss and accuracy over the epochs."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    panels = dict(zip(("loss", "accuracy"), figure.subplots(1, 2), strict=True))
    told = []
    for model, history in histories.items():
        look = MODELS[model]
        for quantity, axes in panels.items():
            axes.plot(history["epoch"], history[quantity], color=look.colour, label=look.label)
            axes.set(xlabel="epoch", title=quantity)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        first, last = history.iloc[0], history.iloc[-1]
        told.append(
            f"{look.label}: loss from {first['loss']:.3f} to {last['loss']:.3f}, accuracy from {first['accuracy']:.3f} "
            f"to {last['accuracy']:.3f} in {len(history)} epochs."
        )
    panels["accuracy"].yaxis.set_major_formatter(PERCENT)
    data = pd.concat([history.assign(model=model) for model, history in histories.items()], ignore_index=True)
    return Drawing(figure, data, " ".join(told))


def scores(frame: pd.DataFrame, model: str) -> Drawing:
    """Draw the distribution of the predicted scores, one panel per group (paper, Figs. 6 to 9)."""
    groups = [group for group in GROUPS if (frame["group"] == group).any()]
    edges = _edges(frame["score"])
    figure = Figure(figsize=(WIDTH, 1.25 * len(groups) + 0.7), layout="constrained")
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    threshold = _operating_threshold(frame)
    rows, told = [], []
    for axes, group in zip(panels, groups, strict=True):
        look, own = GROUPS[group], frame.loc[frame["group"] == group, "score"]
        counts, _ = np.histogram(own, edges)
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=look.colour, linewidth=0)
        axes.axvline(threshold, color=mpl.rcParams["text.color"], linewidth=1, linestyle=(0, (3, 2)))
        axes.annotate(
            f"{look.label}, n = {len(own):,}",
            (1, 1),
            xycoords="axes fraction",
            ha="right",
            va="top",
            xytext=(-4, -4),
            textcoords="offset points",
        )
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        rows += [(group, low, high, count) for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)]
        told.append(f"{look.label}: {len(own):,} films, middle score {own.median():.3f}")
    panels[-1].set_xlabel("score; dashed: threshold of 97.5% sensitivity")
    panels[len(panels) // 2].set_ylabel("films")
    data = pd.DataFrame(rows, columns=["group", "from", "to", "films"])
    return Drawing(
        figure,
        data,
        f"Scores by {MODELS[model].label}. {'; '.join(told)}. Threshold of 97.5% sensitivity: {threshold:.3f}.",
    )


def thresholds(scores_by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw sensitivity and specificity over the threshold, with Wilson bands and the paper's points."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    printed = paper.values()
    rows, told = [], []
    for model, frame in scores_by_model.items():
        look = MODELS[model]
        edges = _edges(frame["score"])
        grid = np.linspace(edges[0], edges[-1], 201)
        for quantity, label, dash in (("sensitivity", "covid", "-"), ("specificity", "non_covid", (0, (4, 1.5)))):
            own = np.sort(frame.loc[frame["label"] == label, "score"].to_numpy())
            below = np.searchsorted(own, grid, side="left")
            right = len(own) - below if quantity == "sensitivity" else below
            bounds = [metrics.proportion_interval(int(count), len(own), method="wilson") for count in right]
            low, high = np.array([bound[0] for bound in bounds]), np.array([bound[1] for bound in bounds])
            axes.plot(grid, right / len(own), color=look.colour, linestyle=dash, label=quantity)
            axes.fill_between(grid, low, high, color=look.colour, alpha=0.18, linewidth=0)
            rows += [(model, quantity, *row) for row in zip(grid, right / len(own), low, high, strict=True)]
            mine = printed[
                (printed["model"] == model) & (printed["quantity"] == quantity) & printed["threshold"].notna()
            ]
            inside = mine[mine["threshold"].between(grid[0], grid[-1])]
            axes.plot(
                inside["threshold"],
                inside["value"],
                linestyle="none",
                marker="o" if quantity == "sensitivity" else "s",
                markerfacecolor="none",
                color=mpl.rcParams["text.color"],
            )
        auc = metrics.auc_interval(frame["label"] == "covid", frame["score"], method="delong").auc
        told.append(
            f"{look.label}: at a threshold of {_operating_threshold(frame):.3f} the sensitivity reaches 97.5%; AUC {auc:.3f}."
        )
    axes.set(xlabel="threshold", ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(loc="center right")
    data = pd.DataFrame(rows, columns=["model", "quantity", "threshold", "value", "low", "high"])
    return Drawing(figure, data, "Sensitivity falls and specificity rises with the threshold. " + " ".join(told))


def intervals(table: pd.DataFrame) -> Drawing:
    """Draw the intervals of `tables.reliability`: Eq. 3, Wilson, Clopper-Pearson, and the paper's (Table VI)."""
    figure = Figure(figsize=(WIDTH, 1.05 * table["model"].nunique() + 1.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    models = list(dict.fromkeys(table["model"]))
    ink = mpl.rcParams["text.color"]
    kinds = (
        ("Eq. 3", "value_low", "value_high", "o"),
        ("Wilson", "wilson_low", "wilson_high", "s"),
        ("Clopper-Pearson", "clopper_pearson_low", "clopper_pearson_high", "^"),
        ("paper", "paper_low", "paper_high", "D"),
    )
    data = table.assign(
        value_low=table["value"] - table["margin"],
        value_high=table["value"] + table["margin"],
        paper_low=table["paper"] - table["paper_margin"],
        paper_high=table["paper"] + table["paper_margin"],
    )
    told = []
    for axes, quantity in zip(panels, ("sensitivity", "specificity"), strict=True):
        for row in data[data["quantity"] == quantity].itertuples():
            for step, (kind, low, high, marker) in enumerate(kinds):
                place = -models.index(row.model) - 0.18 * (step - 1.5)
                colour = ink if kind == "paper" else MODELS[row.model].colour
                middle = row.paper if kind == "paper" else row.value
                bounds = (getattr(row, low), getattr(row, high))
                axes.plot(bounds, (place, place), color=colour, linewidth=1.6)
                axes.plot(
                    middle,
                    place,
                    marker=marker,
                    color=colour,
                    markersize=5,
                    markerfacecolor="none" if kind == "paper" else colour,
                )
            told.append(
                f"{MODELS[row.model].label} {quantity} {100 * row.value:.1f}%, Wilson {100 * row.wilson_low:.1f} to {100 * row.wilson_high:.1f}%"
            )
        axes.axvline(1, color=ink, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_title(quantity)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    panels[0].set_yticks([-number for number in range(len(models))], [MODELS[model].label for model in models])
    marks = [
        Line2D(
            [],
            [],
            color=ink,
            marker=marker,
            linewidth=1.6,
            markersize=5,
            markerfacecolor="none" if kind == "paper" else ink,
            label=kind,
        )
        for kind, *_, marker in kinds
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    return Drawing(figure, data, "95% intervals of the rates. " + "; ".join(told) + ".")


def roc(scores_by_model: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw the ROC curves, whole and with the upper left corner enlarged (paper, Fig. 10)."""
    figure = Figure(figsize=(WIDTH, 4.3), layout="constrained")
    whole, corner = figure.subplots(1, 2)
    rows, told = [], []
    for model, frame in scores_by_model.items():
        look, positive = MODELS[model], frame["label"] == "covid"
        false, true, cuts = roc_curve(positive, frame["score"], drop_intermediate=False)
        area = metrics.auc_interval(
            positive, frame["score"], method="bootstrap", groups=frame["patient_id"], replicates=500, seed=0
        )
        label = f"{look.label}  {area.auc:.3f} ({area.low:.3f} to {area.high:.3f})"
        bounds = [
            metrics.proportion_interval(round(share * positive.sum()), int(positive.sum()), method="wilson")
            for share in true
        ]
        for axes in (whole, corner):
            axes.step(false, true, where="post", color=look.colour, linestyle=look.dash, label=label)
        corner.fill_between(
            false,
            [b[0] for b in bounds],
            [b[1] for b in bounds],
            step="post",
            color=look.colour,
            alpha=0.1,
            linewidth=0,
        )
        rows += [(model, *row) for row in zip(cuts, false, true, strict=True)]
        told.append(f"{look.label} {area.auc:.3f} ({area.low:.3f} to {area.high:.3f})")
    whole.plot((0, 1), (0, 1), color=mpl.rcParams["text.color"], linewidth=0.8, linestyle=(0, (1, 2)))
    whole.set(xlim=(-0.01, 1), ylim=(0, 1.01), ylabel="sensitivity", title="whole")
    corner.set(xlim=(-0.0025, 0.25), ylim=(0.75, 1.0025), title="corner, enlarged")
    for axes in (whole, corner):
        axes.set(xlabel="1 - specificity", box_aspect=1)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_formatter(PERCENT)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=1,
        frameon=False,
        title="AUC with 95% interval (patients resampled)",
    )
    data = pd.DataFrame(rows, columns=["model", "threshold", "false_positive_rate", "sensitivity"])
    return Drawing(figure, data, f"ROC curves. AUC with 95% interval: {'; '.join(told)}.")


def confusion(counts: Mapping[str, float], model: str, threshold: float) -> Drawing:
    """Draw a confusion matrix with counts and shares of the true class (paper, Figs. 11 and 12)."""
    figure = Figure(figsize=(4.6, 3.5), layout="constrained")
    axes = figure.subplots()
    table = np.array([[counts["tp"], counts["fn"]], [counts["fp"], counts["tn"]]], float)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = table / table.sum(axis=1, keepdims=True)
    base = np.array(mpl.colors.to_rgb(MODELS[model].colour))
    names = ("COVID-19", "non-COVID")
    for row in range(2):
        for column in range(2):
            strength = 0.08 + 0.5 * np.nan_to_num(shares[row, column])
            axes.add_patch(
                mpl.patches.Rectangle(
                    (column, 1 - row),
                    1,
                    1,
                    facecolor=(*base, strength),
                    edgecolor=mpl.rcParams["text.color"],
                    linewidth=0.8,
                )
            )
            axes.text(column + 0.5, 1.56 - row, f"{table[row, column]:,.0f}", ha="center", va="center", fontsize=18)
            axes.text(column + 0.5, 1.27 - row, f"{100 * shares[row, column]:.1f}%", ha="center", va="center")
    axes.set(
        xlim=(0, 2),
        ylim=(0, 2),
        xlabel="called",
        ylabel="true",
        title=f"{MODELS[model].label}, threshold {threshold:.3f}",
    )
    axes.set_xticks((0.5, 1.5), names)
    axes.set_yticks((1.5, 0.5), names, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    data = pd.DataFrame(table.astype(int), columns=[f"called {name}" for name in names])
    data.insert(0, "true", names)
    alt = f"{MODELS[model].label} at threshold {threshold:.3f}: of {table[0].sum():.0f} COVID-19 films {table[0, 0]:.0f} are called COVID-19; of {table[1].sum():.0f} others {table[1, 0]:.0f} are."
    return Drawing(figure, data, alt)


def learned(frame: pd.DataFrame, model: str) -> Drawing:
    """Draw the log-odds of COVID-19 on the test films, by group: points, with the quartiles."""
    groups = [group for group in GROUPS if (frame["group"] == group).any()]
    score = frame["score"].clip(1e-12, 1 - 1e-12)
    odds = np.log(score / (1 - score))
    figure = Figure(figsize=(WIDTH, 0.8 * len(groups) + 0.8), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    told = []
    for number, group in enumerate(groups):
        look, own = GROUPS[group], odds[frame["group"] == group]
        axes.plot(
            own,
            -number + rng.uniform(-0.28, 0.28, len(own)),
            linestyle="none",
            marker="o",
            markersize=3,
            alpha=0.55,
            color=look.colour,
            markeredgewidth=0,
        )
        low, middle, high = own.quantile([0.25, 0.5, 0.75])
        axes.plot(
            (low, high), (-number, -number), color=mpl.rcParams["text.color"], linewidth=2.5, solid_capstyle="butt"
        )
        axes.plot(middle, -number, marker="|", markersize=16, markeredgewidth=2.5, color=mpl.rcParams["text.color"])
        told.append(f"{look.label} {middle:.2f} ({low:.2f} to {high:.2f})")
    axes.set_yticks([-number for number in range(len(groups))], [GROUPS[group].label for group in groups])
    axes.set(xlabel="log-odds of COVID-19", ylim=(-len(groups) + 0.5, 0.5))
    data = frame[["image_id", "group"]].assign(log_odds=odds)
    return Drawing(figure, data, f"Log-odds by {MODELS[model].label}, middle and quartiles: {'; '.join(told)}.")


def _edges(values: pd.Series) -> np.ndarray:
    """Bin edges over the range that holds scores, widened a little, inside 0 to 1."""
    low, high = values.min(), values.max()
    room = max(0.02 * (high - low), 1e-3)
    return np.linspace(max(0.0, low - room), min(1.0, high + room), BINS + 1)


def _operating_threshold(frame: pd.DataFrame) -> float:
    return float(
        metrics.operating_points(frame["label"] == "covid", frame["score"], sensitivities=[TARGET])["threshold"].iloc[0]
    )
