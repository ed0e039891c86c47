"""Paired tests agree with statsmodels, with brute force and, for one image per patient, with each other."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm, t
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from deepcovid_lib import metrics, pairs
from deepcovid_lib.problems import Problem


def scored(seed, films_per_patient=1, ill=14, well=60):
    """Two correlated models' scores; the images of a patient share a part of each score."""
    rng = np.random.default_rng(seed)
    label = np.repeat(["covid", "non_covid"], [ill, well])
    patient = np.arange(ill + well) // films_per_patient
    easy = 0.8 * rng.normal(size=patient.max() + 1)[patient] + (label == "covid") * 1.2
    frame = pd.DataFrame({"image_id": [f"x:{k}" for k in range(ill + well)], "label": label})
    frame["patient_id"] = [f"x:p{k}" for k in patient]
    own = (rng.normal(size=(patient.max() + 1, 2)) * 0.7)[patient] + rng.normal(size=(ill + well, 2)) * 0.3
    return {model: frame.assign(score=easy + own[:, k]) for k, model in enumerate(("resnet18", "resnet50"))}


def gained(scores):
    """The wins of one model less another's, with the patients of either class."""
    one, other = scores.values()
    y, patients = (one["label"] == "covid").to_numpy(), one["patient_id"].to_numpy()
    return pairs.wins(y, one["score"].to_numpy()) - pairs.wins(y, other["score"].to_numpy()), patients[y], patients[~y]


def test_areas_are_those_of_delong_and_patients_change_nothing_where_each_has_one_image():
    scores = scored(1)
    row = pairs.areas(scores).iloc[0]
    y = scores["resnet18"]["label"] == "covid"
    p = metrics.compare_aucs(y, scores["resnet18"]["score"], scores["resnet50"]["score"]).p
    assert row["p"] == pytest.approx(p)
    own = pairs.by_patient(*gained(scores))
    assert own[0] * abs(norm.isf(p / 2)) == pytest.approx(abs(row["difference"]))
    error = math.hypot(own[0], math.sqrt(2 / 14**2 + 2 / (len(y) - 14) ** 2))
    assert row["p_patients"] == pytest.approx(2 * t.sf(abs(row["difference"]) / error, 13))
    assert row["low"] < row["difference"] < row["high"]
    assert row["difference"] == pytest.approx(row["auc_a"] - row["auc_b"])


def test_the_deviation_by_patient_is_that_of_patients_drawn_anew():
    scores = scored(3, films_per_patient=3, ill=60, well=240)
    deviation, freedom = pairs.by_patient(*gained(scores))
    assert freedom == 19
    y = (scores["resnet18"]["label"] == "covid").to_numpy()
    patients = scores["resnet18"]["patient_id"].to_numpy()
    a, b = (frame["score"].to_numpy() for frame in scores.values())
    wins = gained(scores)[0]
    rng = np.random.default_rng(0)
    ill, well = (np.unique(patients[own], return_inverse=True)[1] for own in (y, ~y))
    drawn = []
    for _ in range(2000):
        over, under = (
            np.bincount(rng.integers(k.max() + 1, size=k.max() + 1), minlength=k.max() + 1)[k] for k in (ill, well)
        )
        drawn.append(over @ wins @ under / over.sum() / under.sum())
    assert deviation == pytest.approx(np.std(drawn), rel=0.1)
    images = scores["resnet18"].assign(patient_id=np.arange(len(y)).astype(str))
    alone = {"resnet18": images.assign(score=a), "resnet50": images.assign(score=b)}
    assert deviation > 1.2 * pairs.by_patient(*gained(alone))[0]


@pytest.mark.parametrize("films_per_patient", [1, 4])
def test_five_patients_differ_by_chance_about_as_often_as_the_level_says(films_per_patient):
    rng = np.random.default_rng(20)
    ill, well = (np.repeat(np.arange(count), films_per_patient) for count in (5, 20))
    both = pd.DataFrame({"label": ["covid"] * len(ill) + ["non_covid"] * len(well)})
    both["patient_id"] = np.concatenate([ill, 100 + well])
    p = []
    for _ in range(800):
        shared = rng.normal(size=120)[both["patient_id"]]
        told = both.assign(score_a=shared + 0.1 * rng.normal(size=len(both)), score_b=0.0)
        area = roc_auc_score(both["label"] == "covid", told["score_a"])
        own = {name: told.rename(columns={f"score_{name}": "score"}) for name in "ab"}
        p.append(pairs.studentised(area - 0.5, *pairs.by_patient(*gained(own)))[2])
        assert pairs.studentised(area - 0.5, *pairs.deviation(told))[2] >= p[-1]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.06


@pytest.mark.parametrize("hard", ["wide", "missed"])
def test_networks_of_equal_areas_near_1_differ_by_chance_no_more_often_than_the_level_says(hard):
    """One network spreads the COVID-19 films widely, or misses some of them wholly; the other has as large an area."""
    rng, y, told, bare = np.random.default_rng(0), np.arange(640) < 40, [], []
    both = pd.DataFrame({"label": np.where(y, "covid", "non_covid"), "patient_id": range(640)})
    for _ in range(200):
        one, other = rng.normal(size=(2, 640))
        if hard == "wide":
            one[y], other[y] = (
                norm.ppf(0.99) * math.hypot(1, wide) + wide * each[y] for wide, each in ((2, one), (0.5, other))
            )
        else:
            one[y] = np.where(rng.uniform(size=40) < 0.03, -9, 9)
            other[y] = norm.ppf(0.97) + 0.001 * other[y]
        won, names = pairs.wins(y, one) - pairs.wins(y, other), both["patient_id"].to_numpy()
        told.append(pairs.studentised(won.mean(), *pairs.deviation(both.assign(score_a=one, score_b=other)))[2])
        bare.append(pairs.studentised(won.mean(), *pairs.by_patient(won, names[y], names[~y]))[2])
    assert np.mean(np.array(told) < 0.05) <= 0.05
    assert np.mean(np.array(bare) < 0.05) > 0.15, "what is counted in is needed"


def test_a_patient_with_images_of_both_classes_counts_on_both_sides():
    scores = scored(4)
    for frame in scores.values():
        frame.loc[20, "patient_id"] = frame.loc[0, "patient_id"]
    joined, apart = pairs.areas(scores).iloc[0], pairs.areas(scored(4)).iloc[0]
    assert joined["p"] == apart["p"]
    assert joined["p_patients"] != pytest.approx(apart["p_patients"], abs=1e-9)


def test_calls_are_mcnemars_on_each_class():
    scores = scored(5)
    found = pairs.calls(scores, target=0.8).set_index("quantity")
    y = (scores["resnet18"]["label"] == "covid").to_numpy()
    right = []
    for frame in scores.values():
        threshold = np.sort(frame["score"][y])[::-1][int(np.ceil(0.8 * y.sum())) - 1]
        right.append((frame["score"].to_numpy() >= threshold) == y)
    for quantity, own in (("sensitivity", y), ("specificity", ~y)):
        only_a, only_b = (right[0] & ~right[1])[own].sum(), (right[1] & ~right[0])[own].sum()
        row = found.loc[quantity]
        assert (row["only_a"], row["only_b"], row["images"]) == (only_a, only_b, own.sum())
        assert row["p"] == pytest.approx(binomtest(int(only_a), int(only_a + only_b)).pvalue)
        assert row["p_patients"] == pytest.approx(row["p"])
        assert row["rate_a"] == pytest.approx(right[0][own].mean())


@pytest.mark.parametrize("differences", [[1, -1, 2], [3, 1, 1, 0, -2], [5], [1] * 8, [2, 2, -4]])
def test_flipped_counts_every_choice_of_signs(differences):
    sums = [np.dot(signs, differences) for signs in product((1, -1), repeat=len(differences))]
    share = np.mean(np.abs(sums) >= abs(sum(differences)))
    assert pairs.flipped(np.array(differences)) == pytest.approx(share)


def test_films_of_one_patient_weigh_less_together():
    assert pairs.flipped(np.array([6])) == 1.0
    assert pairs.flipped(np.ones(6)) == pytest.approx(2 / 64)


def test_holm_is_statsmodels_without_the_undefined():
    p = pd.Series([0.01, np.nan, 0.03, 0.02])
    corrected = pairs.holm(p)
    assert corrected.dropna().tolist() == pytest.approx(multipletests(p.dropna(), method="holm")[1])
    assert np.isnan(corrected[1])
    assert pairs.holm(pd.Series([np.nan])).isna().all()


def test_all_pairs_are_corrected_together():
    scores = scored(6)
    three = scores | {"squeezenet": scored(7)["resnet18"]}
    found = pairs.areas(three)
    assert len(found) == 3
    assert found["p_holm"].tolist() == pytest.approx(multipletests(found["p"], method="holm")[1])
    assert len(pairs.calls(three)) == 6


def test_equal_models_cannot_be_told_apart():
    frame = scored(8)["resnet18"]
    same = {"resnet18": frame, "resnet50": frame.assign(score=frame["score"] * 2 + 1)}
    for found in (pairs.areas(same), pairs.calls(same)):
        assert set(found["verdict"]) == {pairs.UNDECIDED}
        assert found["p_patients"].isna().all()


@pytest.mark.parametrize("label", ["covid", "non_covid"])
def test_one_class_or_one_patient_cannot_be_decided(label):
    scores = {model: frame[frame["label"] == label] for model, frame in scored(9).items()}
    assert set(pairs.areas(scores)["verdict"]) == {pairs.UNDECIDED}
    lone = scored(9, films_per_patient=14)
    assert set(pairs.areas(lone)["verdict"]) == {pairs.UNDECIDED}
    few = {
        model: pd.concat([frame[frame["label"] == label].head(4), frame[frame["label"] != label]])
        for model, frame in scored(9).items()
    }
    assert set(pairs.areas(few)["verdict"]) == {pairs.UNDECIDED}
    pairs.calls(scores)


def test_one_model_has_no_pairs():
    scores = {"resnet18": scored(1)["resnet18"]}
    assert pairs.areas(scores).empty
    assert pairs.calls(scores).empty


def test_other_images_are_refused():
    scores = scored(1)
    scores["resnet50"] = scores["resnet50"].iloc[1:]
    with pytest.raises(Problem, match="did not score the same images"):
        pairs.areas(scores)


def test_a_plain_difference_is_found():
    scores = scored(2, ill=40, well=200)
    blind = scores["resnet18"].assign(score=np.random.default_rng(0).random(240))
    found = pairs.areas({"resnet18": scores["resnet18"], "resnet50": blind})
    assert found["verdict"].tolist() == [pairs.DIFFER]
    assert found.loc[0, "low"] > 0
