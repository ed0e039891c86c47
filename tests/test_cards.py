"""The model card: numbers that other libraries give too, and nothing given on too few patients."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from deepcovid_lib import cards, figures, metrics, people, runs, style


def scored(seed=1, covid=30, others=60):
    rng = np.random.default_rng(seed)
    labels = ["covid"] * covid + ["non_covid"] * others
    groups = ["covid"] * covid + ["normal", "other_disease"] * (others // 2)
    score = np.round(np.clip(rng.normal([0.6 if label == "covid" else 0.4 for label in labels], 0.2), 0, 1), 3)
    names = [f"p:{number}" for number in range(len(labels))]
    frame = pd.DataFrame({"image_id": names, "patient_id": names, "label": labels, "group": groups, "score": score})
    return frame.assign(finding="")


def known(scores):
    """Every other film a woman's; ages and views that leave one level with too few patients."""
    number = np.arange(len(scores))
    frame = scores[["image_id", "patient_id", "label", "finding"]].assign(split="test")
    frame["sex"] = np.where(number % 2, "men", "women")
    frame["age"] = np.where(number % 30 < 6, 30.0, 50.0)
    frame["age_band"] = np.where(number % 30 < 6, "under 45", "45 to 64")
    return frame.assign(view=np.where(number % 3, "PA", people.NOT_TOLD))[list(people.COLUMNS)]


def test_the_whole_agrees_with_sklearn_and_statsmodels():
    scores = scored()
    row = cards.performance({"resnet18": scores}).iloc[0]
    truth = scores["label"] == "covid"
    assert row["auc"] == pytest.approx(roc_auc_score(truth, scores["score"]))
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    called = scores["score"] >= row["threshold"]
    assert called[truth].mean() >= 0.975
    assert (scores["score"] > row["threshold"])[truth].mean() < 0.975
    cleared = int((~called[~truth]).sum())
    assert row["specificity"] == cleared / 60
    assert (row["specificity_low"], row["specificity_high"]) == pytest.approx(
        proportion_confint(cleared, 60, method="wilson")
    )


def test_a_group_is_measured_at_the_threshold_of_the_whole():
    scores = scored()
    table = cards.by_group({"resnet18": scores}, known(scores)).set_index(["characteristic", "level"])
    threshold = cards.operating_point(scores)
    women = scores[known(scores)["sex"] == "women"]
    truth = women["label"] == "covid"
    row = table.loc["sex", "women"]
    assert row["auc"] == pytest.approx(roc_auc_score(truth, women["score"]))
    assert row["sensitivity"] == (women.loc[truth, "score"] >= threshold).mean()
    assert row["specificity"] == (women.loc[~truth, "score"] < threshold).mean()
    assert row[["covid_films", "other_films"]].tolist() == [truth.sum(), (~truth).sum()]


def test_a_kind_of_finding_is_set_against_all_covid_films():
    scores = scored()
    table = cards.by_group({"resnet18": scores}, known(scores)).set_index(["characteristic", "level"])
    part = scores[scores["group"] != "normal"]
    row = table.loc["finding", "Other disease"]
    assert row["auc"] == pytest.approx(roc_auc_score(part["label"] == "covid", part["score"]))
    assert math.isnan(row["sensitivity"])
    assert row["covid_films"] == 30
    assert "COVID-19" not in table.loc["finding"].index


def test_the_levels_of_a_characteristic_add_up():
    scores = scored()
    table = cards.by_group({"resnet18": scores}, known(scores))
    for characteristic in ("sex", "age", "view"):
        own = table[table["characteristic"] == characteristic]
        assert own[["covid_films", "other_films"]].sum().tolist() == [30, 60]


def test_too_few_patients_decide_nothing():
    scores = scored()
    table = cards.by_group({"resnet18": scores}, known(scores)).set_index(["characteristic", "level"])
    row = table.loc["age", "under 45"]
    assert row["note"] == "cannot be decided: 6 COVID-19 patients"
    assert row[["auc", "auc_low", "sensitivity", "sensitivity_high"]].isna().all()
    assert row["specificity"] >= 0


def test_films_of_one_patient_are_one_patient():
    scores = scored().assign(patient_id=lambda frame: frame["label"])
    table = cards.by_group({"resnet18": scores}, known(scores))
    assert (table[["covid_patients", "other_patients"]] <= 1).all(axis=None)
    assert table["note"].str.startswith("cannot be decided").all()


def test_fewest_is_where_no_interval_spans_more_than_half_the_scale():
    def widest(patients):
        bounds = [proportion_confint(right, patients, method="wilson") for right in range(patients + 1)]
        return max(high - low for low, high in bounds)

    assert widest(cards.FEWEST) <= 0.5 < widest(cards.FEWEST - 1)


def test_a_replay_knows_the_finding_alone():
    scores = scored()
    table = cards.by_group({"resnet18": scores}, pd.DataFrame(columns=list(people.COLUMNS)))
    assert set(table["characteristic"]) == {"finding"}


@pytest.mark.parametrize("kept", ["covid", "non_covid", ""])
def test_a_missing_class_gives_no_rate_and_no_crash(kept):
    scores = scored()
    scores = scores[scores["label"] == kept]
    row = cards.performance({"resnet18": scores}).iloc[0]
    assert math.isnan(row["auc"])
    assert math.isnan(row["specificity"])
    table = cards.by_group({"resnet18": scores}, known(scores))
    assert "auc" not in table or table["auc"].isna().all()


def test_equal_scores_have_no_interval_and_perfect_separation_an_open_one():
    equal, parted = (scored().assign(score=score) for score in (0.5, (scored()["label"] == "covid") * 1.0))
    card = cards.performance({"resnet18": equal, "resnet50": parted})
    assert card["auc"].tolist() == [0.5, 1]
    assert card["auc_low"].isna().tolist() == [True, False]
    assert card.loc[1, "auc_low"] < card.loc[1, "auc_high"] == 1


def test_intervals_that_lie_apart_are_named():
    scores = scored(covid=40, others=80)
    films = known(scores).assign(sex=lambda frame: np.where(frame.index % 40 < 20, "women", "men"))
    worse = scores.assign(score=scores["score"].where(films["sex"] == "women", 1 - scores["score"]))
    assert "AUC of women and men (ResNet18)" in cards.verdict(cards.by_group({"resnet18": worse}, films))


def test_what_cannot_be_decided_is_counted():
    scores = scored(covid=5)
    told = cards.verdict(cards.by_group({"resnet18": scores}, known(scores).head(0)))
    assert told == "2 of 2 rows cannot be decided. 0 of 1 pairs of intervals lie apart."


def test_who_is_on_the_films():
    scores = scored()
    films = known(scores)
    row = cards.makeup(films).set_index(["split", "class"]).loc["test", "COVID-19"]
    assert row[["films", "patients", "women", "age", "pa", "view_told"]].tolist() == [30, 30, 0.5, 50, 1, 20]
    empty = cards.makeup(films).set_index(["split", "class"]).loc["train", "COVID-19"]
    assert empty["films"] == 0
    assert math.isnan(empty["women"])


def test_the_description_counts_what_was_recorded():
    told = cards.described(runs.resolve("open-cxr", settings={"weights": "random"}, speed="replay"))
    told = told.set_index("item")["answer"]
    assert told["training images"].startswith("30 COVID-19, 480 after augmentation; ")
    assert told["weights of the backbone"].startswith("random and untrained")
    assert told["source of the images"] == "covid-chestxray-dataset, NIH ChestX-ray14"
    assert set(cards.SOURCES) >= {"phantom", "cohen", "chexpert", "nih", "released"}


def test_where_nothing_was_noted_the_environment_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    assert cards.environment(runs.resolve("tiny")) == "Where the heads were trained was not noted."


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_chart_shows_every_level_and_says_where_patients_are_too_few(mode):
    scores = scored()
    table = cards.by_group({"resnet18": scores, "resnet50": scored(2)}, known(scores))
    with style.theme(mode):
        drawing = figures.by_group(table)
    lines = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert lines == list(dict.fromkeys(table["characteristic"] + ": " + table["level"]))
    assert "age, under 45" in drawing.alt.partition("Too few patients: ")[2]
    assert len(drawing.data) == len(table)
    assert drawing.data["auc"].equals(table["auc"])


def test_a_chart_of_what_cannot_be_decided_is_drawn():
    scores = scored(covid=5, others=6)
    drawing = figures.by_group(cards.by_group({"resnet18": scores}, known(scores)))
    assert [text.get_text() for text in drawing.figure.axes[0].texts] == ["too few patients"] * len(drawing.data)
    assert drawing.alt.startswith("Area under the ROC curve by group. Too few patients: finding, Normal;")


def test_an_operating_point_is_the_librarys():
    scores = scored()
    found = metrics.operating_points(scores["label"] == "covid", scores["score"], sensitivities=[0.975])
    assert cards.operating_point(scores) == found["threshold"].iloc[0]
