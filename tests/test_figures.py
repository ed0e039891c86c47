"""Every figure draws at the paper's size and at a tiny one, shows its data, and says it in words."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy.special import expit, logit
from sklearn.metrics import auc, roc_auc_score

from deepcovid_lib import controls, figures, metrics, style, tables
from deepcovid_lib.problems import Misuse


def scored(counts, seed=0, narrow=False):
    """Made-up test scores: `counts` images of each group, patients of up to two images."""
    rng = np.random.default_rng(seed)
    places = {"covid": 0.8, "normal": -4.5, "other_disease": -3.8, "unknown": -4.0}
    groups = np.repeat(list(counts), list(counts.values()))
    odds = rng.normal([places[group] for group in groups], 1.4)
    score = np.round(0.5 + 0.01 * odds, 3) if narrow else expit(odds)
    patients = [f"{group}:{k // 2}" for k, group in enumerate(groups)]
    label = np.where(groups == "covid", "covid", "non_covid")
    return pd.DataFrame({"patient_id": patients, "group": groups, "label": label, "score": score})


def even(frame, covid, other):
    """The same images with one score per class."""
    return frame.assign(score=np.where(frame["label"] == "covid", covid, other))


FULL = {"covid": 40, "normal": 1700, "other_disease": 1300}
TINY = {"covid": 8, "normal": 14, "other_disease": 13}
SCORES = {
    "full": scored(FULL),
    "tiny": scored(TINY, narrow=True),
    "unknown findings": scored({"covid": 8, "normal": 9, "unknown": 18}),
    "one group missing": scored({"covid": 8, "other_disease": 27}),
    "no COVID-19": scored({"normal": 12, "other_disease": 3}),
    "COVID-19 alone": scored({"covid": 8}),
    "perfect": even(scored(TINY), 0.6, 0.5),
    "all tied": even(scored(TINY), 0.5, 0.5),
    "one of each": scored({"covid": 1, "normal": 1}),
}
MODELS = ["resnet18", "resnet50", "squeezenet", "densenet121", "densenet161"]
BOTH = [name for name, frame in SCORES.items() if frame["label"].nunique() == 2]
FILM = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
MASK = np.zeros((24, 24), bool)
MASK[2:8, 3:9] = MASK[14:20, 14:20] = True
MASKS = np.stack([MASK, ~MASK, MASK & False])
EVIDENCE = np.random.default_rng(1).normal(size=(3, 24, 24))
RECIPES = pd.DataFrame(
    [
        ("optimizer", "SGD with momentum, step schedule", 0.8, 0.6, -0.2, -0.25, -0.15, "worse"),
        ("weight decay", "weight decay 0.0001", 0.8, 0.801, 0.001, -0.002, 0.004, "no difference seen"),
    ],
    columns=["factor", "variation", "reference_auc", "auc", "difference", "low", "high", "verdict"],
)
FUNNEL = pd.DataFrame(
    [
        ("covid-chestxray-dataset", 1, "all rows", 149, 70),
        ("covid-chestxray-dataset", 2, "finding contains COVID-19, whatever stands beside it", 102, 62),
        ("chexpert", 1, "all rows", 223414, 64540),
        ("chexpert", 2, "exactly one finding is positive, whatever else is uncertain", 5000, 1),
        ("phantom", 1, "made", 1, 0),
        ("phantom", 2, "no such view", 0, 0),
    ],
    columns=["source", "step", "rule", "rows", "patients"],
)


def history(epochs):
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame({"epoch": epoch, "loss": 0.6 / epoch**0.5, "accuracy": 1 - 0.3 / epoch})


def dataset(covid, other):
    labels = np.repeat(["covid", "non_covid", "covid", "non_covid"], [covid, other, covid + 1, other + 1])
    splits = np.repeat(["train", "test"], [covid + other, covid + other + 2])
    films = pd.DataFrame({"label": labels, "split": splits}).assign(patient_id=np.arange(len(labels)).astype(str))
    return tables.dataset(films, copies=4, comparable=False)


def reliability(names):
    return tables.reliability({model: SCORES[name] for model, name in names.items()}, comparable=False)


def matrix(name):
    return tables.confusion_matrices({"squeezenet": SCORES[name]}).to_dict("records")[0]


def ladder_rungs(models=("resnet18", "resnet50", "squeezenet", "densenet121"), count=17):
    rows = [(name, "model", 0.9, 0.8, 0.95, None, None) for name in models]
    rows += [(f"centre {number}% masked", "masked", 0.7, 0.6, 0.8, 0.65, 0.75) for number in range(count)]
    rows += [("8x8 grey, labels dealt at random", "null", 0.5, 0.4, 0.6, 0.4, 0.6)]
    rows += [("size of the file", "file", None, None, None, None, None)]
    return pd.DataFrame(rows, columns=["rung", "kind", "auc", "low", "high", "auc_lowest", "auc_highest"])


def counted_calls(shares):
    rows = [
        (rung, sign, strength, share, share and share / 2, share and (1 + share) / 2)
        for rung in controls.RUNGS
        for sign in controls.SIGNS
        for strength, share in zip(controls.STRENGTHS, shares, strict=True)
    ]
    return pd.DataFrame(rows, columns=["rung", "sign", "strength", "share", "low", "high"]).astype({"share": float})


LONG = "Enlarged Cardiomediastinum"
DRAW = {
    "marked areas": lambda: figures.marked_areas([FILM] * 3, [MASK, ~MASK, MASK & False], ["PA", "AP", "view unknown"]),
    "marked area": lambda: figures.marked_areas([np.dstack([FILM] * 3)], [MASK], ["PA"]),
    "samples": lambda: figures.samples(
        [[(FILM, "")] * 4, [(FILM, "")] * 4, [(FILM, LONG)] * 4, [(FILM, "Support Devices"), (FILM, LONG)]],
        ["COVID-19", "Normal", "Other", "Other"],
    ),
    "samples of two": lambda: figures.samples(
        [[(FILM, "")], [(FILM[:12], "Mass"), (FILM[:, :9], "Edema")]], ["A", "B"]
    ),
    "augmentation": lambda: figures.augmentation(FILM, [FILM] * 15, ["mirrored, −10°"] * 15),
    "augmentation by one": lambda: figures.augmentation(FILM, [FILM // 2], [""]),
    "evidence": lambda: figures.evidence(
        np.dstack([FILM] * 3)[None].repeat(3, 0), {"Grad-CAM": EVIDENCE, "Occlusion": -EVIDENCE}, [LONG] * 3, MASKS
    ),
    "evidence without masks": lambda: figures.evidence(
        np.dstack([FILM] * 3)[None], {"Occlusion": EVIDENCE[:1]}, [LONG]
    ),
    "recipes": lambda: figures.recipes(RECIPES, RECIPES.assign(factor="batch normalisation", variation="drifting")),
    "recipes, none recorded": lambda: figures.recipes(RECIPES, RECIPES[:0]),
    "recipes without intervals": lambda: figures.recipes(RECIPES.assign(low=np.nan, high=np.nan), RECIPES[:0]),
    "class counts": lambda: figures.class_counts(dataset(31, 2000)),
    "class counts, tiny": lambda: figures.class_counts(dataset(1, 2)),
    "class counts, none": lambda: figures.class_counts(dataset(0, 0)),
    "funnel": lambda: figures.funnel(FUNNEL),
    "training": lambda: figures.training({model: history(100) for model in MODELS}),
    "training, three epochs": lambda: figures.training({"resnet18": history(3)}),
    "training, one epoch": lambda: figures.training({"resnet18": history(1), "squeezenet": history(1)}),
    "roc of five": lambda: figures.roc({model: scored(TINY, seed) for seed, model in enumerate(MODELS)}),
    "thresholds of four": lambda: figures.thresholds(dict.fromkeys(MODELS[:4], SCORES["full"])),
    "thresholds of three": lambda: figures.thresholds(dict.fromkeys(MODELS[2:], SCORES["tiny"])),
    "intervals of five": lambda: figures.intervals(reliability(dict.fromkeys(MODELS, "full"))),
    "intervals without rates": lambda: figures.intervals(reliability(dict.fromkeys(MODELS, "no COVID-19"))),
}
for name in SCORES:
    DRAW |= {
        f"scores, {name}": lambda name=name: figures.scores(SCORES[name], "resnet18"),
        f"learned, {name}": lambda name=name: figures.learned(SCORES[name], "resnet18"),
        f"thresholds, {name}": lambda name=name: figures.thresholds({"resnet18": SCORES[name]}),
        f"roc, {name}": lambda name=name: figures.roc({"resnet18": SCORES[name], "squeezenet": SCORES[name]}),
    }
for name in ("full", "tiny", "no COVID-19", "COVID-19 alone"):
    DRAW |= {
        f"intervals, {name}": lambda name=name: figures.intervals(reliability({"squeezenet": name})),
        f"confusion, {name}": lambda name=name: figures.confusion(matrix(name), "squeezenet", 0.18),
    }


DRAW |= {
    "ladder": lambda: figures.ladder(ladder_rungs()),
    "ladder of models alone": lambda: figures.ladder(ladder_rungs().head(4)),
    "ladder without models": lambda: figures.ladder(ladder_rungs(models=())),
    "ladder of nothing": lambda: figures.ladder(ladder_rungs().tail(1)),
    "power": lambda: figures.power(counted_calls([0.03, 0.1, 0.6, 0.9, 1.0])),
    "power undecided": lambda: figures.power(counted_calls([None] * 5)),
}


def svg(drawing):
    stream = io.BytesIO()
    drawing.figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


@pytest.mark.parametrize("name", DRAW)
def test_it_draws_without_warnings_and_no_word_is_small_clipped_or_overlapped(name, legible):
    legible(DRAW[name])


@pytest.mark.parametrize("name", ["samples", "funnel", *(name for name in DRAW if name.endswith(", tiny"))])
def test_equal_data_give_equal_bytes_and_each_theme_its_own(name):
    files = []
    for mode in ("light", "light", "dark"):
        with style.theme(mode):
            files.append(svg(DRAW[name]()))
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert b"dc:date" not in files[0]


def test_marked_areas_measure_the_masks():
    drawing = figures.marked_areas([FILM] * 2, [MASK, MASK & False], ["PA", "AP"])
    assert drawing.data["regions"].tolist() == [2, 0]
    assert drawing.data["share"].tolist() == pytest.approx([72 / 576, 0])
    assert "PA: 2 areas, 12%" in drawing.alt
    assert "AP: no marked area" in drawing.alt


def test_samples_list_their_films_and_share_labels():
    drawing = DRAW["samples"]()
    assert drawing.data.groupby("label")["column"].size().to_dict() == {"COVID-19": 4, "Normal": 4, "Other": 6}
    assert sum(text.get_text() == "Other" for text in drawing.figure.findobj(lambda item: isinstance(item, Text))) == 1
    assert "14 chest films" in drawing.alt
    assert "Support Devices" in drawing.alt


def test_augmentation_measures_how_far_copies_are():
    dim = np.full((8, 8), 100, np.uint8)
    drawing = figures.augmentation(dim, [dim + 10, dim - 30], ["a", "b"])
    assert drawing.data["difference"].tolist() == [10, 30]
    assert "2 copies" in drawing.alt
    assert "10 to 30" in drawing.alt


def test_class_counts_are_the_tables():
    table = dataset(31, 2000)
    drawing = figures.class_counts(table)
    assert drawing.data["images"].tolist() == table["run"].tolist() == [31, 124, 2000, 32, 2001]
    assert all(f"{count:,} " in drawing.alt for count in table["run"])
    assert [bar.get_width() for bar in drawing.figure.axes[0].patches] == table["run"].tolist()


def test_the_funnel_shows_every_rule_and_says_where_it_is_logarithmic():
    drawing = figures.funnel(FUNNEL)
    assert [axes.get_xscale() for axes in drawing.figure.axes] == ["linear", "log", "linear"]
    assert ["logarithmic" in axes.get_xlabel() for axes in drawing.figure.axes] == [False, True, False]
    ends = [bar.get_x() + bar.get_width() for axes in drawing.figure.axes for bar in axes.patches]
    assert ends == FUNNEL["rows"].tolist()
    assert all(f"{row.rule}: {row.rows:,}" in drawing.alt for row in FUNNEL.itertuples())


def test_training_draws_each_history():
    drawing = figures.training({"resnet18": history(5), "squeezenet": history(3)})
    loss, accuracy = drawing.figure.axes
    assert [len(line.get_xdata()) for line in loss.lines] == [5, 3]
    assert accuracy.lines[0].get_ydata()[-1] == pytest.approx(0.94)
    assert drawing.data.columns.tolist() == ["model", "epoch", "loss", "accuracy"]
    assert "ResNet18: loss 0.600 to 0.268, accuracy 70.0% to 94.0%" in drawing.alt
    assert [line.get_color() for line in loss.lines] == [
        style.MODELS[name].colour for name in ("resnet18", "squeezenet")
    ]


@pytest.mark.parametrize("name", SCORES)
def test_histograms_hold_every_image_once(name):
    frame = SCORES[name]
    drawing = figures.scores(frame, "resnet18")
    assert drawing.data.groupby("group")["images"].sum().to_dict() == frame["group"].value_counts().to_dict()
    drawn = [int(bar.get_height()) for axes in drawing.figure.axes for bar in axes.patches]
    assert drawn == drawing.data["images"].tolist()
    for group, count in frame["group"].value_counts().items():
        assert f"{style.GROUPS[group].label}: {count:,} image" in drawing.alt


def test_scores_mark_the_operating_threshold_and_count_what_is_called():
    frame = SCORES["full"]
    point = metrics.operating_points(frame["label"] == "covid", frame["score"], sensitivities=[0.975]).iloc[0]
    drawing = figures.scores(frame, "resnet18")
    ticks, dashed = drawing.figure.axes[0].lines
    cut = dashed.get_xdata()[0]
    assert ((frame["score"] >= cut) == (frame["score"] >= point["threshold"])).all()
    assert sorted(ticks.get_xdata()) == sorted(frame.loc[frame["label"] == "covid", "score"])
    called = (frame["score"] >= point["threshold"]).groupby(frame["group"]).sum()
    assert called["covid"] == 39
    assert all(f"{count:,} called COVID-19" in drawing.alt for count in called)
    assert f"Threshold {cut:.15g}, the highest" in drawing.alt


def test_scores_use_the_room_they_need():
    whole = figures.scores(SCORES["full"], "resnet18").figure.axes[0].get_xlim()
    narrow = figures.scores(SCORES["tiny"], "resnet18").figure.axes[0].get_xlim()
    assert whole == (0, 1)
    scores = SCORES["tiny"]["score"]
    assert narrow[0] <= scores.min() < scores.max() <= narrow[1]
    assert narrow[1] - narrow[0] < 1.2 * np.ptp(scores)


def test_learned_tells_the_log_odds_by_group():
    frame = SCORES["full"]
    drawing = figures.learned(frame, "resnet18")
    assert drawing.data["group"].tolist() == list(FULL)
    expected = [np.median(logit(frame.loc[frame["group"] == group, "score"])) for group in FULL]
    assert drawing.data["median"].tolist() == pytest.approx(expected)
    assert all(f"{value:.2f}".replace("-", "−") in drawing.alt for value in expected)


def test_learned_bears_certain_scores():
    drawing = figures.learned(even(SCORES["tiny"], 1.0, 0.0), "resnet18")
    assert np.isfinite(drawing.data.drop(columns="group").to_numpy(float)).all()


def test_thresholds_hold_the_rates_the_bands_and_the_printed_points():
    frame = SCORES["full"]
    data = figures.thresholds({"resnet18": frame}).data
    line = data[data["origin"] == "run"]
    for row in line.iloc[::97].itertuples():
        rates = metrics.sensitivity_specificity(frame["label"] == "covid", frame["score"], threshold=row.threshold)
        assert row.value == pytest.approx(getattr(rates, row.quantity))
        trials = 40 if row.quantity == "sensitivity" else 3000
        bounds = metrics.proportion_interval(round(row.value * trials), trials, method="wilson")
        assert (row.low, row.high) == pytest.approx(bounds)
    printed = data[data["origin"] == "paper"].set_index(["quantity", "threshold"])["value"]
    assert printed["sensitivity", 0.055] == 0.975
    assert printed["specificity", 0.055] == 0.888
    assert len(printed) == 10


def test_a_model_the_paper_has_no_table_of_has_no_printed_points():
    drawing = figures.thresholds({"densenet161": SCORES["tiny"]})
    assert set(drawing.data["origin"]) == {"run"}
    assert "paper" not in [text.get_text() for text in drawing.figure.legends[0].get_texts()]


def test_intervals_hold_the_table_and_tell_what_passes_all_possible_rates():
    table = reliability({"squeezenet": "full"})
    drawing = figures.intervals(table)
    data = drawing.data.set_index(["quantity", "method"])
    low, high = metrics.proportion_interval(39, 40, method="wald")
    assert tuple(data.loc[("sensitivity", "Eq. 3 (Wald)"), ["low", "high"]]) == pytest.approx((low, high))
    assert high > 1
    assert data.loc[("sensitivity", "Wilson"), "high"] < 1
    assert data.loc[("specificity", "paper"), "value"] == 0.978
    assert "SqueezeNet sensitivity 97.5%, Wilson 87.1% to 99.6%" in drawing.alt
    assert "pass 100%" in drawing.alt
    assert drawing.figure.axes[0].get_xlim()[1] > high


@pytest.mark.parametrize("name", BOTH)
def test_the_roc_curve_has_the_area_it_says(name):
    frame = SCORES[name]
    drawing = figures.roc({"resnet18": frame})
    area = roc_auc_score(frame["label"] == "covid", frame["score"])
    assert auc(drawing.data["false_positive_rate"], drawing.data["sensitivity"]) == pytest.approx(area)
    line = drawing.figure.axes[0].lines[0]
    assert auc(line.get_xdata(), line.get_ydata()) == pytest.approx(area)
    assert f"ResNet18 {area:.3f}" in drawing.alt
    assert (drawing.data["low"] <= drawing.data["sensitivity"] + 1e-12).all()


def test_the_enlarged_corner_follows_the_curves():
    def sides(frame):
        return [axes.get_xlim()[1] for axes in figures.roc({"resnet18": frame}).figure.axes[1:]]

    guessing = SCORES["full"].assign(score=np.random.default_rng(0).random(3040))
    assert sides(SCORES["perfect"]) == [0.1]
    assert sides(SCORES["full"]) in ([0.1], [0.25])
    assert sides(guessing) == [0.5]


def test_the_roc_leaves_out_a_model_with_one_class():
    drawing = figures.roc({"resnet18": SCORES["full"], "resnet50": SCORES["no COVID-19"]})
    assert set(drawing.data["model"]) == {"resnet18"}
    assert "ResNet50" not in drawing.alt


def test_the_confusion_matrix_has_true_rows_and_predicted_columns():
    drawing = figures.confusion({"tp": 39, "fn": 1, "fp": 66, "tn": 2934}, "squeezenet", 0.18)
    data = drawing.data.set_index(["true", "predicted"])
    assert data["images"].to_dict() == {
        ("COVID-19", "COVID-19"): 39,
        ("COVID-19", "Non-COVID"): 1,
        ("Non-COVID", "COVID-19"): 66,
        ("Non-COVID", "Non-COVID"): 2934,
    }
    assert data.groupby("true")["share"].sum().tolist() == pytest.approx([1, 1])
    axes = drawing.figure.axes[0]
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places["66"][0] == places["39"][0] < places["2,934"][0]
    assert places["66"][1] > places["39"][1]
    assert axes.yaxis_inverted()
    assert "of 40 COVID-19 images 39" in drawing.alt
    assert "threshold 0.18" in drawing.alt


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_counts_are_readable_on_every_cell(mode):
    with style.theme(mode):
        for right in range(0, 41, 4):
            axes = figures.confusion({"tp": right, "fn": 40 - right, "fp": 7, "tn": 9}, "resnet50", 0.5).figure.axes[0]
            cells = [patch.get_facecolor() for patch in axes.patches]
            for text, fill in zip(axes.texts, np.repeat(cells, 2, axis=0), strict=True):
                assert style.contrast(text.get_color(), tuple(fill[:3])) >= 4.5


def test_a_model_without_colour_is_told():
    with pytest.raises(Misuse, match="vgg16"):
        figures.scores(SCORES["tiny"], "vgg16")


def test_the_models_stand_on_top_and_the_rungs_fall():
    table = ladder_rungs(count=2)
    table.loc[4, "auc"] = 0.55
    data = figures.ladder(table.sample(frac=1, random_state=0)).data
    assert (data["kind"].head(4) == "model").all()
    assert data["auc"][4:].is_monotonic_decreasing
    assert "size of the file" not in set(data["rung"])
    assert figures.ladder(table).alt.count("(") == len(data)


def test_the_power_holds_every_cell_that_was_decided():
    table = counted_calls([0.0, 0.5, None, 1.0, 1.0])
    data = figures.power(table).data
    assert len(data) == table["share"].notna().sum()
    assert "border alone, no sign: 0% at 0, 50% at 0.1" in figures.power(table).alt
