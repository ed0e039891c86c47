"""The charts of uncertainty and calibration: every number shown, no word small, clipped or overlapped."""

import numpy as np
import pandas as pd
import pytest

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


@pytest.mark.parametrize("name", DRAW)
def test_it_draws_and_no_word_is_small_clipped_or_overlapped(name, legible):
    draw, count = DRAW[name]
    legible(lambda: draw(count))


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
