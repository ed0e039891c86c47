"""The authors' archive, COVID-Xray-5k: images already divided into training and test."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, NORMAL, OTHER, UNTOLD, Candidates, image_ids, make_funnel, read_columns
from deepcovid_lib.sources.chexpert import FINDINGS

SOURCE = "released"
SUFFIXES = (".png", ".jpg", ".jpeg")
SIDES = ("train", "test")
LABELS = {"covid": "covid", "non": "non_covid"}
COLLECTIONS = {label: f"{SOURCE}-{folder}" for folder, label in LABELS.items()}
_CHEXPERT_NAME = re.compile(r"(?:(?P<finding>.+?)-)?(?P<patient>patient\d+)-study\d+-", re.IGNORECASE)
_SPELLING = {finding.replace(" ", "").casefold(): finding for finding in FINDINGS}
_SPELLING |= dict.fromkeys(("normal", "healthy", "nofindings"), NORMAL)
_SPELLING |= dict.fromkeys(("other", "others", "otherdisease", "otherdiseases"), OTHER)


def candidates(folder: str | Path, *, metadata: str | Path | None = None) -> Candidates:
    """List the images of an unpacked archive of the authors.

    The archive holds ``train/covid``, ``train/non``, ``test/covid`` and ``test/non``; the negatives lie flat or in
    sub-folders (``No_Finding``, ``other_diseases``, one per class). A negative's finding is the class before its
    name (``Atelectasis-patient35833-study1-view1_frontal.jpg``), else its sub-folder; ``other`` where that tells no
    more, unknown where it is none of CheXpert's. Its patient stands in its name. COVID-19 images keep the names of
    covid-chestxray-dataset, which do not tell the patient.

    Parameters
    ----------
    folder : path-like
        The folder with ``train/`` and ``test/``, or its parent.
    metadata : path-like, optional
        ``metadata.csv`` of covid-chestxray-dataset; images are joined to it by file name, for their patient and
        view. An image without a row there counts as a patient of its own, as does every image without metadata.

    Returns
    -------
    Candidates
        All images with their label, and with ``split`` as the folders have it. Their ``source`` is ``released-covid``
        or ``released-non``, since the archive holds two collections.

    Raises
    ------
    Problem
        If a folder is absent or holds no image, if two archives lie side by side, or if one stem of the metadata
        belongs to several patients.

    References
    ----------
    Paper, Section II and Table I; https://github.com/shervinmin/DeepCovid.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ["train/covid/a.png", "train/non/Edema-patient00007-study1-view1_frontal.jpg",
    ...              "test/covid/b.png", "test/non/No_Finding/patient00009-study2-view1_frontal.jpg"]:
    ...     (folder / name).parent.mkdir(parents=True)
    ...     _ = (folder / name).write_bytes(b"")
    >>> candidates(folder).rows[["patient_id", "finding", "split"]].values.tolist()[2:]
    [['released-covid:untold-b', 'COVID-19', 'test'], ['released-non:patient00009', 'No Finding', 'test']]
    """
    root = sides(Path(folder))
    names = [name for side in SIDES for label in LABELS for name in _images(root, f"{side}/{label}")]
    rows = pd.DataFrame([_described(name) for name in names])
    rows["source"] = rows["label"].map(COLLECTIONS)
    rows["name"] = [name.removeprefix(f"{SOURCE}:") for name in image_ids(SOURCE, names)]
    rows["image_id"] = rows["source"] + ":" + rows["name"]
    rows["path"] = [str(root / name) for name in names]
    rule = "images under train/ and test/"
    if metadata is not None:
        _join(rows, Path(metadata))
        rule += ", patients by file name where metadata has them"
    rows["patient_id"] = rows["source"] + ":" + rows["patient"].mask(rows["patient"] == "", UNTOLD + rows["name"])
    return Candidates(rows[[*COLUMNS, "split"]], make_funnel(SOURCE, [(rule, rows["patient_id"])]))


def sides(folder: Path) -> Path:
    """Return the folder that holds train/ and test/: `folder` itself, or the one sub-folder that does."""
    if not folder.is_dir():
        raise Problem("no such folder", file=folder, remedy="give the folder of the unpacked archive")
    if _has_sides(folder):
        return folder
    found = sorted(place for place in folder.iterdir() if place.is_dir() and _has_sides(place))
    if len(found) != 1:
        names = ", ".join(place.name for place in found) or "none"
        raise Problem(
            f"train/ and test/ are not here, and the sub-folders that hold both are: {names}",
            file=folder,
            remedy="give the folder with train/ and test/",
        )
    return found[0]


def _has_sides(folder: Path) -> bool:
    return all((folder / side).is_dir() for side in SIDES)


def _images(root: Path, part: str) -> list[str]:
    """Return the images below one of the four folders, relative to `root`."""
    if not (root / part).is_dir():
        raise Problem(f"no folder {part}", file=root, remedy="unpack the whole archive")
    paths = (Path(place, name) for place, _, names in os.walk(root / part) for name in names if name[0] != ".")
    found = sorted(path.relative_to(root).as_posix() for path in paths if path.suffix.lower() in SUFFIXES)
    if not found:
        raise Problem(f"no image in {part}", file=root, remedy="unpack the whole archive")
    return found


def _described(name: str) -> dict[str, str]:
    """Return what the place and name of an image tell of it."""
    side, folder, *inner, _ = PurePosixPath(name).parts
    stem = PurePosixPath(name).stem
    known = {"stem": stem, "label": LABELS[folder], "split": side, "patient": "", "finding": "COVID-19", "view": ""}
    if folder == "covid":
        return known
    found = _CHEXPERT_NAME.match(stem)
    said = (found and found["finding"]) or (inner[-1] if inner else "")
    spelled = _SPELLING.get(re.sub(r"[ _-]", "", said).casefold(), "")
    return known | {"patient": found["patient"].lower() if found else "", "finding": spelled}


def _join(rows: pd.DataFrame, metadata: Path) -> None:
    """Enter patient and view of the COVID-19 images that `metadata` lists."""
    known = read_columns(metadata, ["patientid", "view", "filename"])
    known["stem"] = [PurePosixPath(name).stem.casefold() for name in known["filename"]]
    for stem, patients in known.groupby("stem")["patientid"]:
        if stem and patients.nunique() > 1:
            row = int(patients.index[-1]) + 2
            raise Problem(f"'{stem}' belongs to several patients", file=metadata, row=row, remedy="correct the table")
    known = known.drop_duplicates("stem").set_index("stem")
    stems = rows["stem"].str.casefold().where(rows["label"] == "covid", "")
    for column, name in (("patient", "patientid"), ("view", "view")):
        rows[column] = stems.map(known[name].drop("", errors="ignore")).fillna(rows[column])
