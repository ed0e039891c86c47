"""Numbers that were changed, belong elsewhere or are out of date: none reaches a book in silence."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas import DataFrame
from PIL import Image

from deepcovid_lib import (
    artefacts,
    attributions,
    cards,
    controls,
    features,
    films,
    leakage,
    lineage,
    metrics,
    people,
    pipeline,
    records,
    runner,
    runs,
    sides,
    site,
    stages,
    staging,
    tables,
    thresholds,
    thumbnails,
    training,
)
from deepcovid_lib.files import sha256, write_json
from deepcovid_lib.phantoms import cues
from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import phantom

SMALL = {"models": ["resnet18"], "split.covid": {"train": 3, "test": 3}, "split.normal": {"train": 3, "test": 3}}
SMALL |= {"split.each_other": None}
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
    made_from = run.folder / "scores.csv"
    made_from.write_text("image_id,score\nx:1,0.9\n")
    name = made_from.relative_to(run.root).as_posix()
    runner.seal(path, {name: sha256(made_from)}, {"seed": run.edition.seed})
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
    "what a page was made from is not there as it was: a record that was made anew, changed code or scores; the time "
    "stamps are misleading",
    done="the book is refused, the line names page and file; `reproduce` makes such a page anew by itself",
    lost="nothing",
    rerun="give the command again",
)
@pytest.mark.parametrize("gone", [False, True], ids=["changed", "gone"])
def test_a_page_made_from_other_files_is_refused_and_made_anew(run, gone):
    path = executed(run)
    source = run.folder / "scores.csv"
    was = source.stat()
    source.write_text(source.read_text().replace("0.9", "0.1"))
    os.utime(source, ns=(was.st_atime_ns, was.st_mtime_ns))
    if gone:
        source.unlink()
    told = r"scores\.ipynb: was made from another results/tiny/scores\.csv; run deepcovid reproduce again"
    with pytest.raises(Problem, match=told):
        runner.check_seal(path, run)
    pipeline._forget_outdated(run)
    assert not path.exists()


@pytest.mark.fault(
    "numbers",
    "a source's label table is edited after the curation",
    done="the manifest counts as out of date: it is refused in one line, and `reproduce` makes it anew by itself",
    lost="nothing",
    rerun="give the command again",
)
def test_an_edited_label_table_makes_the_manifest_out_of_date(run):
    run = runs.begin("open-cxr", name="real", settings={"weights": "random"})
    listed = [run.source_folder("cohen") / "metadata.csv", run.source_folder("nih") / "labels" / "Data_Entry.csv.gz"]
    for path in listed:
        path.parent.mkdir(parents=True)
        path.write_text("patientid,finding\n1,COVID-19\n")
    run.manifest.write_text("image_id\n")
    write_json(stages._curating(run), run.folder / "curated.json")
    assert not stages.outdated(run)
    for path in listed:
        good = path.read_text()
        path.write_text(good.replace("COVID-19", "SARS"))
        assert stages.outdated(run)
        path.write_text(good)
    shutil.rmtree(listed[0].parent)
    assert not stages.outdated(run)


@pytest.mark.fault(
    "numbers",
    "a film is overwritten after the curation, and features or small copies of it are gone from the cache",
    done="it is refused by name wherever it would be read: for features, small copies, duplicates, examples and maps",
    lost="nothing",
    rerun="restore the film, or curate again",
)
def test_an_overwritten_film_is_refused_wherever_it_is_read(run):
    run = runs.begin("tiny", name="small", settings=SMALL | {"split.each_other": {"train": 1, "test": 1}})
    rows = stages.manifest(run)
    readers = {
        "features": lambda: stages.extract(run, "resnet18"),
        "small copies": lambda: thumbnails.gather(rows, cache=run.cache),
        "duplicates": lambda: leakage.near_duplicates(rows),
        "examples": lambda: films.samples(run),
        "marks": lambda: films.marked(run),
        "maps": lambda: attributions.squares(run, rows),
        "control": lambda: controls.pool(run),
        "training": lambda: training.squares(features.requests(rows, copies=1, seed=0), stages.preset(run)),
    }
    for path in rows["path"]:
        Image.new("L", (64, 64), 9).save(path)
    for name, read in readers.items():
        with pytest.raises(Problem, match=r"\.png: has changed since the manifest was written; restore it, or curate"):
            read()
            pytest.fail(f"{name} read it")


@pytest.mark.fault(
    "numbers",
    "a synthetic film, its masks or the table of the synthetic patients is overwritten in the cache",
    done="it is refused by name wherever it would be read, and by the curation",
    lost="nothing",
    rerun="delete it, and it is drawn again",
)
def test_what_was_drawn_and_changed_since_is_refused(tmp_path):
    asked = {"covid": 2, "normal": 2, "each_other": 0, "seed": 0}
    rows = phantom.candidates(tmp_path, **asked).rows
    film = Path(rows["path"][0])
    mask = tmp_path / "masks" / f"{film.stem}-lungs.png"
    table = tmp_path / "metadata.csv"
    phantom.masks(film)
    rows = rows.assign(split="test")
    assert not people.told(rows).empty
    readers = {
        mask: lambda: phantom.masks(film),
        table: lambda: people.told(rows),
        film: lambda: phantom.candidates(tmp_path, **asked),
    }
    for path, read in readers.items():
        good = path.read_bytes()
        path.write_bytes(good + b"\n")
        with pytest.raises(Problem, match=rf"{path.name}: has changed since"):
            read()
        path.write_bytes(good)
    film.unlink()
    phantom.candidates(tmp_path, **asked)
    assert film.is_file()


@pytest.mark.fault(
    "numbers",
    "a table, or the data of a figure, is edited or added by hand before results are archived or a run is recorded",
    done="it is refused; the line names the notebook that made it, or the file that none made",
    lost="nothing",
    rerun="delete the executed notebook and give the same command again",
)
@pytest.mark.parametrize("kind", ["tables/tab-x.csv", "tables/tab-x.json", "values/x.json"])
def test_an_edited_table_is_neither_archived_nor_recorded(run, kind):
    path = executed(run)
    shown = artefacts.table(run, "tab-x", DataFrame({"auc": [0.5]}), caption="X.")
    with pytest.raises(Problem, match=r"tab-x\.csv: was made by no notebook of the run"):
        runner.check_all(run)
    artefacts.values(run, "x", {"auc": 0.5})
    said = {"slug": "tab-x", "sha256": shown.digest}, {"values": "x", "sha256": sha256(run.folder / "values/x.json")}
    known = nbformat.read(path, as_version=4)
    known.cells[1].outputs += [nbformat.v4.new_output("display_data", metadata={"deepcovid": each}) for each in said]
    nbformat.write(known, path)
    runner.seal(path, {}, {})
    runner.check_all(run)
    stray = (run.folder / kind).with_name("mine" + Path(kind).suffix)
    stray.write_text("auc\n0.9\n")
    with pytest.raises(Problem, match=rf"{stray.name}: was made by no notebook of the run"):
        runner.check_all(run)
    stray.unlink()
    edited = run.folder / kind
    edited.write_text(edited.read_text().replace("0.5", "0.9"))
    with pytest.raises(Problem, match=rf"scores\.ipynb: shows .*, changed since it was made; .*{AGAIN}"):
        runner.check_all(run)


@pytest.mark.fault(
    "numbers",
    "prose, code or a record beside the notebooks is changed, and the time stamps are misleading",
    done="the book counts as another; `reproduce` builds it anew by itself",
    lost="nothing",
    rerun="give the command again",
)
@pytest.mark.parametrize(
    "name",
    ["index.md", "book/limits.md", "recorded/faults.json", "deepcovid_lib/metrics.py", "deepcovid_lib/tripod.yaml"],
)
def test_a_book_of_other_prose_counts_as_another(run, name):
    path = run.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("40 of 40")
    before = site.written(run)
    assert site.written(run) == before
    path.write_text("39 of 40")
    assert site.written(run) != before


@pytest.mark.fault(
    "numbers",
    "a page is out of date, or was deleted, and the finished book still stands",
    done="the book counts as another; `reproduce` makes the page and the book anew",
    lost="nothing",
    rerun="give the command again",
)
def test_a_book_without_one_of_its_pages_counts_as_another(run):
    path = executed(run)
    before = site.written(run)
    shutil.copy(path, path.with_name("other.failed.ipynb"))
    assert site.written(run) == before
    (run.root / "book").mkdir()
    stamp = run.folder / "book-local.txt"
    stamp.write_text(f"book\n{before}\n")
    pipeline._forget_outdated(run)
    assert stamp.is_file()
    (run.folder / "scores.csv").write_text("another")
    pipeline._forget_outdated(run)
    assert not path.exists()
    assert not stamp.exists()


@pytest.mark.fault(
    "numbers",
    "an edition's file is edited, and Snakemake's notes are lost",
    done="pages and manifest of the former edition are refused; `reproduce` makes them anew by itself",
    lost="nothing",
    rerun="give the command again",
)
def test_what_another_edition_asked_for_is_refused_and_made_anew(run):
    run = runs.begin("tiny", name="small", settings=SMALL)
    stages.manifest(run)
    path = executed(run)
    runner.check_seal(path, run)
    other = replace(run, edition=run.edition.model_copy(update={"seed": run.edition.seed + 1}))
    with pytest.raises(Problem, match=r"scores\.ipynb: was executed for an edition with another seed; run deepcovid"):
        runner.check_seal(path, other)
    with pytest.raises(Problem, match=r"manifest\.csv: was curated by other code, from other tables or for an"):
        stages.manifest(other)
    pipeline._forget_outdated(other)
    assert not path.exists()
    assert not run.manifest.exists()


@pytest.mark.fault(
    "numbers",
    "the code that orders and draws synthetic films is changed under a full cache",
    done="no old film is used; all are drawn again",
    lost="nothing",
    rerun="nothing to do",
)
@pytest.mark.parametrize("module", [phantom, cues], ids=["orders", "draws"])
def test_other_code_uses_no_film_of_the_cache(tmp_path, monkeypatch, module):
    drawn = phantom.candidates(tmp_path / phantom.version(), covid=1, normal=1, each_other=0, seed=0).rows
    before = phantom.version()
    edited = Path(module.__file__).read_bytes() + b"# changed"
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: edited if path == Path(module.__file__) else read(path))
    assert phantom.version() != before
    with pytest.raises(Problem, match=r"holds other phantoms \(version\)"):
        phantom.candidates(tmp_path / before, covid=1, normal=1, each_other=0, seed=0)
    assert len(drawn) == 2


@pytest.mark.fault(
    "numbers",
    "scores are edited in a recorded run that is compared with another",
    done="the comparison is refused; the line names the file",
    lost="nothing",
    rerun="restore the file",
)
def test_runs_with_changed_scores_are_not_compared(tmp_path, monkeypatch):
    shutil.copytree(records.folder() / "phantom", tmp_path / "recorded" / "phantom")
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    here = str(tmp_path / "recorded" / "phantom")
    assert sides.read(here).scores
    path = tmp_path / "recorded" / "phantom" / "scores" / "resnet18.csv"
    path.write_text(path.read_text().replace("0.1", "0.9", 1))
    with pytest.raises(Problem, match=r"resnet18\.csv: was removed or changed since it was recorded; restore it"):
        sides.read(here)


@pytest.mark.fault(
    "numbers",
    "a reader copies a threshold from a table and applies it to the scores",
    done="every printed threshold makes the very calls whose rates stand beside it, in as many digits as that takes",
    lost="nothing",
    rerun="nothing to do",
)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=60))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_printed_threshold_gives_the_printed_rates(count_inputs, scored):
    positive, score = (np.array(column) for column in zip(*scored, strict=True))
    if not positive.any():
        return
    labels = np.where(positive, "covid", "non_covid")
    frame = DataFrame({"label": labels, "score": score, "patient_id": [f"p{n}" for n in range(len(score))]})
    shown = [tables.confusion_matrices({"resnet18": frame}), tables.thresholds(frame, "resnet18", comparable=False)]
    shown += [cards.performance({"resnet18": frame}), thresholds.promises(frame, frame)]
    for table in shown:
        for row in table.to_dict("records"):
            printed = float(artefacts._cell(row["threshold"], "threshold"))
            assert ((score >= printed) & positive).sum() / positive.sum() == pytest.approx(_sensitivity(row))
    count_inputs(len(shown))


def _sensitivity(row):
    return row["sensitivity"] if "sensitivity" in row else row["tp"] / (row["tp"] + row["fn"])


@pytest.mark.fault(
    "numbers",
    "a manifest was curated by other code, and the time stamps are misleading",
    done="it is refused in one line; `reproduce` makes it anew by itself",
    lost="nothing",
    rerun="give the command again",
)
def test_a_manifest_of_other_code_is_refused_and_made_anew(run, monkeypatch):
    run = runs.begin("tiny", name="small", settings=SMALL)
    stages.manifest(run)
    monkeypatch.setattr(lineage, "CURATING", ("images",))
    monkeypatch.setitem(stages.BEGAN, ("images",), lineage.code(("images",)))
    with pytest.raises(Problem, match=r"manifest\.csv: was curated by other code, .*; delete it to curate again"):
        stages.manifest(run)
    pipeline._forget_outdated(run)
    assert not run.manifest.exists()


@pytest.mark.fault(
    "numbers",
    "the library or a label table is changed while images are chosen or a head is trained",
    done="nothing is kept; one line says what was changed",
    lost="the time of that stage",
    rerun="give the command again; in Jupyter, restart the kernel",
)
def test_what_is_changed_while_a_stage_runs_is_not_sealed_as_what_ran(run, monkeypatch):
    run = runs.begin("tiny", name="small", settings=SMALL)
    tables = iter([{"a.csv": "before"}, {"a.csv": "after"}])
    with monkeypatch.context() as patch, pytest.raises(Problem, match="a label table was changed while images were"):
        patch.setattr(stages, "_label_tables", lambda run: next(tables))
        stages.manifest(run)
    code, choose = lineage.code, stages.curation.curate
    with monkeypatch.context() as patch, pytest.raises(Problem, match="the library was changed while it ran; start ag"):
        pulled = {"": ""}

        def curate(*given, **asked):
            pulled.update({"": "+"})
            return choose(*given, **asked)

        patch.setattr(stages.curation, "curate", curate)
        patch.setattr(lineage, "code", lambda modules: code(modules) + pulled[""])
        stages.manifest(run)
    assert not run.manifest.exists()
    stages.manifest(run)
    with monkeypatch.context() as patch, pytest.raises(Problem, match="the library was changed while it ran; start ag"):
        patch.setattr(lineage, "code", lambda modules: "pulled" if "finetune" in modules else code(modules))
        stages.fit(run, "resnet18")
    assert not list(run.fit("resnet18").glob("*"))


@pytest.mark.fault(
    "numbers",
    "a manifest is edited by hand before the pipeline runs",
    done="the pipeline refuses it before it trains on it",
    lost="nothing: what was trained before is still there",
    rerun="restore the manifest, or delete it to curate again",
)
def test_the_pipeline_refuses_an_edited_manifest(run):
    run = runs.begin("tiny", name="small", settings=SMALL)
    stages.manifest(run)
    run.manifest.write_text(run.manifest.read_text().replace(",PA,", ",AP,", 1))
    with pytest.raises(Problem, match=r"manifest\.csv: was removed or changed since the curation"):
        pipeline._forget_outdated(run)
    assert ",AP," in run.manifest.read_text()


@pytest.mark.fault(
    "numbers",
    "the installed library is not the checkout's",
    done="`reproduce` refuses to begin; the line names the first module that differs",
    lost="nothing",
    rerun="install the checkout: pip install .",
)
def test_a_library_that_is_not_the_checkout_s_is_refused(run):
    own = run.root / "deepcovid_lib" / "metrics.py"
    own.parent.mkdir()
    shutil.copy(metrics.__file__, own)
    pipeline._refuse_another_library(run)
    own.write_text(own.read_text() + "# changed\n")
    with pytest.raises(Problem, match=r"deepcovid_lib/metrics\.py: is not what is installed .*; install the checkout"):
        pipeline._refuse_another_library(run)
    shutil.copy(metrics.__file__, own)
    printed = own.with_name("paper.yaml")
    printed.write_text(Path(metrics.__file__).with_name("paper.yaml").read_text() + "# changed\n")
    with pytest.raises(Problem, match=r"deepcovid_lib/paper\.yaml: is not what is installed"):
        pipeline._refuse_another_library(run)


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


@pytest.mark.fault(
    "interruption",
    "half-written temporary files of a killed run lie among its pages, figures, tables and values",
    done="none of them is read, nor counts as a page, an artefact or a value, before they are swept away",
    lost="nothing",
    rerun="give the same command again",
)
def test_what_a_killed_run_left_half_written_is_not_read(run):
    path = executed(run)
    artefacts.values(run, "x", {"auc": 0.5})
    told = nbformat.read(path, as_version=4)
    said = {"values": "x", "sha256": sha256(run.folder / "values" / "x.json")}
    told.cells[1].outputs.append(nbformat.v4.new_output("display_data", metadata={"deepcovid": said}))
    nbformat.write(told, path)
    runner.seal(path, {}, {})
    before = site.written(run)
    left = [f"{kind}/.half.json" for kind in ("figures", "tables", "values")] + ["notebooks/.speed.running.ipynb"]
    for name in left:
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_text('{"cells": [')
    pipeline._forget_outdated(run)
    runner.check_all(run)
    staging._refuse_unmade_values(run, ["notebooks/scores"])
    assert path.is_file()
    assert artefacts.published(run) == {}
    assert artefacts.quoted(run.folder) == {"auc": "0.5"}
    assert site.written(run) == before
    for name in left:
        os.utime(run.folder / name, (0, 0))
    pipeline._sweep(run)
    assert not any((run.folder / name).exists() for name in left)


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
    with pytest.raises(Problem, match=rf"{name}: was removed or changed since the curation; .*curate again"):
        read(run)


@pytest.mark.parametrize(
    "name", ["scores/resnet18.csv", "history/resnet18.csv", "funnel.csv", "tab-dataset.csv", "run.yaml", "facts.json"]
)
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
        "run.yaml": lambda: records.told("phantom"),
        "facts.json": lambda: records.facts("phantom"),
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
    film = {"image_id": "a:1", "path": "film.png", "sha256": "ab" * 32, "copy": 0, "seed": 7}
    before = features._keys(DataFrame([film]))
    assert features._keys(DataFrame([film])) == before
    monkeypatch.setattr(features, "version", lambda: "other")
    assert features._keys(DataFrame([film])) != before


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
    "an edition sets phantoms of one class against real films of the other",
    done="it is refused in one line before anything is made",
    lost="nothing",
    rerun="draw both classes or neither",
)
@pytest.mark.parametrize("mixed", [{"negatives": "nih"}, {"positives": "cohen"}])
def test_phantoms_are_not_compared_with_real_films(run, mixed):
    with pytest.raises(Problem, match="draw both classes or neither"):
        runs.resolve("tiny", settings=mixed)


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
    records.seal(tmp_path / "phantom")
    assert records.of(runs.resolve("phantom", speed="replay")) == "phantom"
    with pytest.raises(Problem, match="with preset"):
        records.of(runs.resolve("phantom", settings={"preset.fit": "crop"}, speed="replay"))
