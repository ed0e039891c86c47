"""Tubes, lines, leads and pacemakers, projected: their attenuation."""

from __future__ import annotations

import numpy as np

from deepcovid_lib.phantoms.anatomy import Patient
from deepcovid_lib.phantoms.projection import Pose, plane, wire


def devices(who: Patient, taken: Pose, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Lay one to five devices on the chest, the more the iller the patient.

    Parameters
    ----------
    who : Patient
    taken : Pose
    severity : float
        0 to 1.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        float32 of the film's shape, attenuation.
    """
    kinds = [_line, _airway, _leads, _pacemaker, _stomach_tube]
    order, seeds = rng.permutation(len(kinds)), rng.integers(2**32, size=len(kinds))
    chosen = order[: 1 + int(4.99 * severity)]
    return sum(kinds[i](who, taken, np.random.default_rng(seeds[i])) for i in sorted(chosen))


def _line(who: Patient, taken: Pose, rng: np.random.Generator) -> np.ndarray:
    """A central venous line: through the neck or from an arm to the superior vena cava."""
    tip = (-1.6 + rng.normal(0, 0.3), 3.2 + rng.normal(0, 0.8), 2)
    if rng.random() < 0.5:
        path = [(-4.5, who.apex - 6, 3), (-3.3, who.apex + 0.5, 3), (-2.2, -5, 2), tip]
    else:
        side = rng.choice([-1, 1])
        path = [
            (side * (who.width + 4), who.apex + 14, 0),
            (side * (who.width + 1), who.apex + 5, 0),
            (side * 7, who.apex + 3.6, 3),
            (-0.5 + 1.2 * side, -6.5, 3),
            (-1.9, -3, 2),
            tip,
        ]
    return 1.9 * wire(taken, path, 0.12)


def _airway(who: Patient, taken: Pose, rng: np.random.Generator) -> np.ndarray:
    """An endotracheal tube, its stripe brighter than its wall."""
    tip = -3.5 + rng.normal(0, 1.0)
    path = [(0.5, who.apex - 8, 2), (0.1, who.apex, 1), (0.0, tip, 0)]
    left, right = ([(x + shift, y, z) for x, y, z in path] for shift in (-0.4, 0.4))
    return 1.0 * (wire(taken, left, 0.1) + wire(taken, right, 0.1)) + 2.0 * wire(taken, path, 0.09)


def _leads(who: Patient, taken: Pose, rng: np.random.Generator) -> np.ndarray:
    """Three electrodes and their wires."""
    film = np.zeros(taken.shape, np.float32)
    gather = (rng.normal(2, 3), who.base + 15, 11)
    for x, y in ((-7.5, -8.0), (7.5, -8.0), (8.0, 7.5)):
        spot = (x + rng.normal(0, 0.8), y + rng.normal(0, 1.0), 11)
        bow = (spot[0] * 1.1 + rng.normal(0, 2.5), (spot[1] + gather[1]) / 2, 11)
        film += 2.2 * wire(taken, [spot, bow, gather], 0.09)
        px, py = plane(taken, spot[2])
        away = np.hypot(px - spot[0], py - spot[1])
        film += 0.25 * (away < 0.95) + 0.7 * (away < 0.45)
    return film.astype(np.float32)


def _pacemaker(who: Patient, taken: Pose, rng: np.random.Generator) -> np.ndarray:
    """A generator below the left clavicle with leads to the right heart."""
    px, py = plane(taken, 9.0)
    x, y = 0.62 * who.width + rng.normal(0, 0.5), who.apex + 6.2 + rng.normal(0, 0.5)
    box = (np.abs((px - x) / 2.3) ** 3.5 + np.abs((py - y) / 2.0) ** 3.5) < 1
    path = [(x, y - 1.8, 8), (5, y - 3.0, 6), (-0.5, -6.5, 4), (-2.2, 0.5, 3)]
    atrium, ventricle = [*path, (-3.0, 5.5, 4)], [*path, (-1.6, 7.5, 4), (4.5, 10.0, 6)]
    return (1.6 * box + 2.4 * (wire(taken, atrium, 0.1) + wire(taken, ventricle, 0.1))).astype(np.float32)


def _stomach_tube(who: Patient, taken: Pose, rng: np.random.Generator) -> np.ndarray:
    """A feeding tube down the gullet to the stomach."""
    path = [(0.3, who.apex - 8, 0), (0.6, -4, -3), (0.9, 6, -3), (2.2, 12, 0), (6.0 + rng.normal(0, 1), 15.5, 3)]
    return 1.6 * wire(taken, path, 0.13)
