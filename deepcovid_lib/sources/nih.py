"""Open negatives: NIH ChestX-ray14, frontal radiographs of the NIH Clinical Center with mined labels."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, NORMAL, Candidates, find_table, make_funnel, read_columns, refuse_blanks

SOURCE = "nih"
TABLES = tuple(
    f"{stem}{suffix}" for stem in ("Data_Entry_2017_v2020", "Data_Entry_2017") for suffix in (".csv", ".csv.gz")
)
SUFFIXES = ("png", "jpg", "jpeg")
_STEM = re.compile(r"\d{8}_\d{3}")
FINDINGS = (
    NORMAL,
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax"),
)
_SPELLING = {finding.replace("_", " ").casefold(): finding for finding in FINDINGS}


def candidates(folder: str | Path, *, views: Sequence[str] | None = None) -> Candidates:
    """List the ChestX-ray14 films that lie in a folder tree.

    Parameters
    ----------
    folder : path-like
        The folder with ``Data_Entry_2017_v2020.csv`` (or ``.csv.gz``); films lie in any of its sub-folders, as PNG
        or re-encoded as JPEG, under NIH's names (``00001280_004``).
    views : sequence of str or None
        The views to keep, ``PA`` or ``AP``; None keeps all.

    Returns
    -------
    Candidates
        The rows of films that are there, with label ``non_covid`` and the joined labels (``A|B``) as finding;
        ``No Finding`` is normal, anything else another disease.

    Raises
    ------
    Problem
        If the table is absent or lacks a column, if a film is there twice or has no row, if a row that is kept has
        no patient id or another than its film's name, or a finding that the collection has not, or if no film is left.

    References
    ----------
    Wang et al.: ChestX-ray8, Proc. CVPR (2017) 2097-2106.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "Data_Entry_2017_v2020.csv").write_text(
    ...     "Image Index,Finding Labels,Patient ID,View Position,OriginalImage[Width,Height]\\n"
    ...     "00000001_000.png,Edema|Mass,1,PA,2682,2749\\n00000002_000.png,No Finding,2,PA,2500,2048\\n")
    >>> _ = (folder / "00000001_000.jpg").write_bytes(b"")
    >>> candidates(folder).rows[["image_id", "finding"]].values.tolist()
    [['nih:00000001_000', 'Edema|Mass']]
    """
    table = find_table(folder, TABLES)
    frame = read_columns(table, ["image index", "finding labels", "patient id", "view position"])
    frame["stem"] = frame["image index"].str.rsplit(".", n=1).str[0]
    files = _films(table.parent)
    unlisted = sorted(set(files) - set(frame["stem"]))
    if unlisted:
        raise Problem(
            f"{len(unlisted)} films have no row here, the first being {files[unlisted[0]]}",
            file=table,
            remedy="use the complete table",
        )

    present = frame[frame["stem"].isin(list(files))]
    steps = [
        (f"rows of {table.name.removesuffix('.gz')}", frame["patient id"]),
        ("film present", present["patient id"]),
    ]
    kept = present
    if views is not None:
        kept = present[present["view position"].isin(list(views))]
        steps.append((f"view is {' or '.join(views)}", kept["patient id"]))
    if kept.empty:
        sought = "of these views " if views is not None else ""
        raise Problem(f"no film {sought}among {len(files)}", file=folder, remedy="put the films below this folder")
    refuse_blanks(kept["patient id"], file=table, what="patient id")
    refuse_blanks(kept["finding labels"], file=table, what="finding labels")
    spelled = kept["finding labels"].map(_spelled)
    odd = spelled.index[spelled == ""]
    if len(odd):
        what = f"'{kept.loc[odd[0], 'finding labels']}' names a finding that the collection has not"
        raise Problem(what, file=table, row=int(odd[0]) + 2, remedy=f"use {', '.join(FINDINGS)}, joined by |")
    other = kept.index[kept["stem"].str[:8].map(int).astype(str) != kept["patient id"].str.lstrip("0")]
    if len(other):
        what = f"film {kept.loc[other[0], 'stem']} is not of patient {kept.loc[other[0], 'patient id']}"
        raise Problem(what, file=table, row=int(other[0]) + 2, remedy="fetch the table again: its columns are shifted")
    again = kept.index[kept["stem"].duplicated()]
    if len(again):
        raise Problem("this film is listed before", file=table, row=int(again[0]) + 2, remedy="remove one of the rows")

    rows = pd.DataFrame(
        {
            "image_id": SOURCE + ":" + kept["stem"],
            "path": kept["stem"].map(files),
            "patient_id": SOURCE + ":" + kept["patient id"],
            "source": SOURCE,
            "label": "non_covid",
            "finding": spelled,
            "view": kept["view position"],
        },
        columns=list(COLUMNS),
    )
    return Candidates(rows.reset_index(drop=True), make_funnel(SOURCE, steps))


def _spelled(labels: str) -> str:
    """The findings of a cell as the collection spells them; empty where one is none of them."""
    known = [_SPELLING.get(label.strip().replace("_", " ").casefold(), "") for label in labels.split("|")]
    return "|".join(known) if all(known) else ""


def _films(folder: Path) -> dict[str, str]:
    """Return the path of every film below `folder` by its stem."""
    films: dict[str, str] = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            stem, _, suffix = name.rpartition(".")
            if suffix.lower() in SUFFIXES and _STEM.fullmatch(stem):
                path = f"{place}{os.sep}{name}"
                if stem in films:
                    raise Problem(f"film {stem} is also there as {films[stem]}", file=path, remedy="keep one of them")
                films[stem] = path
    return films
