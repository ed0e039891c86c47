"""What train and test must not share: patients, files, films that are the same picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from deepcovid_lib import images
from deepcovid_lib.files import unchanged
from deepcovid_lib.progress import track
from deepcovid_lib.sources import UNTOLD

SIMILAR = 0.80
SIDE = 64
BLUR = 4.0
FAINT = 4.0
BLOCK = 256


def _zoom(share: float) -> tuple[tuple[float, float], ...]:
    """Return the shifts of the corners that move every edge inwards by a share of the side."""
    return ((share, share), (share, -share), (-share, -share), (-share, share))


POSES = tuple(
    images.Transform(flip, degrees, _zoom(share))
    for flip in (False, True)
    for degrees, share in ((0, 0), (2, 0), (-2, 0), (0, 0.02), (0, -0.02), (0, 0.04), (0, -0.04))
)


def overlap(frame: pd.DataFrame) -> pd.DataFrame:
    """List the patients that are in train and in test.

    Parameters
    ----------
    frame : pandas.DataFrame
        A manifest.

    Returns
    -------
    pandas.DataFrame
        Columns patient_id, train, test (numbers of films), one row per such patient; empty when the split is clean.

    References
    ----------
    Minaee et al. (2020), Section II: "all images for each patient go only to one of the training or test sets".

    Examples
    --------
    >>> overlap(pd.DataFrame({"patient_id": ["a:1", "a:1", "a:2"], "split": ["train", "test", "test"]}))
      patient_id  train  test
    0        a:1      1     1
    """
    counts = pd.crosstab(frame["patient_id"], frame["split"]).reindex(columns=["train", "test"], fill_value=0)
    return counts[(counts > 0).all(axis=1)].rename_axis(columns=None).reset_index()


def untold(frame: pd.DataFrame) -> int:
    """Count the films whose source does not tell the patient; each counts as a patient of its own, named `UNTOLD...`.

    `overlap` cannot see such a patient on both sides.

    Examples
    --------
    >>> untold(pd.DataFrame({"patient_id": ["a:untold-film", "b:1"]}))
    1
    """
    return int(frame["patient_id"].str.contains(f":{UNTOLD}", regex=False).sum())


def near_duplicates(frame: pd.DataFrame, *, threshold: float = SIMILAR) -> pd.DataFrame:
    """List pairs of one training and one test film that are the same picture, or nearly so.

    The similarity is the correlation of two grey thumbnails whose local brightness and contrast are evened out, the
    largest over the poses of the test film: as it is and mirrored, each also turned by 2 degrees either way and
    zoomed in or out by 2% and 4% at every edge. Two films of one file have similarity 1.

    Parameters
    ----------
    frame : pandas.DataFrame
        A manifest whose paths can be read.
    threshold : float
        Pairs with similarity >= threshold are listed.

    Returns
    -------
    pandas.DataFrame
        Columns image_a (train), image_b (test), similarity, same_patient (True, False, or ``not told`` by the source);
        the most similar first.

    Raises
    ------
    Problem
        If a film cannot be read.

    Notes
    -----
    The threshold was chosen on 895 films of covid-chestxray-dataset and NIH ChestX-ray14: among 399,540 pairs of films
    of different patients the largest similarity was 0.794, while every copy that was re-encoded, mirrored, turned by 2
    degrees or cropped by 2% at each edge reached 0.819. Copies that are cut further at some edges may be missed.

    References
    ----------
    Roberts et al. (2021), Nat. Mach. Intell. 3:199-217, on duplicates in public COVID-19 collections.

    Examples
    --------
    >>> near_duplicates(pd.DataFrame(columns=["image_id", "path", "sha256", "patient_id", "split"])).columns.tolist()
    ['image_a', 'image_b', 'similarity', 'same_patient']
    """
    sides = {split: frame[frame["split"] == split].reset_index(drop=True) for split in ("train", "test")}
    train, test = sides["train"], sides["test"]
    references = _prints(_thumbnails(train))
    thumbnails = _thumbnails(test)
    pairs = []
    for start in track(range(0, len(test), BLOCK), label="compare films"):
        block = slice(start, start + BLOCK)
        alike = _likeness(thumbnails[block], references)
        alike[test["sha256"].to_numpy()[block, None] == train["sha256"].to_numpy()[None]] = 1
        b, a = np.nonzero(alike >= threshold)
        pairs.append(np.stack([a, b + start, alike[b, a]]))
    a, b, similarity = np.concatenate(pairs, axis=1) if pairs else np.zeros((3, 0))
    first, second = train.iloc[a.astype(int)], test.iloc[b.astype(int)]
    found = pd.DataFrame(
        {
            "image_a": first["image_id"].to_numpy(),
            "image_b": second["image_id"].to_numpy(),
            "similarity": similarity,
            "same_patient": _same_patient(first["patient_id"].to_numpy(), second["patient_id"].to_numpy()),
        }
    )
    return found.sort_values(["similarity", "image_a", "image_b"], ascending=[False, True, True], ignore_index=True)


def _same_patient(first: np.ndarray, second: np.ndarray) -> list[bool | str]:
    untold = f":{UNTOLD}"
    return [
        "not told" if untold in one or untold in other else bool(one == other)
        for one, other in zip(first, second, strict=True)
    ]


def _thumbnails(rows: pd.DataFrame) -> np.ndarray:
    """Read films as uint8 (n, SIDE, SIDE, 3)."""
    preset = images.Preset(size=SIDE)
    paths = [unchanged(row.path, row.sha256) for row in rows.itertuples()]
    films = [images.square(path, preset) for path in track(paths, label="look for duplicates")]
    return np.stack(films) if films else np.zeros((0, SIDE, SIDE, 3), np.uint8)


def _prints(thumbnails: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, SIDE * SIDE) of the films' structure, free of brightness and contrast near and far."""
    detail = thumbnails.mean(axis=3, dtype=np.float32)
    detail -= gaussian_filter(detail, (0, BLUR, BLUR))
    detail /= np.sqrt(gaussian_filter(detail**2, (0, BLUR, BLUR))) + FAINT
    vectors = detail.reshape(len(detail), SIDE * SIDE)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _likeness(thumbnails: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the similarity of every film (rows) to every reference (columns), at most 1."""
    best = np.full((len(thumbnails), len(references)), -1, np.float32)
    for pose in POSES:
        posed = np.stack([images.warp(thumbnail, pose) for thumbnail in thumbnails])
        np.maximum(best, _prints(posed) @ references.T, out=best)
    return best.clip(max=1)
