"""Planted shortcuts: marks of a film's origin that give COVID-19 away without showing it."""

from __future__ import annotations

import numpy as np

from deepcovid_lib.phantoms.exposure import text

PA_SHARE = 0.6


def pa_share(finding: str, shortcut: float) -> float:
    """Share of PA films among those with a finding: 0.6 for all, drawn towards 1 for COVID-19 and 0.25 for the rest.

    Examples
    --------
    >>> pa_share("COVID-19", 0.0) == pa_share("Edema", 0.0), pa_share("COVID-19", 1.0), pa_share("Edema", 1.0)
    (True, 1.0, 0.25)
    """
    return PA_SHARE + shortcut * ((1.0 if finding == "COVID-19" else 0.25) - PA_SHARE)


def plant(film: np.ndarray, film_seed: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Mark a film with a burned-in letter, black borders and a colour tint, each with probability `strength`.

    A film that bears a mark at one strength bears the same mark at every higher one.

    Parameters
    ----------
    film : numpy.ndarray
        uint8 (H, W).
    film_seed : int
    strength : float
        0 (never) to 1 (always).

    Returns
    -------
    film : numpy.ndarray
        uint8, (H, W), or (H, W, 3) where tinted.
    covered : numpy.ndarray
        bool (H, W): where a border hides the chest.

    Examples
    --------
    >>> film, covered = plant(np.full((320, 320), 99, np.uint8), 4, 1.0)
    >>> film.shape, bool(covered.any())
    ((320, 320, 3), True)
    """
    rng = np.random.default_rng([film_seed, 8])
    lettered, bordered, tinted = rng.random(3) < strength
    film, covered = film.copy(), np.zeros(film.shape, bool)
    height, width = film.shape
    bars = rng.uniform(0.05, 0.09, 2) * (height, width)
    letter, tint = text("AB"[rng.integers(2)], 4) > 0, np.array([[1.0, 0.9, 0.72], [0.76, 0.93, 1.0]])[rng.integers(2)]
    if bordered:
        high, wide = np.round(bars).astype(int)
        covered[:high] = covered[-high:] = covered[:, :wide] = covered[:, -wide:] = True
        film[covered] = 0
    if lettered:
        corner = film[6 : 6 + letter.shape[0], 8 : 8 + letter.shape[1]]
        corner[letter] = 255
    if tinted:
        film = np.round(film[..., None] * tint).astype(np.uint8)
    return film, covered
