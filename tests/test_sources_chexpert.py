"""CheXpert: what counts as a single positive label, where the images lie, every fault."""

import gzip
import os
from pathlib import Path

import pytest

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, chexpert

HEADER = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *chexpert.FINDINGS])


def line(patient: int, view: str = "AP", kind: str = "frontal", path: str | None = None, **labels: str) -> str:
    path = path or f"CheXpert-v1.0-small/train/patient{patient:05d}/study1/view1_{kind}.jpg"
    values = [labels.get(finding.replace(" ", "_"), "") for finding in chexpert.FINDINGS]
    return ",".join([path, "Female", "68", kind.title(), view, *values])


LINES = (
    line(1, No_Finding="1.0"),
    line(2, view="PA", Edema="1.0", Pneumonia="-1.0", Fracture="0.0"),
    line(3, Edema="1.0", Fracture="1.0"),
    line(4, kind="lateral", view="", Edema="1.0"),
    line(5, Edema="-1.0"),
    line(6, Support_Devices="1", view=""),
)


def folder_with(folder: Path, *lines: str, name: str = "train.csv", header: str = HEADER) -> Path:
    folder.mkdir(exist_ok=True)
    content = "\n".join([header, *lines, ""]).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return folder


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_exactly_one_label_of_one_makes_a_candidate(tmp_path, name):
    rows, funnel = chexpert.candidates(folder_with(tmp_path, *LINES, name=name))
    assert rows.columns.tolist() == list(COLUMNS)
    assert rows["finding"].tolist() == ["No Finding", "Edema", "Support Devices"]
    assert rows["view"].tolist() == ["AP", "PA", ""]
    assert rows["patient_id"].tolist() == [f"chexpert:patient0000{number}" for number in (1, 2, 6)]
    assert rows["image_id"][1] == "chexpert:patient00002-study1-view1_frontal"
    assert set(rows["label"]) == {"non_covid"}
    assert funnel["rows"].tolist() == [6, 5, 3]
    assert funnel["patients"].tolist() == [6, 5, 3]


def test_columns_in_another_order_change_nothing(tmp_path):
    columns = HEADER.split(",")
    turned = [",".join(reversed(text.split(","))) for text in LINES]
    before = chexpert.candidates(folder_with(tmp_path / "a", *LINES)).rows
    after = chexpert.candidates(folder_with(tmp_path / "b", *turned, header=",".join(reversed(columns)))).rows
    assert after.drop(columns="path").equals(before.drop(columns="path"))


@pytest.mark.parametrize("given", ["inside", "parent", "table-beside", "renamed"])
def test_the_images_are_found_from_the_folder_or_its_parent(tmp_path, given):
    inside = tmp_path / ("mine" if given == "renamed" else "CheXpert-v1.0-small")
    image = inside / "train/patient00001/study1/view1_frontal.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")
    folder_with(tmp_path if given == "table-beside" else inside, LINES[0])
    rows, _ = chexpert.candidates(inside if given in ("inside", "renamed") else tmp_path)
    assert Path(rows["path"][0]) == image


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([LINES[0], line(2, Edema="2.0")], "row 3: 'Edema' is 2; a label is 1, 0, -1 or blank"),
        ([line(2, Edema="yes")], "row 2: 'Edema' is 'yes'; a label is"),
        ([LINES[0], line(2, path="x.jpg", Edema="1.0")], "row 3: 'x.jpg' names no patient"),
        ([LINES[0], line(2, path=" ", Edema="1.0")], "row 3: ' ' names no patient"),
        ([LINES[0], LINES[0]], "row 3: this image is listed before"),
        ([LINES[0], line(1, Edema="1.0", Pneumonia="1.0")], "row 3: this image has another row with other labels"),
        ([LINES[2], LINES[3]], "no frontal image has exactly one positive label"),
        ([], "holds no rows"),
    ],
    ids=["value", "text", "path", "blank", "twice", "contradicted", "none", "empty"],
)
def test_a_fault_is_told_with_its_place(tmp_path, lines, told):
    with pytest.raises(Problem, match=told) as caught:
        chexpert.candidates(folder_with(tmp_path, *lines))
    assert "train.csv" in str(caught.value)


def test_a_missing_label_column_is_told_with_the_nearest(tmp_path):
    folder_with(tmp_path, *LINES, header=HEADER.replace("Pleural Other", "Pleural Others"))
    with pytest.raises(Problem, match="row 1: no column 'Pleural Other'; the nearest present is 'pleural_others'"):
        chexpert.candidates(tmp_path)


@pytest.mark.skipif(not os.environ.get("DEEPCOVID_REAL_DATA"), reason="needs the collection in DEEPCOVID_REAL_DATA")
def test_the_real_table_gives_the_known_counts():
    rows, funnel = chexpert.candidates(Path(os.environ["DEEPCOVID_REAL_DATA"]) / "chexpert")
    assert funnel["rows"].tolist() == [223_414, 191_027, 40_388]
    assert funnel["patients"].iloc[0] == 64_540
    assert rows["patient_id"].nunique() == 29_041
    counts = rows["finding"].value_counts()
    assert set(counts.index) == set(chexpert.FINDINGS)
    assert counts["No Finding"] == 9553
    assert counts["Pleural Other"] == counts.min() == 291
