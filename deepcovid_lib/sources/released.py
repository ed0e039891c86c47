"""The authors' archive, COVID-Xray-5k: images already divided into training and test."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, NORMAL, Candidates, image_ids, make_funnel, read_columns
from deepcovid_lib.sources.chexpert import FINDINGS

SOURCE = "released"
SUFFIXES = (".png", ".jpg", ".jpeg")
LABELS = {"covid": "covid", "non": "non_covid"}
_CHEXPERT_NAME = re.compile(r"(?:(?P<finding>.+?)-)?(?P<patient>patient\d+)-study\d+-", re.IGNORECASE)
_SPELLING = {finding.replace(" ", "").casefold(): finding for finding in FINDINGS}


def candidates(folder: str | Path, *, metadata: str | Path | None = None) -> Candidates:
    """List the images of an unpacked archive of the authors.

    The archive holds ``train/covid``, ``train/non``, ``test/covid`` and ``test/non``; the negatives lie flat or in
    sub-folders (``No_Finding``, ``other_diseases``, one per class). A negative's finding is the class before its
    name (``Atelectasis-patient35833-study1-view1_frontal.jpg``), else its sub-folder, else unknown; its patient
    stands in its name. COVID-19 images keep the names of covid-chestxray-dataset, which do not tell the patient.

    Parameters
    ----------
    folder : path-like
        The folder with ``train/`` and ``test/``, or its parent.
    metadata : path-like, optional
        ``metadata.csv`` of covid-chestxray-dataset; images are joined to it by file name, for their patient, finding
        and view. An image without a row there counts as a patient of its own, as does every image without metadata.

    Returns
    -------
    Candidates
        All images with their label, and with ``split`` as the folders have it.

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
    [['released:b', 'COVID-19', 'test'], ['released:patient00009', 'No Finding', 'test']]
    """
    root = _root(Path(folder))
    names = [name for side in ("train", "test") for label in LABELS for name in _images(root, f"{side}/{label}")]
    rows = pd.DataFrame([_described(name) for name in names])
    rows["image_id"] = image_ids(SOURCE, names)
    rows["path"] = [str(root / name) for name in names]
    rows["source"] = SOURCE
    steps = [("images under train/ and test/", "")]
    if metadata is not None:
        known = _known(Path(metadata))
        is_covid = rows["label"] == "covid"
        stems = rows["stem"].str.casefold()
        for column in ("patient", "finding", "view"):
            rows[column] = rows[column].mask(is_covid, stems.map(known[column])).fillna(rows[column])
        steps.append(("patients joined by file name where metadata has it", ""))
    unknown = rows["patient"] == ""
    rows["patient_id"] = SOURCE + ":" + rows["patient"].mask(unknown, rows["image_id"].str.removeprefix(f"{SOURCE}:"))
    funnel = make_funnel(SOURCE, [(rule, rows["patient"]) for rule, _ in steps])
    return Candidates(rows[[*COLUMNS, "split"]], funnel)
