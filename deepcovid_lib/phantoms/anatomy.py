"""A patient's thorax as numbers: lengths in centimetres, x to the patient's left, y to the feet, z to the front."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Patient(NamedTuple):
    """What stays the same from film to film of one patient; the origin of y is the carina.

    Attributes
    ----------
    age : int
        Years.
    sex : {"F", "M"}
        Women have breast shadows, men larger chests.
    width, depth : float
        Greatest inner half-width and half-depth of the rib cage.
    apex, base : float
        Height of the lungs' tops and of the widest place of the cage.
    wall : float
        Thickness of the chest wall: muscle and fat.
    heart : float
        Size of the heart relative to an average one; `pedicle` and `aorta` likewise.
    axis : float
        Tilt of the heart's long axis below the horizontal, radians.
    slope : float
        How far a mid-chest rib descends from spine to breastbone, cm.
    bone : float
        Mineral relative to a young adult.
    curve : float
        Sideways bend of the spine, cm.
    breast : float
        Greatest thickness of one breast, cm; 0 in men.
    gas : float
        Size of the stomach's air bubble, cm; 0 where there is none.
    seed : int
        Where the lung vessels, the ribs' irregularities and the pattern of a disease are drawn from.
    """

    age: int
    sex: str
    width: float
    depth: float
    apex: float
    base: float
    wall: float
    heart: float
    pedicle: float
    aorta: float
    axis: float
    slope: float
    bone: float
    curve: float
    breast: float
    gas: float
    seed: int


def patient(seed: int) -> Patient:
    """Draw a patient.

    Parameters
    ----------
    seed : int
        Equal seeds give equal patients.

    Returns
    -------
    Patient

    Examples
    --------
    >>> someone = patient(7)
    >>> someone == patient(7), someone == patient(8)
    (True, False)
    >>> 18 <= someone.age <= 92
    True
    """
    rng = np.random.default_rng([seed, 1])
    sex = "M" if rng.random() < 0.55 else "F"
    age = int(np.clip(rng.normal(57, 17), 18, 92))
    size = rng.normal(1.0, 0.05) * (1.03 if sex == "M" else 0.95)
    old = (age - 18) / 74
    stout = np.clip(rng.normal(0.45, 0.25), 0, 1.2)
    return Patient(
        age=age,
        sex=sex,
        width=float(13.3 * size * rng.normal(1, 0.03)),
        depth=float(8.6 * size * rng.normal(1 + 0.08 * old, 0.05)),
        apex=float(-11.6 * size * rng.normal(1, 0.03)),
        base=float(8.5 * size),
        wall=float(1.5 + 2.2 * stout),
        heart=float(np.clip(rng.normal(0.97 + 0.08 * old, 0.06), 0.8, 1.16) * size),
        pedicle=float(rng.normal(0.97 + 0.1 * old, 0.08)),
        aorta=float(rng.normal(0.85 + 0.4 * old, 0.1)),
        axis=float(np.deg2rad(rng.normal(38 - 10 * stout, 6))),
        slope=float(rng.normal(8.8, 0.8)),
        bone=float(rng.normal(1.05 - 0.3 * old, 0.08)),
        curve=float(rng.normal(0, 0.35)),
        breast=float(max(0.0, rng.normal(1.6 + 2.6 * stout, 0.9))) if sex == "F" else 0.0,
        gas=float(rng.uniform(1.2, 2.8)) if rng.random() < 0.6 else 0.0,
        seed=seed,
    )


def half_width(who: Patient, y: np.ndarray) -> np.ndarray:
    """Inner half-width of the rib cage at height `y`, cm; 0 above the apices."""
    descent = np.clip((y - who.apex) / (who.base - who.apex), 0, 1)
    return who.width * (1 - (1 - descent) ** 2.6) ** 0.48


def half_depth(who: Patient, y: np.ndarray) -> np.ndarray:
    """Inner half-depth of the rib cage at height `y`, cm."""
    descent = np.clip((y - who.apex) / (who.base - who.apex), 0, 1)
    return who.depth * (0.35 + 0.65 * descent**0.7)


class Vessels(NamedTuple):
    """Segments of the lungs' vessels: start and end points (n, 3), radii (n,), all in cm."""

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray


def vessels(who: Patient) -> Vessels:
    """Grow the patient's lung vessels from the hila outwards, each dividing into two, seven times.

    Parameters
    ----------
    who : Patient

    Returns
    -------
    Vessels

    Examples
    --------
    >>> tree = vessels(patient(7))
    >>> bool((tree.radius > 0).all()), tree.start.shape == tree.end.shape
    (True, True)
    """
    rng = np.random.default_rng([who.seed, 2])
    starts, ends, radii = [], [], []
    for side, hilum in ((-1, 1.2), (1, 0.4)):
        angle = np.deg2rad(np.array([-78, -52, -28, -4, 18, 40, 58, 76]) + rng.normal(0, 6, 8))
        count = len(angle)
        point = np.column_stack(
            [side * (2.9 + 0.5 * np.cos(angle)), hilum + 1.6 * np.sin(angle), rng.normal(-0.5, 0.6, count)]
        )
        dip = rng.uniform(-0.6, 0.6, count)
        radius = np.clip(rng.normal(0.44, 0.05, count), 0.3, 0.6) * np.where(angle > 0.3, 1.15, 0.85)
        length = rng.normal(2.4, 0.4, count)
        for _ in range(7):
            step = np.column_stack([side * np.cos(angle) * np.cos(dip), np.sin(angle) * np.cos(dip), np.sin(dip)])
            tip = point + step * length[:, None]
            starts.append(point)
            ends.append(tip)
            radii.append(radius)
            fork = rng.uniform(0.14, 0.5, (2, len(angle))) * np.array([[-1], [1]])
            angle = (angle + fork).ravel()
            dip = np.clip(dip + rng.normal(0, 0.2, (2, len(dip))), -0.7, 0.7).ravel()
            shrink = rng.uniform(0.62, 0.85, (2, len(radius)))
            radius = (radius * shrink).ravel()
            length = (length * rng.uniform(0.7, 0.98, (2, len(length)))).ravel()
            point = np.tile(tip, (2, 1))
    return Vessels(np.concatenate(starts), np.concatenate(ends), np.concatenate(radii))
