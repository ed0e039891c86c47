"""Runs: named, written down, never mixed up."""

import json
import subprocess
import sys

import pytest
import torch
import yaml

from deepcovid_lib import runs
from deepcovid_lib.problems import Misuse, Problem


@pytest.fixture(autouse=True)
def _root(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))


def test_a_run_is_named_after_its_edition_and_settings():
    assert runs.resolve("tiny").name == "tiny"
    assert runs.resolve("tiny", settings={"seed": 7}).name == "tiny-seed-7"
    assert (
        runs.resolve("open-cxr", settings={"weights": "random", "folders.nih": "/x"}).name == "open-cxr-weights-random"
    )
    long = runs.resolve(
        "tiny", settings={"models": ["resnet18", "resnet50", "squeezenet", "densenet121", "densenet161"]}
    )
    assert len(long.name) < 30


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "x" * 100])
def test_a_name_that_is_no_folder_is_refused(name):
    if not name:
        assert runs.resolve("tiny", name=name).name == "tiny"
        return
    with pytest.raises(Misuse, match="no name for a run"):
        runs.resolve("tiny", name=name)


def test_what_was_asked_is_written_down_and_read_back():
    run = runs.begin("tiny", name="mine", settings={"seed": 7})
    assert yaml.safe_load((run.folder / "run.yaml").read_text())["asked"]["seed"] == 7
    assert runs.reopen("mine") == run


def test_a_name_is_not_used_for_two_things():
    runs.begin("tiny", name="mine", settings={"seed": 7})
    with pytest.raises(Misuse, match="choose another name"):
        runs.begin("tiny", name="mine", settings={"seed": 8})


def test_only_the_papers_data_and_weights_test_the_paper():
    assert runs.resolve("covid-xray-5k").tests("performance")
    assert runs.resolve("covid-xray-5k", settings={"folders.released": "/x"}).tests("performance")
    assert not runs.resolve("covid-xray-5k", settings={"weights": "random"}).tests("performance")
    assert runs.resolve("covid-xray-5k", settings={"weights": "random"}).tests("counts")
    assert not runs.resolve("covid-xray-5k", settings={"seed": 1}).tests("performance")
    for edition in ("phantom", "tiny", "open-cxr"):
        assert not runs.resolve(edition).tests("counts")


@pytest.mark.parametrize(
    ("edition", "settings", "told"),
    [
        ("covid-xray-5k", {"weights": "random", "recipe.epochs": 5}, "weights, recipe"),
        ("open-cxr", {"split.covid": {"train": 10, "test": 20}}, "split"),
        ("covid-xray-5k-rebuilt", {"options.cohen.views": None}, "options"),
        ("tiny", {"preset.fit": "crop"}, "preset"),
    ],
)
def test_a_run_that_asks_otherwise_does_not_pass_for_its_edition(edition, settings, told):
    found, own = runs.about(runs.resolve(edition, settings=settings)), runs.resolve(edition).edition.about
    assert found == f"This run set {told} otherwise than its edition, which says of itself: {own}"


@pytest.mark.parametrize("settings", [{}, {"copies": 4}, {"models": ["resnet18"], "folders.cohen": "x", "seed": 3}])
def test_an_editions_text_stands_alone_where_nothing_it_may_tell_was_changed(settings):
    run = runs.resolve("tiny", settings=settings)
    assert runs.about(run) == run.edition.about


def test_a_runs_own_text_is_its_own():
    assert runs.about(runs.resolve("tiny", settings={"about": "Our own."})) == "Our own."
    told = runs.about(runs.resolve("tiny", settings={"copies": 9, "about": "Nine copies."}))
    assert told == "Nine copies. This run set copies otherwise than its edition tiny."


def test_facts_are_kept_by_stage():
    run = runs.begin("tiny")
    with runs.timed(run, "one"):
        pass
    with runs.timed(run, "two"):
        pass
    facts = json.loads((run.folder / "facts.json").read_text())
    assert set(facts) == {"one", "two"}
    assert facts["one"]["seconds"] >= 0
    assert "numpy" in facts["one"]["versions"]


def test_a_run_whose_edition_changed_is_not_reopened(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.begin("tiny")
    record = run.folder / "run.yaml"
    record.write_text(record.read_text().replace("epochs: 20", "epochs: 200"))
    with pytest.raises(Problem, match="edition 'tiny' was changed since this run was begun; bring it up to date"):
        runs.reopen("tiny")
    runs.begin("tiny")
    assert runs.reopen("tiny").edition.recipe.epochs == 20


@pytest.mark.parametrize(("added", "dirty"), [("editions/own.yaml", True), ("notes.txt", False)])
def test_an_edition_that_is_not_committed_marks_the_commit(tmp_path, added, dirty):
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    (tmp_path / "editions").mkdir()
    (tmp_path / "editions" / "one.yaml").write_text("")
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert len(runs.commit(tmp_path)) == 12
    (tmp_path / added).write_text("")
    assert runs.commit(tmp_path).endswith("+") == dirty
    assert runs.commit(tmp_path / "editions") is not None
    (tmp_path / "installed").mkdir()
    assert runs.commit(tmp_path / "installed") is None, "a repository around a folder tells nothing of it"


def test_a_gpu_that_does_the_work_is_told_and_one_that_does_not_is_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.delenv("DEEPCOVID_DEVICE", raising=False)
    assert runs.device().endswith(", Tesla T4")
    monkeypatch.setenv("DEEPCOVID_DEVICE", "cpu")
    assert "Tesla" not in runs.device()
    monkeypatch.delenv("DEEPCOVID_DEVICE")
    monkeypatch.setitem(sys.modules, "torch", None)  # as where nothing has loaded it
    assert "Tesla" not in runs.device()


def test_a_note_that_was_edited_is_refused():
    run = runs.begin("tiny")
    with runs.timed(run, "curate"):
        pass
    assert runs.facts_of(run)["curate"]["device"] == runs.device()
    path = run.folder / "facts.json"
    path.write_text(path.read_text().replace(runs.device(), "Cray-1"))
    with pytest.raises(Problem, match=r"facts\.json: what it notes of 'curate' was changed since; delete the file"):
        runs.facts_of(run)


def test_the_commit_is_that_at_the_beginning(monkeypatch):
    told = iter(["one", "two", "three", "three", "four+", "five"])
    monkeypatch.setattr(runs, "commit", lambda folder: next(told))
    run = runs.begin("tiny")
    for stage, commit in (("a", "one+"), ("b", "three"), ("c", "four+")):
        with runs.timed(run, stage):
            pass
        assert runs.facts_of(run)[stage]["commit"] == commit


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("model name\t: AMD EPYC\ncpu family\t: 26\nmodel\t\t: 2\n", "AMD EPYC (family 26, model 2)"),
        ("model name\t: Some CPU\n", "Some CPU"),
    ],
)
def test_processors_of_one_name_are_told_apart(monkeypatch, tmp_path, told, expected):
    info = tmp_path / "cpuinfo"
    info.write_text(told)
    monkeypatch.setattr(runs, "Path", lambda _: info)
    assert runs.device().split(", ", 1)[1] == expected
