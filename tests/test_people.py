"""Who is on the films: joined by the right name, and said where it is not told."""

import pandas as pd
import pytest

from deepcovid_lib import people, runs
from deepcovid_lib.problems import Problem


def films(source, *paths, views="PA", ids=None):
    ids = ids or [f"{source}:{number}" for number in range(len(paths))]
    frame = pd.DataFrame({"image_id": ids, "path": [str(path) for path in paths], "view": views})
    return frame.assign(patient_id=ids, source=source, label="covid", finding="COVID-19", split="test")


def written(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_every_source_is_read_from_its_own_columns(tmp_path):
    cohen = written(tmp_path / "c", "metadata.csv", "Patientid,sex,age,filename\n1,F,44,a.jpeg\n1,M,45,b.png\n")
    nih = written(
        tmp_path / "n", "Data_Entry_2017_v2020.csv", "Image Index,Patient Gender,Patient Age\n00000001_000.png,M,64\n"
    )
    chexpert = written(
        tmp_path / "x",
        "train.csv",
        "Path,Sex,Age\nX/train/patient1/study1/view1_frontal.jpg,Female,65\n"
        "X/train/patient2/study1/view1_frontal.jpg,Unknown,90\n",
    )
    found = people.told(
        pd.concat(
            [
                films("cohen", cohen / "images/a.jpeg", cohen / "images/b.png"),
                films("nih", nih / "images_01/images/00000001_000.jpg"),
                films("chexpert", *(chexpert / f"train/patient{n}/study1/view1_frontal.jpg" for n in (2, 1))),
            ],
            ignore_index=True,
        )
    )
    assert found["sex"].tolist() == ["women", "men", "men", people.NOT_TOLD, "women"]
    assert found["age_band"].tolist() == ["under 45", "45 to 64", "45 to 64", "65 and over", "65 and over"]


def test_the_order_and_index_of_the_films_stay(tmp_path):
    folder = written(tmp_path, "metadata.csv", "image_id,sex,age\nphantom:a,F,30\nphantom:b,M,50\n")
    rows = pd.concat(
        [
            films("phantom", folder / "images/b.png"),
            films("released", "r.png"),
            films("phantom", folder / "images/a.png"),
        ]
    )
    rows.index = [7, 3, 5]
    found = people.told(rows)
    assert found.index.tolist() == [7, 3, 5]
    assert found["age"].tolist()[::2] == [50, 30]
    assert found.loc[3, ["sex", "age_band"]].tolist() == [people.NOT_TOLD] * 2


@pytest.mark.parametrize("age", ["", "unknown", "-3", "400"])
def test_an_age_that_cannot_be_is_not_told(tmp_path, age):
    folder = written(tmp_path, "metadata.csv", f"image_id,sex,age\nphantom:a,,{age}\n")
    found = people.told(films("phantom", folder / "images/a.png", views=""))
    assert found[["sex", "age_band", "view"]].values.tolist() == [[people.NOT_TOLD] * 3]


@pytest.mark.parametrize(("age", "years"), [("058Y", 58), ("006M", 0.5), ("073D", 0.2), ("58", 58), ("61.0", 61)])
def test_ages_are_read_as_dicom_spells_them_too(tmp_path, age, years):
    folder = written(tmp_path, "Data_Entry_2017.csv", f"Image Index,Patient Gender,Patient Age\n1_0.png,M,{age}\n")
    assert people.told(films("nih", folder / "images/1_0.png"))["age"].tolist() == [years]


def test_a_film_listed_twice_is_not_told(tmp_path):
    folder = written(tmp_path, "metadata.csv", "filename,sex,age\na.png,F,30\na.jpg,M,60\n")
    assert people.told(films("cohen", folder / "images/a.png"))["sex"].tolist() == [people.NOT_TOLD]


def test_a_table_without_the_columns_is_named(tmp_path):
    folder = written(tmp_path, "metadata.csv", "filename,gender\na.png,F\n")
    with pytest.raises(Problem, match=r"metadata.csv, row 1: no column 'sex'"):
        people.told(films("cohen", folder / "images/a.png"))


def test_a_replay_knows_no_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    found = people.of(runs.begin("phantom", speed="replay"))
    assert list(found.columns) == list(people.COLUMNS)
    assert found.empty


def test_pa_and_ap_are_one_view_each_in_any_case(tmp_path):
    folder = written(tmp_path, "metadata.csv", "image_id,sex,age\nphantom:a,F,30\n")
    found = [
        people.told(films("phantom", folder / "images/a.png", views=view))["view"].iloc[0] for view in ("pa", "Ap", "L")
    ]
    assert found == ["PA", "AP", "L"]
