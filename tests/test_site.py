"""Staging the book: films stay out of a public one, a missing page is named, pages are the notebooks as run."""

import json

import nbformat
import pytest
import yaml

from deepcovid_lib import runs, site
from deepcovid_lib.problems import Problem

PICTURE = {"image/png": "iVBORw0KGgo="}


def output(data, **metadata):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def notebook(path, *outputs):
    cells = [
        nbformat.v4.new_markdown_cell("# Fine-tuning\n{value}`loss-last-MODEL`"),
        nbformat.v4.new_code_cell('model = "x"', metadata={"tags": ["parameters"]}, execution_count=1),
        nbformat.v4.new_code_cell('model = "resnet18"', metadata={"tags": ["injected-parameters"]}, execution_count=2),
        nbformat.v4.new_code_cell("show()", outputs=list(outputs), execution_count=3),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    return runs.begin("open-cxr", settings={"weights": "random"})


def test_an_artefact_is_shown_by_its_directive_and_the_title_names_the_model(tmp_path):
    source = notebook(tmp_path / "a.ipynb", output(PICTURE, deepcovid={"slug": "fig-x"}))
    site._stage_notebook(source, tmp_path / "page.ipynb", films=True)
    cells = nbformat.read(tmp_path / "page.ipynb", as_version=4).cells
    assert cells[0].source.splitlines() == ["# Fine-tuning: ResNet18", "{value}`loss-last-resnet18`"]
    assert "remove-cell" in cells[1].metadata.tags
    assert cells[3].outputs == []
    assert cells[4].source == "```{artefact} fig-x\n```"


def test_a_loose_picture_is_refused_where_films_must_stay_out(tmp_path):
    source = notebook(tmp_path / "a.ipynb", output(PICTURE))
    with pytest.raises(Problem, match="a picture that is no artefact"):
        site._stage_notebook(source, tmp_path / "page.ipynb", films=False)
    site._stage_notebook(source, tmp_path / "page.ipynb", films=True)


def test_films_are_not_among_the_downloads_of_a_public_book(run, tmp_path):
    folder = run.folder / "figures"
    folder.mkdir(parents=True)
    for slug, films in (("fig-samples", True), ("fig-roc", False)):
        (folder / f"{slug}.json").write_text(json.dumps({"slug": slug, "films": films}))
        for name in (f"{slug}.svg", f"{slug}-dark.svg", f"{slug}.png"):
            (folder / name).write_text("x")
    site._stage_files(run, tmp_path / "public", films=False)
    assert sorted(path.name for path in (tmp_path / "public").iterdir()) == [
        "fig-roc-dark.svg",
        "fig-roc.png",
        "fig-roc.svg",
    ]
    site._stage_files(run, tmp_path / "local", films=True)
    assert len(list((tmp_path / "local").iterdir())) == 6


def test_only_an_edition_that_allows_it_shows_films_in_public(run):
    assert not run.edition.publish_films
    assert runs.resolve("phantom").edition.publish_films


def test_there_is_a_page_for_every_model(run):
    (run.root / "_toc.yml").write_text(
        yaml.safe_dump({"root": "index", "parts": [{"chapters": [{"file": "notebooks/finetune"}, {"file": "book/x"}]}]})
    )
    files = [chapter["file"] for chapter in site.pages(run)["parts"][0]["chapters"]]
    assert files == [f"notebooks/finetune-{model}" for model in run.edition.models] + ["book/x"]
