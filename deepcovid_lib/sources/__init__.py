"""Where images come from: each module of this package lists the candidates of one collection.

The modules read what a collection says about its images, never the images themselves, and tell after every rule how
many rows are left.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from deepcovid_lib.problems import Problem

UNTOLD = "untold-"  # starts the name of a patient whom the source does not tell
COLUMNS = ("image_id", "path", "patient_id", "source", "label", "finding", "view")
FUNNEL_COLUMNS = ("source", "step", "rule", "rows", "patients")
NORMAL = "No Finding"
OTHER = "other"  # a disease, and no more is told

_UNREADABLE = (pd.errors.ParserError, gzip.BadGzipFile, zlib.error, EOFError, csv.Error)


class Candidates(NamedTuple):
    """The images that a collection offers, and how they were chosen.

    Attributes
    ----------
    rows : pandas.DataFrame
        One row per image with the columns `COLUMNS`: ``image_id`` (``<source>:<file stem>``), ``path``,
        ``patient_id`` (``<source>:<id>``), ``source``, ``label`` (``covid`` or ``non_covid``), ``finding`` (the
        source's own spelling, several joined by ``|``, empty if unknown) and ``view`` (empty if unknown).
        A source whose images come already divided adds ``split`` (``train`` or ``test``).
    funnel : pandas.DataFrame
        One row per rule with the columns `FUNNEL_COLUMNS`: what is left after it, in images and patients.
    """

    rows: pd.DataFrame
    funnel: pd.DataFrame


def find_table(folder: str | Path, names: Sequence[str]) -> Path:
    """Return the label table: the first of `names` in the one place, `folder` or a direct sub-folder, that holds any.

    Raises
    ------
    Problem
        If the folder or the table is absent, or if several places hold one.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "metadata.csv").write_text("view")
    >>> find_table(folder, ["metadata.csv"]).name
    'metadata.csv'
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Problem("no such folder", file=folder, remedy="give the folder that holds the collection")
    places = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    found = [table for place in places if (table := _first_file(place, names)) is not None]
    if len(found) > 1:
        raise Problem(
            f"several tables: {', '.join(str(table.relative_to(folder)) for table in found)}",
            file=folder,
            remedy="keep one of them, or give its folder",
        )
    if not found:
        raise Problem(f"no {' or '.join(names)} here", file=folder, remedy="give the folder that holds this table")
    return found[0]


def read_columns(
    path: str | Path, needed: Sequence[str], optional: Sequence[str] = (), *, dtype: Any = str
) -> pd.DataFrame:
    """Read the named columns of a CSV or CSV.gz file, whatever the drift of its header.

    Names are compared without case and surrounding blanks, blanks inside counting as underscores. Columns beyond the
    needed ones are not read; a header that splits at commas inside brackets, as its rows do, lines up.

    Parameters
    ----------
    path : path-like
        The table; its first line is the header.
    needed, optional : sequence of str
        Names as they are to be called in the result.
    dtype : type or dict
        What pandas is to read; by default text, in which nothing counts as missing.

    Returns
    -------
    pandas.DataFrame
        The needed and the optional columns that are there, in this order; text columns hold no surrounding blanks
        where `dtype` is text. The index is the row of the file, less 2.

    Raises
    ------
    Problem
        If the file cannot be read, is empty, lacks a needed column (the nearest present one is named) or has it twice,
        or has a row with fewer cells than its header, or with more that are not blank.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metadata.csv"
    >>> _ = path.write_text("Patientid, clinical notes,size[x,y]\\n311a, mild ,2,3\\n")
    >>> read_columns(path, ["clinical_notes", "patientid"]).values.tolist()
    [['mild', '311a']]
    """
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            content = stream.read()
        content.decode("utf-8")
        lines = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=""))
        header = [_plain(name) for name in next(lines, [])]
        positions = _positions(header, path, needed, optional)
        starts = _even(content, len(header)) or _starts(lines, header, path)
        if isinstance(dtype, dict):
            dtype = {positions[name]: kind for name, kind in dtype.items() if name in positions}
        frame = pd.read_csv(
            io.BytesIO(content),
            header=None,
            skiprows=1,
            usecols=sorted(positions.values()),
            dtype=dtype,
            keep_default_na=dtype is not str,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as fault:
        row = fault.object[: fault.start].count(b"\n") + 1
        raise Problem("is not UTF-8 text", file=path, row=row, remedy="save it as CSV in UTF-8") from fault
    except pd.errors.EmptyDataError:
        raise Problem("holds no rows", file=path, remedy="fetch the table again") from None
    except (*_UNREADABLE, OSError) as fault:
        raise Problem(f"cannot be read ({fault})", file=path, remedy="fetch the table again") from fault
    if len(frame) != len(starts):
        raise Problem("rows cannot be told apart", file=path, remedy="check its quotes and line ends")
    frame = frame[list(positions.values())].set_axis(list(positions), axis="columns").set_axis(starts)
    return frame.apply(lambda column: column.str.strip()) if dtype is str else frame


def image_ids(source: str, names: Iterable[str]) -> list[str]:
    """Return ``<source>:<stem>`` for each file name; names that share a stem keep their whole path.

    Examples
    --------
    >>> image_ids("cohen", ["a.png", "x/b.png", "x/b.jpg"])
    ['cohen:a', 'cohen:x/b.png', 'cohen:x/b.jpg']
    """
    names = list(names)
    stems = [PurePosixPath(name).stem for name in names]
    count = Counter(stems)
    return [f"{source}:{stem if count[stem] == 1 else name}" for stem, name in zip(stems, names, strict=True)]


def make_funnel(source: str, steps: Iterable[tuple[str, pd.Series]]) -> pd.DataFrame:
    """Return the funnel of a source from each rule and the patient ids it leaves, one per row (blank: unknown).

    Examples
    --------
    >>> make_funnel("cohen", [("rows", pd.Series(["2", "2", ""]))]).values.tolist()
    [['cohen', 1, 'rows', 3, 1]]
    """
    lines = [
        (source, step, rule, len(patients), patients[patients != ""].nunique())
        for step, (rule, patients) in enumerate(steps, start=1)
    ]
    return pd.DataFrame(lines, columns=list(FUNNEL_COLUMNS))


def refuse_blanks(column: pd.Series, *, file: str | Path, what: str) -> None:
    """Raise a Problem naming the first row of `column` (its index as `read_columns` gives it) that is blank."""
    blank = column.index[column == ""]
    if len(blank):
        raise Problem(f"no {what}", file=file, row=int(blank[0]) + 2, remedy="fill it in, or remove the row")


def _first_file(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _plain(name: str) -> str:
    """Return a column's name without the drift of blanks and case."""
    return "_".join(name.lower().split())


def _even(content: bytes, width: int) -> range | None:
    """Where rows start that are a line of `width` cells each, without a quote; None if a row may be otherwise."""
    if b'"' in content or b"\0" in content or content.count(b"\r") != content.count(b"\r\n"):
        return None
    marks = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(marks == ord("\n"))
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    cells = 1 + np.diff(np.searchsorted(np.flatnonzero(marks == ord(",")), ends))
    return range(len(cells)) if width > 1 and len(cells) and (cells == width).all() else None


def _starts(lines: Iterator[list[str]], header: list[str], path: Path) -> list[int]:
    """Return where each row starts, the first line below the header being 0; raise for a row that does not line up."""
    width, most = len(header), sum(1 + name.count(",") for name in header)  # NIH quotes `[x,y]` in the header alone
    starts, start = [], lines.line_num - 1
    for cells in lines:
        if len(cells) > 1 or "".join(cells).strip():
            if len(cells) < width or any(cell.strip() for cell in cells[most:]):
                what = f"has {len(cells)} cells under a header of {width}"
                raise Problem(what, file=path, row=start + 2, remedy="check the commas and quotes there")
            starts.append(start)
        start = lines.line_num - 1
    return starts


def _positions(header: list[str], path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    """Return the position of every column that is there."""
    for name in needed:
        if _plain(name) not in header:
            present = [other for other in header if other]
            near = difflib.get_close_matches(_plain(name), present, n=1, cutoff=0.0)
            remedy = f"the nearest present is '{near[0]}'" if near else "the header is empty"
            raise Problem(f"no column '{name}'", file=path, row=1, remedy=remedy)
    for name in (*needed, *optional):
        if header.count(_plain(name)) > 1:
            raise Problem(f"column '{name}' is given twice", file=path, row=1, remedy="keep one of them")
    return {name: header.index(_plain(name)) for name in (*needed, *optional) if _plain(name) in header}
