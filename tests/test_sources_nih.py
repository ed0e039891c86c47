"""ChestX-ray14: the films at hand, the split header, every fault."""

import gzip
import os
from pathlib import Path

import pytest

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, nih

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
LINES = (
    "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,AP,2894,2729,0.143,0.143",
    "00000002_000.png,Edema,0,2,60,F,PA,2500,2048,0.168,0.168",
)


def folder_with(folder: Path, films: list[str], lines=LINES, header=HEADER, name="Data_Entry_2017_v2020.csv") -> Path:
    content = "\n".join([header, *lines, ""]).encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    for film in films:
        (folder / film).parent.mkdir(parents=True, exist_ok=True)
        (folder / film).write_bytes(b"")
    return folder


FILMS = ["images_001/images/00000001_000.png", "mine/00000001_001.JPG"]


@pytest.mark.parametrize("name", ["Data_Entry_2017_v2020.csv", "Data_Entry_2017_v2020.csv.gz", "Data_Entry_2017.csv"])
def test_the_films_at_hand_are_listed(tmp_path, name):
    rows, funnel = nih.candidates(folder_with(tmp_path, FILMS, name=name))
    assert rows.columns.tolist() == list(COLUMNS)
    assert rows["image_id"].tolist() == ["nih:00000001_000", "nih:00000001_001"]
    assert [Path(path) for path in rows["path"]] == [tmp_path / film for film in FILMS]
    assert rows["patient_id"].tolist() == ["nih:1", "nih:1"]
    assert rows["finding"].tolist() == ["Cardiomegaly|Emphysema", "No Finding"]
    assert rows["view"].tolist() == ["PA", "AP"]
    assert funnel["rows"].tolist() == [3, 2]
    assert funnel["patients"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("header", "end"),
    [
        (HEADER + ",", ","),
        (HEADER.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"'), ""),
        (HEADER, ","),
    ],
    ids=["blank-column", "quoted", "rows-longer"],
)
def test_the_header_lines_up_however_its_brackets_split(tmp_path, header, end):
    folder_with(tmp_path, FILMS, lines=[line + end for line in LINES], header=header)
    rows, _ = nih.candidates(tmp_path)
    assert rows["view"].tolist() == ["PA", "AP"]
    assert rows["patient_id"].tolist() == ["nih:1", "nih:1"]


def test_the_views_to_keep_are_an_option(tmp_path):
    rows, funnel = nih.candidates(folder_with(tmp_path, FILMS), views=["PA"])
    assert rows["image_id"].tolist() == ["nih:00000001_000"]
    assert funnel["rows"].tolist() == [3, 2, 1]


def test_files_that_are_no_films_of_nih_are_passed_over(tmp_path):
    rows, _ = nih.candidates(folder_with(tmp_path, [*FILMS, "notes.png", "00000002_000.txt"]))
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("films", "lines", "told"),
    [
        ([*FILMS, "00000009_000.png"], LINES, r"1 films have no row here, the first being .*00000009_000\.png"),
        ([*FILMS, "x/00000001_000.jpg"], LINES, "film 00000001_000 is also there as"),
        (FILMS, [LINES[0].replace(",0,1,57", ",0,,57"), LINES[1]], "row 2: no patient id"),
        (FILMS, [LINES[0], LINES[1].replace("No Finding", "")], "row 3: no finding labels"),
        (FILMS, [*LINES, LINES[0]], "row 5: this film is listed before"),
        (FILMS, [LINES[0], LINES[1].replace("No Finding", "Pox")], "row 3: 'Pox' names a finding that the collection"),
        (FILMS, [LINES[0].replace(",0,1,57", ",0,2,57"), LINES[1]], "row 2: film 00000001_000 is not of patient 2"),
        ([], LINES, "no film among 0"),
    ],
    ids=["unlisted", "two-files", "patient", "labels", "twice", "finding", "shifted", "none"],
)
def test_a_fault_is_told_with_its_place(tmp_path, films, lines, told):
    with pytest.raises(Problem, match=told):
        nih.candidates(folder_with(tmp_path, films, lines=lines))


@pytest.mark.skipif(not os.environ.get("DEEPCOVID_REAL_DATA"), reason="needs the collection in DEEPCOVID_REAL_DATA")
def test_the_real_table_and_films_give_the_known_counts():
    rows, funnel = nih.candidates(Path(os.environ["DEEPCOVID_REAL_DATA"]) / "nih-chestxray")
    assert funnel["rows"].tolist() == [112_120, 746]
    assert funnel["patients"].iloc[0] == 30_805
    assert (rows["finding"] == "No Finding").sum() == 380
    assert rows["finding"].str.contains("Pneumonia").sum() == 366


def test_findings_are_spelled_as_the_collection_does(tmp_path):
    lines = [LINES[0], LINES[1].replace("No Finding", "no finding"), *LINES[2:]]
    rows, _ = nih.candidates(folder_with(tmp_path, FILMS, lines=lines))
    assert rows["finding"].iloc[1] == "No Finding"
