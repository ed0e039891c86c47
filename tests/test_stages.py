"""The stages on the tiny edition, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from deepcovid_lib import cards, cli, editions, heads, manifest, predict, runs, stages
from deepcovid_lib.files import sha256, write_json
from deepcovid_lib.problems import Misuse

ROOT = Path(__file__).parent.parent
SETTINGS = {
    "models": ["resnet18"],
    "split.normal": {"train": 3, "test": 3},
    "split.covid": {"train": 3, "test": 3},
    "split.each_other": None,
    "recipe.epochs": 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    before = os.environ.get("DEEPCOVID_ROOT")
    os.environ["DEEPCOVID_ROOT"] = str(tmp_path_factory.mktemp("root"))
    yield runs.begin("tiny", settings=SETTINGS)
    os.environ.pop("DEEPCOVID_ROOT") if before is None else os.environ.update(DEEPCOVID_ROOT=before)


def test_scores_come_with_everything_before_them(run):
    scores = stages.scores(run, "resnet18")
    films = stages.manifest(run)
    assert len(films) == 6 + 6
    assert stages.funnel(run)["rows"].iloc[0] == len(films)
    assert stages.rejected(run).empty
    assert not len(manifest.overlap(films))
    assert set(scores["image_id"]) == set(films.loc[films["split"] == "test", "image_id"])
    assert all(not Path(path).is_absolute() for path in pd.read_csv(run.manifest)["path"])


def test_phantoms_that_another_run_drew_are_counted(run):
    stages.manifest(run)
    drawn, asked = len(stages.manifest(run)), {"recipe.epochs": 4}
    assert stages.drawn_before(runs.resolve("tiny", settings=SETTINGS | asked)) == drawn
    assert stages.drawn_before(runs.resolve("tiny", settings=SETTINGS | {"seed": 3})) == 0
    assert stages.drawn_before(runs.resolve("open-cxr")) == 0


def test_a_second_call_makes_nothing_again(run):
    before = {path: path.stat().st_mtime_ns for path in stages.fit(run, "resnet18").iterdir()}
    stages.scores(run, "resnet18")
    assert {path: path.stat().st_mtime_ns for path in run.fit("resnet18").iterdir()} == before


def test_a_page_made_anew_does_not_date_the_training(run):
    stages.scores(run, "resnet18")
    began = runs.trained(runs.facts_of(run), "resnet18")["started"]
    with runs.timed(run, "finetune-resnet18"):
        stages.scores(run, "resnet18")
    later = {"finetune-resnet18": {"started": "2999-01-01T00:00:00+00:00"}}
    write_json(runs.facts_of(run) | later, run.folder / "facts.json")
    assert runs.trained(runs.facts_of(run), "resnet18")["started"] == began
    assert cards.environment(run).startswith(f"Trained on {began[:10]}")


def test_a_head_that_was_brought_here_is_not_dated_by_its_page(run):
    stages.scores(run, "resnet18")
    noted = runs.facts_of(run)
    assert noted["trained-resnet18"]["head"] == sha256(run.fit("resnet18") / "head.safetensors")
    brought = {key: value for key, value in noted["trained-resnet18"].items() if key != "sha256"} | {"head": "another"}
    write_json({"trained-resnet18": brought}, run.folder / "facts.json")
    with runs.timed(run, "finetune-resnet18"):
        stages.fit(run, "resnet18")
    assert runs.trained(runs.facts_of(run), "resnet18") is None
    assert cards.environment(run) == "Where the heads were trained was not noted."
    assert runs.retrain_seconds(run, "finetune-resnet18") is None
    write_json(noted, run.folder / "facts.json")


@pytest.mark.parametrize("kind", ["json", "csv", "table"])
def test_scores_are_told_with_all_their_digits(run, monkeypatch, capsys, kind):
    told = pd.DataFrame({"path": ["a.png", "b.png"], "score": [1.395e-13, 0.9999999999999039]})
    monkeypatch.setattr(predict, "score_files", lambda *_: (told, []))
    monkeypatch.setattr(predict, "of_this_code", lambda _: True)
    monkeypatch.setattr(predict, "trained_on", lambda _: [])
    assert cli.main(["predict", "--head", "x", "--format", kind, "a.png", "b.png"]) == 0
    shown = capsys.readouterr()
    assert "1.395e-13" in shown.out
    assert "0.9999999999999039" in shown.out
    assert "trained on what it does not tell" in shown.err


def test_a_head_tells_what_it_was_trained_on(run):
    head = stages.fit(run, "resnet18") / "head.safetensors"
    assert predict.trained_on(head) == ["synthetic radiographs", "untrained networks"]


def test_a_head_made_again_is_the_same_to_the_byte(run):
    head = stages.fit(run, "resnet18") / "head.safetensors"
    before = head.read_bytes()
    head.unlink()
    stages.fit(run, "resnet18")
    assert head.read_bytes() == before


def test_a_saved_head_gives_the_same_score_to_the_same_file(run):
    scores = stages.scores(run, "resnet18").set_index("image_id")["score"]
    films = stages.manifest(run).set_index("image_id")["path"]
    name = scores.index[0]
    told, refused = predict.score_files(
        [Path(films[name]), ROOT / "README.md"], stages.fit(run, "resnet18") / "head.safetensors"
    )
    assert abs(told["score"].item() - scores[name]) < 1e-5
    assert len(refused) == 1
    assert "README.md" in str(refused[0])


def test_the_head_says_what_it_belongs_to(run):
    metadata = heads.load(stages.fit(run, "resnet18") / "head.safetensors", expect={"backbone": "resnet18"})[1]
    assert metadata["preset"] == "224-squash"
    assert metadata["recipe"]["epochs"] == 3


def test_a_model_the_run_does_not_have_is_refused(run):
    with pytest.raises(Misuse, match="no model 'resnet50'"):
        stages.fit(run, "resnet50")


def test_a_notebook_alone_obtains_what_it_lacks(tmp_path):
    target = tmp_path / "out.ipynb"
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(ROOT / "notebooks" / "reliability.ipynb"),
        str(target),
        "--no-progress-bar",
        *("-p", "run_name", "alone", "-y", "settings: {models: [resnet18], split.each_other: null}"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "DEEPCOVID_ROOT"}
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    assert (tmp_path / "results" / "alone" / "tables" / "tab-reliability.csv").is_file()


@pytest.mark.parametrize(("images", "tested"), [(40, True), (100, False)])
def test_only_as_many_images_as_the_papers_test_its_performance(monkeypatch, images, tested):
    run = runs.resolve("covid-xray-5k")
    monkeypatch.setattr(stages, "counts", lambda run: pd.DataFrame({"run": [31, images], "paper": [31, 40]}))
    assert stages.tests_performance(run) == tested
    assert ("tested here" in stages.trust(run)) == tested
    assert ("not as many" in stages.trust(run)) != tested


@pytest.mark.parametrize(
    ("positive", "kept", "tested"), [(102, 71, True), (102, 72, False), (103, 71, False), (None, None, False)]
)
def test_a_later_state_of_the_collection_tests_nothing_of_the_paper(monkeypatch, tmp_path, positive, kept, tested):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.begin("covid-xray-5k-rebuilt")
    monkeypatch.setattr(stages, "counts", lambda run: pd.DataFrame({"run": [31, 40], "paper": [31, 40]}))
    if kept:
        rules = ["rows of metadata.csv", "modality is X-ray", "finding contains COVID-19", "view is PA", "frontal"]
        steps = pd.DataFrame({"source": ["cohen"] * 4 + ["chexpert"], "rule": rules})
        steps.assign(rows=[149, 126, positive, kept, 9]).to_csv(run.folder / "funnel.csv", index=False)
    assert (stages.tests_counts(run), stages.tests_performance(run)) == (tested, tested)
    assert ("tested here" in stages.trust(run)) == tested
    assert ("the rows that they were chosen from, are not as many" in stages.trust(run)) != tested


def test_synthetic_films_test_no_performance():
    assert not stages.tests_performance(runs.resolve("phantom"))


@pytest.mark.parametrize(
    ("edition", "settings", "said"),
    [
        ("covid-xray-5k", {"recipe.epochs": 50}, "has other images, networks, settings or another recipe"),
        ("covid-xray-5k", {"seed": 7}, "has other images, networks, settings or another recipe"),
        ("phantom", {}, "uses synthetic radiographs and untrained networks"),
        ("open-cxr", {}, "uses other images,"),
        ("open-cxr", {"weights": "random"}, "uses other images and untrained networks"),
        ("covid-xray-5k", {"tests_paper": [], "copies": 4}, "has other images, networks, settings or another recipe"),
        ("covid-xray-5k", {"tests_paper": []}, "declares no test of the paper's results (tests_paper)"),
        ("covid-xray-5k-rebuilt", {"tests_paper": ["counts"]}, "declares no test of the paper's results"),
    ],
)
def test_why_a_run_tests_nothing_of_the_paper_is_told_as_it_is(edition, settings, said):
    assert said in stages.trust(runs.resolve(edition, settings=settings))


@pytest.mark.parametrize(
    ("settings", "counts", "performance"),
    [
        ({"engine": "pytorch"}, True, True),
        ({"recipe.epochs": 50}, True, False),
        ({"copies": 4}, False, False),
    ],
)
def test_a_setting_takes_from_the_paper_what_it_bears_on(settings, counts, performance):
    run = runs.resolve("covid-xray-5k", settings=settings)
    assert (run.tests("counts"), run.tests("performance")) == (counts, performance)


@pytest.mark.parametrize(
    ("change", "counts", "performance"),
    [
        (("negatives: chexpert", "negatives: nih"), False, False),
        (("seed: 2020", "options: {cohen: {views: [PA, AP]}}\nseed: 2020"), False, False),
        (("normal: {train: 700, test: 1700}", "normal: {train: 7, test: 17}"), False, False),
        (("copies: 16", "copies: 4"), False, False),
        (("seed: 2020", "preset: {fit: crop}\nseed: 2020"), True, False),
        (("seed: 2020", "seed: 2021"), True, True),
    ],
)
def test_a_copied_edition_tests_the_paper_only_as_far_as_it_does_the_same(
    monkeypatch, tmp_path, change, counts, performance
):
    text = (editions.folder() / "covid-xray-5k-rebuilt.yaml").read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "own.yaml").write_text(text.replace(*change), encoding="utf-8")
    monkeypatch.setattr(editions, "folder", lambda: tmp_path)
    run = runs.resolve("own")
    assert (run.tests("counts"), run.tests("performance")) == (counts, performance)
    if not performance:
        assert "has other images, networks, settings or another recipe" in stages.trust(run)


def test_a_run_with_a_manifest_is_not_planned_over(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.begin("tiny")
    run.manifest.write_text("chosen")
    with pytest.raises(Misuse, match="has its manifest already; plan under another name"):
        stages.plan(run)
