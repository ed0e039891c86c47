"""The charts of uncertainty and calibration: every number shown, no word small, clipped or overlapped."""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from deepcovid_lib import calibration, figures, pairs, precision, style, thresholds

MODELS = ["resnet18", "resnet50", "squeezenet", "densenet121"]


def scored(seed, ill=40, well=600):
    rng = np.random.default_rng(seed)
    label = np.repeat(["covid", "non_covid"], [ill, well])
    score = 1 / (1 + np.exp(-rng.normal(-1.5, 1.2, ill + well) - 1.5 * (label == "covid")))
    names = [f"x:{k}" for k in range(ill + well)]
    return pd.DataFrame({"image_id": names, "patient_id": names, "label": label, "score": score})


def several(count, **rest):
    return {model: scored(seed, **rest) for seed, model in enumerate(MODELS[:count])}


def repeated(count):
    rng = np.random.default_rng(0)
    rows = [
        (model, varied, number, *rng.uniform(0.7, 0.9, 2))
        for model in MODELS[:count]
        for varied, times in (("run", 1), ("seed", 3), ("copies", 1), ("patients", 3))
        for number in range(1, times + 1)
    ]
    return pd.DataFrame(rows, columns=["model", "varied", "number", "auc", "specificity"])


def promised(count):
    parts = [
        thresholds.promises(scored(seed + 7), scored(seed)).assign(model=model)
        for seed, model in enumerate(MODELS[:count])
    ]
    columns = thresholds.promises(scored(0), scored(1)).columns
    return pd.concat(parts) if parts else pd.DataFrame(columns=["model", *columns], dtype=float)


def halved(count):
    parts = [thresholds.halves(frame, repeats=9, seed=0).assign(model=model) for model, frame in several(count).items()]
    return pd.concat(parts) if parts else thresholds.halves(scored(0, ill=0), repeats=1, seed=0).assign(model="")


DRAW = {
    f"{name}, {count} models": (draw, count)
    for count in (0, 1, 4)
    for name, draw in {
        "repeats": lambda count: figures.repeats(repeated(count)),
        "promises": lambda count: figures.promises(promised(count)),
        "halves": lambda count: figures.halves(halved(count)),
        "reliability curves": lambda count: figures.reliability_curves(several(count), offset=-1.3),
        "precision": lambda count: figures.precision_recall(several(count)),
        "net benefit": lambda count: figures.net_benefit(several(count)),
        "area differences": lambda count: figures.area_differences(pairs.areas(several(count))),
    }.items()
}
DRAW["precision, one class"] = (lambda count: figures.precision_recall(several(count, ill=0)), 2)
DRAW["reliability curves, no offset"] = (lambda count: figures.reliability_curves(several(count), offset=np.nan), 2)
DRAW["net benefit, no images"] = (lambda count: figures.net_benefit(several(count, ill=0)), 2)
DRAW["promises, undecided"] = (
    lambda count: figures.promises(thresholds.promises(scored(0, ill=0, well=1), scored(1)).assign(model="resnet18")),
    1,
)


def words_of(figure):
    """The visible texts of a figure with the places they take, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    hidden = {text for axes in figure.axes if axes not in shown for text in axes.findobj(Text)}
    for axis in (axis for axes in shown for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                hidden |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text not in hidden and text.get_visible()]
    texts = [text for text in texts if text.get_text().strip()]
    return [(text.get_text(), text.get_fontsize(), text.get_window_extent(canvas.get_renderer())) for text in texts]


@pytest.mark.parametrize("name", DRAW)
def test_it_draws_and_no_word_is_small_clipped_or_overlapped(name):
    draw, count = DRAW[name]
    with warnings.catch_warnings(), style.theme("light"):
        warnings.simplefilter("error")
        drawing = draw(count)
        words = words_of(drawing.figure)
    across, down = drawing.figure.canvas.get_width_height()
    for text, size, box in words:
        assert size >= style.SMALL, text
        assert min(box.x0, box.y0, across - box.x1, down - box.y1) >= -1.5, text
    for (one, _, first), (other, _, second) in combinations(words, 2):
        width = min(first.x1, second.x1) - max(first.x0, second.x0)
        height = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert width <= 1 or height <= 3, (one, other)
    assert drawing.figure.get_size_inches()[0] == pytest.approx(style.WIDTH)
    assert drawing.alt.endswith(".")
    assert "nan" not in drawing.alt


def test_repeats_show_every_head():
    drawing = figures.repeats(repeated(2))
    drawn = [value for line in drawing.figure.axes[0].lines for value in line.get_xdata()]
    assert set(drawing.data["auc"]) == set(drawn)
    assert len(drawing.data) == 16


def test_promises_show_what_was_kept():
    table = promised(2)
    data = figures.promises(table).data.set_index(["model", "rate"])
    for row in table.itertuples():
        assert data.loc[(row.model, "specificity"), "kept"] == row.specificity
        assert data.loc[(row.model, "sensitivity"), "promised"] == row.promised_sensitivity
        assert data.loc[(row.model, "specificity"), "chosen"] == row.chosen_specificity


def test_halves_show_quantiles():
    frame = halved(1)
    data = figures.halves(frame).data.set_index(["rate", "where"])
    assert data.loc[("specificity", "other half"), "q25"] == frame["specificity"].quantile(0.25)
    assert data.loc[("sensitivity", "chosen half"), "q50"] == frame["promised_sensitivity"].median()


def test_curves_are_the_librarys():
    scores = several(2)
    data = figures.reliability_curves(scores, offset=-1.0).data
    assert set(data["scores"]) == {"as given", "moved to the test mix"}
    given = data[(data["model"] == "resnet50") & (data["scores"] == "as given")]
    assert given["share"].tolist() == calibration.curve(scores["resnet50"])["share"].tolist()
    data = figures.precision_recall(scores).data
    own = data[data["model"] == "resnet18"]
    assert own["precision"].tolist() == precision.curve(scores["resnet18"])["precision"].tolist()
    data = figures.net_benefit(scores).data
    assert set(data["model"]) == {"resnet18", "resnet50", "all", "none"}


def test_a_filled_mark_differs():
    table = pairs.areas(several(3))
    table.loc[1, "verdict"] = pairs.DIFFER
    with style.theme("light"):
        axes = figures.area_differences(table).figure.axes[0]
        ink = style.ink()
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    assert [face == ink for face in faces] == [False, True, False]
