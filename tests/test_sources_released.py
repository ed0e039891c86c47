"""The authors' archive: its layouts, what file names tell, the join with upstream's table, every fault."""

from pathlib import Path

import pytest

from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, released

V1 = (
    "train/covid/nejmoa2001191_f5-PA.jpeg",
    "train/non/patient00003-study1-view1_frontal.jpg",
    "train/non/Pleural_Other-patient00004-study1-view1_frontal.jpg",
    "test/covid/lancet-case2a.jpg",
    "test/non/No_Finding/patient00051-study1-view1_frontal.jpg",
    "test/non/other_diseases/Atelectasis-patient35833-study1-view1_frontal.jpg",
    "test/non/other_diseases/patient01190-study2-view1_frontal.jpg",
)
V3 = (
    "train/covid/a.png",
    "train/non/Enlarged_Cardiomediastinum/patient00007-study1-view1_frontal.jpg",
    "test/covid/b.png",
    "test/non/Lung Opacity/patient00008-study3-view1_frontal.jpg",
)


def archive(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def by_name(rows):
    return rows.set_index("image_id")


def test_the_first_layout_is_read(tmp_path):
    rows, funnel = released.candidates(archive(tmp_path, V1))
    assert rows.columns.tolist() == [*COLUMNS, "split"]
    assert sorted(rows["path"]) == sorted(str(tmp_path / name) for name in V1)
    assert funnel["rows"].tolist() == [7]
    seen = by_name(rows)[["label", "finding", "split"]].agg(",".join, axis="columns").to_dict()
    assert seen == {
        "released-covid:nejmoa2001191_f5-PA": "covid,COVID-19,train",
        "released-non:patient00003-study1-view1_frontal": "non_covid,,train",
        "released-non:Pleural_Other-patient00004-study1-view1_frontal": "non_covid,Pleural Other,train",
        "released-covid:lancet-case2a": "covid,COVID-19,test",
        "released-non:patient00051-study1-view1_frontal": "non_covid,No Finding,test",
        "released-non:Atelectasis-patient35833-study1-view1_frontal": "non_covid,Atelectasis,test",
        "released-non:patient01190-study2-view1_frontal": "non_covid,other,test",
    }
    assert (
        by_name(rows).loc["released-non:patient00003-study1-view1_frontal", "patient_id"] == "released-non:patient00003"
    )
    assert by_name(rows).loc["released-covid:lancet-case2a", "patient_id"] == "released-covid:untold-lancet-case2a"


@pytest.mark.parametrize("root", ["data", "data_upload_v3", "."])
def test_the_third_layout_is_read_from_its_folder_or_the_parent(tmp_path, root):
    archive(tmp_path / root, V3)
    (tmp_path / "__MACOSX").mkdir()
    rows, _ = released.candidates(tmp_path)
    assert rows["finding"].tolist() == ["COVID-19", "Enlarged Cardiomediastinum", "COVID-19", "Lung Opacity"]


def test_files_that_are_no_images_are_passed_over(tmp_path):
    archive(tmp_path, (*V3, "train/covid/.DS_Store", "test/covid/._b.png", "test/non/readme.txt"))
    assert len(released.candidates(tmp_path).rows) == 4


def test_an_image_that_lies_twice_keeps_two_names(tmp_path):
    again = "test/non/Edema/patient00007-study1-view1_frontal.jpg"
    rows, _ = released.candidates(archive(tmp_path, (*V3, again)))
    assert rows["image_id"].is_unique
    assert (rows["patient_id"] == "released-non:patient00007").sum() == 2
    assert f"released-non:{again}" in set(rows["image_id"])


def test_upstreams_table_tells_patient_and_view_by_file_name(tmp_path):
    table = tmp_path / "metadata.csv"
    table.write_text(
        "Patientid,view,filename\n13,PA,nejmoa2001191_f5-PA.jpeg\n6,AP,LANCET-case2a.png\n9,L,other.jpg\n,,\n"
    )
    rows, _ = released.candidates(archive(tmp_path / "data", V1), metadata=table)
    known = by_name(rows)
    assert known.loc["released-covid:nejmoa2001191_f5-PA", ["patient_id", "view"]].tolist() == [
        "released-covid:13",
        "PA",
    ]
    assert known.loc["released-covid:lancet-case2a", ["patient_id", "view"]].tolist() == ["released-covid:6", "AP"]
    assert known.loc["released-non:patient00003-study1-view1_frontal", "patient_id"] == "released-non:patient00003"


def test_an_image_without_a_row_stays_a_patient_of_its_own(tmp_path):
    table = tmp_path / "metadata.csv"
    table.write_text("patientid,view,filename\n1,PA,a.png\n,PA,b.png\n")
    rows, funnel = released.candidates(archive(tmp_path / "data", (*V3, "test/covid/c.png")), metadata=table)
    assert rows[rows["label"] == "covid"]["patient_id"].tolist() == [
        "released-covid:1",
        "released-covid:untold-b",
        "released-covid:untold-c",
    ]
    assert funnel["patients"].tolist() == [5]


def test_one_name_of_two_patients_is_told(tmp_path):
    table = tmp_path / "metadata.csv"
    table.write_text("patientid,view,filename\n1,PA,a.png\n2,PA,a.jpg\n")
    with pytest.raises(Problem, match=r"metadata\.csv, row 3: 'a' belongs to several patients"):
        released.candidates(archive(tmp_path / "data", V3), metadata=table)


def test_what_is_absent_is_told(tmp_path):
    with pytest.raises(Problem, match="no such folder"):
        released.candidates(tmp_path / "none")
    with pytest.raises(Problem, match="the sub-folders that hold both are: none"):
        released.candidates(tmp_path)
    archive(tmp_path / "a", V3[:2])
    (tmp_path / "a" / "test" / "covid").mkdir(parents=True)
    with pytest.raises(Problem, match="no image in test/covid"):
        released.candidates(tmp_path)
    archive(tmp_path / "a", ("test/covid/b.png",))
    with pytest.raises(Problem, match="no folder test/non"):
        released.candidates(tmp_path)


def test_two_archives_side_by_side_are_ambiguous(tmp_path):
    archive(tmp_path / "v1", V1)
    archive(tmp_path / "v3", V3)
    with pytest.raises(Problem, match="hold both are: v1, v3"):
        released.candidates(tmp_path)


@pytest.mark.parametrize(
    ("folder", "finding"),
    [
        ("Normal", "No Finding"),
        ("healthy", "No Finding"),
        ("Other Disease", "other"),
        ("batch-2", ""),
        ("edema", "Edema"),
    ],
)
def test_a_folder_that_names_no_known_finding_tells_none(tmp_path, folder, finding):
    names = ("train/covid/a.png", "test/covid/b.png", "train/non/Edema/patient1-study1-x.png")
    rows, _ = released.candidates(archive(tmp_path, (*names, f"test/non/{folder}/patient2-study1-x.png")))
    assert rows["finding"].iloc[-1] == finding
