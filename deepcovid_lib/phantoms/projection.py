"""From the thorax to the film: where a point of the body falls, and how much lies on each ray."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline

from deepcovid_lib.phantoms.anatomy import Patient


class Pose(NamedTuple):
    """How one film was taken.

    Attributes
    ----------
    view : {"PA", "AP"}
    shape : tuple of int
        Height and width of the film, pixels.
    pixel : float
        Size of a pixel in the patient's middle plane, cm.
    centre : tuple of float
        x and y of the film's centre, cm.
    tilt, yaw : float
        Rotation in the film's plane and about the long axis, radians.
    breath : float
        How far the diaphragm stands below its mean position, cm (positive: deep breath).
    distance, detector : float
        Focus to detector, and z of the detector, cm: before the chest in PA films, behind it in AP films.
    """

    view: str
    shape: tuple[int, int]
    pixel: float
    centre: tuple[float, float]
    tilt: float
    yaw: float
    breath: float
    distance: float
    detector: float


def pose(film_seed: int, who: Patient, view: str) -> Pose:
    """Draw how a film was taken; the two views differ in the distances and in how steadily the patient stands.

    Examples
    --------
    >>> from deepcovid_lib.phantoms.anatomy import patient
    >>> taken = pose(3, patient(7), "AP")
    >>> taken.detector < 0, 320 <= taken.shape[0] <= 400
    (True, True)
    """
    rng = np.random.default_rng([film_seed, 3])
    height = int(rng.integers(320, 401))
    width = round(height * rng.uniform(0.85, 1.15))
    pixel = max(2 * (who.width + 3.2) / width, (who.base - who.apex + 11.5) / height) * rng.uniform(0.97, 1.12)
    x, y = rng.normal(0, 0.5), 2.4 + rng.normal(0, 0.7)
    wobble = 1.0 if view == "PA" else 1.7
    tilt, yaw = rng.normal(0, 0.018) * wobble, rng.normal(0, 0.03) * wobble
    breath = rng.normal(0.5, 0.7) if view == "PA" else rng.normal(-1.1, 0.8)
    distance, detector = (180.0, 13.0) if view == "PA" else (rng.uniform(95, 125), -13.0)
    return Pose(view, (height, width), pixel, (x, y), tilt, yaw, breath, distance, detector)


def _magnification(taken: Pose, z: np.ndarray | float) -> np.ndarray | float:
    """Size on the film of what lies at depth `z`, relative to the middle plane."""
    return (taken.distance - abs(taken.detector)) / (taken.distance - abs(taken.detector - z))


def plane(taken: Pose, z: float) -> tuple[np.ndarray, np.ndarray]:
    """The x and y, in the patient's own frame, that each pixel sees at depth `z`.

    Returns
    -------
    x, y : numpy.ndarray
        float32 of the film's shape, cm.
    """
    height, width = taken.shape
    right = ((np.arange(width) - (width - 1) / 2) * taken.pixel).astype(np.float32)
    down = ((np.arange(height) - (height - 1) / 2) * taken.pixel).astype(np.float32)[:, None]
    cos, sin, size = np.float32(np.cos(taken.tilt)), np.float32(np.sin(taken.tilt)), _magnification(taken, z)
    x = (right * cos + down * sin + np.float32(taken.centre[0])) / np.float32(size) - np.float32(z * taken.yaw)
    y = (down * cos - right * sin + np.float32(taken.centre[1])) / np.float32(size)
    return x, y


def splat(taken: Pose, points: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Add matter at points in space to the rays through them, shared among the four nearest pixels.

    Parameters
    ----------
    taken : Pose
    points : numpy.ndarray
        (n, 3), cm.
    amount : numpy.ndarray
        (n,) volume of matter at each point, cm³.

    Returns
    -------
    numpy.ndarray
        float32 of the film's shape: the length of matter on each ray, cm.
    """
    height, width = taken.shape
    x, y, z = points.T
    size = _magnification(taken, z)
    across, along = (x + z * taken.yaw) * size - taken.centre[0], y * size - taken.centre[1]
    cos, sin = np.cos(taken.tilt), np.sin(taken.tilt)
    column = (across * cos - along * sin) / taken.pixel + (width - 1) / 2
    row = (across * sin + along * cos) / taken.pixel + (height - 1) / 2
    left, top = np.floor(column), np.floor(row)
    keep = (left >= 0) & (left < width - 1) & (top >= 0) & (top < height - 1)
    left, top, amount = left[keep].astype(np.int64), top[keep].astype(np.int64), amount[keep]
    right, below = column[keep] - left, row[keep] - top
    cell = top * width + left
    film = np.zeros(height * width)
    for offset, share in (
        (0, (1 - right) * (1 - below)),
        (1, right * (1 - below)),
        (width, (1 - right) * below),
        (width + 1, right * below),
    ):
        film += np.bincount(cell + offset, amount * share, height * width)
    return (film / taken.pixel**2).reshape(height, width).astype(np.float32)


def rods(
    taken: Pose, start: np.ndarray, end: np.ndarray, radius: np.ndarray, *, across: int = 11, step: float = 0.1
) -> np.ndarray:
    """Project solid round rods from `start` to `end` (n, 3) with `radius` (n,): cm of matter on each ray."""
    direction = end - start
    length = np.linalg.norm(direction, axis=1)
    pieces = np.maximum(1, np.ceil(length / step)).astype(int)
    rod = np.repeat(np.arange(len(pieces)), pieces)
    place = (np.arange(len(rod)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[rod]
    flat = np.hypot(direction[:, 0], direction[:, 1]) + 1e-9
    normal = np.column_stack([-direction[:, 1] / flat, direction[:, 0] / flat, np.zeros(len(flat))])
    offset = (np.arange(across) + 0.5) / across * 2 - 1
    middle = start[rod] + place[:, None] * direction[rod]
    points = middle[:, None, :] + (normal * radius[:, None])[rod][:, None, :] * offset[None, :, None]
    slab = 2 * np.sqrt(1 - offset**2) * (2 / across)
    amount = ((radius**2 * length / pieces)[rod])[:, None] * slab
    return splat(taken, points.reshape(-1, 3), amount.ravel())


def line(points: list[tuple[float, float, float]], count: int = 60) -> np.ndarray:
    """A smooth curve of `count` points through a few given ones: (count, 3)."""
    knots = np.asarray(points, float)
    reach = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    return CubicSpline(reach, knots, bc_type="natural")(np.linspace(0, reach[-1], count))


def wire(taken: Pose, points: list[tuple[float, float, float]], radius: float) -> np.ndarray:
    """Project a wire or tube, solid, along a smooth curve through `points`."""
    curve = line(points)
    return rods(taken, curve[:-1], curve[1:], np.full(len(curve) - 1, radius), across=5)


def cloud(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, grain: float) -> np.ndarray:
    """A smooth random field fixed to the patient's frame: mean about 0, standard deviation about 1.

    Parameters
    ----------
    rng : numpy.random.Generator
    x, y : numpy.ndarray
        Where to look, cm, within 32 of the origin.
    grain : float
        Size of its lumps, cm.
    """
    spacing = grain / 2.5
    side = int(64 / spacing) + 2
    lattice = ndimage.gaussian_filter(rng.standard_normal((side, side)), 1.2, mode="wrap")
    lattice = (lattice / lattice.std()).astype(np.float32)
    where = np.stack([(y + 32) / spacing, (x + 32) / spacing])
    return ndimage.map_coordinates(lattice, where, order=1, mode="nearest", output=np.float32)
