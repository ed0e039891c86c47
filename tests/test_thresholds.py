"""Thresholds are chosen without the patients they are tried on."""

import numpy as np
import pandas as pd
import pytest
import torch

from deepcovid_lib import editions, metrics, repeats, thresholds
from deepcovid_lib.pools import Pool
from deepcovid_lib.problems import Misuse

RECIPE = editions.RecipeAsked(epochs=5, features="standardised")


def pool(ill=9, well=20, films=2, copies=3):
    """Made-up features; all but the last quarter of the patients are in training."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(ill + well):
        label = "covid" if patient < ill else "non_covid"
        for film in range(films):
            for copy in range(copies if label == "covid" else 1):
                rows.append((f"x:{patient}-{film}", copy, f"x:p{patient}", label, label, "train"))
    frame = pd.DataFrame(rows, columns=["image_id", "copy", "patient_id", "label", "group", "split"])
    numbers = rng.normal(size=(len(frame), 512)) + (frame["label"] == "covid").to_numpy()[:, None] * 0.1
    return Pool("resnet18", frame, torch.from_numpy(numbers).float())


def scored(seed, ill=20, well=80, films=1):
    rng = np.random.default_rng(seed)
    label = np.repeat(["covid", "non_covid"], [ill, well])
    score = 1 / (1 + np.exp(-rng.normal(size=ill + well) - 1.5 * (label == "covid")))
    patients = [f"x:{k // films}" for k in range(ill + well)]
    return pd.DataFrame({"patient_id": patients, "label": label, "score": score})


def test_every_training_image_is_scored_once_without_its_patient(monkeypatch):
    made, used = pool(), []
    train = repeats.head
    monkeypatch.setattr(repeats, "head", lambda pool, rows, **rest: used.append(rows) or train(pool, rows, **rest))
    found = thresholds.left_out(made, recipe=RECIPE, count=4, seed=1)
    assert sorted(found["image_id"]) == sorted(made.films["image_id"].unique())
    assert len(used) == found["fold"].nunique() == 4
    for rows, (_, own) in zip(used, found.groupby("fold"), strict=True):
        known = made.films.iloc[rows]
        assert not set(known["patient_id"]) & set(own["patient_id"])
        assert len(known["patient_id"].unique()) + own["patient_id"].nunique() == 29
        assert set(known["label"]) == {"covid", "non_covid"}
        assert known["copy"].max() == 2


def test_folds_keep_patients_together_and_classes_even():
    films = pool(films=3).films
    films = films[films["copy"] == 0]
    numbers = thresholds.folds(films, count=3, seed=0)
    assert (pd.Series(numbers).groupby(films["patient_id"].to_numpy()).nunique() == 1).all()
    assert set(np.bincount(numbers[films["label"] == "covid"])) == {9}


def test_fewer_patients_make_fewer_folds():
    films = pool(ill=2).films
    assert set(thresholds.folds(films, count=5, seed=0)) == {0, 1}
    with pytest.raises(Misuse, match="1 folds leave no patient out"):
        thresholds.folds(films, count=1, seed=0)


@pytest.mark.parametrize(
    ("ill", "well", "reason"), [(1, 9, "COVID-19 patients.*is 1"), (0, 9, "is none"), (5, 1, "non-COVID")]
)
def test_too_few_patients_cannot_be_decided(ill, well, reason):
    made = pool(ill=ill, well=well)
    assert pd.Series([thresholds.undecidable(made.films)]).str.contains(f"cannot be decided.*{reason}").all()
    found = thresholds.left_out(made, recipe=RECIPE, count=5, seed=0)
    assert found.empty
    row = thresholds.promises(found, scored(0)).iloc[0]
    assert row[["threshold", "promised_specificity", "specificity", "optimism_specificity"]].isna().all()
    assert row["chosen_sensitivity"] >= 0.975
    assert thresholds.halves(made.films.assign(score=0.5), repeats=3, seed=0).empty


def test_a_frozen_threshold_is_counted_by_hand():
    one, other = scored(1), scored(2)
    found = thresholds.frozen(one, other, target=0.9)
    ill = np.sort(one.loc[one["label"] == "covid", "score"])[::-1]
    for scores in (one["score"], other["score"]):
        assert ((scores >= found["threshold"]) == (scores >= ill[17])).all()
    assert found["promised_sensitivity"] == 0.9
    called = other["score"] >= ill[17]
    assert found["sensitivity"] == called[other["label"] == "covid"].mean()
    assert found["specificity"] == (~called)[other["label"] == "non_covid"].mean()


def test_the_optimism_is_chosen_minus_frozen():
    one, other = scored(1), scored(2)
    row = thresholds.promises(one, other, targets=[0.9, 0.975]).set_index("target").loc[0.975]
    chosen = metrics.operating_points(other["label"] == "covid", other["score"], sensitivities=[0.975]).iloc[0]
    assert row["chosen_specificity"] == chosen["specificity"]
    for rate in ("sensitivity", "specificity"):
        assert row[f"optimism_{rate}"] == pytest.approx(row[f"chosen_{rate}"] - row[rate])


def test_halves_share_no_patient(monkeypatch):
    parts = []
    monkeypatch.setattr(thresholds, "frozen", lambda one, other, target: parts.append((one, other)) or {})
    frame = scored(3, films=2)
    thresholds.halves(frame, repeats=4, seed=0)
    assert len(parts) == 4
    for one, other in parts:
        assert not set(one["patient_id"]) & set(other["patient_id"])
        assert len(one) + len(other) == len(frame)
        assert (one["label"] == "covid").sum() == 10


def test_choosing_on_the_same_images_is_optimistic_on_the_average():
    found = thresholds.halves(scored(4, ill=40, well=400), repeats=100, seed=0)
    assert len(found) == 100
    assert found["promised_sensitivity"].min() >= 0.975
    assert found["sensitivity"].mean() < 0.97


def test_a_class_missing_where_it_is_applied_is_nan():
    one, other = scored(5), scored(6)
    assert np.isnan(thresholds.frozen(one, other[other["label"] == "covid"])["specificity"])
    assert np.isnan(thresholds.frozen(one[one["label"] == "non_covid"], other)["threshold"])
