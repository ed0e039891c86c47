"""Numbers that were changed, belong elsewhere or are out of date: none reaches a book in silence."""

import shutil

import nbformat
import pytest
import yaml
from pandas import DataFrame

from deepcovid_lib import features, records, runner, runs, stages, staging
from deepcovid_lib.files import sha256, write_json
from deepcovid_lib.problems import Problem

AGAIN = "run deepcovid reproduce again"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that was begun, in an empty folder."""
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    return runs.begin("tiny")


def executed(run, **parameters):
    """An executed and sealed notebook of a run: its path."""
    asked = {"edition": run.edition_name, "run_name": run.name, "settings": run.settings} | parameters
    printed = nbformat.v4.new_output("stream", name="stdout", text="sensitivity 90%")
    cells = [
        nbformat.v4.new_markdown_cell("Sensitivity is 90%."),
        nbformat.v4.new_code_cell("print(found)", outputs=[printed], execution_count=1),
    ]
    path = run.folder / "notebooks" / "scores.ipynb"
    path.parent.mkdir(exist_ok=True)
    metadata = {"papermill": {"parameters": asked}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    runner.seal(path)
    return path


@pytest.mark.parametrize("part", ["Sensitivity is 90%", "print(found)", "sensitivity 90%", '"run_name": "tiny"'])
@pytest.mark.fault(
    "numbers",
    "the prose, the code, an output or a parameter of an executed notebook is edited by hand",
    done="the book is refused; the line names the notebook",
    lost="nothing",
    rerun="delete the executed notebook and give the same command again",
)
def test_an_executed_notebook_edited_by_hand_is_refused(run, part):
    path = executed(run)
    runner.check_seal(path, run)
    text = path.read_text()
    assert part in text
    path.write_text(text.replace(part, part.replace("90", "100").replace("found", "best").replace("tiny", "other")))
    with pytest.raises(Problem, match=rf"scores\.ipynb: was changed since it was executed; delete .*{AGAIN}"):
        runner.check_seal(path, run)


@pytest.mark.parametrize("other", [{"run_name": "phantom"}, {"edition": "phantom"}, {"settings": {"seed": 7}}])
@pytest.mark.fault(
    "numbers",
    "the executed notebook of another run lies among a run's own",
    done="the book is refused; the line names the notebook",
    lost="nothing",
    rerun="delete the executed notebook and give the same command again",
)
def test_a_notebook_of_another_run_is_refused(run, other):
    with pytest.raises(Problem, match=rf"scores\.ipynb: was executed for another run; .*{AGAIN}"):
        runner.check_seal(executed(run, **other), run)


@pytest.mark.fault(
    "numbers",
    "values lie in a run that no page of the book made",
    done="the book is refused; the line names their file",
    lost="nothing",
    rerun="delete the file",
)
def test_values_that_no_page_made_are_refused(run):
    executed(run)
    (run.folder / "values").mkdir()
    (run.folder / "values" / "old.json").write_text('{"auc": "0.99"}')
    with pytest.raises(Problem, match=r"results/tiny/values/old\.json: holds values that no page of the book made"):
        staging._refuse_unmade_values(run, ["notebooks/scores"])


@pytest.mark.parametrize("name", ["funnel.csv", "rejected.csv"])
@pytest.mark.fault(
    "numbers",
    "a table of the curation is edited by hand",
    done="it is refused with file and remedy wherever it would be shown",
    lost="nothing",
    rerun="curate again",
)
def test_a_changed_table_of_the_curation_is_refused(run, monkeypatch, name):
    monkeypatch.setattr(stages, "manifest", lambda run: None)
    path = run.folder / name
    path.write_text("source,step,rule,rows,patients\nphantom,1,films made,48,40\n")
    write_json({name: sha256(path)}, run.folder / "curated.json")
    read = {"funnel.csv": stages.funnel, "rejected.csv": stages.rejected}[name]
    assert read(run)["rows"].tolist() == [48]
    path.write_text(path.read_text().replace("48", "4800"))
    with pytest.raises(Problem, match=rf"{name}: was removed or changed since the curation; delete .*curate again"):
        read(run)


@pytest.mark.parametrize("name", ["scores/resnet18.csv", "history/resnet18.csv", "funnel.csv", "tab-dataset.csv"])
@pytest.mark.parametrize("unsealed", [False, True], ids=["its digest kept", "the digests removed"])
@pytest.mark.fault(
    "numbers",
    "a file of a recorded run is edited by hand, also with the digests removed",
    done="it is refused with file and remedy wherever it would be shown",
    lost="nothing",
    rerun="restore the file, or record the run again",
)
def test_a_changed_recorded_file_is_refused(tmp_path, monkeypatch, name, unsealed):
    shutil.copytree(records.folder() / "phantom", tmp_path / "phantom")
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    readers = {
        "scores": lambda: records.scores("phantom"),
        "history": lambda: records.history("phantom", "resnet18"),
    }
    read = readers.get(name.partition("/")[0], lambda: records.table("phantom", name.removesuffix(".csv")))
    read()
    path = tmp_path / "phantom" / name
    path.write_text(path.read_text().replace("1", "2", 1))
    if unsealed:
        (tmp_path / "phantom" / "digests.json").unlink()
    with pytest.raises(Problem, match="was removed or changed since it was recorded; restore it"):
        read()


@pytest.mark.fault(
    "numbers",
    "the code that reads, augments or passes images is changed under a full cache",
    done="no old entry is used; everything is computed again",
    lost="nothing",
    rerun="nothing to do",
)
def test_other_code_uses_no_entry_of_the_cache(monkeypatch):
    films = {"image_id": "a:1", "path": "film.png", "sha256": "ab" * 32, "copy": 0, "seed": 7}
    before = features._keys(DataFrame([films]))
    assert features._keys(DataFrame([films])) == before
    monkeypatch.setattr(features, "version", lambda: "other")
    assert features._keys(DataFrame([films])) != before


@pytest.mark.fault(
    "numbers",
    "an edition of synthetic films claims to test the paper",
    done="it is refused in one line before anything is made",
    lost="nothing",
    rerun="leave its tests_paper empty",
)
def test_synthetic_films_cannot_claim_to_test_the_paper(run):
    with pytest.raises(Problem, match="synthetic films test nothing of the paper"):
        runs.resolve("tiny", settings={"tests_paper": ["performance"]})


@pytest.mark.fault(
    "numbers",
    "a recorded run lacks a key of the edition that was added since",
    done="it stands for the key's default only; asked for another value, the replay is refused",
    lost="nothing",
    rerun="record the run again, or retrain",
)
def test_a_key_that_a_record_lacks_counts_as_its_default(tmp_path, monkeypatch):
    shutil.copytree(records.folder() / "phantom", tmp_path / "phantom")
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    path = tmp_path / "phantom" / "run.yaml"
    told = yaml.safe_load(path.read_text())
    del told["asked"]["preset"]
    path.write_text(yaml.safe_dump(told))
    assert records.of(runs.resolve("phantom", speed="replay")) == "phantom"
    with pytest.raises(Problem, match="with preset"):
        records.of(runs.resolve("phantom", settings={"preset.fit": "crop"}, speed="replay"))
