"""The positive control: planted marks are found, their absence too, and too few films decide nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from deepcovid_lib import controls, ladders
from deepcovid_lib.controls import Stock


def pool(ill=30, healthy=130, mark=3.0, sign=3.0, seed=0):
    """Numbers in place of films: the mark moves both rungs as it grows, the sign the second alone."""
    rng = np.random.default_rng(seed)
    sick = np.arange(ill + healthy) < ill
    seen = {}
    for name, moved in zip(controls.RUNGS, (0.0, sign), strict=True):
        base = rng.normal(size=(len(sick), 1, 4)) + moved * sick[:, None, None]
        seen[name] = base + mark * np.array(controls.STRENGTHS)[None, :, None]
    return Stock(sick, seen)


def cell(table, rung, sign, strength):
    return table[(table["rung"] == rung) & (table["sign"] == sign) & (table["strength"] == strength)].iloc[0]


@pytest.fixture(scope="module")
def table():
    return controls.power(pool(), seed=1)


def test_the_mark_is_found_where_it_is_and_the_null_is_quiet(table):
    border, grey = controls.RUNGS
    assert cell(table, border, "no sign", 0)["share"] <= 0.1
    assert cell(table, border, "a sign", 0)["share"] <= 0.2
    assert cell(table, grey, "a sign", 0)["share"] == 1
    for rung in controls.RUNGS:
        for sign in controls.SIGNS:
            assert cell(table, rung, sign, 1)["share"] == 1
    own = table[(table["rung"] == border) & (table["sign"] == "no sign")]
    assert own["auc"].is_monotonic_increasing


def test_counts_and_bounds_are_those_of_scipy(table):
    assert table["positives"].unique().tolist() == [24]
    assert (table["negatives"] == 48).all()
    for row in table.itertuples():
        exact = binomtest(row.spoke, row.sets).proportion_ci(method="exact")
        assert (row.low, row.high) == pytest.approx((exact.low, exact.high))


def test_the_same_seed_gives_the_same_table(table):
    pd.testing.assert_frame_equal(controls.power(pool(), seed=1), table)


def test_no_mark_lies_on_the_other_films(monkeypatch):
    seen = []
    monkeypatch.setattr(
        controls.ladders, "scored", lambda values, y_true, train: seen.append((values, y_true)) or y_true[~train] * 1.0
    )
    own = pool(sign=0)
    for values in own.seen.values():
        values[:] = np.array(controls.STRENGTHS)[None, :, None]
    controls.power(own, seed=0)
    for values, y_true in seen:
        assert not values[~y_true].any()
        assert len(set(values[y_true].ravel())) == 1


def test_a_small_pool_is_not_decided():
    table = controls.power(pool(ill=4, healthy=40), seed=0)
    assert table["share"].isna().all()
    assert table["note"].str.contains("films of one class").all()
    verdicts = controls.worlds(table)["verdict"]
    assert verdicts.str.startswith(ladders.UNDECIDED).all()


def test_the_worlds_say_what_was_expected(table, monkeypatch):
    monkeypatch.setattr(controls, "STRENGTHS", (0.0, 1.0))
    monkeypatch.setattr(controls, "NULL_SETS", 6)
    found = controls.worlds(table).set_index(["world", "rung"])
    border, grey = controls.RUNGS
    assert found["expected"].to_dict() == {
        ("neither", border): "quiet",
        ("neither", grey): "quiet",
        ("sign only", border): "quiet",
        ("sign only", grey): "may speak",
        **{(world, rung): "speaks" for world in ("mark only", "both") for rung in controls.RUNGS},
    }
    assert found.loc[("mark only", border), "verdict"] == "as expected"
    deaf = controls.worlds(controls.power(pool(mark=0), seed=0)).set_index(["world", "rung"])
    assert deaf.loc[("mark only", border), "verdict"] == "not as expected"
    loud = pool(mark=0)
    loud.seen[border][:] += 3 * loud.ill[:, None, None]
    assert (
        controls.worlds(controls.power(loud, seed=0)).set_index(["world", "rung"]).loc[("sign only", border), "verdict"]
        == "not as expected"
    )


def test_a_marked_film_changes_as_the_mark_grows_and_is_itself_without():
    film = np.random.default_rng(0).integers(0, 200, (320, 300), dtype=np.uint8)
    versions = controls._marked(film, 5)
    assert versions.shape == (len(controls.STRENGTHS), 80, 80, 3)
    assert (versions[0][..., 0] == versions[0][..., 1]).all()
    assert (versions[-1] != versions[0]).mean() > 0.5
    assert versions[-1][-3:].max() < versions[0][-3:].min() + 1  # the black border, the letter being above
