"""Things of different origin that meet: scores and recipes, records and ladders, books and prose."""

import shutil

import numpy as np
import pandas as pd
import pytest
from fitted import write_head
from PIL import Image

from deepcovid_lib import (
    archive,
    claims,
    comparison,
    features,
    findings,
    leakage,
    lineage,
    people,
    predict,
    records,
    runs,
    sides,
    site,
    stages,
)
from deepcovid_lib.files import read_json, write_json
from deepcovid_lib.findings import Evidence
from deepcovid_lib.problems import Problem


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with scores of two models, in an empty folder."""
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "recorded")
    run = runs.begin("tiny", settings={"models": ["resnet18", "squeezenet"]})
    for model in run.edition.models:
        score(run, model, [0.9, 0.8, 0.2, 0.1])
    return run


def score(run, model, values):
    folder = run.fit(model)
    folder.mkdir(parents=True, exist_ok=True)
    label = ["covid", "covid", "non_covid", "non_covid"]
    frame = pd.DataFrame({"image_id": list("abcd"), "patient_id": list("abcd"), "label": label})
    frame["finding"] = frame["label"].map({"covid": "COVID-19", "non_covid": "No Finding"})
    frame["group"] = frame["label"].map({"covid": "covid", "non_covid": "normal"})
    frame.assign(score=values).to_csv(folder / "scores.csv", index=False)
    write_head(folder, run.manifest, code="one")


def released(folder):
    """A small archive of the authors; its COVID-19 images bear names that tell no patient."""
    rng = np.random.default_rng(0)
    for side, number in (("train", 1), ("test", 2)):
        for name in (f"covid/film-{number}.png", f"non/Edema-patient0{number}-study1-view1_frontal.png"):
            path = folder / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    return folder


@pytest.mark.fault(
    "numbers",
    "an edition's recipe is edited after training, and the run is compared, archived or recorded",
    done="it is refused; the line says which setting the head was trained with",
    lost="nothing",
    rerun="train again",
)
def test_scores_are_not_told_under_a_recipe_that_did_not_give_them(run, tmp_path):
    assert sides.read(run.name).scores
    path = run.folder / "run.yaml"
    path.write_text(path.read_text().replace("epochs: 20", "epochs: 40"))
    with pytest.raises(Problem, match=r"head.safetensors: is not this run's: recipe is .*'epochs': 20.*delete"):
        sides.read(run.name)
    with pytest.raises(Problem, match="is not this run's: recipe is"):
        archive.results(run, tmp_path)


@pytest.mark.fault(
    "numbers",
    "one model's head and scores are copied into another model's folder",
    done="the comparison is refused; the line names the backbone that the head belongs to",
    lost="nothing",
    rerun="delete the folder and train again",
)
def test_scores_of_another_model_are_not_compared(run):
    shutil.copytree(run.fit("resnet18"), run.fit("squeezenet"), dirs_exist_ok=True)
    with pytest.raises(Problem, match="is not this run's: backbone is resnet18, not squeezenet"):
        sides.read(run.name)


@pytest.mark.fault(
    "numbers",
    "two runs are compared whose training code differs, in a checkout with changed files",
    done="the code is listed as different, and the commit as not known",
    lost="nothing",
    rerun="nothing to do",
)
def test_changed_training_code_is_an_input_that_differs(run):
    other = runs.begin("tiny", name="other", settings=run.settings)
    for model in other.edition.models:
        score(other, model, [0.9, 0.3, 0.4, 0.1])
        write_head(other.fit(model), other.manifest, code="two")
    for each in (run, other):
        write_json({"curate": {"commit": "0123456789ab+"}}, each.folder / "facts.json")
    one, two = (sides.entered(sides.read(each.name)) for each in (run, other))
    assert one["software", "code that trained ResNet18"] != two["software", "code that trained ResNet18"]
    assert one["software", "commit"] is None
    compared = comparison.compare(*(sides.read(each.name) for each in (run, other)))
    assert "inputs differ in: code that trained ResNet18" in compared.conclusion


@pytest.mark.fault(
    "numbers",
    "a run is recorded again with other scores, beside a ladder and sweeps measured from the former ones",
    done="what was measured from the former scores leaves the record with them",
    lost="the former record, which the checkout's history keeps",
    rerun="measure the ladder and the sweeps again",
)
def test_a_record_keeps_no_table_of_former_scores(run):
    target = records.keep(run)
    (target / "tables").mkdir()
    (target / "tables" / "tab-ladder.csv").write_text("rung,auc\nresnet18,1.0\n")
    records.seal(target)
    sweeps = records.folder() / f"recipes-{run.name}"
    sweeps.mkdir()
    records.keep(run)
    assert sweeps.is_dir()
    assert records.table(run.name, "tables/tab-ladder")["auc"].tolist() == [1.0]
    score(run, "resnet18", [0.1, 0.8, 0.2, 0.9])
    records.keep(run)
    assert not (target / "tables").exists()
    assert not sweeps.exists()
    assert set(read_json(target / "digests.json")) >= {"scores/resnet18.csv", "run.yaml"}


@pytest.mark.fault(
    "numbers",
    "prose, a page or code is changed after the public book was built, and the book is archived",
    done="it is refused, whatever the time stamps say",
    lost="nothing",
    rerun="build the public book again",
)
def test_a_public_book_of_other_prose_is_not_archived(run, tmp_path):
    book = tmp_path / "_build" / "books" / "made-1"
    book.mkdir(parents=True)
    (book / "index.html").write_text("40 of 40")
    (run.folder / "book-public.txt").write_text(f"_build/books/made-1 {site.written(run)}\n")
    assert archive.book(run, tmp_path).is_file()
    (tmp_path / "index.md").write_text("39 of 40")
    with pytest.raises(Problem, match="was built from other notebooks, prose or code than are here; build it again"):
        archive.book(run, tmp_path)


@pytest.mark.fault(
    "numbers",
    "the table that tells age and sex is deleted after the curation",
    done="pages that tell of the people are refused; the line names the table",
    lost="nothing",
    rerun="put the table back",
)
def test_a_table_that_is_gone_is_not_taken_for_silence(tmp_path):
    film = {"image_id": "cohen:a", "path": str(tmp_path / "images" / "a.png"), "patient_id": "cohen:1"}
    film |= {"source": "cohen", "label": "covid", "finding": "COVID-19", "view": "PA", "split": "test"}
    with pytest.raises(Problem, match=r"a\.png: no metadata\.csv in any folder above, so who is on the film"):
        people.told(pd.DataFrame([film]))


@pytest.mark.fault(
    "numbers",
    "another version of torch or Pillow is installed under a full cache",
    done="no feature of the former version is used; all are computed again",
    lost="nothing",
    rerun="nothing to do",
)
def test_other_packages_use_no_entry_of_the_cache(monkeypatch):
    before = features.version.__wrapped__()
    assert features.version.__wrapped__() == before
    monkeypatch.setattr(lineage, "versions", lambda _: {"torch": "9.9"})
    assert features.version.__wrapped__() != before


@pytest.mark.fault(
    "numbers",
    "the code that reads films changes between training a head and scoring new images with it",
    done="the scores come with a note that they may differ",
    lost="nothing",
    rerun="train again",
)
def test_a_head_of_other_code_is_said_to_be_one(run, monkeypatch):
    head = run.fit("resnet18") / "head.safetensors"
    monkeypatch.setattr(predict.heads, "load", lambda *_, **__: ({}, {"code": lineage.code(lineage.TRAINING)}))
    assert predict.of_this_code(head)
    monkeypatch.setattr(predict.heads, "load", lambda *_, **__: ({}, {"code": "another"}))
    assert not predict.of_this_code(head)


@pytest.mark.fault(
    "leakage",
    "the authors' archive is used without the table that tells whose film is whose",
    done="that patients are kept apart cannot be decided, and the films count as two collections",
    lost="nothing",
    rerun="name the table in folders.metadata",
)
def test_untold_patients_confirm_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    archive_of_authors = released(tmp_path / "archive")
    run = runs.begin("covid-xray-5k", settings={"folders.released": str(archive_of_authors), "weights": "random"})
    films = stages.manifest(run)
    found = findings.patients_apart(Evidence({}, None, {}, films, {}))
    assert found.holds is None
    assert "the patients of 2 films are not told" in found.reason
    assert films["source"].nunique() == 2


@pytest.mark.fault(
    "leakage",
    "the table that tells whose film is whose is corrected after the curation of the authors' archive",
    done="the manifest counts as out of date; a patient on both sides is refused, and no manifest is left",
    lost="nothing",
    rerun="keep the films of a patient on one side, and give the command again",
)
def test_a_corrected_table_of_patients_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    table = tmp_path / "metadata.csv"
    table.write_text("patientid,view,filename\n1,PA,film-1.png\n2,PA,film-2.png\n")
    folders = {"folders.released": str(released(tmp_path / "archive")), "folders.metadata": "metadata.csv"}
    run = runs.begin("covid-xray-5k", settings=folders)
    assert leakage.untold(stages.manifest(run)) == 0
    table.write_text(table.read_text().replace("2,PA", "1,PA"))
    with pytest.raises(Problem, match="from other tables"):
        stages.manifest(run)
    run.manifest.unlink()
    with pytest.raises(Problem, match="patient 'released-covid:1' is in train and in test; keep all films"):
        stages.manifest(run)
    assert not run.manifest.exists()


@pytest.mark.fault(
    "numbers",
    "another version of the authors' archive, or part of it, is used in place of the paper's",
    done="its counts and rates test nothing of the paper",
    lost="nothing",
    rerun="obtain the archive of Table I's counts",
)
def test_another_archive_refutes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    settings = {"folders.released": str(released(tmp_path / "archive"))}
    run = runs.begin("covid-xray-5k", settings=settings)
    assert run.tests("counts")
    assert not stages.tests_counts(run)
    assert set(stages.counts(run)["verdict"]) == {"not a test of this value"}
    told = Evidence({}, stages.counts(run), {}, stages.manifest(run), {})
    judged = claims.table(told, recipe=True, images=stages.tests_counts(run), performance=stages.tests_performance(run))
    assert not judged["verdict"].isin([claims.HOLDS, claims.DOES_NOT]).any()


@pytest.mark.fault(
    "numbers",
    "the recipe in the paper's own edition is edited",
    done="the run tests no performance of the paper",
    lost="nothing",
    rerun="restore the edition",
)
@pytest.mark.parametrize("change", [{"copies": 1}, {"seed": 1}, {"weights": "random"}])
def test_another_recipe_tests_nothing(change):
    run = runs.resolve("covid-xray-5k")
    assert run.tests("performance")
    edited = runs.Run(run.name, run.root, run.edition_name, {}, run.edition.model_copy(update=change))
    assert edited.tests("performance") is (change == {"seed": 1})
