"""The negatives of the paper: CheXpert, chest radiographs of Stanford Hospital with 14 labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, NORMAL, Candidates, find_table, make_funnel, read_columns

SOURCE = "chexpert"
TABLES = ("train.csv", "train.csv.gz")
DISEASES = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
FINDINGS = (NORMAL, *DISEASES)


def candidates(folder: str | Path) -> Candidates:
    """List the frontal CheXpert images that have exactly one positive label.

    Positive is 1.0 alone: -1.0 (uncertain), 0.0 (negative) and blank (not mentioned) all count as not positive. Of
    the 223,414 training images 191,027 are frontal, and 40,388 of these belong to a single sub-category in this
    sense.

    Parameters
    ----------
    folder : path-like
        The folder with ``train.csv`` (or ``train.csv.gz``) and ``train/``, usually ``CheXpert-v1.0-small``, or its
        parent.

    Returns
    -------
    Candidates
        All rows with label ``non_covid``, their single positive label as finding and ``AP/PA`` as view, whether or
        not their files are there. Image ids read ``chexpert:patient00001-study1-view1_frontal``.

    Raises
    ------
    Problem
        If the table is absent or lacks a column, holds another value than 1, 0, -1 or blank or another kind of path,
        or if no row is left.

    References
    ----------
    Paper, Section II. Irvin et al.: CheXpert, Proc. AAAI 33 (2019) 590-597.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> header = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS])
    >>> path = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    >>> _ = (folder / "train.csv").write_text(f"{header}\\n{path},Female,68,Frontal,AP,1.0" + "," * 13 + "\\n")
    >>> candidates(folder).rows[["image_id", "finding"]].values.tolist()
    [['chexpert:patient00001-study1-view1_frontal', 'No Finding']]
    """
    table = find_table(folder, TABLES)
    frame = _read(table)
    paths = frame["Path"].to_numpy()
    patients = _patients(paths, table)
    labels = frame[list(FINDINGS)].to_numpy()
    _refuse_other_values(labels, table)

    frontal = (frame["Frontal/Lateral"] == "Frontal").to_numpy()
    positive = labels == 1
    single = frontal & (positive.sum(axis=1) == 1)
    if not single.any():
        raise Problem("no frontal image has exactly one positive label", file=table, remedy="fetch the table again")
    funnel = make_funnel(
        SOURCE,
        [
            (f"rows of {table.name.removesuffix('.gz')}", patients),
            ("frontal", patients[frontal]),
            ("exactly one label is 1.0", patients[single]),
        ],
    )

    folders, _, below = zip(*(path.partition("/") for path in paths[single]), strict=True)
    roots = {name: table.parent / name for name in set(folders)}
    roots = {name: str(root if root.is_dir() else table.parent) for name, root in roots.items()}
    rows = pd.DataFrame(
        {
            "image_id": [f"{SOURCE}:{'-'.join(path.rsplit('.', 1)[0].split('/')[-3:])}" for path in below],
            "path": [f"{roots[name]}/{path}" for name, path in zip(folders, below, strict=True)],
            "patient_id": [f"{SOURCE}:{patient}" for patient in patients[single]],
            "source": SOURCE,
            "label": "non_covid",
            "finding": np.array(FINDINGS, dtype=object)[positive[single].argmax(axis=1)],
            "view": frame["AP/PA"].astype(object)[single].fillna("").to_numpy(),
        },
        columns=list(COLUMNS),
    )
    again = rows["image_id"].duplicated()
    if again.any():
        row = int(np.flatnonzero(single)[again.argmax()]) + 2
        raise Problem("this image is listed before", file=table, row=row, remedy="remove one of the rows")
    others = np.flatnonzero(~single)
    hidden = pd.Index(paths[others]).isin(paths[single])
    if hidden.any():
        row = int(others[hidden.argmax()]) + 2
        raise Problem("this image has another row with other labels", file=table, row=row, remedy="remove one of them")
    return Candidates(rows, funnel)


def _read(table: Path) -> pd.DataFrame:
    kinds = {"Path": "object", "Frontal/Lateral": "category", "AP/PA": "category"}
    try:
        return read_columns(table, [*kinds, *FINDINGS], dtype=kinds | dict.fromkeys(FINDINGS, "float32"))
    except ValueError as fault:
        labels = read_columns(table, FINDINGS)
        odd = labels.apply(lambda cells: (cells != "") & pd.to_numeric(cells, errors="coerce").isna())
        position, column = next(zip(*np.nonzero(odd.to_numpy()), strict=True), (0, 0))
        raise Problem(
            f"'{FINDINGS[column]}' is '{labels.iloc[position, column]}'",
            file=table,
            row=int(labels.index[position]) + 2,
            remedy="a label is 1, 0, -1 or blank",
        ) from fault


def _patients(paths: np.ndarray, table: Path) -> pd.Series:
    """Return the patient of each path, e.g. ``patient00001``, as categories."""
    try:
        named = [path.rsplit("/", 3)[-3] for path in paths]
    except IndexError:
        named = [f"///{path}".rsplit("/", 3)[-3] for path in paths]
    codes, names = pd.factorize(np.array(named, dtype=object))
    odd = [code for code, name in enumerate(names) if not name.startswith("patient")]
    if odd:
        row = int(np.isin(codes, odd).argmax())
        raise Problem(
            f"'{paths[row]}' names no patient",
            file=table,
            row=row + 2,
            remedy="paths read CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
        )
    return pd.Series(pd.Categorical.from_codes(codes, names))


def _refuse_other_values(labels: np.ndarray, table: Path) -> None:
    """Raise if a label is neither 1, 0, -1 nor blank."""
    odd = ~(np.isnan(labels) | (np.abs(labels) == 1) | (labels == 0))
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise Problem(
            f"'{FINDINGS[column]}' is {labels[row, column]:g}",
            file=table,
            row=int(row) + 2,
            remedy="a label is 1, 0, -1 or blank",
        )
