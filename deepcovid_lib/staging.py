"""What the book is built from, laid out in a folder: executed notebooks as pages, prose, downloads, configuration."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import nbformat
import yaml

from deepcovid_lib import (
    address,
    artefacts,
    cards,
    citations,
    coverage,
    editions,
    explorer,
    faults,
    imprints,
    licences,
    mutants,
    papermap,
    provenance,
    records,
    runner,
    runs,
    stages,
    style,
    tripod,
)
from deepcovid_lib.files import read_json, write_json
from deepcovid_lib.pages import images
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run

Audience = Literal["local", "public"]
PER_MODEL = "notebooks/finetune"
PERMALINK = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{slug}</title><meta http-equiv="refresh" content="0; url={place}">
</head><body><main><h1>{slug}</h1><p>This is at <a href="{place}">{place}</a>.</p></main></body></html>
"""


def pages(run: Run) -> dict[str, Any]:
    """Return the table of contents with one page per model where a notebook is run per model."""
    contents = yaml.safe_load((run.root / "_toc.yml").read_text(encoding="utf-8"))
    for part in contents["parts"]:
        part["chapters"] = [
            {**chapter, "file": name}
            for chapter in part["chapters"]
            for name in (
                [f"{PER_MODEL}-{model}" for model in run.edition.models]
                if chapter["file"] == PER_MODEL
                else [chapter["file"]]
            )
        ]
    return contents


def stage(run: Run, target: Path, *, audience: Audience) -> None:
    """Lay out everything the book is built from in `target`.

    Parameters
    ----------
    run : Run
    target : Path
        An empty folder.
    audience : {"local", "public"}
        A public book holds no film unless the edition allows it.

    Raises
    ------
    Problem
        Naming a page that is not there, or a notebook with an error output.
    """
    contents = pages(run)
    (target / "_toc.yml").write_text(yaml.safe_dump(contents, sort_keys=False), encoding="utf-8")
    files = [contents["root"], *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"])]
    films = audience == "local" or run.edition.publish_films
    _refuse_undeclared(run, files)
    shutil.copytree(run.root / "book", target / "book")
    shutil.copy(run.root / "index.md", target / "index.md")
    for name in ("CITATION.cff", "CHANGELOG.md"):
        shutil.copy(run.root / name, target / name)
    for name in (name for name in files if name.startswith("notebooks/")):
        source = run.folder / f"{name}.ipynb"
        if not source.is_file():
            raise Problem(f"the page {name} was not made", file=source.name, remedy="run deepcovid reproduce again")
        runner.check(source)
        runner.check_seal(source, run)
        _stage_notebook(run, name, target / f"{name}.ipynb", films=films)
    _refuse_unmade_values(run, files)
    _stage_written(run, target, files, films=films)
    for name in files:
        if not name.startswith("notebooks/") and not (target / f"{name}.md").is_file():
            raise Problem(f"the page {name}.md is in the table of contents but not there", file="_toc.yml")
    _stage_config(run, target, films=films)


def _refuse_undeclared(run: Run, files: list[str]) -> None:
    """Refuse a chapter or notebook that the table of contents does not name."""
    declared = {*files, PER_MODEL}
    for path in [*(run.root / "book").rglob("*.md"), *(run.root / "notebooks").glob("*.ipynb")]:
        name = path.relative_to(run.root).with_suffix("").as_posix()
        if name not in declared:
            raise Problem(
                "is not in the table of contents", file=path.relative_to(run.root), remedy="add it to _toc.yml"
            )


def _refuse_unmade_values(run: Run, files: list[str]) -> None:
    """Refuse values that no page of the book made, since sentences might quote them."""
    made = set()
    for name in (name for name in files if name.startswith("notebooks/")):
        cells = nbformat.read(run.folder / f"{name}.ipynb", as_version=4).cells
        outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
        made |= {said["values"] for said in map(artefacts.told, outputs) if "values" in said}
    for path in sorted((run.folder / "values").glob("[!.]*.json")):
        if path.stem not in made:
            raise Problem(
                "holds values that no page of the book made", file=path.relative_to(run.root), remedy="delete it"
            )


def _stage_written(run: Run, target: Path, files: list[str], *, films: bool) -> None:
    """Write what is made from the code and the run: imprints, downloads, values, the explorer, pages of their own."""
    absent = [model for model in run.edition.models if not (run.fit(model) / "scores.csv").is_file()]
    if absent and run.speed == "retrain":
        raise Problem(f"run '{run.name}' has no scores of {absent[0]}", remedy="run deepcovid reproduce again")
    tests = provenance.cases(run.root / "tests")
    known = artefacts.published(run)
    hidden = frozenset(slug for slug, record in known.items() if record.get("films") and not films)
    gathered = imprints.gather(run, files, tests, hidden=hidden, home=address.home(run.root))
    write_json(gathered, target / "imprints.json")
    _stage_downloads(run, target / "publish", gathered)
    of_run = {"run-name": run.name, "run-title": run.edition.title, "run-about": runs.about(run)}
    of_run |= {"run-recipe": cards.recipe(run.edition), "run-copies": f"makes {run.edition.copies}"}
    write_json({**of_run, "trust": stages.trust(run)}, target / "values.json")
    explored = explorer.html(stages.all_scores(run), run=run.name, fallback=images(known["fig-roc"], "../files/"))
    (target / "explorer.html").write_text(explored, "utf-8")
    report, changed, covered = (_recorded(name) for name in ("faults", "mutation", "coverage"))
    for name, text in (
        ("paper-map", papermap.paper_map(gathered, _equations(target, files), tests)),
        ("tests", papermap.page_of_tests(gathered, tests)),
        ("faults", faults.page(report) + coverage.section(covered) + mutants.section(changed)),
        ("licences", licences.page(licences.read())),
        ("reporting", tripod.page()),
    ):
        (target / "book" / f"{name}.md").write_text(text, "utf-8")


def _stage_downloads(run: Run, target: Path, gathered: dict[str, dict[str, Any]]) -> None:
    """Lay out what readers take away: permalinks, the files of figures and tables, and the citations."""
    (target / "at").mkdir(parents=True)
    for alias, slug in imprints.aliases(list(gathered)).items():
        place = f"../{gathered[slug]['page']}.html#{slug}"
        (target / "at" / f"{alias}.html").write_text(PERMALINK.format(place=place, slug=slug), "utf-8")
    citations.write(target / "files" / "cite", run.root)
    for slug, imprint in gathered.items():
        for path in artefacts.files(run, slug):
            if not imprint["hidden"] and path.suffix != ".json":
                shutil.copy(path, target / "files" / path.name)


def _equations(target: Path, files: list[str]) -> dict[str, str]:
    """The labels of the numbered equations in the staged notebooks, with their pages."""
    found: dict[str, str] = {}
    for name in files:
        page = target / f"{name}.ipynb"
        if page.is_file():
            cells = nbformat.read(page, as_version=4).cells
            markdown = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
            found |= dict.fromkeys(papermap.equation_labels(markdown), name)
    return found


def _recorded(name: str) -> dict[str, Any]:
    """A report that tests left under `recorded/`, empty where there is none."""
    path = records.folder() / f"{name}.json"
    return read_json(path) if path.is_file() else {}


def _speeds(run: Run, page: str, notebook: nbformat.NotebookNode) -> str:
    """The line under a notebook page's title: how long it takes to replay and to retrain, as measured."""
    stage = page.removeprefix("notebooks/")
    facts = runs.facts_of(run).get(stage, {})
    where = f"measured on {facts['device']}" if "device" in facts else "measured"
    if not any("parameters" in _tags(cell) and "speed: str" in cell.source for cell in notebook.cells):
        told = [f"{_duration(facts['seconds'])} ({where})"] if "seconds" in facts else []
    else:
        replay = records.replay_seconds(run.edition_name, stage, settings=run.settings)
        retrain = runs.retrain_seconds(run, stage)
        told = [f"**replay** from the recorded scores, {_duration(replay)} (when recorded)"] if replay else []
        if retrain:
            told.append(f"**retrain** from the images, with everything before it, {_duration(retrain)} ({where})")
    return f"To rerun this page: {'; '.join(told)}. {{doc}}`How </book/rerun>`." if told else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{max(rest, 1)} s"


def _stage_notebook(run: Run, page: str, target: Path, *, films: bool) -> None:
    """Write the page of an executed notebook: artefacts by their directive, code folded, parameters as run."""
    source = run.folder / f"{page}.ipynb"
    notebook = nbformat.read(source, as_version=4)
    speeds = _speeds(run, page, notebook)
    injected = next((cell for cell in notebook.cells if "injected-parameters" in _tags(cell)), None)
    model = re.search(r'^model = "(\w+)"', injected.source, re.MULTILINE) if injected else None
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and model and cell.source.startswith("# "):
            title, newline, rest = cell.source.partition("\n")
            cell.source = f"{title}: {style.MODELS[model.group(1)].label}{newline}{rest}"
        if cell.cell_type == "markdown" and model:
            cell.source = re.sub(r"-MODEL(?=[`)])", f"-{model.group(1)}", cell.source)
        if "setup" in _tags(cell):  # it is for whoever runs the notebook and speaks of their machine
            continue
        if cell.cell_type != "code":
            cells.append(cell)
            if speeds and cell.source.startswith("# "):
                cells.append(nbformat.v4.new_markdown_cell(f"```{{div}} speeds\n{speeds}\n```", id="speeds"))
            continue
        anchor = f'<span id="code-{cell.id}" class="code-anchor"></span>'
        cells += [nbformat.v4.new_markdown_cell(anchor, id=f"code-{cell.id}"[:64]), cell]
        dropped = {"remove-cell"} if injected and "parameters" in _tags(cell) else {"hide-input"}
        cell.metadata["tags"] = sorted(_tags(cell) | dropped)
        published = [said for said in map(artefacts.told, cell.outputs) if said]
        for said in published:
            artefacts.check(run, said, file=source.name)
        slugs = [said["slug"] for said in published if "slug" in said]
        kept = (output for output in cell.outputs if output.get("name") != "stderr")  # for whoever runs it, too
        cell.outputs = [output for output in kept if not artefacts.told(output)]
        if not films and any(map(_pictured, cell.outputs)):
            raise Problem(
                "holds a picture that is no artefact", file=source.name, remedy="publish it through artefacts.figure"
            )
        cells += [
            nbformat.v4.new_markdown_cell(f"```{{artefact}} {slug}\n```", id=f"artefact-{slug}"[:64]) for slug in slugs
        ]
    notebook.cells = cells
    known = notebook.metadata.get("papermill", {})
    notebook.metadata["papermill"] = {key: known[key] for key in ("input_path",) if key in known}
    for cell in cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


def _stage_config(run: Run, target: Path, *, films: bool) -> None:
    config = yaml.safe_load((run.root / "_config.yml").read_text(encoding="utf-8"))
    config["sphinx"]["config"]["html_baseurl"] = address.home(run.root)
    if not config["repository"]["url"]:
        del config["repository"]
    else:
        config["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}
        config["html"] |= {"use_repository_button": True, "use_issues_button": True, "use_edit_page_button": True}
    nature = ", ".join(editions.nature(run.edition.model_dump()))
    said = f"{runs.about(run)} {stages.untold(run)}".rstrip()
    banner = (
        f'<p class="run-banner">Run <strong>{html.escape(run.name)}</strong> '
        f"({html.escape(run.edition.title)}; {nature}). {html.escape(said)}</p>"
    )
    config["sphinx"]["config"] |= {
        "deepcovid_results": str(run.folder),
        "deepcovid_films": films,
        "deepcovid_banner": banner,
        "deepcovid_imprints": str(target / "imprints.json"),
        "deepcovid_explorer": str(target / "explorer.html"),
        "deepcovid_values": str(target / "values.json"),
    }
    if not config.get("logo"):
        config.pop("logo", None)
    (target / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _pictured(output: nbformat.NotebookNode) -> bool:
    """Say whether an output shows a picture, its own or one within a text."""
    return any("image/" in mime or "data:image/" in str(content) for mime, content in output.get("data", {}).items())
