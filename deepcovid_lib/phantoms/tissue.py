"""Soft tissue and air, projected: the body's outline, the lungs, heart and great vessels, diaphragm and airways."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepcovid_lib.phantoms.anatomy import Patient, half_depth, half_width, vessels
from deepcovid_lib.phantoms.projection import Pose, plane, rods

AIRLESS = 0.27  # density of an aerated lung relative to water


class Shape(NamedTuple):
    """What a finding may change in the organs, relative to the patient's own (1, 1, 1, 0, 0).

    `heart`, `pedicle` and `aorta` multiply sizes; `right` and `left` raise a half of the diaphragm, cm.
    """

    heart: float = 1.0
    pedicle: float = 1.0
    aorta: float = 1.0
    right: float = 0.0
    left: float = 0.0


UNCHANGED = Shape()


class Tissue(NamedTuple):
    """Maps of the film's shape, float32 unless said otherwise.

    Attributes
    ----------
    x, y : numpy.ndarray
        The patient's middle plane, cm.
    body, lung, gut : numpy.ndarray
        cm of body, of lung, and of gas in airways and stomach on each ray.
    lungs : numpy.ndarray
        bool: the lung fields a reader sees, between the chest wall, the mediastinum and the diaphragm.
    lateral : numpy.ndarray
        Distance from the midline as a share of the cage's half-width at that height.
    floor : numpy.ndarray
        cm above the diaphragm (negative below).
    """

    x: np.ndarray
    y: np.ndarray
    body: np.ndarray
    lung: np.ndarray
    gut: np.ndarray
    lungs: np.ndarray
    lateral: np.ndarray
    floor: np.ndarray


def _ball(x: np.ndarray, y: np.ndarray, centre: tuple, axes: tuple, turn: float = 0.0) -> np.ndarray:
    """Chord, 0 to 1, of an ellipsoid with half-axes `axes` along its own, turned, x and y."""
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    along, across = (dx * cos + dy * sin) / np.float32(axes[0]), (dy * cos - dx * sin) / np.float32(axes[1])
    return np.sqrt(np.clip(1 - along * along - across * across, 0, None))


def _capsule(x: np.ndarray, y: np.ndarray, start: tuple, end: tuple, radius: float) -> np.ndarray:
    """Chord, 0 to 1, of a rod with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    share = np.clip(((x - np.float32(start[0])) * dx + (y - np.float32(start[1])) * dy) / (dx * dx + dy * dy), 0, 1)
    away = (x - np.float32(start[0]) - share * dx) ** 2 + (y - np.float32(start[1]) - share * dy) ** 2
    return np.sqrt(np.clip(1 - away / np.float32(radius**2), 0, None))


def _heart(who: Patient, taken: Pose, shape: Shape) -> np.ndarray:
    """cm of heart and great vessels."""
    x, y = plane(taken, 3.0)
    lying = 1.05 if taken.view == "AP" else 1.0
    size = who.heart * shape.heart * lying
    low = 0.35 * taken.breath
    axis = who.axis - (0.16 if taken.view == "AP" else 0.0)
    centre = (1.9 + 0.9 * (size - 1) * 4, 7.3 + low - 1.2 * (size - 1))
    left = 15.0 * _ball(x, y, centre, (7.0 * size, 4.9 * size), axis) ** 0.6
    right = 14.0 * _ball(x, y, (-0.9, 6.8 + low), (3.3 * size, 5.2 * size)) ** 0.6
    trunk = 9.0 * _ball(x, y, (1.5, 2.4), (2.5 * size, 4.2)) ** 0.8
    hila = 3.2 * np.maximum(_ball(x, y, (-3.0, 1.8), (1.2, 2.6), 0.3), 0.8 * _ball(x, y, (3.0, 0.9), (1.3, 2.2), -0.3))
    window = 6.0 * _capsule(x, y, (0.4, -4.5), (1.2, 5.0), 2.4)
    wide = who.pedicle * shape.pedicle * lying
    cava = 8.0 * _capsule(x, y, (-0.7, -6.5), (-0.9, 3.5), 2.0 * wide)
    arch = who.aorta * shape.aorta * lying
    knob = 8.0 * _ball(x, y, (0.9 + 0.6 * arch, -2.7), (2.0 * arch, 1.9 * arch))
    bx, by = plane(taken, -5.0)
    descending = 3.0 * _capsule(bx, by, (1.1 + 0.9 * arch, -2.0), (0.7 + 0.4 * arch, 14), 1.25 * arch)
    return np.maximum.reduce([left, right, trunk, cava, knob, hila, window]) + descending


def _pedicle(who: Patient, taken: Pose, shape: Shape, cage: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """cm of mediastinum and the tissue beside the spine."""
    span = np.interp(y, [-20, -12, -7, -2, 6, 20], [3.6, 3.1, 2.75, 2.3, 1.9, 2.2]).astype(np.float32)
    wide = who.pedicle * shape.pedicle * (1.08 if taken.view == "AP" else 1.0)
    span = span * (1 + np.float32(wide - 1) * np.clip(-y / 3, 0, 1))
    span += np.float32(2.2) * np.exp(np.minimum((who.apex - y) * np.float32(0.9), 0))
    across = np.square(x / span)
    front = np.interp(y, [-1, 3], [1.0, 0.88]).astype(np.float32)
    return cage * front * np.sqrt(np.clip(1 - across * across * across, 0, None))


def _body(who: Patient, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """cm of body: neck, trunk, shoulders and arms, breasts."""
    edge = who.width + who.wall + 0.6
    down = np.array([-40, -4.5, -2.6, -1.2, 0.2, 2.5, 7, 14, 24, 50]) + who.apex
    span = [5.2, 5.8, 7.4, 11, 14.5, edge + 0.6, 0.98 * edge, edge, edge + 0.4, edge + 0.8]
    thick = 2 * who.depth + 1.5 * who.wall
    deep = [11, 11.5, 12.5, 13.5, 14.5, 0.82 * thick, 0.92 * thick, thick, 1.08 * thick, 1.12 * thick]
    line = np.linspace(y.min(), y.max(), 500)
    smooth = np.exp(-((np.linspace(-2, 2, 31)) ** 2))
    smooth /= smooth.sum()

    def profile(values: list) -> np.ndarray:
        knots = np.convolve(np.pad(np.interp(line, down, values), 15, mode="edge"), smooth, "valid")
        return np.interp(y, line, knots).astype(np.float32)

    trunk = profile(deep) * np.sqrt(np.clip(1 - np.abs(x / profile(span)) ** 4, 0, None))
    total = trunk**3
    radius = 4.9 + 0.35 * who.wall
    for side in (-1, 1):
        shoulder = (side * (who.width + 2.2), who.apex + 3.3)
        elbow = (side * (who.width + 8.5), who.apex + 22)
        total += (2 * radius * _capsule(x, y, shoulder, elbow, radius)) ** 3
    total = np.cbrt(total)
    if who.breast:
        for side in (-1, 1):
            low = 6.6 + 0.4 * who.breast
            fold = np.clip((y - np.float32(low - 4.5)) / 5, 0, 1)
            total += 0.85 * who.breast * fold * _ball(x, y, (side * 0.56 * who.width, low), (5.7, 5.0)) ** 1.4
    return total


def tissue(who: Patient, taken: Pose, shape: Shape = UNCHANGED) -> Tissue:
    """Project a patient's soft tissue.

    Parameters
    ----------
    who : Patient
    taken : Pose
    shape : Shape
        What a finding changes in the organs.

    Returns
    -------
    Tissue
    """
    x, y = plane(taken, 0.0)
    span, cage = half_width(who, y), 2 * half_depth(who, y)
    lateral = np.abs(x) / np.maximum(span, np.float32(0.1))
    cage = (cage * np.sqrt(np.clip(1 - lateral**2, 0, None))).astype(np.float32)
    right = who.base + 1.6 + taken.breath - shape.right
    left = who.base + 2.6 + taken.breath - shape.left
    flat = 0.75 if taken.view == "AP" else 1.0
    dome = np.where(x < 0, np.float32(right), np.float32(left))
    beside = np.clip((lateral - 0.42) / 0.58, 0, None) ** 2.4 * np.float32(5.0 * flat)
    inner = np.clip(0.42 - lateral, 0, None) ** 2 * np.float32(7)
    floor = dome + beside + inner - y
    under = np.clip(-floor / np.float32(4.5), 0, 1)
    filled = np.float32(0.95) * np.clip(1 - (1 - under) ** 2, 0, None) ** np.float32(0.4) + np.clip(
        -floor / 150, 0, np.float32(0.05)
    )
    middle = np.minimum(np.maximum(_pedicle(who, taken, shape, cage, x, y), _heart(who, taken, shape)), cage)
    lung = np.clip(cage - np.maximum(cage * filled, middle), 0, None)
    gut = 2.2 * _capsule(x, y, (0.0, -30), (0.15, -0.6), 0.85)
    gut = np.maximum(gut, 1.5 * _capsule(x, y, (0.0, -0.8), (-3.0, 1.6), 0.65))
    gut = np.maximum(gut, 1.3 * _capsule(x, y, (0.2, -0.8), (3.6, 1.8), 0.55))
    if who.gas:
        bubble = _ball(x, y, (5.6, left + 0.8 + 0.7 * who.gas), (1.7 * who.gas, 0.8 * who.gas), 0.15)
        level = np.clip((left + 1.1 + 0.6 * who.gas - y) / 0.3, 0, 1) if taken.view == "PA" else 0.5
        gut = gut + 1.6 * who.gas * bubble * level
    lungs = (floor > 0) & (lateral < 1) & (middle < 0.6 * cage) & (y > who.apex)
    return Tissue(x, y, _body(who, x, y), lung, gut, lungs, lateral.astype(np.float32), floor.astype(np.float32))


def vasculature(who: Patient, taken: Pose, swollen: float = 1.0) -> np.ndarray:
    """cm of vessels in the lungs; `swollen` multiplies their calibre."""
    tree = vessels(who)
    return rods(taken, tree.start, tree.end, tree.radius * swollen)
