"""The ladder: patients never on both sides, numbers as scikit-learn gives them, nothing decided on too little."""

import math
import statistics
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from deepcovid_lib import cards, ladders, metrics, tables
from deepcovid_lib.rungs import Rung


def films(patients=60, ill=0.3, seed=0):
    """Films of patients, some with two, a third of them in training."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), rng.integers(1, 3, patients))
    sick = np.arange(patients) < ill * patients
    label = np.where(sick[owners], "covid", "non_covid")
    split = np.where(owners % 3 == 0, "train", "test")
    return pd.DataFrame({"patient_id": owners.astype(str), "label": label, "split": split})


def values(frame, distance, numbers=5, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(frame), numbers)) + distance * (frame["label"] == "covid").to_numpy()[:, None]


def rung(frame, distance=1.0, kind="grey"):
    return Rung("five numbers", kind, values(frame, distance))


def parts(frame):
    return (frame["label"] == "covid").to_numpy(), frame["patient_id"].to_numpy()


def test_splits_part_patients_and_keep_45_percent_of_each_class():
    y_true, patients = parts(films())
    found = list(ladders.splits(y_true, patients, seed=3))
    assert len(found) == 10
    assert len({train.tobytes() for train in found}) == 10
    for train in found:
        assert not set(patients[train]) & set(patients[~train])
        for own in (y_true, ~y_true):
            share = len(set(patients[train & own])) / len(set(patients[own]))
            assert share == pytest.approx(0.45, abs=0.03)


def test_a_patient_with_films_of_both_classes_stays_whole():
    y_true, patients = np.arange(24) % 2 == 0, np.repeat(np.arange(12), 2)
    y_true[8:] = False
    for train in ladders.splits(y_true, patients, seed=0):
        assert not set(patients[train]) & set(patients[~train])


def test_scores_are_those_of_balanced_logistic_regression_on_standardised_numbers():
    frame = films()
    y_true, train, numbers = parts(frame)[0], (frame["split"] == "train").to_numpy(), values(frame, 1)
    numbers[0, 0] = np.nan
    filled = numbers.copy()
    filled[0, 0] = np.nanmean(numbers[train, 0])
    standard = (filled - filled[train].mean(0)) / filled[train].std(0)
    weights = np.where(
        y_true[train], len(y_true[train]) / 2 / y_true[train].sum(), len(y_true[train]) / 2 / (~y_true[train]).sum()
    )
    model = LogisticRegression(max_iter=2000).fit(standard[train], y_true[train], sample_weight=weights)
    assert ladders.scored(numbers, y_true, train) == pytest.approx(model.decision_function(standard[~train]), abs=1e-3)


def test_the_table_agrees_with_brute_force():
    frame = films()
    y_true, patients = parts(frame)
    row = ladders.ladder([rung(frame)], frame, {}, seed=5).iloc[0]
    train = (frame["split"] == "train").to_numpy()
    assert row["auc"] == pytest.approx(roc_auc_score(y_true[~train], ladders.scored(values(frame, 1), y_true, train)))
    areas = [
        roc_auc_score(y_true[~train], ladders.scored(values(frame, 1), y_true, train))
        for train in ladders.splits(y_true, patients, seed=5)
    ]
    assert [row["auc_mean"], row["auc_lowest"], row["auc_highest"]] == pytest.approx(
        [np.mean(areas), min(areas), max(areas)]
    )
    assert row["low"] < row["auc"] < row["high"]
    assert row["verdict"] == ladders.ABOVE
    assert row["numbers"] == 5


def test_specificity_stands_at_the_first_threshold_that_reaches_the_papers_sensitivity():
    frame = films()
    y_true, train = parts(frame)[0], (frame["split"] == "train").to_numpy()
    scores = ladders.scored(values(frame, 1), y_true, train)
    reached = [cut for cut in scores if (scores[y_true[~train]] >= cut).mean() >= 0.975]
    expected = (scores[~y_true[~train]] < max(reached)).mean()
    assert ladders.ladder([rung(frame)], frame, {}, seed=0)["specificity"].iloc[0] == pytest.approx(expected)


def test_nothing_to_see_and_labels_dealt_at_random_are_not_told_from_chance():
    frame = films(patients=400)
    nothing = Rung("noise", "grey", values(frame, 0))
    table = ladders.ladder([nothing, rung(frame, 3, "null"), rung(frame, 3)], frame, {}, seed=1).set_index("kind")
    assert table.loc["null", "auc_mean"] == pytest.approx(0.5, abs=0.06)
    assert table.iloc[0]["auc_mean"] == pytest.approx(0.5, abs=0.06)
    assert table["verdict"].tolist()[1:] == [ladders.CHANCE, ladders.ABOVE]


@pytest.mark.parametrize(("scores", "verdict"), [([1, 2, 3, 4, 0], ladders.BELOW), ([6, 7, 8, 9, 10], ladders.ABOVE)])
def test_the_classes_the_wrong_way_round_are_below_chance(scores, verdict):
    y_true, patients = np.repeat([False, True], 5), np.arange(10)
    found = ladders.judged(y_true, np.array([5] * 5 + scores, float), patients)
    assert found["verdict"] == verdict
    rng = np.random.default_rng(0)
    many = np.repeat([False, True], 60)
    nearly = rng.normal(size=120) + np.where(many, -1.0 if verdict == ladders.BELOW else 1.0, 0.0)
    found = ladders.judged(many, nearly, np.arange(120))
    assert 0 < found["auc"] < 1
    assert found["verdict"] == verdict
    table = pd.DataFrame([{"rung": "border alone", "kind": "masked", **found}])
    assert "no mark" not in ladders.conclusion(table)
    assert verdict in ladders.conclusion(table)


def test_dealt_labels_keep_their_number_and_their_patients():
    y_true, patients = parts(films())
    dealt = pd.DataFrame({"patient": patients, "ill": ladders.shuffled(y_true, patients, seed=2)})
    assert (dealt.groupby("patient")["ill"].nunique() == 1).all()
    assert dealt.groupby("patient")["ill"].first().sum() == len(set(patients[y_true]))
    assert (dealt["ill"] != y_true).any()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda frame: frame.assign(label="covid"), "other films of 0 patients"),
        (lambda frame: frame.assign(label="non_covid"), "COVID-19 films of 0 patients"),
        (lambda frame: frame[(frame["label"] != "covid") | (frame["patient_id"].astype(int) < 3)], "of 3 patients"),
        (lambda frame: frame.assign(split=np.where(frame["label"] == "covid", "test", "train")), "one class only"),
    ],
)
def test_too_little_is_not_decided(change, reason):
    frame = change(films())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = ladders.ladder([rung(frame)], frame, {}, seed=0).iloc[0]
    assert row["verdict"] == ladders.UNDECIDED
    assert reason in row["note"]
    assert math.isnan(row["auc"])


@pytest.mark.parametrize(
    ("own", "reason"),
    [(Rung("a", "file", np.ones((3, 2)), "left out"), "left out"), (Rung("a", "file", np.ones((0, 2))), "same values")],
)
def test_a_rung_says_why_it_is_left_out(own, reason):
    frame = films()
    own = own._replace(values=np.full((len(frame), 2), np.nan))
    row = ladders.ladder([own], frame, {}, seed=0).iloc[0]
    assert reason in row["note"]
    assert row["verdict"] == ladders.UNDECIDED


def test_the_models_stand_beside_the_rungs_with_their_own_scores():
    frame = films()
    scores = frame[frame["split"] == "test"].assign(score=lambda own: np.linspace(1, 0, len(own)))
    row = ladders.ladder([], frame, {"resnet18": scores}, seed=0).iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(scores["label"] == "covid", scores["score"]))
    assert row["kind"] == "model"
    assert math.isnan(row["auc_mean"])


def test_one_area_has_one_range_wherever_it_stands():
    frame = films()
    scores = frame[frame["split"] == "test"].assign(score=lambda own: np.sin(np.arange(len(own))) / 2 + 0.5)
    card = cards.performance({"resnet18": scores}).iloc[0]
    area = tables.auc({"resnet18": scores}).iloc[0]
    assert (card["auc_low"], card["auc_high"]) == (area["range_low"], area["range_high"])
    assert card["auc_low"] < card["auc_high"]


def test_the_interval_of_a_rung_is_delongs_by_students_t_where_patients_have_one_film():
    rng, y_true = np.random.default_rng(3), np.arange(80) < 12
    scores = rng.normal(y_true, 1)
    told = ladders.judged(y_true, scores, np.arange(80))
    area = metrics.auc_interval(y_true, scores, method="delong")
    margin = scipy.stats.t.ppf(0.975, 11) * (area.auc - area.low) / 1.959964 / (area.auc * (1 - area.auc))
    assert told["auc"] == pytest.approx(area.auc)
    ends = [scipy.special.expit(scipy.special.logit(area.auc) + step) for step in (-margin, margin)]
    assert (told["low"], told["high"]) == pytest.approx(ends, abs=1e-4)


def test_a_value_that_one_class_shares_is_told_from_chance_by_a_test():
    y_true = np.arange(45) < 5
    found = ladders.judged(y_true, np.r_[np.zeros(5), np.ones(9), np.zeros(31)], np.arange(45))
    assert found["verdict"] == ladders.CHANCE
    assert found["note"] == ladders.NO_SPREAD
    assert math.isnan(found["low"])
    many = np.arange(300) < 60
    found = ladders.judged(many, np.r_[np.zeros(60), np.ones(60), np.zeros(180)], np.arange(300))
    assert (found["verdict"], found["note"]) == (ladders.BELOW, ladders.NO_SPREAD)


def test_equal_films_have_equal_scores_wherever_they_stand():
    rng, train = np.random.default_rng(0), 80
    for count in (*range(20, 60), 271, 415):
        values = np.zeros((train + count, 128), np.float32)
        coloured = rng.choice(train, 8, replace=False)
        values[coloured] = rng.normal(0, 5, (8, 128))
        y_true = np.arange(len(values)) < 20
        y_true[[*coloured, train]] = True
        assert len(np.unique(ladders.scored(values, y_true, np.arange(len(values)) < train))) == 1


def test_one_marked_patient_tells_nothing():
    y_true = np.arange(296) < 25
    found = ladders.judged(y_true, (np.arange(296) == 0) * 1.0, np.arange(296))
    assert (found["verdict"], found["note"]) == (ladders.CHANCE, ladders.NO_SPREAD)


def test_a_class_that_departs_to_both_sides_of_the_other_is_seldom_told_from_chance():
    rng, told, y_true = np.random.default_rng(0), 0, np.arange(296) < 25
    for _ in range(300):
        marks = np.zeros(296)
        marks[:10] = rng.choice([-1, 1], 10)
        told += ladders.judged(y_true, marks, np.arange(296))["verdict"] != ladders.CHANCE
    assert told <= 24


def test_many_films_of_one_patient_decide_nothing():
    y_true = np.repeat([True, False], [24, 12])
    patients = np.r_[np.zeros(12, int), np.arange(1, 25)]
    found = ladders.judged(y_true, np.repeat([0.9, 0.1, 0.5], 12), patients)
    assert (found["auc"], found["verdict"]) == (0.5, ladders.CHANCE)


def test_two_valued_noise_is_seldom_told_from_chance():
    rng, told, y_true = np.random.default_rng(0), 0, np.arange(46) < 6
    for _ in range(300):
        told += ladders.judged(y_true, (rng.uniform(size=46) < 0.7) * 1.0, np.arange(46))["verdict"] != ladders.CHANCE
    assert told <= 24


def test_the_interval_of_a_high_area_holds_it():
    rng, held = np.random.default_rng(0), 0
    area, y_true = 0.95, np.arange(110) < 10
    for _ in range(300):
        scores = rng.normal(y_true * scipy.stats.norm.ppf(area) * math.sqrt(2), 1)
        found = ladders.judged(y_true, scores, np.arange(110))
        held += found["low"] <= area <= found["high"] or math.isnan(found["low"])
    assert held >= 270


@pytest.mark.parametrize(("positives", "negatives"), [(5, 200), (10, 60)])
def test_noise_seen_in_few_patients_is_seldom_told_from_chance(positives, negatives):
    rng, told = np.random.default_rng(0), 0
    y_true = np.arange(positives + negatives) < positives
    for _ in range(300):
        told += (
            ladders.judged(y_true, rng.normal(size=len(y_true)), np.arange(len(y_true)))["verdict"] != ladders.CHANCE
        )
    assert told <= 24


def test_areas_over_splits_have_the_interval_of_nadeau_and_bengio():
    frame = films()
    y_true, patients = parts(frame)
    rung = Rung("a number", "picture", values(frame, 1))
    told = ladders.resampled(rung, y_true, patients, seed=4)
    areas = [
        roc_auc_score(y_true[~train], ladders.scored(rung.values, y_true, train))
        for train in ladders.splits(y_true, patients, seed=4)
    ]
    error = statistics.stdev(areas) * math.sqrt(1 / 10 + 55 / 45)
    assert told["auc"] == pytest.approx(statistics.mean(areas))
    assert [told["auc_lowest"], told["auc_highest"]] == [min(areas), max(areas)]
    low, high = scipy.stats.t.interval(0.95, 9, loc=told["auc"], scale=error)
    assert [told["low"], told["high"]] == pytest.approx([max(low, 0), min(high, 1)])


def test_noise_is_seldom_told_from_chance_over_splits():
    rng = np.random.default_rng(11)
    y_true = np.arange(28) < 14
    decided = [
        ladders.resampled(Rung("noise", "picture", rng.normal(size=(28, 2))), y_true, np.arange(28), seed=seed)[
            "verdict"
        ]
        for seed in range(60)
    ]
    assert decided.count(ladders.CHANCE) >= 52


def test_a_split_without_both_classes_on_a_side_decides_nothing():
    y_true, patients = np.arange(11) < 10, np.append(np.arange(10), 0)
    noise = Rung("noise", "picture", np.random.default_rng(0).normal(size=(11, 1)))
    told = ladders.resampled(noise, y_true, patients, seed=0)
    assert told == {"verdict": ladders.UNDECIDED, "note": "a side of a split has one class only"}
