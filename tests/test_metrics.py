import inspect
import math
import time
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.exceptions import UndefinedMetricWarning
from statsmodels.stats.proportion import proportion_confint

from deepcovid_lib import areas, metrics

undefined = pytest.warns(UndefinedMetricWarning)
any_undefined = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")

tied_scores = st.integers(0, 8).map(lambda eighths: eighths / 8)


@st.composite
def scored_images(draw, smallest=1):
    positives = draw(st.lists(tied_scores, min_size=smallest, max_size=12))
    negatives = draw(st.lists(tied_scores, min_size=smallest, max_size=12))
    order = draw(st.permutations(range(len(positives) + len(negatives))))
    y_true = np.r_[np.ones(len(positives), int), np.zeros(len(negatives), int)][order]
    return y_true, np.array(positives + negatives)[order]


def random_images(seed, positives=40, negatives=300, step=None):
    generator = np.random.default_rng(seed)
    y_true = np.r_[np.ones(positives, int), np.zeros(negatives, int)]
    scores = generator.normal(size=positives + negatives) + y_true
    return y_true, scores if step is None else np.round(scores / step) * step


def brute_components(y_true, y_score):
    """DeLong's structural components from every pair, as defined in the article."""
    difference = y_score[y_true == 1][:, None] - y_score[y_true == 0][None, :]
    psi = (difference > 0) + (difference == 0) / 2
    return psi.mean(), psi.mean(axis=1), psi.mean(axis=0)


def same_interval(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-12, equal_nan=True)


# Counts at a threshold


@given(scored_images(), tied_scores)
def test_confusion_counts_are_those_of_scikit_learn(images, threshold):
    y_true, y_score = images
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(y_true, y_score >= threshold, labels=[0, 1]).ravel()
    assert metrics.confusion(y_true, y_score, threshold=threshold) == (tp, fn, fp, tn)


@any_undefined
@given(scored_images(), tied_scores)
def test_shares_at_a_threshold_are_those_of_scikit_learn(images, threshold):
    y_true, y_score = images
    called = y_score >= threshold
    found, spared = metrics.sensitivity_specificity(y_true, y_score, threshold=threshold)
    assert found == pytest.approx(sklearn.metrics.recall_score(y_true, called))
    assert spared == pytest.approx(sklearn.metrics.recall_score(y_true, called, pos_label=0))
    accuracy, precision, f1 = metrics.classification(y_true, y_score, threshold=threshold)
    assert accuracy == pytest.approx(sklearn.metrics.accuracy_score(y_true, called))
    expected = sklearn.metrics.precision_score(y_true, called, zero_division=np.nan)
    assert precision == pytest.approx(expected, nan_ok=True)
    assert f1 == pytest.approx(sklearn.metrics.f1_score(y_true, called))


def test_a_score_at_the_threshold_is_positive():
    assert metrics.sensitivity_specificity([1, 0], [0.5, 0.5], threshold=0.5) == (1.0, 0.0)


def test_a_missing_class_leaves_its_share_undefined():
    with undefined:
        found, spared = metrics.sensitivity_specificity([0, 0], [0.1, 0.9], threshold=0.5)
    assert math.isnan(found)
    assert spared == 0.5
    with undefined:
        found, spared = metrics.sensitivity_specificity([1, 1], [0.1, 0.9], threshold=0.5)
    assert found == 0.5
    assert math.isnan(spared)


def test_precision_without_positive_calls_is_undefined_and_f1_is_zero():
    with undefined:
        accuracy, precision, f1 = metrics.classification([1, 0], [0.1, 0.1], threshold=0.5)
    assert (accuracy, f1) == (0.5, 0.0)
    assert math.isnan(precision)


# Operating points


@given(scored_images(), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_operating_points_are_the_highest_observed_scores_that_reach_the_targets(images, targets):
    y_true, y_score = images
    table = metrics.operating_points(y_true, y_score, sensitivities=targets)
    assert list(table.columns) == ["target", "threshold", "sensitivity", "specificity"]
    for target, row in zip(targets, table.itertuples(), strict=True):
        reaching = [s for s in set(y_score) if np.mean(y_score[y_true == 1] >= s) >= target]
        assert row.target == target
        assert row.threshold == max(reaching)
        assert (row.sensitivity, row.specificity) == metrics.sensitivity_specificity(
            y_true, y_score, threshold=row.threshold
        )


@pytest.mark.parametrize("positives", [8, 30, 40, 100])
def test_every_reachable_sensitivity_meets_itself_as_a_target(positives):
    y_true, y_score = random_images(0, positives=positives)
    targets = [found / positives for found in range(1, positives + 1)]
    table = metrics.operating_points(y_true, y_score, sensitivities=targets)
    assert list(table["sensitivity"]) == targets


def test_the_papers_target_asks_for_39_of_40():
    y_true, y_score = random_images(1)
    row = metrics.operating_points(y_true, y_score, sensitivities=[97.5 / 100]).iloc[0]
    assert row["sensitivity"] == 39 / 40
    assert row["threshold"] == np.sort(y_score[y_true == 1])[1]


def test_a_target_of_nothing_is_met_by_the_highest_score_of_all():
    row = metrics.operating_points([1, 0], [0.2, 0.9], sensitivities=[0]).iloc[0]
    assert row.tolist() == [0, 0.9, 0, 0]


def test_operating_points_without_a_class_are_undefined():
    with undefined:
        table = metrics.operating_points([0, 0], [0.2, 0.4], sensitivities=[0.9])
    assert table.drop(columns="target").isna().all(axis=None)
    with undefined:
        table = metrics.operating_points([1, 1], [0.2, 0.4], sensitivities=[0.9])
    assert table[["threshold", "sensitivity"]].iloc[0].tolist() == [0.2, 1.0]
    assert table["specificity"].isna().all()


# Intervals of proportions


@pytest.mark.parametrize(
    ("successes", "trials", "percents"),
    [(39, 40, "4.8"), (2664, 3000, "1.1"), (2714, 3000, "1.1"), (2934, 3000, "0.5"), (2439, 3000, "1.4")],
)
def test_the_margins_printed_in_table_vi_come_from_eq_3(successes, trials, percents):
    low, high = metrics.proportion_interval(successes, trials, method="wald")
    assert f"{(high - low) * 50:.1f}" == percents
    share = successes / trials
    assert high - share == pytest.approx(1.96 * math.sqrt(share * (1 - share) / trials), rel=1e-12)


def test_the_wald_interval_is_not_clipped_and_has_no_width_at_40_of_40():
    assert metrics.proportion_interval(39, 40, method="wald").high > 1.02
    assert metrics.proportion_interval(1, 40, method="wald").low < 0
    assert metrics.proportion_interval(40, 40, method="wald") == (1.0, 1.0)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_wald_at_other_confidences_takes_the_normal_quantile(confidence):
    low, high = metrics.proportion_interval(30, 40, method="wald", confidence=confidence)
    assert high - low == pytest.approx(2 * norm.ppf((1 + confidence) / 2) * math.sqrt(0.75 * 0.25 / 40))


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.99))
def test_wilson_and_clopper_pearson_agree_with_scipy(counts, confidence):
    for method, scipys in (("wilson", "wilson"), ("clopper-pearson", "exact")):
        low, high = metrics.proportion_interval(*counts, method=method, confidence=confidence)
        expected = binomtest(*counts).proportion_ci(confidence, method=scipys)
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert 0 <= low <= counts[0] / counts[1] + 1e-12
        assert counts[0] / counts[1] - 1e-12 <= high <= 1


def test_wilson_and_clopper_pearson_agree_with_statsmodels_at_the_papers_counts():
    assert metrics.proportion_interval(39, 40, method="wilson") == pytest.approx(
        proportion_confint(39, 40, 0.05, "wilson")
    )
    exact = proportion_confint(39, 40, 0.05, "beta")
    assert metrics.proportion_interval(39, 40, method="clopper-pearson") == pytest.approx(exact)


def test_the_bounds_of_none_and_of_all_are_0_and_1_to_the_digit():
    for method in ("wilson", "clopper-pearson"):
        for trials in range(1, 400):
            none, every = (metrics.proportion_interval(hits, trials, method=method) for hits in (0, float(trials)))
            assert (none.low, every.high) == (0.0, 1.0)
            assert 0 < none.high < 1
            assert 0 < every.low < 1


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_mirror_when_successes_and_failures_swap(counts):
    successes, trials = counts
    for method in ("wald", "wilson", "clopper-pearson"):
        low, high = metrics.proportion_interval(successes, trials, method=method)
        mirrored = metrics.proportion_interval(trials - successes, trials, method=method)
        assert (low, high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)


@pytest.mark.parametrize("method", ["wald", "wilson", "clopper-pearson"])
def test_a_proportion_without_trials_is_undefined(method):
    with undefined:
        assert all(map(math.isnan, metrics.proportion_interval(0, 0, method=method)))


# Areas under the curve


@given(scored_images())
@any_undefined
def test_the_area_is_that_of_scikit_learn_and_does_not_depend_on_the_method(images):
    expected = sklearn.metrics.roc_auc_score(*images)
    assert metrics.auc_interval(*images, method="delong").auc == pytest.approx(expected, abs=1e-12)
    assert metrics.auc_interval(*images, method="bootstrap", replicates=2).auc == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_delongs_interval_is_that_of_every_pair_compared(step, confidence):
    y_true, y_score = random_images(2, step=step)
    auc, of_positives, of_negatives = brute_components(y_true, y_score)
    error = math.sqrt(of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives))
    margin = norm.ppf((1 + confidence) / 2) * error
    interval = metrics.auc_interval(y_true, y_score, method="delong", confidence=confidence)
    assert interval == pytest.approx((auc, auc - margin, auc + margin), abs=1e-12)


@pytest.mark.parametrize("step", [None, 0.5])
def test_the_paired_test_is_that_of_every_pair_compared(step):
    y_true, a = random_images(3, step=step)
    b = a + random_images(4, step=step)[1]
    parts_a, parts_b = brute_components(y_true, a), brute_components(y_true, b)
    covariance = sum(np.cov(parts_a[side], parts_b[side]) / len(parts_a[side]) for side in (1, 2))
    z = (parts_a[0] - parts_b[0]) / math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    comparison = metrics.compare_aucs(y_true, a, b)
    assert comparison.z == pytest.approx(z, abs=1e-9)
    assert comparison.p == pytest.approx(2 * norm.cdf(-abs(z)), abs=1e-9)
    assert comparison.error * z == pytest.approx(parts_a[0] - parts_b[0], abs=1e-9)


@given(scored_images(smallest=2), st.randoms(use_true_random=False))
@any_undefined
def test_order_of_images_changes_nothing(images, random):
    y_true, y_score = images
    order = random.sample(range(len(y_true)), len(y_true))
    for method in ("delong", "bootstrap"):
        ours = metrics.auc_interval(y_true, y_score, method=method, replicates=20)
        theirs = metrics.auc_interval(y_true[order], y_score[order], method=method, replicates=20)
        assert same_interval(ours, theirs)
    b = y_score[::-1]
    assert same_interval(
        metrics.compare_aucs(y_true, y_score, b), metrics.compare_aucs(y_true[order], y_score[order], b[order])
    )


@given(scored_images(smallest=2))
@any_undefined
def test_a_rising_transform_of_the_scores_changes_no_rank_statistic(images):
    y_true, y_score = images
    lifted = np.exp(3 * y_score) - 7
    for method in ("delong", "bootstrap"):
        assert same_interval(
            metrics.auc_interval(y_true, y_score, method=method, replicates=20),
            metrics.auc_interval(y_true, lifted, method=method, replicates=20),
        )
    assert same_interval(
        metrics.operating_points(y_true, y_score, sensitivities=[0.5, 0.975, 1])[["sensitivity", "specificity"]],
        metrics.operating_points(y_true, lifted, sensitivities=[0.5, 0.975, 1])[["sensitivity", "specificity"]],
    )


@given(scored_images(smallest=2))
@any_undefined
def test_swapping_the_classes_mirrors_the_area(images):
    y_true, y_score = images
    auc, low, high = metrics.auc_interval(y_true, y_score, method="delong")
    assert same_interval(metrics.auc_interval(1 - y_true, y_score, method="delong"), (1 - auc, 1 - high, 1 - low))
    assert same_interval(metrics.auc_interval(1 - y_true, -y_score, method="delong"), (auc, low, high))


def test_swapping_the_models_changes_the_sign_only():
    y_true, a = random_images(5)
    b = random_images(6)[1]
    forward, backward = metrics.compare_aucs(y_true, a, b), metrics.compare_aucs(y_true, b, a)
    assert (forward.z, forward.p) == pytest.approx((-backward.z, backward.p))
    better = metrics.compare_aucs(y_true, a + y_true, a)
    assert better.z > 0


@pytest.mark.parametrize(("scores", "auc"), [([3, 4, 1, 2], 1.0), ([1, 2, 3, 4], 0.0), ([1, 1, 1, 1], 0.5)])
def test_perfect_separation_and_all_ties_leave_the_bounds_undefined(scores, auc):
    for method in ("delong", "bootstrap"):
        with undefined:
            interval = metrics.auc_interval(np.repeat([1, 1, 0, 0], 3), np.repeat(scores, 3), method=method)
        assert interval.auc == auc
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


@pytest.mark.parametrize("size", [7, 49, 1001])
def test_zero_variance_is_seen_as_zero_at_awkward_sizes(size):
    y_true = np.r_[np.ones(size), np.zeros(size + 4)]
    with undefined:
        assert math.isnan(metrics.auc_interval(y_true, y_true, method="delong").low)
    scores = np.random.default_rng(0).normal(size=len(y_true))
    with undefined:
        assert all(map(math.isnan, metrics.compare_aucs(y_true, scores, np.exp(scores))))


@pytest.mark.parametrize("method", ["delong", "bootstrap"])
@pytest.mark.parametrize("y_true", [[1, 1], [0, 0], []])
def test_the_area_of_one_class_is_undefined(method, y_true):
    with undefined:
        assert all(map(math.isnan, metrics.auc_interval(y_true, [0.1, 0.2][: len(y_true)], method=method)))
    with pytest.warns(UndefinedMetricWarning, match="of one class"):
        assert all(map(math.isnan, metrics.compare_aucs(y_true, [1, 2][: len(y_true)], [2, 1][: len(y_true)])))


def test_delong_with_a_single_positive_is_undefined():
    with undefined:
        interval = metrics.auc_interval([1, 0, 0], [2, 1, 3], method="delong")
    assert interval.auc == 0.5
    assert math.isnan(interval.low)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("y_true", [[1, 0, 0], [1, 1, 0]])
def test_the_paired_test_with_a_single_image_of_a_class_is_undefined(y_true):
    with undefined:
        assert all(map(math.isnan, metrics.compare_aucs(y_true, [2, 1, 3], [1, 2, 3])))


def test_the_warning_points_at_the_callers_line():
    with undefined as told:
        metrics.auc_interval([1, 1], [1, 2], method="delong")
    assert told[0].filename == __file__


def test_delongs_bounds_stay_within_the_unit_interval():
    assert metrics.auc_interval([1, 1, 0, 0], [4, 2, 3, 1], method="delong").high == 1.0


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_bootstraps_bounds_are_percentiles_of_its_replicates(monkeypatch, confidence):
    monkeypatch.setattr(areas, "_bootstrap_aucs", lambda *_: np.arange(1001) / 1000)
    auc, low, high = metrics.auc_interval(*random_images(17), method="bootstrap", confidence=confidence)
    assert (low, high) == pytest.approx(((1 - confidence) / 2, (1 + confidence) / 2))


@pytest.mark.parametrize("images_per_patient", [1, 3])
def test_the_bootstrap_resamples_patients_within_class_as_a_plain_loop_does(images_per_patient):
    y_true, y_score = random_images(7, positives=15, negatives=60, step=0.25)
    patients = np.arange(75) // images_per_patient
    interval = metrics.auc_interval(y_true, y_score, method="bootstrap", groups=patients, replicates=4000, seed=1)
    generator = np.random.default_rng(2)
    images_of = [np.flatnonzero(patients == patient) for patient in range(patients.max() + 1)]
    sides = [np.unique(patients[y_true == label]) for label in (1, 0)]
    areas = []
    for _ in range(4000):
        a, b = (y_score[np.concatenate([images_of[p] for p in generator.choice(side, len(side))])] for side in sides)
        areas.append(((a[:, None] > b).mean() + (a[:, None] >= b).mean()) / 2)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=0.012)


def test_patients_with_many_images_widen_the_interval():
    y_true, y_score = random_images(9, positives=40, negatives=400)
    y_true, y_score = np.repeat(y_true, 4), np.repeat(y_score, 4)
    patients = np.repeat(np.arange(440), 4)
    images = metrics.auc_interval(y_true, y_score, method="bootstrap")
    clustered = metrics.auc_interval(y_true, y_score, method="bootstrap", groups=patients)
    assert 1.6 < (clustered.high - clustered.low) / (images.high - images.low) < 2.4


def test_named_patients_serve_as_well_as_numbered_ones():
    y_true, y_score = random_images(10, positives=12, negatives=20)
    numbers = np.arange(32) // 2
    names = pd.Series([f"nih:{number:03d}" for number in numbers])
    known = metrics.auc_interval(y_true, y_score, method="bootstrap", groups=numbers)
    assert known.low < known.auc < known.high
    assert metrics.auc_interval(y_true, y_score, method="bootstrap", groups=names) == known


def test_a_class_of_fewer_than_five_patients_has_no_bootstrap_interval():
    y_true, y_score = random_images(10, positives=20, negatives=40)
    for swapped in (False, True):
        labels, score = (1 - y_true, -y_score) if swapped else (y_true, y_score)
        five = np.where(y_true == 1, np.arange(60) % 5, 100 + np.arange(60))
        assert metrics.auc_interval(labels, score, method="bootstrap", groups=five).low > 0
        with pytest.warns(UndefinedMetricWarning, match="few patients"):
            known = metrics.auc_interval(labels, score, method="bootstrap", groups=np.where(five == 4, 3, five))
        assert np.isnan(known[1:]).all()
        assert 0 < known.auc < 1


def test_replicates_of_which_none_lies_below_the_area_have_bounds_where_they_differ():
    known = metrics.auc_interval(*random_images(103, positives=6, negatives=6), method="bootstrap", replicates=3)
    assert known.auc == pytest.approx(11 / 12)
    assert known.low < known.high


def test_order_of_images_changes_nothing_for_patients_either():
    y_true, y_score = random_images(16)
    patients = np.arange(340) // 2
    order = np.random.default_rng(0).permutation(340)
    for replicates in range(1, 5):
        how = {"method": "bootstrap", "replicates": replicates}
        told = metrics.auc_interval(y_true, y_score, groups=patients, **how)
        assert told == metrics.auc_interval(y_true[order], y_score[order], groups=patients[order], **how)


def test_the_seed_decides_the_bootstrap():
    images = random_images(11)
    first = metrics.auc_interval(*images, method="bootstrap", seed=5)
    assert first == metrics.auc_interval(*images, method="bootstrap", seed=5)
    assert first == metrics.auc_interval(*images, method="bootstrap", seed=np.random.default_rng(5))
    assert first != metrics.auc_interval(*images, method="bootstrap", seed=6)


def test_the_bootstrap_has_2000_replicates_unless_told_and_one_suffices():
    images = random_images(14)
    told = metrics.auc_interval(*images, method="bootstrap", replicates=2000, seed=0, confidence=0.95)
    assert metrics.auc_interval(*images, method="bootstrap") == told
    once = metrics.auc_interval(*images, method="bootstrap", replicates=1)
    assert once.low == once.high


def test_a_tie_counts_one_half_in_a_replicate():
    positive, score = np.array([True, True, False]), np.array([0.5, 0.5, 0.5])
    assert (areas._bootstrap_aucs(positive, score, None, 5, np.random.default_rng(0)) == 0.5).all()


@pytest.mark.parametrize(("bound", "rows"), [(100, [3, 3, 1]), (30, [1] * 7), (1, [1] * 7)])
def test_the_bootstrap_makes_all_its_replicates_within_its_bound_of_memory(monkeypatch, bound, rows):
    drawn, asked = areas._drawn, []
    monkeypatch.setattr(areas, "_drawn", lambda codes, rows, rng: asked.append(rows) or drawn(codes, rows, rng))
    monkeypatch.setattr(areas, "WEIGHTS_AT_ONCE", bound)
    metrics.auc_interval(*random_images(15, positives=10, negatives=20), method="bootstrap", replicates=7)
    assert asked[::2] == asked[1::2] == rows


def quickest(call):
    def seconds():
        started = time.process_time()
        call()
        return time.process_time() - started

    return min(seconds() for _ in range(3))


def test_two_thousand_replicates_at_the_papers_size_take_under_a_second():
    y_true, y_score = random_images(12, negatives=3000)
    assert quickest(lambda: metrics.auc_interval(y_true, y_score, method="bootstrap", groups=np.arange(3040) // 2)) < 1


def test_delong_at_100_000_scores_takes_under_a_tenth_of_a_second():
    images = random_images(13, positives=50_000, negatives=50_000)
    assert quickest(lambda: metrics.auc_interval(*images, method="delong")) < 0.1


# Calibration, loss, predictive values


@given(scored_images(), st.integers(1, 12))
def test_calibration_error_is_that_of_the_definition(images, bins):
    y_true, y_score = images
    error = 0
    for place in range(bins):
        above = [Fraction(place, bins) < Fraction(score) for score in y_score]
        inside = [Fraction(score) <= Fraction(place + 1, bins) for score in y_score]
        member = np.array(inside) & (np.array(above) | (place == 0))
        if member.any():
            error += member.mean() * abs(y_true[member].mean() - y_score[member].mean())
    assert metrics.calibration_error(y_true, y_score, bins=bins) == pytest.approx(error, abs=1e-12)


def test_calibration_bins_are_closed_on_the_right():
    assert metrics.calibration_error([1, 0], [0.5, 0.6], bins=2) == pytest.approx((0.5 + 0.6) / 2)
    assert metrics.calibration_error([1, 0], [0.3, 0.4], bins=10) == pytest.approx((0.7 + 0.4) / 2)
    assert metrics.calibration_error([1, 0], [0.0, 1.0], bins=10) == 1.0
    assert metrics.calibration_error([1, 0], [0.0, 0.1], bins=2) == pytest.approx(0.45)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.001, 0.999)), min_size=1, max_size=20))
def test_cross_entropy_is_that_of_scikit_learn(images):
    y_true, y_score = zip(*images, strict=True)
    total, mean = metrics.cross_entropy(y_true, y_score)
    assert mean == pytest.approx(sklearn.metrics.log_loss(y_true, y_score, labels=[0, 1]), rel=1e-9)
    assert total == pytest.approx(mean * len(images))


def test_cross_entropy_is_infinite_where_the_truth_was_given_no_chance():
    assert metrics.cross_entropy([1, 0], [0.0, 0.2]) == (math.inf, math.inf)
    assert metrics.cross_entropy([1, 0], [1.0, 0.0]) == (0.0, 0.0)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_predictive_values_at_the_samples_own_prevalence_are_its_shares(tp, fn, fp, tn):
    prevalence = (tp + fn) / (tp + fn + fp + tn)
    ppv, npv = metrics.predictive_values(tp / (tp + fn), tn / (tn + fp), prevalence=prevalence)
    assert (ppv, npv) == pytest.approx((tp / (tp + fp), tn / (tn + fn)))


def test_predictive_values_without_calls_are_undefined():
    with undefined:
        ppv, npv = metrics.predictive_values(0.0, 1.0, prevalence=0.1)
    assert math.isnan(ppv)
    assert npv == pytest.approx(0.9)
    with undefined:
        assert all(map(math.isnan, metrics.predictive_values(math.nan, 0.9, prevalence=0.1)))


def test_no_image_has_no_mean():
    with undefined:
        assert math.isnan(metrics.calibration_error([], [], bins=10))
    with undefined:
        total, mean = metrics.cross_entropy([], [])
    assert total == 0
    assert math.isnan(mean)


# What cannot be right


@pytest.mark.parametrize(
    ("y_true", "y_score", "said"),
    [
        ([1, 0], [0.5], "2 labels but 1 scores"),
        ([1, 0], [0.5, 0.5, 0.5], "2 labels but 3 scores"),
        ([1, 2], [0.5, 0.5], "it holds 2"),
        ([0, 2, 3], [0.5, 0.5, 0.5], "it holds 2"),
        ([1, math.nan], [0.5, 0.5], "y_true holds NaN at position 1"),
        ([1, 0], [0.5, math.nan], "scores holds NaN at position 1"),
        (["covid", "non_covid"], [0.5, 0.5], "y_true must hold numbers"),
        ([[1, 0]], [[0.5, 0.5]], "one-dimensional"),
    ],
)
def test_wrong_labels_and_scores_are_told(y_true, y_score, said):
    calls = [
        lambda: metrics.confusion(y_true, y_score, threshold=0.5),
        lambda: metrics.sensitivity_specificity(y_true, y_score, threshold=0.5),
        lambda: metrics.classification(y_true, y_score, threshold=0.5),
        lambda: metrics.operating_points(y_true, y_score, sensitivities=[0.5]),
        lambda: metrics.auc_interval(y_true, y_score, method="delong"),
        lambda: metrics.compare_aucs(y_true, y_score, y_score),
        lambda: metrics.calibration_error(y_true, y_score, bins=10),
        lambda: metrics.cross_entropy(y_true, y_score),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=said):
            call()


two = {"y_true": [1, 0], "y_score": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: metrics.confusion(**two, threshold=math.nan), "threshold is NaN"),
        (lambda: metrics.operating_points(**two, sensitivities=[1.5]), r"\[0, 1\]"),
        (lambda: metrics.operating_points(**two, sensitivities=0.9), "one-dimensional"),
        (lambda: metrics.proportion_interval(5, 4, method="wald"), "5 of 4"),
        (lambda: metrics.proportion_interval(-1, 4, method="wald"), "-1 of 4"),
        (lambda: metrics.proportion_interval(1.5, 4, method="wald"), "1.5 of 4"),
        (lambda: metrics.proportion_interval(1, 4.5, method="wald"), "1 of 4.5"),
        (lambda: metrics.proportion_interval(1, 4, method="wlad"), "wlad"),
        (lambda: metrics.proportion_interval(1, 4, method="wald", confidence=-0.5), "confidence"),
        (lambda: metrics.proportion_interval(1, 4, method="wald", confidence=0), "confidence"),
        (lambda: metrics.proportion_interval(1, 4, method="wald", confidence=1), "confidence"),
        (lambda: metrics.proportion_interval(1, 4, method="wald", confidence=95), "confidence"),
        (lambda: metrics.auc_interval(**two, method="jackknife"), "jackknife"),
        (lambda: metrics.auc_interval(**two, method="delong", groups=[1, 2]), "bootstrap"),
        (lambda: metrics.auc_interval(**two, method="bootstrap", groups=[1]), "2 labels but 1 groups"),
        (lambda: metrics.auc_interval(**two, method="bootstrap", groups=[1, 2, 3]), "2 labels but 3 groups"),
        (lambda: metrics.auc_interval(**two, method="bootstrap", groups=["a", None]), "no value at position 1"),
        (lambda: metrics.auc_interval([1, 0, 0], [3, 2, 1], method="bootstrap", groups=["b", "a", None]), "position 2"),
        (lambda: metrics.auc_interval(**two, method="bootstrap", replicates=0), "replicates"),
        (lambda: metrics.calibration_error(**two, bins=0), "bins"),
        (lambda: metrics.calibration_error(**two, bins=2.5), "bins"),
        (lambda: metrics.calibration_error([1, 0], [2.0, 0.5], bins=2), r"y_score must lie in \[0, 1\]"),
        (lambda: metrics.cross_entropy([1, 0], [-0.1, 0.5]), r"y_score must lie in \[0, 1\]"),
        (lambda: metrics.predictive_values(0.9, 1.1, prevalence=0.1), "specificity"),
    ],
)
def test_wrong_arguments_are_told(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@settings(max_examples=30)
@given(scored_images())
def test_series_lists_and_arrays_give_the_same(images):
    y_true, y_score = images
    assume(len(y_true) > 2)
    expected = metrics.confusion(y_true, y_score, threshold=0.5)
    assert metrics.confusion(list(y_true), list(y_score), threshold=0.5) == expected
    series = pd.Series(y_score, index=range(5, 5 + len(y_score)))
    assert metrics.confusion(pd.Series(y_true == 1), series, threshold=0.5) == expected


def test_whole_numbers_of_any_type_count():
    told = metrics.proportion_interval(39, 40, method="wilson")
    assert metrics.proportion_interval(np.int64(39), 40.0, method="wilson") == told
    assert metrics.calibration_error(**two, bins=np.int64(4)) == metrics.calibration_error(**two, bins=4.0) == 0


@pytest.mark.parametrize("name", [name for name in metrics.__all__ if name.islower()])
def test_data_may_stand_in_order_and_settings_are_named(name):
    kinds = {known.name: known.kind for known in inspect.signature(getattr(metrics, name)).parameters.values()}
    data = "y_true y_score score_a score_b successes trials sensitivity specificity".split()
    for parameter, kind in kinds.items():
        named = inspect.Parameter.POSITIONAL_OR_KEYWORD if parameter in data else inspect.Parameter.KEYWORD_ONLY
        assert kind is named, parameter
