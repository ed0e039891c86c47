"""Execute a notebook to a temporary path, check it, then put it in place.

From a shell: ``python -m deepcovid_lib.runner NOTEBOOK RUN [--model M] [--expect FILE ...]``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from deepcovid_lib import runs
from deepcovid_lib.problems import Misuse, Problem

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def folder(root: Path) -> Path:
    """Return the folder of the notebooks."""
    return root / "notebooks"


def execute(source: Path, target: Path, parameters: dict[str, Any], *, expect: list[Path], root: Path) -> None:
    """Execute a notebook and put it in place if it is sound.

    Parameters
    ----------
    source, target : Path
        The notebook, and where its executed copy goes. A failed copy is kept beside it as ``<stem>.failed.ipynb``.
    parameters : dict
        Replaces the defaults of the cell tagged ``parameters``; unknown names are refused.
    expect : list of Path
        Files that must exist afterwards.
    root : Path
        Current folder of the kernel.

    Raises
    ------
    Problem
        Naming the notebook, the cell and the error, or the missing file.
    """
    known = papermill.inspect_notebook(str(source))
    strange = sorted(set(parameters) - set(known))
    if strange:
        raise Misuse(f"no parameter '{strange[0]}'", file=source.name, remedy=f"it takes {', '.join(known)}")
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
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{private}/k"}}),
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
    running.replace(target)


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


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook of a run; the pipeline calls this."""
    parser = argparse.ArgumentParser(
        prog="python -m deepcovid_lib.runner", description="Execute one notebook of a run."
    )
    parser.add_argument("notebook", help="its name, e.g. finetune")
    parser.add_argument("run", help="the run's name, e.g. tiny")
    parser.add_argument("--model", help="for notebooks that are run once per model")
    parser.add_argument("--expect", nargs="*", default=[], type=Path, help="files it must leave")
    asked = parser.parse_args(arguments)
    run = runs.reopen(asked.run)
    stage = asked.notebook + (f"-{asked.model}" if asked.model else "")
    parameters = {"edition": run.edition_name, "run_name": run.name, "settings": run.settings}
    if asked.model:
        parameters["model"] = asked.model
    target = run.folder / "notebooks" / f"{stage}.ipynb"
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    os.chdir(run.root)  # papermill keeps the path it was given; relative to the root it names no one's home
    began = time.monotonic()
    try:
        with runs.timed(run, stage):
            source = folder(run.root).relative_to(run.root) / f"{asked.notebook}.ipynb"
            expect = [path for path in asked.expect if path.resolve() != target.resolve()]
            execute(source, target, parameters, expect=expect, root=run.root)
    except Problem as problem:
        sys.stderr.write(f"deepcovid: {problem}\n")
        return 1
    sys.stderr.write(f"deepcovid: done {stage} {time.monotonic() - began:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
