"""Choosing the images: exact counts, whole patients, the same draw from any order of rows, nothing lost in silence."""

import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepcovid_lib import curation
from deepcovid_lib.leakage import overlap
from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import Candidates, chexpert, cohen, make_funnel, nih

REAL = os.environ.get("DEEPCOVID_REAL_DATA")


def rows_of(*images: tuple[str, str], source: str = "x") -> pd.DataFrame:
    """Rows from pairs of patient and finding; COVID-19 is the positive class."""
    frame = pd.DataFrame(images, columns=["patient_id", "finding"])
    numbers = [f"{number:04d}" for number in range(len(frame))]
    return frame.assign(
        image_id=[f"{source}:{number}" for number in numbers],
        path=[f"{number}.png" for number in numbers],
        patient_id=f"{source}:" + frame["patient_id"],
        source=source,
        label=np.where(frame["finding"] == "COVID-19", "covid", "non_covid"),
        view="",
    )


def many(finding: str, *sizes: int, prefix: str = "") -> list[tuple[str, str]]:
    """Patients of the given numbers of images."""
    return [(f"{prefix or finding}{number}", finding) for number, size in enumerate(sizes) for _ in range(size)]


def counts(planned: pd.DataFrame, finding: str) -> tuple[int, int]:
    split = planned.loc[planned["finding"] == finding, "split"]
    return (split == "train").sum(), (split == "test").sum()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_counts_are_exact_and_patients_stay_on_one_side(data):
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=12), label="covid patients")
    to_test = data.draw(st.integers(1, len(sizes) - 1), label="covid patients in test")
    covid = (sum(sizes[to_test:]), sum(sizes[:to_test]))
    others = st.lists(st.sampled_from([f"p{number}" for number in range(30)]), min_size=16, max_size=30, unique=True)
    images = many("COVID-19", *sizes)
    for finding in ("No Finding", "Edema", "Fracture"):
        images += [(patient, finding) for patient in data.draw(others, label=finding)]
    rows = rows_of(*images)
    seed = data.draw(st.integers(0, 9))
    asked = {"covid": covid, "normal": (2, 3), "each_other": (1, 2), "seed": seed}
    planned = curation.plan(rows, **asked)
    assert counts(planned, "COVID-19") == covid
    assert counts(planned, "No Finding") == (2, 3)
    assert counts(planned, "Edema") == counts(planned, "Fracture") == (1, 2)
    assert overlap(planned).empty
    assert planned["image_id"].is_monotonic_increasing

    order = data.draw(st.permutations(range(len(rows))), label="order")
    pd.testing.assert_frame_equal(curation.plan(rows.iloc[order], **asked), planned)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=8),
    surplus=st.integers(0, 2),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_a_division_is_found_whenever_there_is_one(sizes, surplus, seed, data):
    total = sum(sizes)
    test = data.draw(st.integers(0, total))
    train = max(0, total - test - surplus)
    sums = {sum(some) for count in range(len(sizes) + 1) for some in itertools.combinations(sizes, count)}
    possible = any(test <= reached <= total - train for reached in sums)
    rows = rows_of(*many("COVID-19", *sizes))
    try:
        planned = curation.plan(rows, covid=(train, test), seed=seed)
    except Problem:
        assert not possible
    else:
        assert possible
        assert counts(planned, "COVID-19") == (train, test)
        assert overlap(planned).empty


@settings(max_examples=40, deadline=None)
@given(images=st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["No Finding", "A|B", "C", ""]))))
def test_without_counts_every_image_is_taken_and_patients_are_halved(images):
    rows = rows_of(*many("COVID-19", 1, 2), *images)
    planned = curation.plan(rows, covid=(1, 2), seed=4)
    assert planned["image_id"].tolist() == rows["image_id"].tolist()
    assert overlap(planned).empty
    normal = set(rows.loc[rows["finding"] == "No Finding", "patient_id"])
    train = {patient for patient in normal if "train" in set(planned.loc[planned["patient_id"] == patient, "split"])}
    assert abs(len(normal) - 2 * len(train)) <= 1


def test_a_patient_of_both_labels_keeps_the_side_of_its_covid_images():
    images = [*many("COVID-19", 1, 1), *many("No Finding", *[1] * 6, prefix="COVID-19")]
    planned = curation.plan(rows_of(*images), covid=(1, 1), seed=0)
    assert overlap(planned).empty
    assert len(planned) == 8


def test_another_seed_gives_another_draw_and_the_same_seed_the_same():
    rows = rows_of(*many("COVID-19", *[1] * 20))
    draws = [curation.plan(rows, covid=(5, 5), seed=seed)["image_id"].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_patients_of_a_rare_class_are_not_preferred_in_a_common_one():
    shared = [(f"p{number}", "Edema") for number in range(20)]
    normal = [(f"p{number}", "No Finding") for number in range(400)]
    drawn = []
    for seed in range(20):
        rows = rows_of(*many("COVID-19", 1, 1), *shared, *normal)
        planned = curation.plan(rows, covid=(1, 1), normal=(50, 50), each_other=(10, 10), seed=seed)
        chosen = planned.loc[planned["finding"] == "No Finding", "patient_id"]
        drawn.append(chosen.isin([f"x:p{number}" for number in range(20)]).sum())
    assert 3 < np.mean(drawn) < 7  # 100 of 400 by chance: 5 of these 20


def test_negatives_without_a_finding_are_no_class_of_their_own():
    rows = rows_of(*many("COVID-19", 1, 1), *many("No Finding", *[1] * 4), *many("Edema", 1, 1), *many("", 1, 1, 1))
    planned = curation.plan(rows, covid=(1, 1), normal=(2, 2), each_other=(1, 1), seed=0)
    assert (planned["finding"] == "").sum() == 0
    assert len(planned) == 8


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (many("COVID-19", 2), "class 'covid' has 2 images, not enough to put 2 in training and 2 in test"),
        (many("COVID-19", 4), "class 'covid' has 4 images"),
        (many("COVID-19", 2, 2) + many("No Finding", 1), "class 'No Finding' has 1 images"),
        (many("COVID-19", 2, 2) + many("No Finding", 1, 1) + many("Edema", 2), "class 'Edema' has 2 images"),
    ],
    ids=["few", "one-patient", "normal", "other"],
)
def test_a_shortage_names_class_need_and_remedy(images, told):
    with pytest.raises(Problem, match=told) as caught:
        curation.plan(rows_of(*images), covid=(2, 2), normal=(1, 1), each_other=(1, 1), seed=0)
    assert "ask for fewer" in str(caught.value)


def test_a_finding_of_chexpert_without_any_image_is_a_shortage():
    images = [item for finding in chexpert.DISEASES[1:] for item in many(finding, 1, 1)]
    rows = pd.concat([rows_of(*many("COVID-19", 1, 1)), rows_of(*many("No Finding", 1, 1), *images, source="chexpert")])
    with pytest.raises(Problem, match="class 'Enlarged Cardiomediastinum' has 0 images"):
        curation.plan(rows, covid=(1, 1), normal=(1, 1), each_other=(1, 1), seed=0)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("image_id", "x:0001", "image_id 'x:0001' is there twice"),
        ("patient_id", "", "0000.png: an image has no patient_id"),
        ("patient_id", None, "0000.png: an image has no patient_id"),
    ],
)
def test_an_unnamed_image_or_patient_is_told(column, value, told):
    rows = rows_of(*many("COVID-19", 1, 1))
    rows[column] = [value, rows[column][1]]
    with pytest.raises(Problem, match=told):
        curation.plan(rows, covid=(1, 1), seed=0)


def films(folder: Path, rows: pd.DataFrame) -> Candidates:
    """Write a small film for every row."""
    paths = [str(folder / path) for path in rows["path"]]
    for number, path in enumerate(paths):
        Image.new("L", (40, 40), number).save(path)
    rows = rows.assign(path=paths)
    return Candidates(rows, make_funnel(rows["source"].iloc[0], [("rows", rows["patient_id"])]))


@pytest.fixture
def offered(tmp_path):
    return films(tmp_path, rows_of(*many("COVID-19", 1, 2, 1, 1), *many("No Finding", *[1] * 8)))


def test_missing_files_are_listed_and_the_others_kept(offered):
    Path(offered.rows["path"][3]).unlink()
    rows, missing = curation.present(offered.rows)
    assert len(rows) == 12
    assert missing.columns.tolist() == ["image_id", "path", "reason"]
    assert missing[["image_id", "reason"]].values.tolist() == [["x:0003", "the file is missing"]]


def test_unreadable_files_are_listed_with_the_reason(offered):
    Path(offered.rows["path"][2]).write_bytes(b"no film")
    readable, unreadable = curation.verify(offered.rows)
    assert unreadable["image_id"].tolist() == ["x:0002"]
    assert "is not a JPEG or PNG image" in unreadable["reason"].iloc[0]
    assert readable["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert readable["sha256"].is_unique


def test_what_cannot_be_used_is_replaced_and_told(offered):
    asked = {"covid": (2, 2), "normal": (2, 2), "each_other": None, "seed": 3}
    missing = "x:0012"
    Path(offered.rows["path"][12]).unlink()
    chosen = curation.curate([offered], **asked).manifest
    damaged, path = chosen.loc[chosen["finding"] == "No Finding", ["image_id", "path"]].iloc[0]
    Path(path).write_bytes(b"")
    curated = curation.curate([offered], **asked)
    assert curated.rejected["image_id"].tolist() == [missing, damaged]
    assert not curated.manifest["image_id"].isin([missing, damaged]).any()
    assert curated.manifest["split"].value_counts().to_dict() == {"train": 4, "test": 4}
    assert curated.manifest["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert curated.manifest["image_id"].is_monotonic_increasing
    assert curated.funnel["rows"].tolist() == [13, 12, 11, 4, 4]
    assert curated.overlap.empty


def test_a_film_is_decoded_once_however_often_the_plan_changes(offered, monkeypatch):
    for path in offered.rows["path"][5:8]:
        Path(path).write_bytes(b"")
    seen = []
    monkeypatch.setattr(curation.images, "read", lambda path: seen.append(path) or Image.open(path))
    curation.curate([offered], covid=(2, 2), normal=(2, 2), seed=3)
    good = [path for path in seen if Path(path).stat().st_size]
    assert len(good) == len(set(good)) > 4
    assert len(seen) > len(good)


def test_a_shortage_through_missing_files_says_so(offered):
    for path in offered.rows["path"][5:]:
        Path(path).unlink()
    with pytest.raises(Problem, match=r"'No Finding' has 0 images.*; 8 listed files are missing, e\.g\. .*0005\.png"):
        curation.curate([offered], covid=(2, 2), normal=(2, 2), seed=3)


def test_a_split_that_comes_with_the_rows_is_kept_and_its_overlap_reported(offered):
    rows = offered.rows.assign(split=["train", "train", "test"] + ["test"] * 10)
    Path(rows["path"][12]).write_bytes(b"")
    curated = curation.curate([Candidates(rows, offered.funnel)], seed=0)
    assert curated.manifest["split"].tolist() == rows["split"].tolist()[:12]
    assert curated.overlap.values.tolist() == [["x:COVID-191", 1, 1]]
    assert curated.rejected["image_id"].tolist() == ["x:0012"]


def test_one_film_twice_on_a_side_is_one_patient_where_the_source_tells_none(offered):
    rows = offered.rows.assign(split=["train", "train", "test"] + ["test"] * 10)
    rows["patient_id"] = [
        f"x:untold-{number}" if number > 7 else name for number, name in enumerate(rows["patient_id"])
    ]
    for copy, original in ((9, 8), (7, 6)):
        Path(rows["path"][copy]).write_bytes(Path(rows["path"][original]).read_bytes())
    patients = curation.curate([Candidates(rows, offered.funnel)], seed=0).manifest["patient_id"]
    assert patients[8] == patients[9] == "x:untold-8"
    assert patients[6] != patients[7], "the source tells these apart"
    assert patients.nunique() == offered.rows["patient_id"].nunique() - 1


@pytest.mark.parametrize("told", [8, 9])
def test_a_copy_whose_patient_is_told_lends_it_to_the_other(offered, told):
    rows = offered.rows.assign(split=["train", "train", "test"] + ["test"] * 10)
    rows["patient_id"] = [
        f"x:untold-{number}" if number in {8, 9} - {told} else name for number, name in enumerate(rows["patient_id"])
    ]
    Path(rows["path"][9]).write_bytes(Path(rows["path"][8]).read_bytes())
    patients = curation.curate([Candidates(rows, offered.funnel)], seed=0).manifest["patient_id"]
    assert patients[8] == patients[9] == rows["patient_id"][told]


def test_sources_with_and_without_a_split_do_not_mix(offered):
    other = Candidates(offered.rows.assign(split="test"), offered.funnel)
    with pytest.raises(Problem, match="brings its own split and another does not"):
        curation.curate([offered, other], covid=(2, 2), seed=0)


@pytest.mark.parametrize(("kept", "told"), [("COVID-19", "non_covid"), ("No Finding", "covid")])
def test_one_class_alone_is_refused(offered, kept, told):
    rows = offered.rows[offered.rows["finding"] == kept]
    with pytest.raises(Problem, match=f"no image labelled {told}$|no image labelled {told};"):
        curation.curate([Candidates(rows, offered.funnel)], covid=(2, 2), seed=0)


@pytest.mark.skipif(not REAL, reason="needs the collections in DEEPCOVID_REAL_DATA")
def test_the_real_labels_give_table_one():
    found = [cohen.candidates(Path(REAL) / "covid-chestxray-dataset"), chexpert.candidates(Path(REAL) / "chexpert")]
    rows = pd.concat([each.rows for each in found])
    for seed in (0, 2020):
        planned = curation.plan(rows, covid=(31, 40), normal=(700, 1700), each_other=(100, 100), seed=seed)
        assert counts(planned, "COVID-19") == (31, 40)
        assert counts(planned, "No Finding") == (700, 1700)
        assert {counts(planned, finding) for finding in chexpert.DISEASES} == {(100, 100)}
        assert len(planned) == 5071
        assert overlap(planned).empty


@pytest.mark.skipif(not REAL, reason="needs the collections in DEEPCOVID_REAL_DATA")
def test_the_real_films_at_hand_are_curated_but_for_the_lost_one():
    found = [cohen.candidates(Path(REAL) / "covid-chestxray-dataset"), nih.candidates(Path(REAL) / "nih-chestxray")]
    curated = curation.curate(found, covid=(30, 40), seed=2020)
    assert curated.rejected["image_id"].tolist() == ["cohen:covid-19-pneumonia-14-PA"]
    assert len(curated.manifest) == 816
    assert curated.manifest["label"].value_counts()["covid"] == 70
    assert curated.overlap.empty
