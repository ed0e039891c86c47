"""Replays: recorded scores to the bit, nothing trained, never mixed with a retrained run."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
import yaml
from fitted import write_head

from deepcovid_lib import artefacts, films, finetune, manifest, records, replays, runs, stages
from deepcovid_lib.problems import Misuse
from deepcovid_lib.sources import phantom

ROOT = Path(__file__).parent.parent
REPLAYABLE = set(
    "finetune scores thresholds reliability roc-and-confusion paper-versus-run claims calibration model-card".split()
)
RECORDED = {"phantom": ("phantom", {}), "open-cxr-weights-random": ("open-cxr", {"weights": "random"})}


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path / "root"))

    def refuse(*rest, **more):
        raise AssertionError("a replay made something")

    monkeypatch.setattr(finetune, "fit", refuse)
    monkeypatch.setattr(phantom, "candidates", refuse)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty folder of recorded runs."""
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    (tmp_path / "recorded").mkdir()
    return tmp_path / "recorded"


def made(seed=2020):
    """A retrained run of one model with invented scores and history."""
    run = runs.begin("tiny", settings={"models": ["resnet18"], "seed": seed})
    rows = [
        ("a:1", "a:p1", "covid", "COVID-19", "covid", 0.1 + 0.2),
        ("a:2", "a:p2", "non_covid", "", "unknown", 1 / 3),
    ]
    run.fit("resnet18").mkdir(parents=True)
    pd.DataFrame(rows, columns=manifest.SCORE_COLUMNS).to_csv(run.fit("resnet18") / "scores.csv", index=False)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.1 + 0.2], "accuracy": [0.5, 2 / 3]})
    history.to_csv(run.fit("resnet18") / "history.csv", index=False)
    write_head(run.fit("resnet18"), run.manifest)
    with runs.timed(run, "finetune-resnet18"):
        pass
    return run


@pytest.mark.parametrize("name", RECORDED)
def test_a_replay_has_the_recorded_scores_to_the_bit(name):
    edition, settings = RECORDED[name]
    run = runs.begin(edition, settings=settings, speed="replay")
    for model, scores in stages.all_scores(run).items():
        with open(records.folder() / name / "scores" / f"{model}.csv", newline="", encoding="utf-8") as stream:
            written = [(row["image_id"], float(row["score"])) for row in csv.DictReader(stream)]
        assert list(zip(scores["image_id"], scores["score"], strict=True)) == written
    assert list(stages.all_scores(run)) == run.edition.models
    assert stages.counts(run).equals(records.table(name, "tab-dataset"))
    assert stages.funnel(run).equals(records.table(name, "funnel"))


def test_what_was_made_comes_back_unrounded(shelf):
    retrained = made()
    fit = retrained.fit("resnet18")
    before = manifest.read_scores(fit / "scores.csv")["score"], pd.read_csv(fit / "history.csv")
    records.keep(retrained)
    replayed = runs.begin("tiny", settings=retrained.settings, speed="replay")
    assert replayed.name == f"{retrained.name}-replay"
    assert sorted(stages.scores(replayed, "resnet18")["score"]) == sorted(before[0])
    assert stages.history(replayed, "resnet18").equals(before[1])


def test_a_history_that_was_not_recorded_has_no_rows(shelf):
    retrained = made()
    (records.keep(retrained) / "history" / "resnet18.csv").unlink()
    replayed = runs.begin("tiny", settings=retrained.settings, speed="replay")
    assert stages.history(replayed, "resnet18").empty


@pytest.mark.parametrize(
    "needing", [stages.manifest, stages.curate, stages.plan, stages.rejected, films.samples, films.marked]
)
def test_what_needs_images_is_refused(needing):
    run = runs.begin("phantom", speed="replay")
    with pytest.raises(Misuse, match="recorded scores and has no images; use speed 'retrain'"):
        needing(run)


@pytest.mark.parametrize("stage", ["fit", "extract"])
def test_a_replay_is_never_trained(stage):
    run = runs.begin("phantom", speed="replay")
    with pytest.raises(Misuse, match="has no images"):
        getattr(stages, stage)(run, "resnet18")


def test_a_model_that_was_not_asked_for_is_refused():
    run = runs.begin("phantom", settings={"models": ["resnet18"]}, speed="replay")
    assert list(stages.all_scores(run)) == ["resnet18"]
    for stage in (stages.scores, stages.history):
        with pytest.raises(Misuse, match="no model 'resnet50'"):
            stage(run, "resnet50")


@pytest.mark.parametrize(
    ("edition", "settings", "lacking"),
    [
        ("tiny", {}, "'tiny';"),
        ("covid-xray-5k-rebuilt", {}, "'covid-xray-5k-rebuilt';"),
        ("open-cxr", {}, "'open-cxr' with weights imagenet;"),
        ("phantom", {"seed": 7}, "'phantom' with seed 7;"),
        ("phantom", {"models": ["resnet18", "densenet161"]}, "'phantom' with models"),
    ],
)
def test_what_was_not_recorded_cannot_be_replayed(edition, settings, lacking):
    run = runs.begin(edition, settings=settings, speed="replay")
    with pytest.raises(Misuse) as caught:
        stages.all_scores(run)
    assert lacking in str(caught.value)
    assert "recorded are edition 'open-cxr', settings {'weights': 'random'} and edition 'phantom'" in str(caught.value)


def test_where_the_images_lie_does_not_matter():
    settings = {"weights": "random", "folders.nih": "/elsewhere"}
    assert records.of(runs.resolve("open-cxr", settings=settings, speed="replay")) == "open-cxr-weights-random"


def test_retrained_and_replayed_runs_never_share_a_name():
    assert runs.begin("phantom", speed="replay").name == "phantom-replay"
    assert runs.begin("phantom", settings={"seed": 7}, speed="replay").name == "phantom-seed-7-replay"
    runs.begin("phantom", name="mine", speed="replay")
    with pytest.raises(Misuse, match="run 'mine' was asked to replay 'phantom' with no settings"):
        runs.begin("phantom", name="mine")
    runs.begin("phantom", name="other")
    with pytest.raises(Misuse, match="run 'other' was asked to retrain"):
        runs.begin("phantom", name="other", speed="replay")
    with pytest.raises(Misuse, match="no speed 'fast'; choose retrain or replay"):
        runs.begin("phantom", speed="fast")


def test_the_mark_is_written_down_and_read_back():
    run = runs.begin("phantom", speed="replay")
    assert yaml.safe_load((run.folder / "run.yaml").read_text())["speed"] == "replay"
    assert runs.reopen("phantom-replay") == run
    retrained = runs.begin("phantom")
    assert "speed" not in yaml.safe_load((retrained.folder / "run.yaml").read_text())
    assert runs.reopen("phantom").speed == "retrain"


def test_captions_say_what_was_replayed():
    frame = pd.DataFrame({"model": ["resnet18"]})
    captions = {}
    for speed in runs.SPEEDS:
        run = runs.begin("phantom", speed=speed)
        artefacts.table(run, "tab-x", frame, caption="A table.")
        captions[speed] = json.loads((run.folder / "tables" / "tab-x.json").read_text())["caption"]
    assert captions["retrain"] == "A table."
    day = records.facts("phantom")["finetune-resnet18"]["started"][:10]
    assert captions["replay"].startswith(f"A table. Replayed from recorded scores (run phantom, trained on {day[:4]}-")
    assert "nothing was trained here" in captions["replay"]


def test_a_replayed_run_is_not_recorded_again(shelf):
    records.keep(made())
    run = runs.begin("tiny", settings={"models": ["resnet18"]}, speed="replay")
    with pytest.raises(Misuse, match="made no scores"):
        records.keep(run)


def test_the_seconds_of_both_speeds(shelf):
    run = made()
    name = records.keep(run).name
    assert records.replay_seconds("tiny", "scores", settings=run.settings) is None
    assert records.replay_seconds("tiny", "scores") is None
    records.add_facts(name, {"replay-scores": {"seconds": 4.5}})
    records.keep(run)
    assert records.replay_seconds("tiny", "scores", settings=run.settings) == 4.5
    assert runs.retrain_seconds(run, "scores") is None
    facts = {"curate": 1, "extract-resnet18": 2, "finetune-resnet18": 4, "scores": 8, "architectures": 100}
    timed = {stage: {"seconds": each} for stage, each in facts.items()}
    (run.folder / "facts.json").write_text(json.dumps(timed))
    assert runs.retrain_seconds(run, "scores") is None, "its head was not trained here"
    (run.folder / "facts.json").write_text(json.dumps(timed | {"trained-resnet18": {"seconds": 3}}))
    assert runs.retrain_seconds(run, "scores") == 15
    assert runs.retrain_seconds(run, "finetune-resnet18") == 7
    found = timed | {"trained-resnet18": {"seconds": 3}, "curate": {"seconds": 1, "kept": 9}}
    (run.folder / "facts.json").write_text(json.dumps(found))
    assert runs.retrain_seconds(run, "scores") is None, "its phantoms were drawn before"
    elsewhere = timed | {"trained-resnet18": {"seconds": 3}, "extract-resnet18": {"seconds": 2, "device": "another"}}
    (run.folder / "facts.json").write_text(json.dumps(elsewhere))
    assert runs.retrain_seconds(run, "scores") is None, "not all on one machine"
    page = {"seconds": 4, "started": "2026-11-28T10:00:00+00:00"}
    for began, known in (("2026-11-28T10:00:01+00:00", 7), ("2026-11-27T10:00:00+00:00", None)):
        told = {"curate": {"seconds": 1}, "extract-resnet18": {"seconds": 2}, "finetune-resnet18": page}
        told["trained-resnet18"] = {"seconds": 3, "started": began}
        (run.folder / "facts.json").write_text(json.dumps(told))
        assert runs.retrain_seconds(run, "finetune-resnet18") == known, "a page made anew did not train its head"


def test_the_notebooks_that_start_from_scores_have_both_speeds():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if "speed" in known(path)} == REPLAYABLE
    for name in REPLAYABLE:
        assert known(ROOT / "notebooks" / f"{name}.ipynb")["speed"]["default"] == '"retrain"'
    run = runs.resolve("phantom")
    each = [f"finetune-{model}" for model in run.edition.models]
    assert set(replays.executions(run)) == {*REPLAYABLE, *each} - {"finetune"}


def test_measured_seconds_are_added_to_the_facts(shelf, monkeypatch):
    name = records.keep(made()).name
    asked = []
    monkeypatch.setattr(replays.runner, "execute", lambda source, target, parameters, **_: asked.append(parameters))
    root = os.environ["DEEPCOVID_ROOT"]
    assert replays.main([name]) == 0
    assert os.environ["DEEPCOVID_ROOT"] == root
    assert {parameters["speed"] for parameters in asked} == {"replay"}
    assert {parameters["run_name"] for parameters in asked} == {f"{name}-replay"}
    facts = records.facts(name)
    assert {stage for stage in facts if stage.startswith("replay-")} == {
        f"replay-{stage}" for stage in {*REPLAYABLE, "finetune-resnet18"} - {"finetune"}
    }
    assert "finetune-resnet18" in facts
    assert replays.main(["nothing"]) == 1


def known(path):
    return papermill.inspect_notebook(str(path))


@pytest.mark.parametrize("name", ["finetune", "reliability"])
def test_a_notebook_alone_replays(name, tmp_path):
    target = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", ROOT / "notebooks" / f"{name}.ipynb", target, "--no-progress-bar"]
    asked = ["-p", "edition", "open-cxr", "-p", "speed", "replay", "-y", "settings: {weights: random}"]
    environment = {key: value for key, value in os.environ.items() if key != "DEEPCOVID_ROOT"}
    told = subprocess.run(
        [*command, *asked], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300
    )
    assert told.returncode == 0, told.stderr[-2000:]
    outputs = [each for cell in nbformat.read(target, as_version=4).cells for each in cell.get("outputs", [])]
    texts = [each.get("text", "") for each in outputs]
    assert any(text.startswith("Ready") for text in texts)
    assert any(text.startswith("Replayed from recorded scores (run ") for text in texts)
    folder = tmp_path / "results" / "open-cxr-weights-random-replay"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out.ipynb", "results"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["machine.json"]
    assert not list(folder.rglob("*.safetensors"))
    if name == "finetune" and not (records.folder() / "open-cxr-weights-random" / "history").is_dir():
        assert (
            "was not recorded"
            in json.loads((folder / "values" / "finetune-resnet18.json").read_text())["loss-first-resnet18"]
        )
        assert (folder / "figures" / "fig-learned-resnet18.svg").is_file()
