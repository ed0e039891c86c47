"""Staging the book: films stay out of a public one, a missing page is named, pages are the notebooks as run."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from deepcovid_lib import artefacts, manifest, runs, stages, staging
from deepcovid_lib.problems import Problem

ROOT = Path(__file__).parent.parent
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


def test_an_artefact_is_shown_by_its_directive_and_the_title_names_the_model(run, tmp_path):
    (run.folder / "figures").mkdir()
    (run.folder / "figures" / "fig-x.json").write_text("{}")
    told = {"slug": "fig-x", "sha256": artefacts.digest(run, "fig-x")}
    notebook(run.folder / "notebooks" / "a.ipynb", output(PICTURE, deepcovid=told))
    staging._stage_notebook(run, "notebooks/a", tmp_path / "page.ipynb", films=True)
    cells = nbformat.read(tmp_path / "page.ipynb", as_version=4).cells
    assert cells[0].source.splitlines() == ["# Fine-tuning: ResNet18", "{value}`loss-last-resnet18`"]
    tags = [cell.metadata.get("tags") for cell in cells if cell.cell_type == "code"]
    assert tags == [["parameters", "remove-cell"], ["hide-input", "injected-parameters"], ["hide-input"]]
    shown = next(place for place, cell in enumerate(cells) if cell.source == "show()")
    assert cells[shown].outputs == []
    assert cells[shown - 1].source == f'<span id="code-{cells[shown].id}" class="code-anchor"></span>'
    assert cells[shown + 1].source == "```{artefact} fig-x\n```"


def test_the_setup_cell_stays_out_of_the_page(run, tmp_path):
    path = notebook(run.folder / "notebooks" / "a.ipynb")
    known = nbformat.read(path, as_version=4)
    known.cells[1:1] = [nbformat.v4.new_code_cell("install()", metadata={"tags": ["setup"]}, execution_count=0)]
    nbformat.write(known, path)
    staging._stage_notebook(run, "notebooks/a", tmp_path / "page.ipynb", films=True)
    assert "install()" not in (tmp_path / "page.ipynb").read_text()


def test_what_a_kernel_warned_of_stays_out_of_the_page(run, tmp_path):
    said = [nbformat.v4.new_output("stream", name=name, text=f"{name} of a kernel") for name in ("stderr", "stdout")]
    notebook(run.folder / "notebooks" / "a.ipynb", *said)
    staging._stage_notebook(run, "notebooks/a", tmp_path / "page.ipynb", films=True)
    staged = (tmp_path / "page.ipynb").read_text()
    assert "stdout of" in staged
    assert "stderr of" not in staged


def test_a_loose_picture_is_refused_where_films_must_stay_out(run, tmp_path):
    notebook(run.folder / "notebooks" / "a.ipynb", output(PICTURE))
    with pytest.raises(Problem, match="a picture that is no artefact"):
        staging._stage_notebook(run, "notebooks/a", tmp_path / "page.ipynb", films=False)
    staging._stage_notebook(run, "notebooks/a", tmp_path / "page.ipynb", films=True)


def test_a_page_names_two_speeds_where_both_were_measured(run, tmp_path, monkeypatch):
    path = notebook(run.folder / "notebooks" / "scores.ipynb")
    made = ("extract", "finetune", "trained")
    facts = {
        f"{stage}-{model}": {"seconds": 20, "device": "2 cores, X"} for stage in made for model in run.edition.models
    }
    facts |= {"curate": {"seconds": 30, "device": "2 cores, X"}, "scores": {"seconds": 5, "device": "2 cores, X"}}
    (run.folder / "facts.json").write_text(json.dumps(facts))
    monkeypatch.setattr("deepcovid_lib.records.replay_seconds", lambda edition, stage, settings=None: 4.2)
    known = nbformat.read(path, as_version=4)
    known.cells[1].source = 'speed: str = "retrain"'
    nbformat.write(known, path)
    staging._stage_notebook(run, "notebooks/scores", tmp_path / "page.ipynb", films=True)
    line = nbformat.read(tmp_path / "page.ipynb", as_version=4).cells[1].source
    assert "**replay** from the recorded scores, 4 s" in line
    assert "**retrain** from the images, with everything before it, 3 min 15 s" in line
    assert "measured on 2 cores, X" in line


def test_an_undeclared_page_or_notebook_is_named(run):
    (run.root / "book").mkdir()
    (run.root / "notebooks").mkdir()
    (run.root / "book" / "stray.md").write_text("# Stray")
    with pytest.raises(Problem, match=r"book/stray.md: is not in the table of contents"):
        staging._refuse_undeclared(run, ["index"])
    staging._refuse_undeclared(run, ["index", "book/stray"])
    (run.root / "notebooks" / "lost.ipynb").write_text("{}")
    with pytest.raises(Problem, match=r"notebooks/lost.ipynb: is not in the table of contents"):
        staging._refuse_undeclared(run, ["index", "book/stray"])


@pytest.mark.parametrize("address", ["", "https://github.com/owner/name"])
def test_launch_buttons_appear_with_the_address_alone(run, tmp_path, address):
    text = (ROOT / "_config.yml").read_text(encoding="utf-8")
    (run.root / "_config.yml").write_text(re.sub(r'(?m)^  url: ".*?"', f'  url: "{address}"', text))
    staging._stage_config(run, tmp_path, films=True)
    config = yaml.safe_load((tmp_path / "_config.yml").read_text())
    assert ("launch_buttons" in config) == bool(address)
    assert config.get("repository", {}).get("url", "") == address
    assert config["sphinx"]["config"]["html_baseurl"] == ("https://owner.github.io/name" if address else "")


def test_only_an_edition_that_allows_it_shows_films_in_public(run):
    assert not run.edition.publish_films
    assert runs.resolve("phantom").edition.publish_films


def test_there_is_a_page_for_every_model(run):
    (run.root / "_toc.yml").write_text(
        yaml.safe_dump({"root": "index", "parts": [{"chapters": [{"file": "notebooks/finetune"}, {"file": "book/x"}]}]})
    )
    files = [chapter["file"] for chapter in staging.pages(run)["parts"][0]["chapters"]]
    assert files == [f"notebooks/finetune-{model}" for model in run.edition.models] + ["book/x"]


@pytest.mark.parametrize(
    ("edition", "weights", "nature"),
    [
        ("tiny", "random", "synthetic radiographs, untrained networks"),
        ("open-cxr", "random", "real films, untrained networks"),
        ("covid-xray-5k", "imagenet", "real films, networks pretrained on ImageNet"),
    ],
)
def test_the_line_over_every_page_tells_what_films_and_networks_are_whatever_a_run_says(
    run, tmp_path, edition, weights, nature
):
    named = {"weights": weights, "title": "Seminar", "about": "First run.", "copies": 2}
    (run.root / "_config.yml").write_text((ROOT / "_config.yml").read_text(encoding="utf-8"))
    staging._stage_config(runs.begin(edition, name="seminar", settings=named), tmp_path, films=True)
    banner = yaml.safe_load((tmp_path / "_config.yml").read_text())["sphinx"]["config"]["deepcovid_banner"]
    assert f"(Seminar; {nature}). First run. This run set" in banner
    assert "copies" in banner
    assert "patients of" not in banner


def test_the_line_over_every_page_counts_the_films_whose_patients_are_not_told(run, tmp_path, monkeypatch):
    films = pd.DataFrame({"patient_id": ["cohen:1", "released:untold-2", "released:untold-3"]})
    monkeypatch.setattr(manifest, "read", {run.manifest: films}.get)
    assert stages.untold(run) == "", "a run without a manifest"
    run.manifest.touch()
    (run.root / "_config.yml").write_text((ROOT / "_config.yml").read_text(encoding="utf-8"))
    staging._stage_config(run, tmp_path, films=True)
    banner = yaml.safe_load((tmp_path / "_config.yml").read_text())["sphinx"]["config"]["deepcovid_banner"]
    assert "The source does not tell the patients of 2 films: each counts as one patient." in banner
    films["patient_id"] = "cohen:1"
    assert stages.untold(run) == ""
