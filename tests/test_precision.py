"""Precision and recall agree with counting, their average with scikit-learn and with a plain bootstrap."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from deepcovid_lib import precision


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    label = np.repeat(["covid", "non_covid"], [24, 100])
    patients = [f"x:{k // 3}" for k in range(124)]
    return pd.DataFrame({"patient_id": patients, "label": label, "score": rng.random(124) + (label == "covid") * 0.3})


def test_every_point_is_counted_by_hand(frame):
    covid = frame["label"] == "covid"
    for row in precision.curve(frame).itertuples():
        called = frame["score"] >= row.threshold
        assert row.precision == pytest.approx((called & covid).sum() / called.sum())
        assert row.recall == pytest.approx((called & covid).sum() / covid.sum())


def test_the_average_is_scikit_learns_and_the_floor_is_the_share(frame):
    row = precision.summary({"resnet18": frame}, replicates=50).iloc[0]
    assert row["average_precision"] == pytest.approx(average_precision_score(frame["label"] == "covid", frame["score"]))
    assert row["floor"] == pytest.approx(24 / 124)
    assert row["low"] < row["average_precision"] < row["high"]


def test_the_bootstrap_draws_patients(frame):
    row = precision.summary({"resnet18": frame}, replicates=400).iloc[0]
    rng = np.random.default_rng(9)
    classes = [[part for _, part in own.groupby("patient_id")] for _, own in frame.groupby("label")]
    drawn = []
    for _ in range(400):
        sample = pd.concat([own[k] for own in classes for k in rng.integers(len(own), size=len(own))])
        drawn.append(average_precision_score(sample["label"] == "covid", sample["score"]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert row["low"] == pytest.approx(low, abs=0.05)
    assert row["high"] == pytest.approx(high, abs=0.05)


def test_one_class_has_no_precision(frame):
    for label in ("covid", "non_covid"):
        alone = frame[frame["label"] == label]
        assert precision.summary({"resnet18": alone})[["average_precision", "low", "high"]].isna().all(axis=None)
        assert precision.curve(alone).empty
    assert precision.summary({"resnet18": frame.head(0)})["floor"].isna().all()


def test_equal_scores_reach_the_floor(frame):
    row = precision.summary({"resnet18": frame.assign(score=0.5)}, replicates=20).iloc[0]
    assert row["average_precision"] == pytest.approx(row["floor"])


def test_classes_wholly_apart_have_no_interval():
    rng = np.random.default_rng(0)
    label = np.repeat(["covid", "non_covid"], [9, 31])
    for _ in range(20):
        score = np.where(label == "covid", rng.uniform(0.6, 1, 40), rng.uniform(0, 0.4, 40))
        frame = pd.DataFrame({"patient_id": np.arange(40) // 2 * 2, "label": label, "score": score})
        row = precision.summary({"resnet18": frame}, replicates=50).iloc[0]
        assert row["average_precision"] == pytest.approx(1)
        assert row["average_precision"] <= 1
        assert np.isnan(row["low"])
        assert np.isnan(row["high"])
