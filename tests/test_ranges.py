"""The ranges that hold whatever the scores, by counting and by drawing."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta, norm

from deepcovid_lib import metrics, ranges


def others_between(count, missed, low, high):
    """The share of all orders of twice `count` scores in which the other set's threshold lies outside two ranks."""
    outside = [0, 0]
    orders = list(combinations(range(2 * count), count))
    for own in orders:
        other = [place for place in range(2 * count) if place not in own][missed]
        outside[0] += low > 0 and other < own[low - 1]
        outside[1] += high <= count and other > own[high - 1]
    return [part / len(orders) for part in outside]


@pytest.mark.parametrize("missed", [0, 1, 4])
def test_the_ranks_leave_out_at_most_a_fortieth_on_either_side_and_no_rank_nearer_does(missed):
    count = 8
    y_true = np.r_[np.ones(count), np.zeros(9000)]
    scores = np.r_[np.arange(count) + 0.5, np.repeat(np.arange(count + 1), 1000)]
    bounds = ranges.specificity(y_true, scores, threshold=missed + 0.5)
    found = [
        next((rank for rank in range(1, count + 1) if bound == _wilson(rank, side)), (0, count + 1)[side])
        for side, bound in enumerate(bounds)
    ]
    assert max(others_between(count, missed, *found)) <= 0.025
    low, high = found
    assert low == count or others_between(count, missed, low + 1, high)[0] > 0.025
    assert high == 1 or others_between(count, missed, low, high - 1)[1] > 0.025


def _wilson(rank, side):
    return metrics.proportion_interval(rank * 1000, 9000, method="wilson")[side]


def test_another_set_of_the_same_films_seldom_lies_outside():
    rng, outside = np.random.default_rng(0), 0
    y_true = np.arange(440) < 40
    for _ in range(300):
        one, other = (rng.normal(size=440) + 3 * y_true for _ in range(2))
        low, high = ranges.specificity(y_true, one, np.sort(one[y_true])[1])
        again = (other[~y_true] < np.sort(other[y_true])[1]).mean()
        outside += not low <= again <= high
    assert outside <= 15


def test_another_set_seldom_lies_above_where_scores_of_a_class_are_tied():
    """Nets whose outputs are both cut at 0 score exactly one half; the target may miss all these but one."""
    rng, above = np.random.default_rng(0), 0
    y_true = np.arange(600) < 200
    for _ in range(300):
        one, other = (np.where(rng.uniform(size=600) < 0.03, 0.0, rng.normal(size=600) + 3 * y_true) for _ in range(2))
        found, again = (np.sort(each[y_true])[5] for each in (one, other))
        high = ranges.specificity(y_true, one, found)[1]
        above += (other[~y_true] < again).mean() > high
    assert above <= 12


def test_few_positives_leave_the_upper_end_open_where_many_of_them_may_be_missed():
    assert ranges.specificity([1] * 8 + [0] * 20, np.r_[np.arange(8) + 5, np.arange(20)], threshold=12)[1] == 1


def test_equal_scores_leave_both_ends_open():
    assert ranges.specificity([1] * 40 + [0] * 400, [0.5] * 440, 0.5) == (0, 1)


@pytest.mark.parametrize("first", ["highest", "lowest"])
def test_the_order_of_images_changes_no_range(first):
    y_true, scores = np.r_[np.ones(40), np.zeros(100)], np.r_[np.arange(40) + 30.5, np.arange(100)]
    order = np.argsort(scores)[:: -1 if first == "highest" else 1]
    known = ranges.specificity(y_true, scores, 31.5)
    assert known[1] < 1
    assert ranges.specificity(y_true[order], scores[order], 31.5) == known


def test_scores_tied_at_the_threshold_count_as_missed_but_one():
    y_true, others = np.r_[np.ones(40), np.zeros(400)], np.arange(400) / 10
    apart = ranges.specificity(y_true, np.r_[np.arange(40), others], threshold=4)
    tied = ranges.specificity(y_true, np.r_[0, 1, 4, 4, 4, np.arange(5, 40), others], threshold=4)
    fewer = ranges.specificity(y_true, np.r_[np.arange(40), others], threshold=3)
    assert tied[1] == apart[1] > fewer[1]
    assert tied[0] == 0


def test_few_positives_leave_the_lower_end_open_and_many_close_it():
    for count, closed in ((40, False), (400, True)):
        y_true = np.r_[np.ones(count), np.zeros(100)]
        scores = np.r_[np.linspace(50, 150, count), np.arange(100)]
        threshold = np.sort(scores[y_true == 1])[count // 40]
        assert (ranges.specificity(y_true, scores, threshold)[0] > 0) == closed


@pytest.mark.parametrize("y_true", [[1, 1], [0, 0], []])
def test_without_a_class_there_is_no_range(y_true):
    assert all(map(math.isnan, ranges.specificity(y_true, [0.5] * len(y_true), 0.5)))


# Areas

FORTY = np.arange(340) < 40


def test_an_area_has_clopper_and_pearsons_interval_of_as_many_trials_as_the_rarer_class_has_patients():
    scores = np.r_[np.full(39, 2.0), 0.0, np.ones(300)]
    auc, low, high = ranges.area(FORTY, scores, np.arange(340))
    assert auc == pytest.approx(39 / 40)
    assert (low, high) == pytest.approx(metrics.proportion_interval(39, 40, method="clopper-pearson"))
    assert ranges.area(~FORTY, scores, np.arange(340)) == pytest.approx((1 - auc, 1 - high, 1 - low))
    assert ranges.area(FORTY, -scores, np.arange(340)) == pytest.approx((1 - auc, 1 - high, 1 - low))


def test_films_of_a_patient_count_as_one_and_uneven_patients_as_fewer():
    scores = np.r_[np.full(38, 2.0), 0.0, 0.0, np.ones(300)]
    twice = ranges.area(FORTY, scores, np.r_[np.arange(40) // 2, np.arange(40, 340)])
    assert twice[1:] == pytest.approx(metrics.proportion_interval(19, 20, method="clopper-pearson"))
    uneven = ranges.area(FORTY, scores, np.r_[np.zeros(20), np.arange(20, 340)])  # 40^2 / (20^2 + 20 * 1) trials
    assert uneven.low < twice.low
    trials = 1600 / 420
    assert uneven.low == pytest.approx(beta.ppf(0.025, 0.95 * trials, 0.05 * trials + 1))
    assert uneven.high == pytest.approx(beta.ppf(0.975, 0.95 * trials + 1, 0.05 * trials))


def test_more_confidence_is_a_wider_range():
    scores = np.r_[np.full(39, 2.0), 0.0, np.ones(300)]
    known = ranges.area(FORTY, scores, np.arange(340), confidence=0.9)
    expected = metrics.proportion_interval(39, 40, method="clopper-pearson", confidence=0.9)
    assert known[1:] == pytest.approx(expected)


def test_perfect_separation_reaches_the_end_of_the_range_of_an_area():
    scores = np.r_[np.full(40, 2.0), np.ones(300)]
    assert ranges.area(FORTY, scores, np.arange(340))[::2] == (1.0, 1.0)
    assert ranges.area(FORTY, -scores, np.arange(340))[:2] == (0.0, 0.0)
    scores[0] = 0.0
    assert ranges.area(FORTY, scores, np.arange(340)).high < 1


def test_equal_scores_and_fewer_than_five_patients_have_no_range_and_a_missing_class_no_area():
    names, scores = np.arange(340), np.arange(340.0)
    assert ranges.area(FORTY, scores * 0, names) == pytest.approx((0.5, math.nan, math.nan), nan_ok=True)
    few = np.r_[np.arange(40) % 4, names[40:]]
    assert ranges.area(FORTY, scores, few) == pytest.approx((0, math.nan, math.nan), nan_ok=True)
    assert ranges.area(~FORTY, scores, few) == pytest.approx((1, math.nan, math.nan), nan_ok=True)
    assert ranges.area(FORTY, scores, np.r_[np.arange(40) % 5, names[40:]]).low == 0
    for one in (FORTY, ~FORTY):
        assert all(map(math.isnan, ranges.area(one[one], scores[one], names[one])))
        assert all(map(math.isnan, ranges.area(~one[one], scores[one], names[one])))


@pytest.mark.parametrize("area", [0.6, 0.9, 0.98, 0.996])
@pytest.mark.parametrize("missed", ["none", "as any other", "wholly"])
def test_the_true_area_seldom_lies_outside_its_range(area, missed):
    """Normal scores; or a few COVID-19 films that score as others do, or below them all."""
    rng, outside = np.random.default_rng(0), 0
    for _ in range(300):
        scores = rng.normal(size=340)
        if missed == "none":
            scores[FORTY] += norm.ppf(area) * math.sqrt(2)
        elif missed == "as any other":
            scores[FORTY] += 99 * (rng.uniform(size=40) < 2 * area - 1)
        else:
            scores[FORTY] = np.where(rng.uniform(size=40) < area, 99, -99)
        _, low, high = ranges.area(FORTY, scores, np.arange(340))
        outside += not low <= area <= high
    assert outside <= 15
