"""Calibration agrees with scikit-learn and with counting by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from deepcovid_lib import calibration, metrics, records


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    score = rng.random(400)
    return pd.DataFrame({"label": np.where(rng.random(400) < score**2, "covid", "non_covid"), "score": score})


def test_the_curve_is_scikit_learns(frame):
    curve = calibration.curve(frame, bins=10)
    share, mean = calibration_curve(frame["label"] == "covid", frame["score"], n_bins=10)
    assert curve["share"].tolist() == pytest.approx(share.tolist())
    assert curve["score"].tolist() == pytest.approx(mean.tolist())
    assert curve["images"].sum() == len(frame)
    assert (curve["low"] <= curve["share"]).all()
    assert (curve["share"] <= curve["high"]).all()


def test_the_curve_adds_up_to_the_calibration_error(frame):
    curve = calibration.curve(frame, bins=7)
    error = (curve["images"] * (curve["share"] - curve["score"]).abs()).sum() / len(frame)
    assert error == pytest.approx(metrics.calibration_error(frame["label"] == "covid", frame["score"], bins=7))


def test_a_bin_is_closed_on_the_right():
    frame = pd.DataFrame({"label": "covid", "score": [0.0, 0.5, 0.51, 1.0]})
    assert calibration.curve(frame, bins=2)["images"].tolist() == [2, 2]


def test_scores_of_one_mix_moved_to_another_are_right_there():
    rng = np.random.default_rng(1)
    ill, well = rng.normal(1, 1, 200_000), rng.normal(-1, 1, 200_000)  # log-odds 2x at equal shares
    kept = rng.random(200_000) < 0.1
    values = np.concatenate([ill[kept], well])
    frame = pd.DataFrame({"label": np.repeat(["covid", "non_covid"], [kept.sum(), 200_000])})
    frame["score"] = 1 / (1 + np.exp(-2 * values))
    found = calibration.summary({"resnet18": frame}, offset=np.log(0.1)).set_index("scores")
    assert found.loc["as given", "calibration_error"] > 0.1
    assert found.loc["moved to the test mix", "calibration_error"] < 0.005
    assert found.loc["moved to the test mix", "expected"] == pytest.approx(kept.sum(), rel=0.02)


def test_a_shift_keeps_the_order_and_the_ends():
    scores = np.array([0, 1e-12, 0.3, 0.7, 1])
    moved = calibration.shift(scores, -2.9)
    assert (np.diff(moved) > 0).all()
    assert moved[[0, -1]].tolist() == [0, 1]
    assert calibration.shift(moved, 2.9) == pytest.approx(scores)


def test_the_summary_is_scikit_learns(frame):
    row = calibration.summary({"resnet18": frame}, offset=-1.0).iloc[0]
    covid = frame["label"] == "covid"
    assert row["brier"] == pytest.approx(brier_score_loss(covid, frame["score"]))
    assert row["skill"] == pytest.approx(1 - row["brier"] / np.mean((covid - covid.mean()) ** 2))
    assert row["found"] == covid.sum()


def test_scores_as_given_stay_in_their_bins():
    frame = pd.DataFrame({"label": ["covid", "non_covid"] * 9, "score": np.repeat(np.arange(1, 10) / 10, 2)})
    row = calibration.summary({"resnet18": frame}, offset=-1.0).iloc[0]
    assert row["calibration_error"] == metrics.calibration_error(frame["label"] == "covid", frame["score"], bins=10)
    assert row["expected"] == frame["score"].sum()


def test_what_is_undefined_is_nan(frame):
    empty = calibration.summary({"resnet18": frame.head(0)}, offset=-1.0)
    assert empty[["brier", "skill", "calibration_error"]].isna().all(axis=None)
    alone = calibration.summary({"resnet18": frame[frame["label"] == "covid"]}, offset=-1.0)
    assert alone["skill"].isna().all()
    assert alone["brier"].notna().all()
    unknown = calibration.summary({"resnet18": frame}, offset=np.nan).set_index("scores")
    assert unknown.loc["moved to the test mix", ["expected", "brier"]].isna().all()
    assert calibration.curve(frame.head(0)).empty


def test_the_mix_is_that_of_the_manifest():
    mix = calibration.mix(records.table("phantom", "tab-dataset"))
    assert mix["offset"] == pytest.approx(np.log((40 / 300) / (62 / 244)))
    none = records.table("phantom", "tab-dataset")
    none.loc[none["split"] == "test", "run"] = 0
    assert np.isnan(calibration.mix(none)["offset"])


def test_net_benefit_is_counted_by_hand(frame):
    covid, score = frame["label"] == "covid", frame["score"]
    found = calibration.net_benefit(frame, thresholds=[0.0, 0.2, 0.6])
    for row in found.itertuples():
        called, weight = score >= row.threshold, row.threshold / (1 - row.threshold)
        assert row.model == pytest.approx(((called & covid).sum() - weight * (called & ~covid).sum()) / 400)
        assert row.all == pytest.approx(covid.mean() - weight * (1 - covid.mean()))
    assert found.loc[0, "model"] == pytest.approx(found.loc[0, "all"])
    assert calibration.net_benefit(frame.head(0), thresholds=[0.5])[["model", "all"]].isna().all(axis=None)
