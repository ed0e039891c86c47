"""The rungs of the ladder: what a classifier is given instead of a learned view of the lungs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from deepcovid_lib import thumbnails
from deepcovid_lib.thumbnails import Thumbnails

MASKS = (0.3, 0.5, 0.7, 0.9)


class Rung(NamedTuple):
    """What one rung sees of every film.

    Attributes
    ----------
    name : str
        As it stands in tables and figures.
    kind : {"null", "metadata", "file", "grey", "masked", "network"}
    values : numpy.ndarray
        float (n, numbers), NaN where unknown; in the order of the films.
    reason : str
        Why it is left out; empty where it is not.
    """

    name: str
    kind: str
    values: np.ndarray
    reason: str = ""


def pictures(small: Thumbnails) -> list[Rung]:
    """Return what is seen of the film itself: two grey levels, thumbnails, the border, the film without its centre.

    The border is the outer tenth of the side on each edge. Masked films are blacked out and then seen as 16x16 grey
    values, as the whole film is.

    References
    ----------
    Maguolo & Nanni (2021), Inf. Fusion 76:1, on blacking out the lungs.

    Examples
    --------
    >>> small = Thumbnails(np.zeros((2, 80, 80, 3), np.uint8), np.zeros((2, 3), int))
    >>> [(rung.name, rung.values.shape[1]) for rung in pictures(small)][:3]
    [('mean and spread of grey', 2), ('8x8 grey', 64), ('16x16 grey', 256)]
    """
    pixels = small.pixels
    level = pixels.mean(axis=3, dtype=np.float32)
    return [
        Rung("mean and spread of grey", "grey", np.stack([level.mean(axis=(1, 2)), level.std(axis=(1, 2))], axis=1)),
        Rung("8x8 grey", "grey", thumbnails.grey(pixels, 8)),
        Rung("16x16 grey", "grey", thumbnails.grey(pixels, 16)),
        Rung("8x8 colour alone", "grey", thumbnails.chroma(pixels, 8)),
        *(Rung(f"centre {share:.0%} masked", "masked", masked(pixels, share)) for share in MASKS),
        Rung("border alone", "masked", border(pixels)),
    ]


def masked(pixels: np.ndarray, share: float) -> np.ndarray:
    """Return films as 16x16 grey values after a central square of `share` of the side was blacked out."""
    return thumbnails.grey(thumbnails.blacked(pixels, share), 16)


def border(pixels: np.ndarray) -> np.ndarray:
    """Return the outer tenth of each edge as 16x16 grey values, the rest of the film blacked out."""
    return masked(pixels, 1 - 2 * thumbnails.BORDER)


def files(small: Thumbnails, films: pd.DataFrame) -> Rung:
    """Return the size of each image file, in bytes and in pixels; left out where two collections prepared them.

    Examples
    --------
    >>> small = Thumbnails(np.zeros((2, 80, 80, 3), np.uint8), np.zeros((2, 3), int))
    >>> files(small, pd.DataFrame({"source": ["cohen", "nih"]})).reason
    'the collections prepared their files differently (cohen, nih)'
    """
    sources = sorted(films["source"].unique())
    reason = f"the collections prepared their files differently ({', '.join(sources)})" if len(sources) > 1 else ""
    return Rung("size of the file", "file", small.files.astype(float), reason)


def metadata(told: pd.DataFrame) -> list[Rung]:
    """Return what is told about a film: its view, its patient's age and sex, and whether these are told at all.

    Parameters
    ----------
    told : DataFrame
        Of `people.told`: ``view, age, sex``.

    Examples
    --------
    >>> told = pd.DataFrame({"view": ["PA", "AP"], "age": [np.nan] * 2, "sex": ["not told"] * 2})
    >>> [rung.reason for rung in metadata(told)][1]
    'no age or sex is told'
    """
    views = pd.get_dummies(told["view"]).to_numpy(float)
    man = told["sex"].map({"women": 0.0, "men": 1.0})
    person = np.stack([told["age"].to_numpy(float), man.to_numpy(float)], axis=1)
    blank = "no age or sex is told" if np.isnan(person).all() else ""
    return [
        Rung("view alone", "metadata", views),
        Rung("age and sex", "metadata", person, blank),
        Rung("whether age and sex are told", "metadata", np.isnan(person).astype(float), blank),
    ]
