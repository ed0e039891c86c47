"""Sweeps: whole patients, named and recorded as numbers."""

import shutil

import numpy as np
import pandas as pd
import pytest

from deepcovid_lib import features, floors, records, runs, stages, sweeps
from deepcovid_lib.sweeps import FULL, SMALL

FILMS = pd.DataFrame({"patient_id": [f"p{k // 2}" for k in range(240)]}).assign(
    image_id=[f"phantom:{k}" for k in range(240)],
    path="film.png",
    sha256=[f"{k:064x}" for k in range(240)],
    label=np.where(np.arange(240) // 2 % 4 == 0, "covid", "non_covid"),
    split=np.where(np.arange(240) < 120, "train", "test"),
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run without films, whose sweep `crop` scores by made-up numbers."""
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    shutil.copytree(records.folder() / "phantom", tmp_path / "recorded" / "phantom")
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    monkeypatch.setattr(stages, "manifest", lambda run: FILMS)
    monkeypatch.setattr(floors, "tested", lambda run, chosen: True)

    def made(run, train, test, extent):
        return np.arange(len(test)) % 7.0, (test["label"] == "covid").to_numpy(float)

    monkeypatch.setitem(sweeps.SWEEPS, "crop", sweeps.SWEEPS["crop"]._replace(scores=made))
    return runs.begin("phantom")


def test_a_patient_stays_whole():
    kept = sweeps.subset(FILMS, SMALL, seed=3)
    assert (kept.groupby("patient_id").size() == 2).all()
    assert len(kept.query("split == 'test' and label == 'covid'")) == len(
        FILMS.query("split == 'test' and label == 'covid'")
    )
    assert 0.6 < len(kept.query("split == 'train'")) / 120 < 0.75
    assert sweeps.subset(FILMS, FULL, seed=3).equals(FILMS)


def test_a_row_says_what_was_compared(run):
    row = sweeps.compared(run, "crop").iloc[0]
    assert (row["auc"], row["verdict"], row["size"], row["epochs"]) == (1.0, "better", 112, 100)
    assert row["rows_train"] > row["films_train"]


def test_sweeps_are_run_by_name_and_recorded(run, tmp_path):
    assert sweeps.main(["phantom", "crop", "--record"]) == 0
    kept = sweeps.recorded("phantom")
    assert kept["name"].tolist() == ["crop"]
    assert kept.loc[0, "seconds"] >= 0
    assert records.facts("recipes-phantom").keys() == {"sweep-crop"}
    assert not pd.read_csv(tmp_path / "results/phantom/sweeps/crop.csv").empty


@pytest.mark.parametrize(
    ("edition", "name", "settings", "said"),
    [
        ("tiny", "phantom", {}, "no recorded run of edition 'tiny'"),
        ("phantom", "phantom", {"recipe.epochs": 50}, "no recorded run of edition 'phantom' with recipe"),
        ("phantom", "mine", {}, "recorded as 'phantom'"),
    ],
)
def test_a_sweep_of_another_run_is_not_recorded(run, tmp_path, capsys, edition, name, settings, said):
    shutil.rmtree(run.folder)
    runs.begin(edition, name=name, settings=settings)
    assert sweeps.main([name, "crop", "--record"]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "recorded" / f"recipes-{name}").exists()


def test_a_sweep_of_other_films_is_not_recorded(run, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    monkeypatch.setattr(stages, "manifest", lambda run: FILMS.assign(patient_id=FILMS["image_id"]))
    assert sweeps.main(["phantom", "crop", "--record"]) == 1
    assert "was made from other films than the recorded scores" in capsys.readouterr().err
    assert not (tmp_path / "recorded" / "recipes-phantom").exists()


def test_what_was_recorded_before_stays(run, monkeypatch):
    assert sweeps.main(["phantom", "crop", "--record"]) == 0
    pd.read_csv(run.folder / "sweeps" / "crop.csv").assign(auc=0.123).to_csv(run.folder / "sweeps" / "crop.csv")
    monkeypatch.setitem(sweeps.SWEEPS, "copies", sweeps.SWEEPS["crop"])
    assert sweeps.main(["phantom", "copies", "--record"]) == 0
    assert sweeps.recorded("phantom")["name"].tolist() == ["copies", "crop"]
    assert 0.123 not in sweeps.recorded("phantom")["auc"].tolist()
    assert records.facts("recipes-phantom").keys() == {"sweep-copies", "sweep-crop"}


def test_the_papers_copies_are_made_of_the_same_films(run, monkeypatch):
    asked = []
    monkeypatch.setattr(sweeps, "_cached", lambda run, rows, *rest: asked.append(rows) or np.zeros(1))
    wanted = features.requests(FILMS, copies=4, seed=7)
    sides = (wanted[wanted["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    sweeps.copies(run, *sides, SMALL)
    own, paper = asked
    films = FILMS.query("split == 'train' and label == 'covid'")["image_id"]
    for rows, copies in ((own, 4), (paper, 16)):
        assert rows[rows["image_id"].isin(films)].groupby("image_id").size().eq(copies).all()
        assert set(rows["image_id"]) == set(FILMS.query("split == 'train'")["image_id"])


def test_what_is_not_there_is_refused(run, capsys):
    assert sweeps.main(["phantom", "bigger"]) == 1
    assert "no sweep 'bigger'; choose of copies, crop, densenet161, drift, whole" in capsys.readouterr().err


def test_the_shipped_record_compares_with_references_that_learned():
    kept = sweeps.recorded("phantom")
    assert set(kept["name"]) <= set(sweeps.SWEEPS)
    assert (kept["reference_auc"] > 0.55).all()
