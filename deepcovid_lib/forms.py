"""Tables of text from CSV files, and their check against a schema with the row and the remedy of a fault."""

from __future__ import annotations

import csv
import io
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from deepcovid_lib.problems import Problem


def text(column: str, *checks: pa.Check) -> pa.Column:
    """Describe a column of text without blank cells.

    The `error` of a check is what the user is told: the fault, ``"; "`` and the remedy, with ``{names}`` for the cells
    of the row.
    """
    error = f"{column} is blank or has blanks around it; give it a value without"
    return pa.Column(str, [pa.Check(lambda cells: (cells != "") & (cells == cells.str.strip()), error=error), *checks])


def choice(column: str, values: tuple[str, ...]) -> pa.Column:
    """Describe a column of text that holds one of a few values."""
    return pa.Column(str, pa.Check.isin(values, error=f"{column} '{{{column}}}' is not known; use {', '.join(values)}"))


def read(path: str | Path) -> pd.DataFrame:
    """Read a CSV file as text.

    Parameters
    ----------
    path : path-like
        UTF-8, with or without a byte order mark; cells may be quoted and hold line breaks.

    Returns
    -------
    pandas.DataFrame
        All text; an empty cell is the empty text.

    Raises
    ------
    Problem
        If the file is absent, empty, not UTF-8, not CSV, or has a row that is longer or shorter than its header.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "films.csv"
    >>> _ = path.write_text("image_id,view\\na:1,\\n")
    >>> read(path).to_dict("records")
    [{'image_id': 'a:1', 'view': ''}]
    """
    try:
        content = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as fault:
        if isinstance(fault, UnicodeDecodeError):
            row = fault.object[: fault.start].count(b"\n") + 1
            raise Problem("is not UTF-8 text", file=path, row=row, remedy="save it as CSV in UTF-8") from fault
        reason = getattr(fault, "strerror", None) or fault
        raise Problem(f"cannot be read ({reason})", file=path, remedy="check the path") from fault
    lines = csv.reader(io.StringIO(content, newline=""), strict=True)
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
            what = f"has {len(cells)} cells under a header of {len(header)}"
            raise Problem(what, file=path, row=row, remedy="give the row as many commas as the header")
    return pd.DataFrame([cells for _, cells in rows[1:]], columns=header, dtype=str)


def checked(frame: pd.DataFrame, schema: pa.DataFrameSchema, *, file: str | Path | None = None) -> pd.DataFrame:
    """Return a table that fits its schema, with the columns in the schema's order and rows numbered from 0.

    Raises
    ------
    Problem
        At the first row that does not fit; the message says how many more faults there are.

    Examples
    --------
    >>> schema = pa.DataFrameSchema({"split": choice("split", ("train", "test"))})
    >>> checked(pd.DataFrame({"split": ["train", "tset"]}), schema)
    Traceback (most recent call last):
    ...
    deepcovid_lib.problems.Problem: row 3: split 'tset' is not known; use train, test
    """
    _refuse_columns(list(frame.columns), list(schema.columns), file)
    frame = frame[list(schema.columns)].reset_index(drop=True)
    if frame.empty:
        raise Problem("has no rows", file=file, remedy="make it again")
    try:
        return schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as fault:
        cases = fault.failure_cases
    coerced = cases.loc[cases["check"].str.startswith("coerce_dtype("), "column"]
    untyped = cases[cases["check"].str.startswith("dtype(") & cases["index"].isna() & ~cases["column"].isin(coerced)]
    if len(untyped):
        column, dtype = untyped.iloc[0][["column", "failure_case"]]
        raise Problem(f"column '{column}' holds {dtype}, not text", file=file, remedy="read it as text")
    cases = cases.dropna(subset="index").sort_values(["index", "schema_context"], kind="stable")
    cases = cases.drop_duplicates(["index", "check"]).drop_duplicates(["index", "column"])
    first, more = cases.iloc[0], len(cases) - 1
    position = int(first["index"])
    what, _, remedy = _sentence(first, frame.iloc[position]).partition("; ")
    raise Problem(what, file=file, row=_row(frame, position), remedy=remedy + (f" (and {more} more)" if more else ""))


def _refuse_columns(found: list[str], wanted: list[str], file: str | Path | None) -> None:
    """Raise a `Problem` for the first column that is given twice, missing or unknown."""
    unknown = [column for column in found if column not in wanted]
    for column in wanted:
        if found.count(column) > 1:
            raise Problem(f"column '{column}' is given twice", file=file, row=1, remedy="keep one of them")
        if column not in found:
            near = get_close_matches(column, [str(other).strip().lower() for other in unknown], n=1, cutoff=0.5)
            near = [other for other in unknown if near and str(other).strip().lower() == near[0]]
            remedy = f"rename '{near[0]}'" if near else "add it"
            raise Problem(f"no column '{column}'", file=file, row=1, remedy=remedy)
    if unknown:
        raise Problem(f"unknown column '{unknown[0]}'", file=file, row=1, remedy=f"keep only {', '.join(wanted)}")


def _sentence(case: pd.Series, cells: pd.Series) -> str:
    """Put one fault into words."""
    if case["check"] == "not_nullable":
        return f"{case['column']} is missing; write it, or the empty text where nothing is known"
    if case["check"].startswith(("coerce_dtype(", "dtype(")):
        return (
            f"{case['column']} {case['failure_case']!r} is not of the right kind; write a number or text as the others"
        )
    return case["check"].format(**cells)


def _row(frame: pd.DataFrame, position: int) -> int:
    """Return the line of a CSV file where a row starts; quoted line breaks above it count."""
    above = frame.iloc[:position].astype(str)
    return 2 + position + sum(int(above[column].str.count("\n").sum()) for column in above)
