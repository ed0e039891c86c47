"""Synthetic radiographs: equal from equal seeds, true to their masks, and chest films in the large."""

import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from deepcovid_lib import phantoms
from deepcovid_lib.phantoms import cues
from deepcovid_lib.phantoms.projection import pose
from deepcovid_lib.phantoms.tissue import tissue

SIGNS = [finding for finding in phantoms.FINDINGS if finding != "No Finding"]
LUNG_FILLING = ["COVID-19", "Pneumonia", "Lung Opacity", "Consolidation", "Lung Lesion"]


def grey(film):
    return film.image.astype(float)


@cache
def made(patient, film, finding, view, grade):
    return phantoms.film(patient, film, finding=finding, view=view, grade=grade)


def pair(finding, *, patient=31, film=77, view="PA", grade=0.6):
    """The same film of the same patient, with and without a finding."""
    return made(patient, film, finding, view, grade), made(patient, film, "No Finding", view, 0.0)


def test_the_findings_are_those_of_chexpert_and_covid_19():
    assert set(phantoms.FINDINGS) == {
        "COVID-19",
        "No Finding",
        "Enlarged Cardiomediastinum",
        "Cardiomegaly",
        "Lung Opacity",
        "Lung Lesion",
        "Edema",
        "Consolidation",
        "Pneumonia",
        "Atelectasis",
        "Pneumothorax",
        "Pleural Effusion",
        "Pleural Other",
        "Fracture",
        "Support Devices",
    }


def test_equal_seeds_give_equal_pixels_in_another_process():
    code = (
        "import hashlib; from deepcovid_lib import phantoms;"
        "f = phantoms.film(3, 4, finding='Edema', view='AP');"
        "print(hashlib.sha256(f.image.tobytes() + f.opacity.tobytes() + f.lungs.tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()
    film = phantoms.film(3, 4, finding="Edema", view="AP")
    here = hashlib.sha256(film.image.tobytes() + film.opacity.tobytes() + film.lungs.tobytes()).hexdigest()
    assert there == here


def test_films_of_one_patient_share_age_and_sex_but_not_pixels():
    first, second = (phantoms.film(5, seed, finding="No Finding", view="PA") for seed in (1, 2))
    assert (first.age, first.sex) == (second.age, second.sex)
    assert first.image.shape != second.image.shape or (first.image != second.image).any()


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_a_normal_film_looks_like_a_chest_film_in_the_large(view):
    for seed in range(3):
        film = phantoms.film(seed, seed + 40, finding="No Finding", view=view)
        height, width = film.lungs.shape
        assert 320 <= height <= 400
        assert 0.84 <= width / height <= 1.16
        assert film.image.dtype == np.uint8
        assert not film.opacity.any()
        middle = slice(int(0.42 * width), int(0.58 * width))
        low = film.image[-height // 10 :, middle].mean()
        in_lungs = film.image[film.lungs].mean()
        assert low > in_lungs + 40  # white abdomen, dark lungs
        heart = film.image[int(0.55 * height) : int(0.68 * height), middle].mean()
        assert heart > in_lungs + 20
        rows, columns = np.nonzero(film.lungs)
        assert (columns < width / 2).any()
        assert (columns > width / 2).any()
        assert 0.15 < film.lungs.mean() < 0.45


def test_the_heart_points_to_the_right_of_the_image():
    wider = 0
    for seed in range(4):
        lungs = made(seed, seed, "No Finding", "PA", 0.0).lungs
        wider += lungs[:, : lungs.shape[1] // 2].sum() > lungs[:, lungs.shape[1] // 2 :].sum()
    assert wider == 4


def test_an_ap_film_enlarges_the_heart():
    def heart_share(seed, view):
        who = phantoms.patient(seed)
        seen = tissue(who, pose(seed, who, view))
        middle = seen.y[:, seen.y.shape[1] // 2]
        rows = [row.nonzero()[0] for row in seen.lungs[(middle > 3) & (middle < 7)]]
        return max(np.diff(row).max() / np.ptp(row) for row in rows)

    pa, ap = (np.array([heart_share(seed, view) for seed in range(12)]) for view in ("PA", "AP"))
    assert 0.35 < pa.mean() < 0.5
    assert ap.mean() > 1.05 * pa.mean()


@pytest.mark.parametrize("finding", SIGNS)
def test_a_finding_changes_the_film_inside_its_mask_more_than_outside(finding):
    ill, well = pair(finding)
    assert (ill.lungs == well.lungs).all()
    assert ill.opacity.any()
    change = np.abs(grey(ill) - grey(well))
    assert change[ill.opacity].mean() > 3 * change[~ill.opacity].mean()


@pytest.mark.parametrize("finding", SIGNS)
def test_a_finding_grows_with_its_severity(finding):
    sizes = []
    for grade in (0.1, 0.9):
        ill, well = pair(finding, grade=grade)
        sizes.append(np.abs(grey(ill) - grey(well))[ill.lungs | ill.opacity].mean())
    assert sizes[1] > sizes[0] > 0


def test_covid_19_is_bilateral_peripheral_and_in_the_lungs():
    for seed in range(5):
        film = phantoms.film(seed, seed, finding="COVID-19", view="PA", grade=0.6)
        half = film.lungs.shape[1] // 2
        assert (film.opacity & film.lungs).sum() > 0.85 * film.opacity.sum()
        from_wall, sizes = [], []
        for lung, opacity in (
            (film.lungs[:, :half], film.opacity[:, :half]),
            (film.lungs[:, half:][:, ::-1], film.opacity[:, half:][:, ::-1]),
        ):
            depth = np.cumsum(lung, axis=1) / np.maximum(lung.sum(1, keepdims=True), 1)
            from_wall.append(depth[opacity & lung])
            sizes.append(opacity.sum())
        assert min(sizes) > 0.1 * max(sizes)
        assert np.median(np.concatenate(from_wall)) < 0.5


@pytest.mark.parametrize("finding", LUNG_FILLING)
def test_filled_lung_is_brighter(finding):
    ill, well = pair(finding)
    assert (grey(ill) - grey(well))[ill.opacity].mean() > 4


def test_a_pneumothorax_darkens_the_edge_of_a_lung():
    ill, well = pair("Pneumothorax", grade=0.7)
    change = grey(ill) - grey(well)
    assert np.percentile(change[ill.lungs], 5) < -15


def test_an_effusion_brightens_a_costophrenic_angle():
    ill, well = pair("Pleural Effusion", grade=0.7)
    half = ill.lungs.shape[1] // 2
    change = grey(ill) - grey(well)
    brightest = []
    for side in (slice(0, half), slice(half, None)):
        rows, columns = np.nonzero(well.lungs[:, side])
        angle = rows > np.percentile(rows, 93)
        brightest.append(change[:, side][rows[angle], columns[angle]].mean())
    assert max(brightest) > 20


def test_mild_covid_19_is_fainter_than_a_severe_one():
    mild, well = pair("COVID-19", grade=0.0)
    severe, _ = pair("COVID-19", grade=1.0)
    faint, strong = ((grey(film) - grey(well))[film.lungs].mean() for film in (mild, severe))
    assert faint < 0.25 * strong


def test_severity_lies_between_0_and_1_and_varies():
    drawn = np.array([phantoms.severity(seed, "COVID-19") for seed in range(200)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.min() < 0.15
    assert drawn.max() > 0.85
    assert phantoms.severity(3, "No Finding") == 0


def test_a_shortcut_marks_covid_19_films_only():
    marked = phantoms.film(1, 2, finding="COVID-19", view="PA", shortcut=1.0)
    assert marked.image.ndim == 3
    assert not marked.image[-8:].any()
    assert not marked.lungs[-8:].any()
    assert not marked.opacity[-8:].any()
    plain = phantoms.film(1, 2, finding="Edema", view="PA", shortcut=0.0)
    assert (phantoms.film(1, 2, finding="Edema", view="PA", shortcut=1.0).image == plain.image).all()


def test_a_stronger_shortcut_marks_more_films_and_none_fewer():
    blank = np.full((330, 330), 90, np.uint8)
    marked = np.array(
        [
            [not np.array_equal(cues.plant(blank, seed, strength)[0], blank) for seed in range(60)]
            for strength in (0.0, 0.3, 0.7, 1.0)
        ]
    )
    assert not marked[0].any()
    assert marked[-1].all()
    assert (np.diff(marked.astype(int), axis=0) >= 0).all()
    assert marked[1].sum() < 60


def test_a_shortcut_draws_the_classes_views_apart():
    share = [phantoms.pa_share("COVID-19", strength) - phantoms.pa_share("Edema", strength) for strength in (0, 0.5, 1)]
    assert share[0] == 0
    assert share[0] < share[1] < share[2]


@pytest.mark.parametrize(
    "asked",
    [
        {"finding": "Covid", "view": "PA"},
        {"finding": "Edema", "view": "L"},
        {"finding": "Edema", "view": "PA", "shortcut": 1.5},
        {"finding": "Edema", "view": "PA", "grade": -0.1},
    ],
)
def test_what_cannot_be_made_is_refused(asked):
    with pytest.raises(ValueError, match="choose|between"):
        phantoms.film(1, 1, **asked)
