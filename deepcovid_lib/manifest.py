"""The manifest (one row per film) and the scores: their form, their checks, their counts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy.ndimage import gaussian_filter

from deepcovid_lib import files, images
from deepcovid_lib.problems import Problem
from deepcovid_lib.progress import track

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
    return pd.Series([text.startswith(f"{source}:") and text[len(source) + 1 :] != "" for text, source in pairs])


def _one_sided(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return False where a row stands on another side than the first row of the same patient or content."""
    return frame["split"] == frame.groupby(column)["split"].transform("first")


# The error of a check is told to the user; {names} in it stand for the cells of the row.
def _text(column: str, *checks: pa.Check) -> pa.Column:
    blank = f"{column} is blank or has blanks around it; give it a value without"
    return pa.Column(str, [pa.Check(lambda cells: (cells != "") & (cells == cells.str.strip()), error=blank), *checks])


def _choice(column: str, values: tuple[str, ...]) -> pa.Column:
    error = f"{column} '{{{column}}}' is not known; use {', '.join(values)}"
    return pa.Column(str, pa.Check.isin(values, error=error))


_SINGLE = pa.Check(lambda ids: ~ids.duplicated(), error="image_id '{image_id}' appears again; keep one row per film")
_DIGITS = pa.Check.str_matches("^[0-9a-f]{64}$", error="sha256 '{sha256}' is not 64 lower-case hexadecimal digits")
_TOLD = pa.Check(_told, error="label {label} contradicts the finding '{finding}'; correct one of them")

SCHEMA = pa.DataFrameSchema(
    {
        "image_id": _text("image_id", _SINGLE),
        "path": _text("path"),
        "sha256": pa.Column(str, _DIGITS),
        "patient_id": _text("patient_id"),
        "source": _text("source"),
        "label": _choice("label", LABELS),
        "finding": pa.Column(str),
        "view": pa.Column(str),
        "split": _choice("split", SPLITS),
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
    checks=[
        pa.Check(
            lambda frame: _one_sided(frame, "patient_id"),
            error="patient '{patient_id}' is in train and in test; keep all films of a patient on one side",
        ),
        pa.Check(
            lambda frame: _one_sided(frame, "sha256"),
            error="'{image_id}' is the same file as '{twin}' on the other side of the split; keep one of them",
        ),
    ]
)

SCORE_SCHEMA = pa.DataFrameSchema(
    {
        "image_id": _text("image_id", _SINGLE),
        "patient_id": _text("patient_id"),
        "label": _choice("label", LABELS),
        "finding": pa.Column(str),
        "group": _choice("group", GROUPS),
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
    return _checked(_table(path), SCHEMA, path)


def check(frame: pd.DataFrame, file: str | Path | None = None) -> pd.DataFrame:
    """Return a manifest that is in order, its columns in the order of `COLUMNS`.

    Raises
    ------
    Problem
        At the first row with a missing, renamed, repeated or unknown column or value, a label that contradicts the
        finding, an image_id given twice, or a patient or a file that is both in train and in test. The same file twice
        on one side is let pass.
    """
    frame = _checked(frame, SCHEMA, file)
    return _checked(frame, _SPLIT_SCHEMA, file)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest as CSV, its rows ordered by image_id, complete or not at all."""
    files.write_csv(frame[list(COLUMNS)].sort_values("image_id"), path)


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read and check the scores of a test split: the columns `SCORE_COLUMNS`, text but for the float `score`."""
    return check_scores(_table(path), path)


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
    return _checked(frame, SCORE_SCHEMA, file)


def _table(path: str | Path) -> pd.DataFrame:
    """Read a CSV as text."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise Problem(f"cannot be read ({fault.strerror or fault})", file=path, remedy="check the path") from fault
    except UnicodeDecodeError as fault:
        row = fault.object[: fault.start].count(b"\n") + 1
        raise Problem("is not UTF-8 text", file=path, row=row, remedy="save it as CSV in UTF-8") from fault
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, row = [], 1
    try:
        for cells in lines:
            rows.append((row, cells))
            row = lines.line_num + 1
    except csv.Error as fault:
        raise Problem(f"is not CSV ({fault})", file=path, row=row, remedy="check the quotes there") from fault
    while rows and not rows[-1][1]:
        rows.pop()
    if not rows:
        raise Problem("is empty", file=path, remedy="make it again")
    header = rows[0][1]
    for row, cells in rows:
        if len(cells) != len(header):
            what = f"{len(cells)} cells under a header of {len(header)}"
            raise Problem(what, file=path, row=row, remedy="give the row as many commas as the header")
    return pd.DataFrame([cells for _, cells in rows[1:]], columns=header, dtype=str)


def _checked(frame: pd.DataFrame, schema: pa.DataFrameSchema, file: str | Path | None) -> pd.DataFrame:
    """Return the frame in the schema's order, or raise the first fault as a `Problem`."""
    if schema.columns:
        _refuse_columns(list(frame.columns), list(schema.columns), file)
        frame = frame[list(schema.columns)]
    if frame.empty:
        raise Problem("has no rows", file=file, remedy="make it again")
    frame = frame.reset_index(drop=True)
    try:
        return schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as fault:
        cases = fault.failure_cases
    cases["index"] = cases["index"].fillna(0).astype(int)
    cases = cases.sort_values(["index", "schema_context"], kind="stable").drop_duplicates(["index", "check"])
    first, more = cases.iloc[0], len(cases) - 1
    position = first["index"]
    cells = frame.iloc[position]
    above = frame.iloc[:position].astype(str)
    row = 2 + position + sum(int(above[column].str.count("\n").sum()) for column in above)
    what, _, remedy = _sentence(first, cells, frame).partition("; ")
    raise Problem(what, file=file, row=row, remedy=remedy + (f" (and {more} more)" if more else ""))


def _sentence(case: pd.Series, cells: pd.Series, frame: pd.DataFrame) -> str:
    """Put the fault of one row into words."""
    if "{" not in case["check"] and " " not in case["check"]:
        return f"{case['column']} is {case['failure_case']!r}; write {'a number' if case['column'] == 'score' else 'text'}"
    twins = frame.loc[(frame.get("sha256") == cells.get("sha256")), "image_id"]
    return case["check"].format(**cells, twin=twins.iloc[0])
