"""From attenuation to grey levels: scatter, quanta, the reader's display curve, and lead markers."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepcovid_lib.phantoms.projection import Pose

GLYPHS = {
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "B": "11110 10001 10001 11110 10001 10001 11110",
}


def text(letters: str, size: int) -> np.ndarray:
    """Block letters, `size` pixels a dot: float32 0 or 1, (7 size, 6 size per letter).

    Examples
    --------
    >>> text("L", 1).shape
    (7, 6)
    """
    rows = np.concatenate(
        [np.pad([[int(dot) for dot in row] for row in GLYPHS[letter].split()], ((0, 0), (0, 1))) for letter in letters],
        axis=1,
    )
    return np.kron(rows, np.ones((size, size))).astype(np.float32)


def _scatter(primary: np.ndarray, made: np.ndarray, reach: float) -> np.ndarray:
    """Photons scattered in the body and spread over `reach` pixels."""
    step = 8
    height, width = primary.shape
    source = np.pad(primary * made, ((0, -height % step), (0, -width % step)), mode="edge")
    coarse = source.reshape(source.shape[0] // step, step, -1, step).mean((1, 3))
    spread = ndimage.gaussian_filter(coarse, reach / step, mode="nearest")
    return ndimage.zoom(spread, step, order=1, grid_mode=True, mode="nearest")[:height, :width]


def develop(attenuation: np.ndarray, taken: Pose, film_seed: int) -> np.ndarray:
    """Expose and display a film.

    The primary beam is ``exp(-attenuation)`` (Beer and Lambert); scatter is added, more in bedside AP films, which are
    taken without a grid; quanta are counted; the logarithm is windowed and sharpened as a viewing station does.

    Parameters
    ----------
    attenuation : numpy.ndarray
        Line integral of the attenuation coefficient, 0 in air.
    taken : Pose
    film_seed : int

    Returns
    -------
    numpy.ndarray
        float32 of the same shape, 0 (black) to 1 (white).
    """
    rng = np.random.default_rng([film_seed, 5])
    bedside = taken.view == "AP"
    hardness = rng.uniform(0.9, 1.08)
    share = rng.uniform(0.5, 0.85) if bedside else rng.uniform(0.3, 0.55)
    quanta = rng.uniform(5000, 20000) if bedside else rng.uniform(12000, 50000)
    focus = rng.uniform(0.45, 0.8) + (0.2 if bedside else 0.0)
    black, white = rng.uniform(0.08, 0.26), rng.uniform(0.95, 1.13)
    gamma, edge = rng.uniform(0.9, 1.2), rng.uniform(0.15, 0.6)
    slant = rng.uniform(-0.05, 0.05, 2)
    grain = rng.standard_normal(attenuation.shape, dtype=np.float32)

    primary = np.exp(-np.float32(hardness) * ndimage.gaussian_filter(attenuation, focus))
    light = primary + np.float32(share) * _scatter(primary, 1 - np.exp(-attenuation), 4.0 / taken.pixel)
    light += grain * np.sqrt(light / np.float32(quanta))
    density = -np.log(np.maximum(light, np.float32(1e-4)))
    top = np.quantile(density[::6, ::6], 0.985)
    grey = (density / np.float32(top) - np.float32(black)) / np.float32(white - black)
    grey += np.float32(edge) * (grey - _blur(grey, 2.0 / taken.pixel))
    height, width = grey.shape
    grey += (np.linspace(-1, 1, height)[:, None] * slant[0] + np.linspace(-1, 1, width) * slant[1]).astype(np.float32)
    grey = np.clip(grey, 0, 1) ** np.float32(gamma)
    return _marked(grey, taken, np.random.default_rng([film_seed, 6]))


def _blur(grey: np.ndarray, reach: float) -> np.ndarray:
    """A cheap wide blur."""
    size = int(reach) | 1
    return ndimage.uniform_filter(ndimage.uniform_filter(grey, size), size)


def _marked(grey: np.ndarray, taken: Pose, rng: np.random.Generator) -> np.ndarray:
    """Lay a lead side marker on about two films in three, whatever they show."""
    present, side, size = rng.random() < 0.65, rng.choice(["L", "R"]), int(rng.integers(2, 4))
    drop, inset, lean = rng.uniform(0.03, 0.16), rng.uniform(0.02, 0.08), rng.normal(0, 4)
    if present:
        stamp = ndimage.rotate(text(str(side), size), lean, order=1)
        height, width = grey.shape
        row = int(drop * height)
        column = int(inset * width) if side == "R" else width - int(inset * width) - stamp.shape[1]
        patch = grey[row : row + stamp.shape[0], column : column + stamp.shape[1]]
        patch[:] = np.maximum(patch, np.clip(stamp, 0, 1) * np.float32(0.97))
    return grey
