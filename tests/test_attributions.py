"""Shares of evidence, likeness of maps, and what cannot be decided."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from deepcovid_lib import attributions, runs

SCORES = pd.DataFrame(
    {
        "image_id": list("abcdef"),
        "label": ["covid"] * 3 + ["non_covid"] * 3,
        "score": [0.2, 0.9, 0.5, 0.1, 0.7, 0.3],
        "patient_id": list("pqrstu"),
    }
)


def test_the_cases_are_the_extremes_of_their_class():
    assert attributions.cases(SCORES)["image_id"].tolist() == ["b", "a", "e"]
    assert attributions.cases(SCORES[SCORES["label"] == "covid"])["image_id"].tolist() == ["b", "a"]
    assert attributions.cases(SCORES[:0]).empty


def test_a_sample_holds_as_many_of_each_class_and_is_the_same_for_a_seed():
    drawn = attributions.sample(SCORES, share=0.7, seed=1)
    assert drawn["label"].value_counts().to_dict() == {"covid": 2, "non_covid": 2}
    assert drawn.equals(attributions.sample(SCORES, share=0.7, seed=1))
    assert len(attributions.sample(SCORES, share=0.01, seed=1)) == 2


def maps(seed=0, films=6):
    return np.random.default_rng(seed).normal(size=(films, 8, 8))


def test_shares_agree_with_a_loop_over_places():
    values, mask = maps(), maps(1) > 0.5
    found = attributions.shares(values, SCORES, {"lung fields": mask})
    for k in range(6):
        inside = sum(max(0, values[k, y, x]) for y, x in np.argwhere(mask[k]))
        whole = sum(max(0, value) for value in values[k].ravel())
        assert found.loc[k, "share"] == pytest.approx(inside / whole)
        assert found.loc[k, "area"] == pytest.approx(mask[k].sum() / 64)


def test_nothing_divides_by_zero():
    values, mask = -np.ones((2, 8, 8)), np.zeros((2, 8, 8), bool)
    mask[0, :4] = True
    found = attributions.shares(values, SCORES[:2], {"opacity": mask})
    assert len(found) == 1
    assert math.isnan(found.loc[0, "share"])
    row = attributions.placed({"Grad-CAM": found}).query("region == 'opacity'").iloc[0]
    assert row["without_evidence"] == 1
    assert row["verdict"].startswith("cannot be decided")


def test_maps_without_evidence_and_maps_alike_but_for_rounding_decide_nothing():
    below = attributions.shares(-1 - np.abs(maps()), SCORES, {"opacity": np.ones((6, 8, 8), bool)})
    row = attributions.placed({"x": below}).query("region == 'opacity'").iloc[0]
    assert (row["films"], row["without_evidence"]) == (6, 6)
    assert row["verdict"] == "cannot be decided: no map has a positive part"
    dust = 1 + 1e-7 * maps(7)
    assert attributions.likeness(maps(), [{"x": dust}] * 5)[["without", "size"]].isna().values.tolist() == [
        [False, True]
    ]


def test_shares_near_all_keep_their_digits():
    inside = np.zeros((6, 8, 8), bool)
    inside[:, :4] = True
    own = np.where(inside, 1.0, 2e-5)
    share = attributions.placed({"x": attributions.shares(own, SCORES, {"lung fields": inside})}).loc[0, "share"]
    assert 0.9999 < share < 1


def test_without_masks_it_cannot_be_decided():
    table = attributions.placed({"Grad-CAM": attributions.shares(maps(), SCORES, None)})
    assert set(table["verdict"]) == {"cannot be decided: no masks of this region"}
    assert table["share"].isna().all()


def test_masks_are_claimed_for_phantoms_alone():
    assert attributions.regions(runs.resolve("open-cxr"), SCORES) is None


@pytest.mark.parametrize(("inside", "verdict"), [(5.0, "more than its area"), (0.0, "less than its area")])
def test_the_verdict_follows_the_evidence(inside, verdict):
    mask = np.zeros((6, 8, 8), bool)
    mask[:, :4] = True
    table = attributions.placed({"x": attributions.shares(np.where(mask, inside, 1.0), SCORES, {"lung fields": mask})})
    assert table.loc[0, "verdict"] == verdict
    assert table.loc[0, "area"] == 0.5


def test_the_interval_is_students_where_every_patient_has_one_film():
    values = pd.Series(np.random.default_rng(3).normal(0.1, 0.2, size=8))
    mean, low, high = attributions.interval(values, pd.Series(range(8)))
    known = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean == values.mean()
    assert (low, high) == pytest.approx((known.low, known.high))


def test_films_of_one_patient_count_as_one():
    alone = np.random.default_rng(4).normal(0, 0.2, size=10)
    values, patients = pd.Series(np.repeat(alone, 5)), pd.Series(np.repeat(range(10), 5))
    assert attributions.interval(values, patients) == pytest.approx(
        attributions.interval(pd.Series(alone), pd.Series(range(10)))
    )


def test_an_interval_stays_where_its_values_lie():
    _, low, high = attributions.interval(pd.Series([1.0, 1.0, 1.0, 1.0, -1.0]), pd.Series(range(5)))
    assert (low, high) == (pytest.approx(-0.51, abs=0.01), 1)


def test_likeness_is_the_rank_correlation():
    one, other = maps(5), maps(6)
    flat = np.zeros((6, 8, 8))
    table = attributions.likeness(one, [{"other": other, "itself": np.exp(one), "negative": -one, "flat": flat}])
    expected = np.mean([stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)])
    assert table.loc[0, ["lowest", "highest"]].tolist() == pytest.approx([expected] * 2, abs=1e-12)
    assert table["size"].tolist()[:3] == pytest.approx([abs(expected), 1, 1])
    assert table["lowest"].tolist()[1:3] == pytest.approx([1, -1])
    assert table["without"].tolist() == [0, 0, 0, 6]
    assert table["draws"].tolist() == [1, 1, 1, 0]
    assert table.loc[3, ["lowest", "highest", "size", "low", "high"]].isna().all()


def test_the_size_of_a_likeness_is_told_over_the_draws_whatever_their_sign():
    one = maps(5)
    draws = [{"head": (-1) ** number * one + maps(number + 10)} for number in range(6)]
    row = attributions.likeness(one, draws).loc[0]
    pairs = [zip(one, each["head"], strict=True) for each in draws]
    means = [np.mean([stats.spearmanr(a, b, axis=None).statistic for a, b in pair]) for pair in pairs]
    size = np.mean(np.abs(means))
    low, high = stats.t.interval(0.95, 5, size, stats.sem(np.abs(means)))
    assert (row["draws"], row["films"]) == (6, 6)
    assert row[["lowest", "highest", "size"]].tolist() == pytest.approx([min(means), max(means), size])
    assert row[["low", "high"]].tolist() == pytest.approx([low, high])
    assert row["lowest"] < 0 < row["low"]


def test_few_draws_have_no_interval():
    assert attributions.likeness(maps(), [{"x": maps(7)}] * 4)[["low", "high"]].isna().all(axis=None)
