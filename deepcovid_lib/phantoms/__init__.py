"""Synthetic chest radiographs, made from seeds: an attenuation projection of a thorax with or without a finding.

They carry the signs by which the paper describes COVID-19 (Section I: bilateral, peripheral, multilobar ground-glass
and mixed opacities, patchy and asymmetric), and one recognisable sign for each of CheXpert's thirteen findings.
They are no substitute for patients: they show what an analysis does when the truth is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from deepcovid_lib.phantoms.anatomy import Patient, patient
from deepcovid_lib.phantoms.bones import ribs, shoulders, spine
from deepcovid_lib.phantoms.cues import pa_share, plant
from deepcovid_lib.phantoms.exposure import develop
from deepcovid_lib.phantoms.projection import Pose, cloud, pose
from deepcovid_lib.phantoms.signs import SIGNS, Case, Change
from deepcovid_lib.phantoms.tissue import AIRLESS, UNCHANGED, Tissue, tissue, vasculature

__all__ = ["FINDINGS", "Film", "film", "pa_share", "patient", "severity"]

FINDINGS = tuple(SIGNS)
VIEWS = ("PA", "AP")
WATER = 0.17  # attenuation coefficient of soft tissue, 1/cm, at a diagnostic beam's effective energy
VISIBLE = 0.04  # change of attenuation that counts as changed


class Film(NamedTuple):
    """A synthetic radiograph and its truth.

    Attributes
    ----------
    image : numpy.ndarray
        uint8, (H, W), or (H, W, 3) where tinted; the patient's left is on the image's right.
    lungs : numpy.ndarray
        bool (H, W), the lung fields before the finding.
    opacity : numpy.ndarray
        bool (H, W), where the finding changed the attenuation; empty without a finding.
    age : int
        Years.
    sex : {"F", "M"}
    severity : float
        0 to 1; 0 without a finding.
    """

    image: np.ndarray
    lungs: np.ndarray
    opacity: np.ndarray
    age: int
    sex: str
    severity: float


def severity(film_seed: int, finding: str) -> float:
    """Draw how severe the finding is on a film: between 0 and 1, 0 for No Finding.

    Examples
    --------
    >>> severity(5, "No Finding"), 0 < severity(5, "Edema") < 1
    (0.0, True)
    """
    return 0.0 if finding == "No Finding" else float(np.random.default_rng([film_seed, 7]).beta(1.6, 1.4))


def film(
    patient_seed: int,
    film_seed: int,
    *,
    finding: str,
    view: str,
    shortcut: float = 0.0,
    grade: float | None = None,
) -> Film:
    """Make a film.

    Parameters
    ----------
    patient_seed : int
        The patient: anatomy, age, sex, and where a finding lies. Films of one patient share it.
    film_seed : int
        The film: size, positioning, breath, exposure, noise, marker, and the severity of the finding.
    finding : str
        One of `FINDINGS`: ``COVID-19`` or a CheXpert label.
    view : {"PA", "AP"}
        AP films magnify the heart, show the shoulder blades over the lungs and a high diaphragm, and are foggier.
    shortcut : float
        Strength of planted shortcuts on COVID-19 films, 0 (none) to 1 (always).
    grade : float, optional
        The severity, 0 to 1, in place of the one drawn.

    Returns
    -------
    Film

    Raises
    ------
    ValueError
        If the finding or the view is unknown, or a strength lies outside 0 to 1.

    References
    ----------
    Minaee et al. (2020), Section I; Irvin et al.: CheXpert, Proc. AAAI 33 (2019) 590-597.

    Examples
    --------
    >>> made = film(1, 2, finding="COVID-19", view="PA")
    >>> made.image.shape == made.lungs.shape == made.opacity.shape, bool(made.opacity.any())
    (True, True)
    """
    if finding not in SIGNS:
        raise ValueError(f"no finding {finding!r}: choose from {', '.join(FINDINGS)}")
    if view not in VIEWS:
        raise ValueError(f"no view {view!r}: choose PA or AP")
    grade = severity(film_seed, finding) if grade is None else grade
    if not (0 <= shortcut <= 1 and 0 <= grade <= 1):
        raise ValueError(f"shortcut {shortcut} and grade {grade} must lie between 0 and 1")
    who = patient(patient_seed)
    taken = pose(film_seed, who, view)
    healthy = _layers(who, taken, Change())
    rng = np.random.default_rng([patient_seed, 6, FINDINGS.index(finding)])
    change = SIGNS[finding](Case(who, taken, healthy.tissue, grade, rng))
    ill = _layers(who, taken, change, healthy)
    background = _haze(who, taken, healthy.tissue, film_seed)
    before, after = _attenuation(healthy, Change(), background), _attenuation(ill, change, background)
    opacity = ndimage.binary_opening(np.abs(after - before) > VISIBLE)
    image = np.round(develop(after, taken, film_seed) * 255).astype(np.uint8)
    image, covered = plant(image, film_seed, shortcut if finding == "COVID-19" else 0.0)
    return Film(image, healthy.tissue.lungs & ~covered, opacity & ~covered, who.age, who.sex, float(grade))


class _Layers(NamedTuple):
    """What lies on each ray: soft tissue and air, vessels (cm), mineral (attenuation)."""

    tissue: Tissue
    vessels: np.ndarray
    mineral: np.ndarray


def _layers(who: Patient, taken: Pose, change: Change, known: _Layers | None = None) -> _Layers:
    """Project the organs, taking over from the `known` layers what the change leaves alone."""
    same_shape = known is not None and change.shape == UNCHANGED
    soft = known.tissue if same_shape else tissue(who, taken, change.shape)
    vessels = known.vessels if known and change.swollen == 1 else vasculature(who, taken, change.swollen)
    if known and not change.breaks:
        mineral = known.mineral
    else:
        bones = 0.75 * ribs(who, taken, change.breaks) + 0.45 * shoulders(who, taken) + 0.15 * spine(who, taken)
        mineral = (who.bone * bones).astype(np.float32)
    return _Layers(soft, vessels, mineral)


def _haze(who: Patient, taken: Pose, soft: Tissue, film_seed: int) -> np.ndarray:
    """Lung markings that any film may show: texture, crowding above the diaphragm, age."""
    rng = np.random.default_rng([film_seed, 4])
    crowding = rng.uniform(0, 0.1) * (1.5 if taken.view == "AP" else 1.0) + 0.0006 * who.age
    texture = 0.012 * cloud(np.random.default_rng([who.seed, 5]), soft.x, soft.y, 0.5)
    return np.clip(crowding * np.exp(-np.maximum(soft.floor, 0) / 4) + 0.03 + texture, 0, 1)


def _attenuation(layers: _Layers, change: Change, background: np.ndarray) -> np.ndarray:
    """The line integral of attenuation along each ray."""
    soft = layers.tissue
    fill = background + (1 - background) * change.fill
    solid = (AIRLESS + (1 - AIRLESS) * fill) * (1 - change.empty)
    branches = np.minimum(layers.vessels, 1.3) * np.clip(soft.lung / 8, 0, 1)
    branches = branches * (1 - change.empty) * (1 - 1.25 * np.minimum(change.fill, 1))
    water = soft.body - soft.gut - soft.lung * (1 - solid) + 1.2 * branches + change.soft * (1 - AIRLESS)
    total = WATER * np.clip(water, 0, None) + layers.mineral * (soft.body > 0) + change.metal
    return total.astype(np.float32)
