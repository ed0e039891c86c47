"""The manifest (one row per film) and the scores: their form, their checks, their counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from deepcovid_lib import files
from deepcovid_lib.forms import checked, choice, text
from deepcovid_lib.forms import read as read_form
from deepcovid_lib.leakage import near_duplicates, overlap, untold

__all__ = [
    "COLUMNS",
    "GROUPS",
    "LABELS",
    "SCHEMA",
    "SCORE_COLUMNS",
    "SCORE_SCHEMA",
    "SPLITS",
    "check",
    "check_scores",
    "group",
    "near_duplicates",
    "overlap",
    "read",
    "read_scores",
    "summary",
    "untold",
    "write",
]

COLUMNS = ("image_id", "path", "sha256", "patient_id", "source", "label", "finding", "view", "split")
SCORE_COLUMNS = ("image_id", "patient_id", "label", "finding", "group", "score")
LABELS = ("covid", "non_covid")
SPLITS = ("train", "test")
GROUPS = ("covid", "normal", "other_disease", "unknown")


def group(frame: pd.DataFrame) -> pd.Series:
    """Sort films into the groups of the paper's histograms, from their label and finding.

    Returns
    -------
    pandas.Series of str
        ``covid``; for negatives ``normal`` (the finding is "No Finding"), ``other_disease``, or ``unknown`` (empty).

    Examples
    --------
    >>> films = pd.DataFrame({"label": ["covid", "non_covid"], "finding": ["COVID-19", "No Finding"]})
    >>> group(films).tolist()
    ['covid', 'normal']
    """
    choices = [frame["label"] == "covid", frame["finding"] == "No Finding", frame["finding"] == ""]
    groups = np.select(choices, ["covid", "normal", "unknown"], default="other_disease")
    return pd.Series(groups, index=frame.index, name="group", dtype=str)


def _told(frame: pd.DataFrame) -> pd.Series:
    """Return True where the finding does not contradict the label."""
    covid = frame["finding"].str.contains("COVID-19", regex=False)
    wrong = (frame["label"] == "covid") & ~covid & (frame["finding"] != "")
    return ~(wrong | (frame["label"] == "non_covid") & covid)


def _prefixed(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return True where a column is the source, a colon and something more."""
    pairs = zip(frame[column], frame["source"], strict=True)
    good = [name.startswith(f"{source}:") and len(name) > len(source) + 1 for name, source in pairs]
    return pd.Series(good, index=frame.index)


def _one_sided(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return False where a row stands on another side than the first row of the same patient or content."""
    return frame["split"] == frame.groupby(column)["split"].transform("first")


_SINGLE = pa.Check(lambda ids: ~ids.duplicated(), error="image_id '{image_id}' appears again; keep one row per film")
_DIGITS = pa.Check(
    lambda cells: cells.str.fullmatch("[0-9a-f]{64}"),
    error="sha256 '{sha256}' is not 64 lower-case hexadecimal digits; curate again",
)
_TOLD = pa.Check(_told, error="label {label} contradicts the finding '{finding}'; correct one of them")

SCHEMA = pa.DataFrameSchema(
    {
        "image_id": text("image_id", _SINGLE),
        "path": text("path"),
        "sha256": pa.Column(str, _DIGITS),
        "patient_id": text("patient_id"),
        "source": text("source"),
        "label": choice("label", LABELS),
        "finding": pa.Column(str),
        "view": pa.Column(str),
        "split": choice("split", SPLITS),
    },
    checks=[
        pa.Check(
            lambda frame, column=column: _prefixed(frame, column),
            error=f"{column} '{{{column}}}' does not start with its source; write '{{source}}:' and the name",
        )
        for column in ("image_id", "patient_id")
    ]
    + [_TOLD],
    strict=True,
)

_SPLIT_SCHEMA = pa.DataFrameSchema(
    SCHEMA.columns,
    checks=[
        pa.Check(
            lambda frame: _one_sided(frame, "patient_id"),
            error="patient '{patient_id}' is in train and in test; keep all films of a patient on one side",
        ),
        pa.Check(
            lambda frame: _one_sided(frame, "sha256"),
            error="'{image_id}' is the same file as a film of the other split, sha256 {sha256}; keep one of them",
        ),
        pa.Check(
            lambda frame: frame["label"] == frame.groupby("sha256")["label"].transform("first"),
            error="'{image_id}' is the same file as a film of the other label, sha256 {sha256}; keep the right one",
        ),
        pa.Check(
            lambda frame: frame["patient_id"] == frame.groupby("sha256")["patient_id"].transform("first"),
            error="'{image_id}' is the same file as a film of another patient, sha256 {sha256}; keep the right one",
        ),
    ],
    strict=True,
)

SCORE_SCHEMA = pa.DataFrameSchema(
    {
        "image_id": text("image_id", _SINGLE),
        "patient_id": text("patient_id"),
        "label": choice("label", LABELS),
        "finding": pa.Column(str),
        "group": choice("group", GROUPS),
        "score": pa.Column(
            float,
            pa.Check.in_range(0, 1, error="score {score} is not a probability; write a number from 0 to 1"),
            coerce=True,
        ),
    },
    checks=[
        _TOLD,
        pa.Check(
            lambda frame: frame["group"] == group(frame),
            error="group {group} does not follow from label {label} and finding '{finding}'; correct one of them",
        ),
    ],
    strict=True,
)


def read(path: str | Path) -> pd.DataFrame:
    """Read a manifest and check its form; `check` also looks across the split.

    Parameters
    ----------
    path : path-like
        CSV in UTF-8, with or without a byte order mark; columns in any order.

    Returns
    -------
    pandas.DataFrame
        The columns `COLUMNS`, all text; what is not known is the empty text.

    Raises
    ------
    Problem
        At the first row that is not in order.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "manifest.csv"
    >>> _ = path.write_text("image_id,path\\n")
    >>> read(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    deepcovid_lib.problems.Problem: ...manifest.csv, row 1: no column 'sha256'; add it
    """
    return checked(read_form(path), SCHEMA, file=path)


def check(frame: pd.DataFrame, file: str | Path | None = None) -> pd.DataFrame:
    """Return a manifest that is in order, its columns in the order of `COLUMNS`.

    Raises
    ------
    Problem
        At the first row with a missing, renamed, repeated or unknown column or value, a label that contradicts the
        finding, an image_id given twice, a patient or a file that is both in train and in test, or a file under both
        labels or two patients. The same file twice on one side, of one patient, is let pass.
    """
    checked(frame, SCHEMA, file=file)
    return checked(frame, _SPLIT_SCHEMA, file=file)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest as CSV, its rows ordered by image_id, complete or not at all."""
    files.write_csv(frame[list(COLUMNS)].sort_values("image_id"), path)


def summary(frame: pd.DataFrame, copies: int) -> pd.DataFrame:
    """Count films and patients per split and class, as Table I of the paper does.

    Parameters
    ----------
    frame : pandas.DataFrame
        A manifest.
    copies : int
        Images made of each COVID-19 film of the training split, the film itself included; the paper's is 16.

    Returns
    -------
    pandas.DataFrame
        One row each for train and test: split, covid, covid_augmented (`covid` again in test, where nothing is
        augmented), non_covid, patients_covid, patients_non_covid.

    References
    ----------
    Minaee et al. (2020), Table I.

    Examples
    --------
    >>> splits = ["train", "train", "test"]
    >>> films = pd.DataFrame({"patient_id": ["a:1", "a:1", "a:2"], "label": "covid", "split": splits})
    >>> summary(films, copies=16)
       split  covid  covid_augmented  non_covid  patients_covid  patients_non_covid
    0  train      2               32          0               1                   0
    1   test      1                1          0               1                   0
    """
    rows = []
    for split in SPLITS:
        side = frame[frame["split"] == split]
        covid, non_covid = (side.loc[side["label"] == label, "patient_id"] for label in LABELS)
        augmented = len(covid) * (copies if split == "train" else 1)
        rows.append((split, len(covid), augmented, len(non_covid), covid.nunique(), non_covid.nunique()))
    columns = ["split", "covid", "covid_augmented", "non_covid", "patients_covid", "patients_non_covid"]
    return pd.DataFrame(rows, columns=columns)


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read and check the scores of a test split: the columns `SCORE_COLUMNS`, text but for the float `score`."""
    return check_scores(read_form(path), path)


def check_scores(frame: pd.DataFrame, file: str | Path | None = None) -> pd.DataFrame:
    """Return scores that are in order.

    Parameters
    ----------
    frame : pandas.DataFrame
        The columns `SCORE_COLUMNS`; score is the probability of COVID-19, positive when ``score >= threshold``.

    Raises
    ------
    Problem
        At the first row with an image_id given twice, an unknown label or group, a group that does not follow from
        label and finding, or a score that is no number from 0 to 1.
    """
    return checked(frame, SCORE_SCHEMA, file=file)
