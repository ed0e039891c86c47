"""What each rung sees, and that it sees nothing else."""

import numpy as np
import pandas as pd
import pytest

from deepcovid_lib import rungs
from deepcovid_lib.thumbnails import Thumbnails


def small(pixels):
    return Thumbnails(pixels, np.zeros((len(pixels), 3), int))


def named(pixels):
    return {rung.name: rung.values for rung in rungs.pictures(small(pixels))}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), dtype=np.uint8)


def test_the_border_does_not_see_the_centre_and_the_whole_does(pixels):
    changed = pixels.copy()
    changed[:, 8:-8, 8:-8] = 0
    before, after = named(pixels), named(changed)
    assert (before["border alone"] == after["border alone"]).all()
    assert (before["16x16 grey"] != after["16x16 grey"]).any()
    changed[:, 7] = 255
    assert (named(changed)["border alone"] != before["border alone"]).any()


@pytest.mark.parametrize("share", rungs.MASKS)
def test_a_masked_film_does_not_see_the_mask(pixels, share):
    edge = round(80 * (1 - share) / 2)
    changed = pixels.copy()
    changed[:, edge : 80 - edge, edge : 80 - edge] = 9
    name = f"centre {share:.0%} masked"
    assert (named(pixels)[name] == named(changed)[name]).all()
    changed[:, edge - 1] = 9
    assert (named(pixels)[name] != named(changed)[name]).any()


def test_grey_films_have_no_colour_and_two_levels(pixels):
    grey = np.repeat(pixels[..., :1], 3, axis=3)
    seen = named(grey)
    assert not seen["8x8 colour alone"].any()
    assert named(pixels)["8x8 colour alone"].any()
    levels = grey[..., 0].reshape(3, -1).astype(float)
    assert seen["mean and spread of grey"] == pytest.approx(np.stack([levels.mean(1), levels.std(1)], axis=1), rel=1e-4)


def test_files_of_one_collection_are_compared_and_of_two_are_not(pixels):
    one = rungs.files(small(pixels), pd.DataFrame({"source": ["phantom"] * 3}))
    two = rungs.files(small(pixels), pd.DataFrame({"source": ["cohen", "nih", "nih"]}))
    assert not one.reason
    assert "cohen, nih" in two.reason


def test_what_is_told_of_a_patient_keeps_what_is_unknown():
    told = {"view": ["PA", "not told", "AP"], "age": [np.nan, np.nan, 40], "sex": ["men", "not told", "women"]}
    view, person, blank = rungs.metadata(pd.DataFrame(told))
    assert view.values.sum(axis=1).tolist() == [1, 1, 1]
    assert view.values.shape == (3, 3)
    assert np.array_equal(person.values, [[np.nan, 1], [np.nan, np.nan], [40, 0]], equal_nan=True)
    assert blank.values.tolist() == [[1, 0], [1, 1], [0, 0]]
