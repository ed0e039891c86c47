"""What 40 images can tell apart, against brute force and statsmodels."""

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import samplesize_confint_proportion

from deepcovid_lib import records, resolution


@pytest.mark.parametrize(("better", "worse"), [(39, 35), (40, 35), (39, 33), (39, 39), (8, 0)])
def test_no_agreement_of_two_models_gives_a_smaller_p(better, worse):
    trials = 40
    every = []
    for both in range(worse + 1):
        only_better, only_worse = better - both, worse - both
        if both + only_better + only_worse <= trials:
            apart = only_better + only_worse
            every.append(binomtest(only_worse, apart).pvalue if apart else 1.0)
    assert resolution.smallest_p(trials, better, worse) == pytest.approx(min(every))


def test_the_largest_printed_gap_cannot_be_told_apart():
    assert resolution.smallest_p(40, 39, 35) == 0.125
    assert resolution.smallest_p(40, 40, 35) == 0.0625
    table = resolution.distinguishable(40, 39, range(38, 31, -1))
    assert table.loc[table["possible"] == "yes", "difference"].min() == pytest.approx(6 / 40)


@pytest.mark.parametrize("counts", [(40, 35, 39), (40, 41, 3), (40, 3, -1)])
def test_counts_in_another_order_are_refused(counts):
    with pytest.raises(ValueError, match="worse <= better <= trials"):
        resolution.smallest_p(*counts)


@pytest.mark.parametrize("half_width", [0.05, 0.03, 0.02, 0.01])
def test_the_images_needed_are_the_fewest(half_width):
    needed = resolution.images_needed(0.975, half_width)
    assert needed == np.ceil(samplesize_confint_proportion(0.975, half_width, alpha=0.05))
    margin = 1.96 * np.sqrt(0.975 * 0.025 / np.array([needed, needed - 1]))
    assert margin[0] <= half_width < margin[1]


def test_a_margin_of_no_width_needs_no_images_and_a_width_of_none_is_refused():
    assert resolution.images_needed(1, 0.05) == 0
    with pytest.raises(ValueError, match="half-width above 0"):
        resolution.images_needed(0.975, 0)


def test_the_films_by_patient_are_those_of_the_recorded_curation():
    funnel = records.table("covid-xray-5k-rebuilt", "funnel").set_index("rule")
    kept = resolution.IMAGES_PER_PATIENT
    assert sum(size * count for size, count in kept.items()) == funnel.loc["view is PA", "rows"]
    assert sum(kept.values()) == funnel.loc["view is PA", "patients"]


@pytest.mark.parametrize("correlation", [0, 0.3, 1])
def test_the_design_effect_is_the_variance_of_a_mean_of_alike_films(correlation):
    sizes = [size for size, count in resolution.IMAGES_PER_PATIENT.items() for _ in range(count)]
    patient = np.repeat(np.arange(len(sizes)), sizes)
    covariance = np.where(patient[:, None] == patient, correlation, 0.0)
    np.fill_diagonal(covariance, 1)
    expected = covariance.sum() / len(patient)  # of independent films it is 1
    assert resolution.design_effect(resolution.IMAGES_PER_PATIENT, correlation) == pytest.approx(expected)


def test_films_of_strangers_are_worth_all_of_them():
    assert resolution.design_effect({1: 71}, 1) == 1
    assert resolution.effective_images(40, [0.5])["effective"].iloc[0] == pytest.approx(27.57, abs=0.01)
    for patients, correlation in (({}, 0.5), ({1: 2}, 1.5)):
        with pytest.raises(ValueError, match="correlation in"):
            resolution.design_effect(patients, correlation)
