"""Execute a notebook to a temporary path, check it, then put it in place.

From a shell: ``python -m deepcovid_lib.runner NOTEBOOK RUN [--model M] [--made-from FILE ...] [--expect FILE ...]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import Tuple
from traitlets.config import Config

from deepcovid_lib import artefacts, editions, owners, runs
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def folder(root: Path) -> Path:
    """Return the folder of the notebooks."""
    return root / "notebooks"


def execute(
    source: Path,
    target: Path,
    parameters: dict[str, Any],
    *,
    expect: list[Path],
    root: Path,
    made_from: Iterable[Path] = (),
    asked: dict[str, Any] | None = None,
    passed: tuple[int, ...] = (),
) -> None:
    """Execute a notebook and put it in place if it is sound.

    Parameters
    ----------
    source, target : Path
        The notebook, and where its executed copy goes. A failed copy is kept beside it as ``<stem>.failed.ipynb``.
    parameters : dict
        Replaces the defaults of the cell tagged ``parameters``; unknown names and other types are refused.
    expect : list of Path
        Files that must exist afterwards.
    root : Path
        Current folder of the kernel.
    made_from : iterable of Path, optional
        Files whose digests the executed copy keeps, under their paths from `root`: were one changed, it would be
        out of date.
    asked : dict, optional
        The part of the run's edition that it hangs on, kept in the same way.
    passed : tuple of int
        Descriptors that the kernel keeps open, from `owners.serve`.

    Raises
    ------
    Problem
        Naming the notebook, the cell and the error, or the missing file.
    """
    _accept(parameters, source)
    digests = {Path(path).as_posix(): sha256(root / path) for path in made_from}
    target.parent.mkdir(parents=True, exist_ok=True)
    running = target.with_name(f".{target.stem}.running.ipynb")
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    failed.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="dc-") as private:
            papermill.execute_notebook(
                str(source),
                str(running),
                parameters,
                cwd=str(root),
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                kernel_manager_class=_Kernel,
                config=Config(
                    {"KernelManager": {"transport": "ipc", "ip": f"{private}/k"}, "_Kernel": {"passed": passed}}
                ),
            )
    except PapermillExecutionError as fault:
        running.replace(failed)
        text = " ".join(ESCAPES.sub("", f"{fault.ename}: {fault.evalue}").split())
        raise Problem(
            f"cell {fault.exec_count}: {text}", file=source.name, remedy=f"see {failed.name} in {failed.parent.name}/"
        ) from None
    except (DeadKernelError, CellTimeoutError, NoSuchKernel) as fault:
        running.unlink(missing_ok=True)
        raise Problem(
            f"its kernel ended: {fault}", file=source.name, remedy="check the memory, then run it again"
        ) from None
    try:
        check(running)
        missing = [path for path in expect if not path.is_file()]
        if missing:
            raise Problem(f"did not write {missing[0]}", file=source.name)
    except Problem:
        running.replace(failed)
        raise
    seal(running, digests, asked or {})
    running.replace(target)


def _accept(parameters: dict[str, Any], source: Path) -> None:
    """Refuse a parameter that the notebook does not take, or not as this type."""
    known = papermill.inspect_notebook(str(source))
    for name, value in sorted(parameters.items()):
        if name not in known:
            near = editions.nearest(name, list(known))
            raise Misuse(f"no parameter '{name}'", file=source.name, remedy=f"it takes {', '.join(known)}{near}")
        wanted = known[name]["inferred_type_name"]
        if type(value).__name__ not in (wanted, {"float": "int"}.get(wanted)) and wanted != "None":
            raise Misuse(
                f"parameter '{name}' is {value!r}", file=source.name, remedy=f"give a value of the type {wanted}"
            )


class _Kernel(AsyncKernelManager):
    """A kernel that keeps some of the runner's descriptors open."""

    passed = Tuple(config=True)

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        await super()._async_launch_kernel(kernel_cmd, pass_fds=self.passed, **options)


def check(path: Path) -> None:
    """Refuse an executed notebook that holds an error output or a code cell that did not run."""
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                raise Problem(f"cell {number} holds an error: {output.ename}", file=path.name, remedy="run it again")
        if cell.source.strip() and cell.execution_count is None:
            raise Problem(f"cell {number} was not run", file=path.name, remedy="run it again")


def seal(path: Path, made_from: dict[str, str], asked: dict[str, Any]) -> None:
    """Note in an executed notebook what it hangs on, and a digest over this, its parameters, cells and outputs."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["deepcovid"] = {"made_from": made_from, "asked": asked}
    notebook.metadata["deepcovid"]["sha256"] = _digest(notebook)
    nbformat.write(notebook, path)


def check_seal(path: Path, run: Run) -> None:
    """Refuse a notebook that was changed since it was executed, or executed for another run or from other files.

    Raises
    ------
    Problem
        Naming the notebook and how to make it anew.
    """
    notebook = _read(path)
    again = f"delete {run.folder.relative_to(run.root) / 'notebooks' / path.name} and run deepcovid reproduce again"
    if notebook.metadata.get("deepcovid", {}).get("sha256") != _digest(notebook):
        raise Problem("was changed since it was executed", file=path.name, remedy=again)
    asked = _parameters(notebook)
    wanted = {"edition": run.edition_name, "run_name": run.name, "settings": run.settings}
    if any(asked.get(name) != value for name, value in wanted.items()):
        raise Problem("was executed for another run", file=path.name, remedy=again)
    other = outdated(path, run)
    if other:
        raise Problem(other, file=path.name, remedy="run deepcovid reproduce again")


def check_all(run: Run) -> None:
    """Refuse a run that holds a notebook, figure, table or value that was changed, is out of date or no notebook's.

    Raises
    ------
    Problem
        As `check_seal` and `artefacts.check` do, or naming the file that no notebook made.
    """
    made: set[Path] = set()
    for path in sorted((run.folder / "notebooks").glob("[!.]*.ipynb")):
        if not path.stem.endswith(".failed"):
            check_seal(path, run)
            made |= check_artefacts(path, run)
    there = {path for kind in ("figures", "tables", "values") for path in (run.folder / kind).glob("[!.]*")}
    unmade = sorted(there - made)
    if unmade:
        raise Problem(
            "was made by no notebook of the run", file=unmade[0].relative_to(run.root), remedy="delete or move it"
        )


def check_artefacts(path: Path, run: Run) -> set[Path]:
    """Refuse what an executed notebook published and the run no longer holds so; return the files.

    Raises
    ------
    Problem
        As `artefacts.check` does.
    """
    outputs = [output for cell in _read(path).cells if cell.cell_type == "code" for output in cell.outputs]
    published = list(filter(None, map(artefacts.told, outputs)))
    for said in published:
        artefacts.check(run, said, file=path.name)
    return {file for said in published for file in artefacts.files_of(run, said)}


def outdated(path: Path, run: Run) -> str:
    """Say why an executed notebook is out of date, empty where it is not.

    Contents are compared, not time stamps: these mislead where results were copied or clocks differ.
    """
    known = _read(path).metadata.get("deepcovid", {})
    now = run.edition.model_dump(mode="json")
    for key, value in known.get("asked", {}).items():
        if now.get(key) != value:
            return f"was executed for an edition with another {key}"
    for name, digest in known.get("made_from", {}).items():
        if not _is(run.root / name, digest):
            return f"was made from another {name}"
    return ""


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as fault:
        raise Problem("is no notebook, or is damaged", file=path, remedy="delete it and run it again") from fault


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def _parameters(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    return dict(notebook.metadata.get("papermill", {}).get("parameters", {}))


def _digest(notebook: nbformat.NotebookNode) -> str:
    cells = [[cell.cell_type, cell.source, cell.get("outputs", [])] for cell in notebook.cells]
    hangs_on = {key: value for key, value in notebook.metadata.get("deepcovid", {}).items() if key != "sha256"}
    told = [_parameters(notebook), hangs_on, cells]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook of a run; the pipeline calls this."""
    parser = argparse.ArgumentParser(
        prog="python -m deepcovid_lib.runner", description="Execute one notebook of a run."
    )
    parser.add_argument("notebook", help="its name, e.g. finetune")
    parser.add_argument("run", help="the run's name, e.g. tiny")
    parser.add_argument("--model", help="for notebooks that are run once per model")
    parser.add_argument("--asked", type=json.loads, default={}, help="the part of the edition it hangs on, as JSON")
    parser.add_argument("--made-from", nargs="*", default=[], type=Path, help="files whose change makes it out of date")
    parser.add_argument("--expect", nargs="*", default=[], type=Path, help="files it must leave")
    asked = parser.parse_args(arguments)
    run = runs.reopen(asked.run)
    held = owners.serve(run.root)
    stage = asked.notebook + (f"-{asked.model}" if asked.model else "")
    parameters = {"edition": run.edition_name, "run_name": run.name, "settings": run.settings}
    if asked.model:
        parameters["model"] = asked.model
    target = run.folder.relative_to(run.root) / "notebooks" / f"{stage}.ipynb"
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    os.chdir(run.root)  # papermill keeps the paths it was given; relative to the root they name no one's home
    began = time.monotonic()
    try:
        with runs.timed(run, stage):
            source = folder(run.root).relative_to(run.root) / f"{asked.notebook}.ipynb"
            expect = [path for path in asked.expect if path.resolve() != target.resolve()]
            given = {"expect": expect, "made_from": asked.made_from, "asked": asked.asked}
            execute(source, target, parameters, **given, root=run.root, passed=held)
    except (Problem, OSError) as fault:
        sys.stderr.write(f"deepcovid: {fault}\n")
        return 1
    sys.stderr.write(f"deepcovid: done {stage} {time.monotonic() - began:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
