"""The book: executed notebooks and prose staged in a build folder, built, and put in place in one step."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import nbformat
import yaml

from deepcovid_lib import runner, style
from deepcovid_lib.files import replacing
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run

Audience = Literal["local", "public"]
PER_MODEL = "notebooks/finetune"
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
    shutil.copytree(run.root / "book", target / "book")
    shutil.copy(run.root / "index.md", target / "index.md")
    for name in ("CITATION.cff", "CHANGELOG.md"):
        shutil.copy(run.root / name, target / name)
    for name in files:
        if name.startswith("notebooks/"):
            source = run.folder / f"{name}.ipynb"
            if not source.is_file():
                raise Problem(f"the page {name} was not made", file=source.name, remedy="run deepcovid reproduce again")
            runner.check(source)
            _stage_notebook(source, target / f"{name}.ipynb", films=films)
        elif not (target / f"{name}.md").is_file():
            raise Problem(f"the page {name}.md is in the table of contents but not there", file="_toc.yml")
    _stage_files(run, target / "publish" / "files", films=films)
    _stage_config(run, target, films=films)


def build(run: Run, *, audience: Audience = "local") -> Path:
    """Build the book of a run and return its folder; nothing that stood before is touched.

    Raises
    ------
    Problem
        With Sphinx's first complaint; warnings are complaints.
    """
    books = run.root / "_build" / "books"
    books.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.root / "_build", prefix=f"stage-{run.name}-") as scratch:
        source, out = Path(scratch) / "src", Path(scratch) / "out"
        source.mkdir()
        stage(run, source, audience=audience)
        command = [
            *(sys.executable, "-m", "deepcovid_lib.owners", Path(sys.executable).with_name("jupyter-book")),
            "build",
            "--all",
            "-W",
            "--keep-going",
            source,
            "--path-output",
            out,
        ]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "SPHINX_GALLERY": "", "PYTHONHASHSEED": "0"}
        told = subprocess.run(
            [str(word) for word in command], cwd=scratch, capture_output=True, text=True, env=environment
        )
        made = out / "_build" / "html"
        (run.folder / "book.log").unlink(missing_ok=True)
        if told.returncode or not (made / "index.html").is_file():
            log = run.folder / "book.log"
            with replacing(log) as temporary:
                temporary.write_text(told.stdout + told.stderr, encoding="utf-8")
            raise Problem(
                f"the book was not built: {_complaint(told.stdout + told.stderr)}",
                remedy=f"see {log.relative_to(run.root)}",
            )
        target = books / f"{run.name}-{time.time_ns() // 1_000_000}"
        os.replace(made, target)
    return target


def put_in_place(run: Run, made: Path) -> Path:
    """Point `_build/html` at a finished book in one step, drop older books of no use, and return the link."""
    link = run.root / "_build" / "html"
    temporary = link.with_name(f".html-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(made.relative_to(link.parent))
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    os.replace(temporary, link)
    for older in (run.root / "_build" / "books").glob(f"{run.name}-[0-9]*"):
        if re.fullmatch(rf"{re.escape(run.name)}-\d+", older.name) and older.name < made.name:
            shutil.rmtree(older, ignore_errors=True)
    return link


def _stage_notebook(source: Path, target: Path, *, films: bool) -> None:
    """Write the page of an executed notebook: artefacts by their directive, code folded, parameters as run."""
    notebook = nbformat.read(source, as_version=4)
    injected = next((cell for cell in notebook.cells if "injected-parameters" in _tags(cell)), None)
    model = re.search(r'^model = "(\w+)"', injected.source, re.MULTILINE) if injected else None
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and model and cell.source.startswith("# "):
            title, newline, rest = cell.source.partition("\n")
            cell.source = f"{title}: {style.MODELS[model.group(1)].label}{newline}{rest}"
        if cell.cell_type == "markdown" and model:
            cell.source = cell.source.replace("-MODEL`", f"-{model.group(1)}`")
        cells.append(cell)
        if cell.cell_type != "code":
            continue
        dropped = {"remove-cell"} if injected and "parameters" in _tags(cell) else {"hide-input"}
        cell.metadata["tags"] = sorted(_tags(cell) | dropped)
        slugs = [slug for slug in map(_slug, cell.outputs) if slug]
        cell.outputs = [output for output in cell.outputs if not _slug(output)]
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


def _stage_files(run: Run, target: Path, *, films: bool) -> None:
    """Copy the downloads of the page: every figure and table, under its slug."""
    target.mkdir(parents=True)
    for record in sorted([*run.folder.glob("figures/*.json"), *run.folder.glob("tables/*.json")]):
        if json.loads(record.read_text(encoding="utf-8")).get("films") and not films:
            continue
        for path in record.parent.glob(f"{record.stem}*"):
            if path.stem in (record.stem, f"{record.stem}-dark") and path != record:
                shutil.copy(path, target / path.name)


def _stage_config(run: Run, target: Path, *, films: bool) -> None:
    config = yaml.safe_load((run.root / "_config.yml").read_text(encoding="utf-8"))
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
    }
    if not config.get("logo"):
        config.pop("logo", None)
    (target / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _slug(output: nbformat.NotebookNode) -> str | None:
    return output.get("metadata", {}).get("deepcovid", {}).get("slug")


def _pictured(output: nbformat.NotebookNode) -> bool:
    """Say whether an output shows a picture, its own or one within a text."""
    return any("image/" in mime or "data:image/" in str(content) for mime, content in output.get("data", {}).items())


def _complaint(log: str) -> str:
    found = re.search(r"^.*?((?:WARNING|ERROR|CRITICAL|Error|Exception)\b.*)$", log, re.MULTILINE)
    return re.sub(r"\x1b\[[0-9;]*m", "", found.group(0).strip())[:300] if found else "Sphinx did not say why"
