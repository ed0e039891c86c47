"""The pipeline's estimate, its reading of a failure, and what it finds out of date."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from deepcovid_lib import artefacts, pipeline, runs, stages
from deepcovid_lib.problems import Misuse, Problem


def test_the_estimate_follows_what_each_stage_took_before():
    seconds = {"extract-resnet18": 30.0, "extract-resnet50": 90.0, "scores": 10.0}
    assert pipeline._estimate({"extract": 2, "scores": 1}, seconds, 2) == ", about 2 min left"
    assert pipeline._estimate({"scores": 1}, seconds, 1) == ", about 10 s left"
    assert pipeline._estimate({"scores": 1}, {}, 1) == ""


def test_stages_belong_to_their_rules():
    assert pipeline._rule("extract-resnet18") == "extract"
    assert pipeline._rule("roc-and-confusion") == "roc_and_confusion"


def test_a_failure_is_read_from_the_log(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("Building DAG of jobs...\nMissingInputException in rule book:\nMissing input files:\n    index.md\n")
    assert pipeline._reason(log) == "MissingInputException in rule book: Missing input files: index.md"


def test_without_a_checkout_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    with pytest.raises(Problem, match="needs the project's checkout"):
        pipeline.reproduce(runs.begin("tiny"), audience="local")


def test_a_profile_says_where_the_work_is_done():
    options = pipeline._options(runs.root(), "laptop", None)
    assert options == ["--profile", str(runs.root() / "profiles" / "laptop")]
    assert pipeline._options(runs.root(), "laptop", 3)[2:] == ["--cores", "3"]


def test_a_profile_of_one_s_own_counts_jobs_where_its_executor_does(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("executor: cluster-generic\n")
    monkeypatch.setattr(pipeline.importlib.util, "find_spec", lambda name: name)
    assert pipeline._options(runs.root(), str(tmp_path), 7) == ["--profile", str(tmp_path), "--jobs", "7"]


def test_an_unknown_profile_or_a_missing_executor_is_a_misuse(monkeypatch):
    with pytest.raises(Misuse, match="no profile 'slrum'; choose laptop, slurm"):
        pipeline._options(runs.root(), "slrum", None)
    monkeypatch.setattr(pipeline.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Misuse, match="pip install snakemake-executor-plugin-slurm"):
        pipeline._options(runs.root(), "slurm", None)


def test_profiles_differ_only_in_where():
    profiles = {
        path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (runs.root() / "profiles").glob("*/config.yaml")
    }
    assert set(profiles) == {"laptop", "slurm"}
    assert "executor" not in profiles["laptop"]
    for name in ("rerun-incomplete", "keep-going", "nolock", "nocolor"):
        assert all(profile[name] is True for profile in profiles.values())


def test_a_failure_on_another_machine_is_told_in_its_own_words(tmp_path):
    elsewhere = tmp_path / "12.log"
    elsewhere.write_text("deepcovid: done scores 3.1\ndeepcovid: film.png: is cut short; fetch the file again\n")
    log = tmp_path / "log.txt"
    log.write_text(f"Error in rule part:\n    log: {elsewhere} (check log file(s) for error details)\n")
    assert pipeline._elsewhere(log) == ["film.png: is cut short; fetch the file again"]


@pytest.fixture
def curated(tmp_path, monkeypatch):
    """A run of eight films in an empty folder, curated."""
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    two = {"train": 2, "test": 2}
    run = runs.begin("tiny", settings={"split.covid": two, "split.normal": two, "split.each_other": None})
    stages.curate(run)
    return run


def test_a_film_that_was_replaced_is_refused_before_anything_runs(curated):
    pipeline._forget_outdated(curated)
    film = Path(stages.manifest(curated)["path"].iloc[3])
    film.write_bytes(film.read_bytes() + b" ")
    with pytest.raises(Problem, match=f"{film.name}: has changed since the manifest was written"):
        pipeline._forget_outdated(curated)
    assert curated.manifest.is_file()


def test_a_page_whose_table_was_overwritten_is_made_anew(curated, capsys):
    artefacts.table(curated, "tab-one", pd.DataFrame({"auc": [0.5]}), caption="One.")
    said = {"slug": "tab-one", "sha256": artefacts.digest(curated, "tab-one")}
    page = curated.folder / "notebooks" / "one.ipynb"
    page.parent.mkdir(parents=True)
    output = nbformat.v4.new_output("display_data", metadata={"deepcovid": said})
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])]), page)
    pipeline._forget_outdated(curated)
    assert page.is_file()
    (curated.folder / "tables" / "tab-one.csv").write_text("auc\n0.9\n")
    pipeline._forget_outdated(curated)
    assert not page.exists()
    assert "one is made anew: it shows 'tab-one', changed since it was made" in capsys.readouterr().err
