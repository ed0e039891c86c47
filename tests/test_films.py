"""The films that are shown: each under its own kind of finding, and marks only where they belong."""

import pandas as pd
import pytest

from deepcovid_lib import films, runs, stages
from deepcovid_lib.problems import Problem

SMALL = {
    "split.covid": {"train": 2, "test": 1},
    "split.normal": {"train": 2, "test": 1},
    "split.each_other": {"train": 1, "test": 1},
    "models": ["resnet18"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCOVID_ROOT", str(tmp_path_factory.mktemp("films")))
        begun = runs.begin("tiny", settings=SMALL)
        stages.manifest(begun)
        yield begun


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ({}, ["COVID-19", "Normal", "Other disease", "Other disease"]),
        ({"other_disease": ""}, ["COVID-19", "Normal", "Unknown finding", "Unknown finding"]),
        ({"other_disease": None}, ["COVID-19", "Normal"]),
        ({"normal": None}, ["COVID-19", "Other disease", "Other disease"]),
    ],
)
def test_each_row_is_labelled_with_the_kind_of_finding_it_shows(run, monkeypatch, findings, expected):
    rows = stages.manifest(run)
    kinds = rows["finding"].map({"COVID-19": "covid", "No Finding": "normal"}).fillna("other_disease")
    for kind, finding in findings.items():
        rows = (
            rows[kinds != kind]
            if finding is None
            else rows.assign(finding=rows["finding"].mask(kinds == kind, finding))
        )
        kinds = kinds[rows.index]
    monkeypatch.setattr(stages, "manifest", lambda run: rows)
    shown, labels = films.samples(run)
    assert labels == expected
    assert all(shown)
    titles = {title for row in shown for _, title in row}
    assert titles <= set(rows["finding"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "film022",
            r"marks\.csv, row 2: image_id 'film022' names no source of this run; write it as",
        ),
        ("phantom:none", r"marks\.csv: none of its images is in this run"),
    ],
)
def test_marks_of_no_film_are_refused(run, tmp_path, monkeypatch, name, told):
    table = tmp_path / "marks.csv"
    table.write_text(f"image_id,x,y,width,height\n{name},1,2,3,4\n")
    rows = stages.manifest(run)
    monkeypatch.setattr(stages, "manifest", lambda run: rows)
    marked = runs.resolve("tiny", name=run.name, settings=SMALL | {"folders.marks": str(table)})
    with pytest.raises(Problem, match=told):
        films.marked(marked)


def test_marks_are_drawn_on_their_film(run, tmp_path, monkeypatch):
    rows = stages.manifest(run)
    monkeypatch.setattr(stages, "manifest", lambda run: rows)
    chosen = rows[(rows["split"] == "train") & (rows["label"] == "covid")]["image_id"].iloc[0]
    pd.DataFrame([[chosen, 0, 0, 3, 2]], columns=["image_id", "x", "y", "width", "height"]).to_csv(
        tmp_path / "marks.csv", index=False
    )
    settings = SMALL | {"folders.marks": str(tmp_path / "marks.csv")}
    _, masks, _ = films.marked(runs.resolve("tiny", name=run.name, settings=settings))
    assert any(mask[:2, :3].all() for mask in masks)
