"""Recorded runs: nothing in them but numbers."""

import json
import re

import pandas as pd
import pytest
from fitted import write_head

from deepcovid_lib import manifest, records, runs, stages
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Misuse

NAMES = sorted(path.name for path in records.folder().iterdir() if path.is_dir())


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    run = runs.begin("tiny", settings={"models": ["resnet18"], "folders.phantom": "/secret/place"})
    names = ["nih:smith_1", "nih:smith_2", "nih:jones_1"]
    frame = pd.DataFrame(
        {
            "image_id": names,
            "patient_id": ["nih:smith", "nih:smith", "nih:jones"],
            "label": ["covid", "covid", "non_covid"],
            "finding": ["COVID-19", "COVID-19", "Effusion|Mass"],
            "group": ["covid", "covid", "other_disease"],
            "score": [0.9, 1 / 3, 0.25],
        }
    )
    run.fit("resnet18").mkdir(parents=True)
    frame.to_csv(run.fit("resnet18") / "scores.csv", index=False)
    write_head(run.fit("resnet18"), run.manifest)
    return records.keep(run), run.name


def test_a_recorded_run_names_no_image_patient_or_place(kept):
    text = " ".join(path.read_text() for path in kept[0].rglob("*") if path.is_file())
    for word in ("smith", "jones", "secret", "Effusion"):
        assert word not in text


def test_a_record_of_another_edition_or_setting_is_not_written_over(kept):
    run = runs.resolve("tiny", name=kept[1], settings={"models": ["resnet18"], "seed": 7})
    with pytest.raises(Misuse, match="is of edition 'tiny' with"):
        records.keep(run)
    assert len(records.scores(kept[1])["resnet18"]) == 3


def test_a_run_without_scores_is_not_recorded(kept):
    with pytest.raises(Misuse, match="no scores to record"):
        records.keep(runs.resolve("tiny", name="empty"))
    assert not (records.folder() / "empty").exists()


def test_scores_and_patients_survive_the_renaming(kept):
    scores = records.scores(kept[1])["resnet18"]
    assert sorted(scores["score"]) == sorted([0.9, 1 / 3, 0.25])
    assert sorted(scores.groupby("patient_id").size()) == [1, 2]
    assert set(scores["group"]) == {"covid", "other_disease"}


def test_the_digest_kept_of_scores_is_that_of_their_file(kept):
    inputs = json.loads((kept[0] / "inputs.json").read_text())
    assert inputs["models"]["resnet18"]["scores"] == sha256(kept[0] / "scores" / "resnet18.csv")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_here_holds_no_path(name):
    for path in (records.folder() / name).rglob("*"):
        if path.is_file():
            assert not re.search(r"\.(png|jpe?g)\b|(?<!\w)/\w+/\w+", path.read_text()), path


def test_an_unknown_record_is_refused():
    with pytest.raises(Misuse, match="no recorded run 'none'"):
        records.table("none", "funnel")


def test_patients_whom_the_source_does_not_tell_stay_untold_in_a_record_and_its_replay(kept, capsys):
    run = runs.begin("tiny", name="other", settings={"models": ["resnet18"]})
    names = ["released:untold-a", "released:untold-b", "nih:jones"]
    frame = pd.read_csv(
        runs.resolve("tiny", name=kept[1], settings={"models": ["resnet18"]}).fit("resnet18") / "scores.csv"
    )
    run.fit("resnet18").mkdir(parents=True)
    frame.assign(patient_id=names).to_csv(run.fit("resnet18") / "scores.csv", index=False)
    write_head(run.fit("resnet18"), run.manifest)
    records.keep(run)
    recorded = records.scores("other")["resnet18"]
    assert manifest.untold(recorded) == 2
    assert sorted(recorded["patient_id"])[0] != sorted(recorded["patient_id"])[1]
    assert "untold" not in "".join(records.scores(kept[1])["resnet18"]["patient_id"])
    replayed = runs.resolve("tiny", name="tiny-replay", settings={"models": ["resnet18"]}, speed="replay")
    told = "The source does not tell the patients of 2 films: each counts as one patient."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "of", lambda run: "other")
        assert stages.untold(replayed) == told
        stages.all_scores(replayed)
    assert capsys.readouterr().err == f"note: {told}\n"
