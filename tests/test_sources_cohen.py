"""The COVID-19 images: every drift of the table's header, every rule, every fault."""

import gzip
import os
from pathlib import Path

import pytest

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, FUNNEL_COLUMNS, cohen, find_table, image_ids, read_columns

EARLY = "Patientid,offset,finding,view,modality,filename, url,clinical notes,"
ROWS = (
    '311a,0,COVID-19,PA,X-ray,a.jpeg,http://x,"mild, early",',
    "311b,3,COVID-19,AP Supine,X-ray,b.jpeg,,,",
    "2,,SARS,PA,X-ray,c.jpeg,,,",
    "3,,COVID-19,Axial,CT,d.jpeg,,,",
    '4,,"COVID-19, ARDS",PA,X-ray,e.png,,,',
    "5,,COVID-19,,X-ray,f.png,,,",
)


def folder_with(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_the_rules_leave_the_rows_that_they_should(tmp_path):
    rows, funnel = cohen.candidates(folder_with(tmp_path, EARLY, *ROWS))
    assert rows.columns.tolist() == list(COLUMNS)
    assert rows["image_id"].tolist() == ["cohen:a", "cohen:e"]
    assert rows["patient_id"].tolist() == ["cohen:311a", "cohen:4"]
    assert rows["path"].tolist() == [str(tmp_path / "images" / name) for name in ("a.jpeg", "e.png")]
    assert rows["finding"].tolist() == ["COVID-19", "COVID-19|ARDS"]
    assert set(rows["label"]) == {"covid"}
    assert funnel.columns.tolist() == list(FUNNEL_COLUMNS)
    assert funnel["rows"].tolist() == [6, 5, 4, 2]
    assert funnel["patients"].tolist() == [6, 5, 4, 2]
    assert funnel["step"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("views", "kept"), [(("PA", "AP Supine"), "abe"), (("ap supine",), "b"), (None, "abef")], ids=str
)
def test_the_views_to_keep_are_an_option(tmp_path, views, kept):
    rows, _ = cohen.candidates(folder_with(tmp_path, EARLY, *ROWS), views=views)
    assert rows["image_id"].tolist() == [f"cohen:{name}" for name in kept]


def test_the_newest_header_and_hierarchical_findings_are_read(tmp_path):
    folder_with(
        tmp_path,
        "patientid,offset,finding,view,modality,folder,filename,url,clinical_notes,",
        "7,0,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg,,,",
        "8,0,Pneumonia/Viral/SARS,PA,X-ray,images,b.jpg,,,",
    )
    assert cohen.candidates(tmp_path).rows["finding"].tolist() == ["Pneumonia/Viral/COVID-19"]


def test_without_a_modality_the_views_of_ct_are_left_out(tmp_path):
    folder_with(
        tmp_path,
        "Patientid,finding,view,filename",
        *("1,COVID-19,PA,a.jpg", "2,COVID-19,Axial,b.jpg", "3,COVID-19,CT,c.jpg", "4,COVID-19,L,d.jpg"),
    )
    assert cohen.candidates(tmp_path).funnel["rows"].tolist() == [4, 2, 2, 1]


def test_the_first_modality_radiograph_counts_as_x_ray(tmp_path):
    folder_with(tmp_path, "patientid,finding,view,modality,filename", "1,COVID-19,PA,Radiograph,a.jpg")
    assert len(cohen.candidates(tmp_path).rows) == 1


def test_a_byte_order_mark_and_gzip_change_nothing(tmp_path):
    text = "\ufeff" + "\n".join((EARLY, *ROWS))
    path = tmp_path / "metadata.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert read_columns(path, ["patientid", "clinical_notes"]).iloc[0].tolist() == ["311a", "mild, early"]


def test_the_parent_folder_will_do(tmp_path):
    (tmp_path / "covid-chestxray-dataset").mkdir()
    folder_with(tmp_path / "covid-chestxray-dataset", EARLY, *ROWS)
    rows, _ = cohen.candidates(tmp_path)
    assert rows["path"][0] == str(tmp_path / "covid-chestxray-dataset" / "images" / "a.jpeg")


def test_two_copies_side_by_side_are_ambiguous(tmp_path):
    for name in "xy":
        (tmp_path / name).mkdir()
        folder_with(tmp_path / name, EARLY)
    with pytest.raises(Problem, match=r"several tables: x/metadata.csv, y/metadata.csv"):
        find_table(tmp_path, ["metadata.csv"])


def test_a_table_beside_the_films_and_another_above_are_ambiguous(tmp_path):
    folder_with(tmp_path, EARLY, *ROWS)
    (tmp_path / "images").mkdir()
    folder_with(tmp_path / "images", EARLY)
    with pytest.raises(Problem, match=r"several tables: metadata.csv, images/metadata.csv"):
        cohen.candidates(tmp_path)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["patientid,finding,views,modality,filename", "1,COVID-19,PA,X-ray,a"], r"row 1: no column 'view'; .*'views'"),
        ([EARLY, ",0,COVID-19,PA,X-ray,a.jpeg,,,"], "row 2: no patient id"),
        ([EARLY, ROWS[0], "9,0,COVID-19,PA,X-ray, ,,,"], "row 3: no file name"),
        ([EARLY, ROWS[0], ROWS[0]], "row 3: 'a.jpeg' is listed twice"),
        ([EARLY, ROWS[0], ROWS[0].replace("COVID-19", "ARDS")], "row 3: 'a.jpeg' is listed twice"),
        ([EARLY, ROWS[0], ROWS[0].replace("a.jpeg", "./a.jpeg")], "row 3: './a.jpeg' is listed twice"),
        ([EARLY, ROWS[1]], "no row is left after 'view is PA'; the views before it were 'AP Supine'"),
        ([EARLY], "holds no rows"),
        (["", ""], "no column 'patientid'; the header is empty"),
    ],
    ids=["column", "patient", "file", "twice", "contradicted", "spelled", "no-view", "no-rows", "no-header"],
)
def test_a_fault_is_told_with_its_place(tmp_path, lines, told):
    with pytest.raises(Problem, match=told) as caught:
        cohen.candidates(folder_with(tmp_path, *lines))
    assert "metadata.csv" in str(caught.value)


def test_a_blank_patient_on_a_row_that_is_left_out_does_no_harm(tmp_path):
    folder_with(tmp_path, EARLY, ROWS[0], ",,SARS,PA,X-ray,z.jpeg,,,")
    rows, funnel = cohen.candidates(tmp_path)
    assert len(rows) == 1
    assert funnel["patients"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'a,"b\n'], ids=["encoding", "quote"])
def test_a_damaged_table_is_told(tmp_path, content):
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(Problem, match=r"metadata\.csv"):
        cohen.candidates(tmp_path)


def test_a_gzip_cut_short_is_told(tmp_path):
    path = tmp_path / "metadata.csv.gz"
    path.write_bytes(gzip.compress("\n".join((EARLY, *ROWS)).encode())[:-20])
    with pytest.raises(Problem, match="cannot be read"):
        read_columns(path, ["patientid"])


@pytest.mark.parametrize(("make", "told"), [(False, "no such folder"), (True, "no metadata.csv here")])
def test_an_absent_folder_or_table_is_told(tmp_path, make, told):
    place = tmp_path / "x"
    if make:
        place.mkdir()
    with pytest.raises(Problem, match=told):
        cohen.candidates(place)


def test_names_that_share_a_stem_keep_their_suffix():
    assert image_ids("cohen", ["a.png", "a.jpg", "b.jpg"]) == ["cohen:a.png", "cohen:a.jpg", "cohen:b"]


@pytest.mark.skipif(not os.environ.get("DEEPCOVID_REAL_DATA"), reason="needs the collection in DEEPCOVID_REAL_DATA")
def test_the_real_table_gives_the_papers_counts():
    rows, funnel = cohen.candidates(Path(os.environ["DEEPCOVID_REAL_DATA"]) / "covid-chestxray-dataset")
    assert funnel["rows"].tolist() == [149, 126, 102, 71]
    assert rows["patient_id"].nunique() == funnel["patients"].iloc[-1] == 49
    assert set(rows["view"]) == {"PA"}
