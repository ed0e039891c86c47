"""Films as small squares, made once: what the simplest classifiers see of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from deepcovid_lib import images
from deepcovid_lib.files import fingerprint, replacing, unchanged
from deepcovid_lib.progress import track

SIDE = 80
BORDER = 0.1
READERS = 2


class Thumbnails(NamedTuple):
    """Small films, and the size of the files they come from.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8 (n, 80, 80, 3).
    files : numpy.ndarray
        int64 (n, 3): bytes of the file, height and width in pixels.
    """

    pixels: np.ndarray
    files: np.ndarray


def gather(films: pd.DataFrame, *, cache: str | Path) -> Thumbnails:
    """Return the small form of films, from the cache or, read once, from their files.

    Parameters
    ----------
    films : DataFrame
        ``path`` and ``sha256``, in any order; the result is in theirs.
    cache : path-like
        A set of films is one file in its folder ``thumbnails``.

    Raises
    ------
    Problem
        If a film cannot be read, or has changed since the manifest was written.
    """

    def make() -> dict[str, np.ndarray]:
        with ThreadPoolExecutor(READERS) as pool:
            listed = zip(films["path"], films["sha256"], strict=True)
            found = pool.map(lambda film: _measured(unchanged(*film)), listed)
            pixels, files = zip(*track(found, label="thumbnails", total=len(films)), strict=True)
        return {"pixels": np.stack(pixels), "files": np.array(files, np.int64)}

    named = f"{fingerprint(images.__file__, __file__)} {' '.join(films['sha256'])}"
    return Thumbnails(**kept(Path(cache) / "thumbnails", named, make))


def kept(folder: Path, named: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays from a file that their description names, making it if it is absent, damaged or was changed.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> [kept(folder, "two", lambda: {"a": np.full(1, value)})["a"].tolist() for value in (2, 3)]
    [[2], [2]]
    """
    path = folder / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = dict(stored)
        if str(found.pop("seal", "")) == _seal(found):
            return found
    except (OSError, ValueError, EOFError, BadZipFile):
        pass
    made = make()
    with replacing(path) as temporary:
        np.savez(temporary, **made, seal=_seal(made))
    return made


def _seal(arrays: dict[str, np.ndarray]) -> str:
    told = (name.encode() + str(array.dtype).encode() + array.tobytes() for name, array in sorted(arrays.items()))
    return hashlib.sha256(b"".join(told)).hexdigest()


def grey(pixels: np.ndarray, cells: int) -> np.ndarray:
    """Return films as ``cells`` x ``cells`` grey values, each the mean of its pixels and channels.

    Parameters
    ----------
    pixels : numpy.ndarray
        (n, side, side, 3); the side is a multiple of `cells`.

    Returns
    -------
    numpy.ndarray of float32, shape (n, cells * cells)

    Examples
    --------
    >>> grey(np.arange(12).reshape(1, 2, 2, 3), 1).tolist(), grey(np.arange(12).reshape(1, 2, 2, 3), 2).tolist()
    ([[5.5]], [[1.0, 4.0, 7.0, 10.0]])
    """
    return _cells(pixels.mean(axis=3, dtype=np.float32)[..., None], cells)


def chroma(pixels: np.ndarray, cells: int) -> np.ndarray:
    """Return how far red and blue lie from green, in ``cells`` x ``cells`` fields; all 0 on a grey film.

    Examples
    --------
    >>> chroma(np.full((1, 2, 2, 3), (9, 5, 4), np.uint8), 1).tolist()
    [[4.0, -1.0]]
    """
    channels = pixels.astype(np.float32)
    return _cells(channels[..., [0, 2]] - channels[..., [1]], cells)


def blacked(pixels: np.ndarray, share: float) -> np.ndarray:
    """Return films with a central square of ``share`` of the side set to 0.

    Examples
    --------
    >>> blacked(np.ones((1, 10, 10, 3)), 0.8)[0, :, :, 0].sum(axis=1).astype(int).tolist()
    [10, 2, 2, 2, 2, 2, 2, 2, 2, 10]
    """
    side = pixels.shape[1]
    edge = round(side * (1 - share) / 2)
    hidden = pixels.copy()
    hidden[:, edge : side - edge, edge : side - edge] = 0
    return hidden


def _cells(channels: np.ndarray, cells: int) -> np.ndarray:
    count, side, _, depth = channels.shape
    step = side // cells
    fields = channels.reshape(count, cells, step, cells, step, depth).mean(axis=(2, 4))
    return fields.reshape(count, -1)


def _measured(path: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    film = images.read(path)
    return images.fit(film, images.Preset(size=SIDE)), (os.stat(path).st_size, *film.shape[:2])
