"""What stands under an artefact: its cell, its run's inputs, its citation."""

import json

import nbformat
import pytest

from deepcovid_lib import imprints, runs
from deepcovid_lib.problems import Problem
from deepcovid_lib.provenance import Case

SOURCE = """from deepcovid_lib import artefacts, figures, stages
scores = stages.all_scores(run)
artefacts.figure(run, "fig-roc", lambda: figures.roc(scores), caption="Curves")
artefacts.figure(run, f"fig-scores-{model}", lambda: figures.scores(scores[model], model), caption="Scores")"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    for name, text in (
        ("CITATION.cff", "title: A book\nversion: 1\nauthors:\n  - name: The crew\n"),
        ("_config.yml", 'copyright: "2026"\nrepository:\n  url: ""\n'),
    ):
        (tmp_path / name).write_text(text)
    run = runs.begin("tiny", settings={"seed": 7})
    (run.folder / "manifest.csv").write_text("the manifest")
    for model in run.edition.models:
        run.fit(model).mkdir(parents=True)
        (run.fit(model) / "head.safetensors").write_text(model)
    facts = {
        "started": "2026-11-20T10:00:00+00:00",
        "seconds": 4.4,
        "device": "2 cores",
        "commit": "abc",
        "python": "3",
    }
    (run.folder / "facts.json").write_text(json.dumps({"roc": facts | {"versions": {"torch": "2"}}}))
    return run


def publish(run, *slugs, source=SOURCE):
    outputs = [
        nbformat.v4.new_output("display_data", data={}, metadata={"deepcovid": {"slug": slug}}) for slug in slugs
    ]
    cell = nbformat.v4.new_code_cell(source, id="cell", outputs=outputs)
    (run.folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), run.folder / "notebooks" / "roc.ipynb")
    (run.folder / "figures").mkdir(exist_ok=True)
    for slug in slugs:
        record = {"slug": slug, "caption": "Curves & more", "number": "Fig. 10", "kind": "figure"}
        (run.folder / "figures" / f"{slug}.json").write_text(json.dumps(record))


def gather(run, home="", hidden=()):
    tests = [Case("test_a.py", "test_roc", "", frozenset({"figures.roc"}))]
    return imprints.gather(run, ["index", "notebooks/roc"], tests, hidden=frozenset(hidden), home=home)


def test_an_imprint_names_the_cell_the_functions_and_the_inputs(run):
    publish(run, "fig-roc", "fig-scores-resnet18")
    known = gather(run)
    roc, about = known["fig-roc"], dict(known["fig-roc"]["about"])
    assert (roc["page"], roc["cell"], roc["functions"]) == (
        "notebooks/roc",
        "cell",
        ["figures.roc", "stages.all_scores"],
    )
    assert roc["tested"] == ["figures.roc"]
    assert about["Parameters"] == "seed=7"
    assert about["Seed"] == "7"
    assert about["Commit"] == "abc"
    assert about["Wall time"].startswith("4 s")
    assert about["Made"] == "2026-11-20 10:00 UTC"
    assert "ResNet18" in about["Heads"]
    assert "SqueezeNet" in about["Heads"]
    assert len(about["Images"].split()[-1]) == imprints.DIGITS
    one = dict(known["fig-scores-resnet18"]["about"])
    assert one["Head"].startswith("ResNet18 ")


@pytest.mark.parametrize(("facts", "said"), [({}, "not noted"), ({"roc": {"commit": None}}, "outside a checkout")])
def test_a_note_that_is_gone_tells_of_no_place(run, facts, said):
    publish(run, "fig-roc")
    (run.folder / "facts.json").write_text(json.dumps(facts))
    assert dict(gather(run)["fig-roc"]["about"])["Commit"] == said


@pytest.mark.parametrize(
    ("page", "made", "commit"),
    [
        ("recorded", "2026-11-23 08:00 to 2026-11-23 09:00 UTC", "one+ and two"),
        ("shortcuts", "2026-11-27 10:00 UTC", "three"),
        ("speed", "2026-11-23 08:00 to 2026-11-27 10:00 UTC", "one+ and two and three"),
    ],
)
def test_a_recorded_artefact_is_dated_by_the_stages_that_made_it(run, monkeypatch, page, made, commit):
    facts = {
        "trained-resnet18": {"started": "2026-11-23T09:00:10+00:00", "commit": "two", "python": "3", "device": "one"},
        "trained-resnet50": {"started": "2026-11-23T08:00:10+00:00", "commit": "one+", "python": "3", "device": "one"},
        "ladder": {"started": "2026-11-27T10:00:00+00:00", "commit": "three", "python": "4", "device": "other"},
    }
    monkeypatch.setattr(imprints.records, "facts", lambda name: facts)
    publish(run, "fig-roc")
    (run.folder / "notebooks/roc.ipynb").rename(run.folder / f"notebooks/{page}.ipynb")
    path = run.folder / "figures/fig-roc.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recorded": "real"}))
    known = imprints.gather(run, [f"notebooks/{page}"], [], hidden=frozenset(), home="")["fig-roc"]
    about = dict(known["about"])
    assert (about["Made"], about["Commit"], about["Shows"]) == (made, commit, "the recorded run real")
    assert about["Device"] == {"recorded": "one", "shortcuts": "other", "speed": "one; other"}[page]
    assert "Wall time" not in about
    noted = commit.replace("+", ", files changed since").replace(" and ", "; ")
    assert f"of run real at commit {noted}" in known["bibtex"]


def test_the_citation_holds_the_permalink_where_the_book_is_published(run):
    publish(run, "fig-roc")
    assert "at/fig-roc.html" not in gather(run)["fig-roc"]["bibtex"]
    assert (
        "https://owner.github.io/name/at/fig-roc.html"
        in gather(run, "https://owner.github.io/name/")["fig-roc"]["bibtex"]
    )
    assert r"Curves \& more" in gather(run)["fig-roc"]["bibtex"]
    assert gather(run, hidden=["fig-roc"])["fig-roc"]["hidden"]


def test_an_artefact_that_no_cell_makes_is_named(run):
    publish(run, "fig-roc", source="show()")
    with pytest.raises(Problem, match=r"roc.ipynb: shows 'fig-roc', which none of its cells makes"):
        gather(run)


def test_permalinks_have_the_papers_numbers_as_aliases():
    assert imprints.aliases(["tab-reliability", "fig-intervals"]) == {
        "tab-reliability": "tab-reliability",
        "fig-intervals": "fig-intervals",
        "paper-table-vi": "tab-reliability",
    }
