"""The COVID-19 images: covid-chestxray-dataset, collected from publications by J. P. Cohen and others."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, Candidates, find_table, image_ids, make_funnel, read_columns, refuse_blanks

SOURCE = "cohen"
TABLE = "metadata.csv"
XRAY = ("x-ray", "radiograph")
CT_VIEWS = ("ct", "axial", "coronal", "sagittal")
VIEWS = ("PA",)  # Section II
UNDIAGNOSED = ("", "todo", "unknown", "nan")


def of_xrays(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are of X-rays: by modality, or, in versions without it, by a view that is not one of CT."""
    if "modality" in rows:
        return rows["modality"].str.casefold().isin(XRAY)
    return ~rows["view"].str.casefold().isin(CT_VIEWS)


def of_others(rows: pd.DataFrame) -> pd.Series:
    """Return which rows name a finding, and none that begins with or contains COVID.

    What nobody has diagnosed yet (``todo``, ``Unknown``, blank) may be COVID-19.
    """
    finding = rows["finding"].str.strip().str.casefold()
    return ~finding.isin(UNDIAGNOSED) & ~finding.str.contains("covid", regex=False)


def refuse_twice(kept: pd.DataFrame, rows: pd.DataFrame, table: Path) -> None:
    """Refuse a file name of a kept row that stands in two rows, kept or not: the other may tell of it otherwise."""
    files = rows["filename"].map(posixpath.normpath)
    again = rows.index[files.isin(files[kept.index]) & files.duplicated()]
    if len(again):
        name = rows.loc[again[0], "filename"]
        raise Problem(f"'{name}' is listed twice", file=table, row=int(again[0]) + 2, remedy="remove one of the rows")


def candidates(folder: str | Path, *, views: Sequence[str] | None = VIEWS) -> Candidates:
    """List the COVID-19 X-rays of a copy of covid-chestxray-dataset.

    A row is kept if its modality is X-ray (in the first versions, which have no modality, if its view is not one of
    CT), if its finding contains ``COVID-19`` (which also stands in hierarchical findings such as
    ``Pneumonia/Viral/COVID-19``), and if its view is one of `views`. In the state of 20 March 2020 this leaves 149,
    126, 102 and 71 rows: the counts of the paper, whose last step was a radiologist's.

    Parameters
    ----------
    folder : path-like
        The folder with ``metadata.csv`` and ``images/``, or its parent.
    views : sequence of str or None
        The views to keep, as the table spells them; None keeps all, blank ones too.

    Returns
    -------
    Candidates
        All rows with label ``covid``, whether or not their files are there.

    Raises
    ------
    Problem
        If the table is absent or lacks a column, if a rule leaves no row, if a row that is kept has no patient id or
        file name, or a file name that another row has too.

    References
    ----------
    Paper, Section II. Cohen, Morrison, Dao: COVID-19 image data collection, arXiv:2003.11597 (2020).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "metadata.csv").write_text(
    ...     "patientid,finding,view,modality,filename\\n2,COVID-19,PA,X-ray,a.png\\n2,COVID-19,L,X-ray,b.png\\n")
    >>> rows, funnel = candidates(folder)
    >>> rows["image_id"].tolist(), funnel["rows"].tolist()
    (['cohen:a'], [2, 2, 2, 1])
    """
    table = find_table(folder, [TABLE])
    rows = read_columns(table, ["patientid", "finding", "view", "filename"], ["modality"])
    view = rows["view"].str.casefold()
    rules = [
        ("rows of metadata.csv", pd.Series(True, index=rows.index)),
        ("modality is X-ray", of_xrays(rows)),
        ("finding contains COVID-19", rows["finding"].str.contains("COVID-19", case=False, regex=False)),
    ]
    if views is not None:
        rules.append((f"view is {' or '.join(views)}", view.isin([name.casefold() for name in views])))

    kept, steps = rows, []
    for rule, holds in rules:
        before, kept = kept, kept[holds[kept.index]]
        if kept.empty:
            seen = ", ".join(f"'{value}'" for value in sorted(before["view"].unique())[:8])
            raise Problem(f"no row is left after '{rule}'", file=table, remedy=f"the views before it were {seen}")
        steps.append((rule, kept["patientid"]))
    refuse_blanks(kept["patientid"], file=table, what="patient id")
    refuse_blanks(kept["filename"], file=table, what="file name")
    refuse_twice(kept, rows, table)
    rows = pd.DataFrame(
        {
            "image_id": image_ids(SOURCE, kept["filename"]),
            "path": [str(table.parent / "images" / name) for name in kept["filename"]],
            "patient_id": SOURCE + ":" + kept["patientid"],
            "source": SOURCE,
            "label": "covid",
            "finding": kept["finding"].str.replace(r"\s*,\s*", "|", regex=True),
            "view": kept["view"],
        },
        columns=list(COLUMNS),
    )
    return Candidates(rows.reset_index(drop=True), make_funnel(SOURCE, steps))
