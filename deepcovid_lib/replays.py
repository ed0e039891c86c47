"""How long the notebooks take that start from recorded scores.

From a shell: ``python -m deepcovid_lib.replays NAME`` runs them on a recorded run and adds the seconds to its facts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import papermill

from deepcovid_lib import records, runner, runs
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run

CHECKOUT = Path(__file__).resolve().parent.parent


def executions(run: Run) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the notebooks that can start from recorded scores with their parameters, by stage.

    Examples
    --------
    >>> executions(runs.resolve("tiny"))["finetune-resnet18"][1]["model"]
    'resnet18'
    """
    asked = {"edition": run.edition_name, "run_name": run.name, "settings": run.settings, "speed": "replay"}
    found = {}
    for path in sorted(runner.folder(CHECKOUT).glob("*.ipynb")):
        known = papermill.inspect_notebook(str(path))
        if {"speed", "model"} <= set(known):
            found |= {f"{path.stem}-{model}": (path, {**asked, "model": model}) for model in run.edition.models}
        elif "speed" in known:
            found[path.stem] = (path, asked)
    return found


def measure(name: str) -> dict[str, Any]:
    """Replay every notebook of a recorded run in an empty folder and return its facts by ``replay-<stage>``.

    ``DEEPCOVID_ROOT`` points to that folder meanwhile, and is restored.

    Raises
    ------
    Problem
        At the first notebook that fails, with its cell.
    """
    told = records.told(name)
    before = os.environ.get("DEEPCOVID_ROOT")
    with tempfile.TemporaryDirectory(prefix="deepcovid-replay-") as place:
        os.environ["DEEPCOVID_ROOT"] = place
        try:
            run = runs.begin(told["edition"], settings=told["settings"], speed="replay")
            for stage, (source, parameters) in executions(run).items():
                with runs.timed(run, f"replay-{stage}", commit=runs.commit(CHECKOUT)):
                    runner.execute(source, Path(place) / f"{stage}.ipynb", parameters, expect=[], root=Path(place))
            return runs.facts_of(run)
        finally:
            os.environ.pop("DEEPCOVID_ROOT") if before is None else os.environ.update(DEEPCOVID_ROOT=before)


def main(arguments: list[str] | None = None) -> int:
    """Measure one recorded run."""
    parser = argparse.ArgumentParser(prog="python -m deepcovid_lib.replays", description="Time the replay of a run.")
    parser.add_argument("name", help="a folder of recorded/ with scores")
    name = parser.parse_args(arguments).name
    try:
        noted = measure(name)
        records.add_facts(name, noted)
    except Problem as problem:
        sys.stderr.write(f"deepcovid: {problem}\n")
        return 1
    for stage, fact in noted.items():
        sys.stderr.write(f"deepcovid: done {stage} {fact['seconds']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
