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
    citations,
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
WEIGHTS = {"imagenet": "networks pretrained on ImageNet", "random": "untrained networks"}


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
        _stage_notebook(run, name, target / f"{name}.ipynb", films=films)
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


def _stage_written(run: Run, target: Path, files: list[str], *, films: bool) -> None:
    """Write what is made from the code and the run: imprints, permalinks, the paper map, the tests, the explorer."""
    tests = provenance.cases(run.root / "tests")
    absent = [model for model in run.edition.models if not (run.fit(model) / "scores.csv").is_file()]
    if absent and run.speed == "retrain":
        raise Problem(f"run '{run.name}' has no scores of {absent[0]}", remedy="run deepcovid reproduce again")
    known = imprints.published(run)
    hidden = frozenset(slug for slug, record in known.items() if record.get("films") and not films)
    gathered = imprints.gather(run, files, tests, hidden=hidden, home=address.home(run.root))
    write_json(gathered, target / "imprints.json")
    (target / "publish" / "at").mkdir(parents=True)
    for alias, slug in imprints.aliases(list(gathered)).items():
        place = f"../{gathered[slug]['page']}.html#{slug}"
        (target / "publish" / "at" / f"{alias}.html").write_text(PERMALINK.format(place=place, slug=slug), "utf-8")
    for slug in gathered.keys() - hidden:
        for path in artefacts.files(run, slug):
            if path.suffix != ".json":
                (target / "publish" / "files").mkdir(exist_ok=True)
                shutil.copy(path, target / "publish" / "files" / path.name)
    of_run = {"run-name": run.name, "run-title": run.edition.title, "run-about": run.edition.about}
    write_json({**of_run, "trust": stages.trust(run)}, target / "values.json")
    equations: dict[str, str] = {}
    for name in files:
        page = target / f"{name}.ipynb"
        if page.is_file():
            cells = nbformat.read(page, as_version=4).cells
            markdown = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
            equations |= dict.fromkeys(papermap.equation_labels(markdown), name)
    (target / "book" / "paper-map.md").write_text(papermap.paper_map(gathered, equations, tests), "utf-8")
    (target / "book" / "tests.md").write_text(papermap.page_of_tests(gathered, tests), "utf-8")
    report, changed = (records.folder() / f"{name}.json" for name in ("faults", "mutation"))
    planted = faults.page(read_json(report) if report.is_file() else {})
    planted += mutants.section(read_json(changed) if changed.is_file() else {})
    (target / "book" / "faults.md").write_text(planted, "utf-8")
    (target / "book" / "licences.md").write_text(licences.page(licences.read()), "utf-8")
    fallback = images(known["fig-roc"], "../files/")
    (target / "explorer.html").write_text(
        explorer.html(stages.all_scores(run), run=run.name, fallback=fallback), "utf-8"
    )
    citations.write(target / "publish" / "files" / "cite", run.root)


def _speeds(run: Run, page: str, notebook: nbformat.NotebookNode) -> str:
    """The line under a notebook page's title: how long it takes to replay and to retrain, as measured."""
    stage = page.removeprefix("notebooks/")
    facts = runs.facts_of(run).get(stage, {})
    replayable = any("parameters" in _tags(cell) and "speed: str" in cell.source for cell in notebook.cells)
    if not replayable:
        told = f"{_duration(facts['seconds'])}" if "seconds" in facts else ""
    else:
        replay = records.replay_seconds(run.edition_name, stage, settings=run.settings)
        retrain = runs.retrain_seconds(run, stage)
        told = "; ".join(
            f"**{speed}** {words}, {_duration(seconds)}"
            for speed, words, seconds in (
                ("replay", "from the recorded scores", replay),
                ("retrain", "from the images, with everything before it", retrain),
            )
            if seconds
        )
    where = f" (measured on {facts['device']})" if "device" in facts else ""
    where = where.replace(")", "; the replay when it was recorded)") if replayable and replay else where
    return f"To rerun this page: {told}{where}. {{doc}}`How </book/rerun>`." if told else ""


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
        published = [told for told in map(_published, cell.outputs) if told]
        for told in published:
            artefacts.check(run, told, file=source.name)
        slugs = [told["slug"] for told in published if "slug" in told]
        cell.outputs = [output for output in cell.outputs if not _published(output)]
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
    banner = (
        f'<p class="run-banner">Run <strong>{html.escape(run.name)}</strong> '
        f"({html.escape(run.edition.title)}; {WEIGHTS[run.edition.weights]}). {html.escape(run.edition.about)}</p>"
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


def _published(output: nbformat.NotebookNode) -> dict[str, str]:
    """What an output says of the artefact or values it stands for."""
    return output.get("metadata", {}).get("deepcovid", {})


def _pictured(output: nbformat.NotebookNode) -> bool:
    """Say whether an output shows a picture, its own or one within a text."""
    return any("image/" in mime or "data:image/" in str(content) for mime, content in output.get("data", {}).items())
