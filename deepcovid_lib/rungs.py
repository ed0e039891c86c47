"""The rungs of the ladder: what a classifier is given instead of a learned view of the lungs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepcovid_lib import thumbnails
from deepcovid_lib.sources import cohen, find_table, image_ids, nih, phantom, read_columns
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


def metadata(films: pd.DataFrame, known: pd.DataFrame) -> list[Rung]:
    """Return what is told about a film: its view, its patient's age and sex, and whether these are told at all.

    Parameters
    ----------
    films : DataFrame
        ``image_id, view``.
    known : DataFrame
        ``image_id, age`` (years, NaN if unknown) and ``sex`` (F or M, else unknown), as `people` gives it.

    Examples
    --------
    >>> films = pd.DataFrame({"image_id": ["a:1", "a:2"], "view": ["PA", "AP"]})
    >>> [rung.reason for rung in metadata(films, pd.DataFrame(columns=["image_id", "age", "sex"]))][1]
    'no age or sex is told'
    """
    told = known.drop_duplicates("image_id").set_index("image_id").reindex(films["image_id"])
    age = pd.to_numeric(told["age"], errors="coerce").to_numpy(float)
    sex = told["sex"].map({"F": 0.0, "M": 1.0}).to_numpy(float)
    views = pd.get_dummies(films["view"].replace("", "unknown")).to_numpy(float)
    person = np.stack([age, sex], axis=1)
    blank = "no age or sex is told" if np.isnan(person).all() else ""
    return [
        Rung("view alone", "metadata", views),
        Rung("age and sex", "metadata", person, blank),
        Rung("whether age and sex are told", "metadata", np.isnan(person).astype(float), blank),
    ]


def people(films: pd.DataFrame, folders: dict[str, Path]) -> pd.DataFrame:
    """Return age and sex of the patients, from the tables of their collections.

    Parameters
    ----------
    films : DataFrame
        ``image_id, path, source``.
    folders : dict of str to Path
        The folder of each source; phantoms know their own.

    Returns
    -------
    DataFrame
        ``image_id, age, sex``; no rows for a source that tells neither.
    """
    parts = [pd.DataFrame(columns=["image_id", "age", "sex"], dtype=object)]
    for source, own in films.groupby("source"):
        if source == phantom.SOURCE:
            tables = {Path(path).parent.parent / "metadata.csv" for path in own["path"]}
            parts += [pd.read_csv(table)[["image_id", "age", "sex"]] for table in sorted(tables)]
        elif source == cohen.SOURCE:
            rows = read_columns(find_table(folders[source], [cohen.TABLE]), ["filename"], ["age", "sex"])
            parts.append(rows.assign(image_id=image_ids(source, rows["filename"])))
        elif source == nih.SOURCE:
            table = find_table(folders[source], nih.TABLES)
            rows = read_columns(table, ["image index"], ["patient age", "patient gender"])
            rows = rows.rename(columns={"patient age": "age", "patient gender": "sex"})
            parts.append(rows.assign(image_id=source + ":" + rows["image index"].str.rsplit(".", n=1).str[0]))
    columns = ["image_id", "age", "sex"]
    found = pd.concat([part.reindex(columns=columns).astype(object) for part in parts], ignore_index=True)
    return found[found["image_id"].isin(films["image_id"])].reset_index(drop=True)
