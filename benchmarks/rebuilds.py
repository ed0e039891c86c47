"""The book: nothing changed, one notebook changed, drawings changed, and the default edition from nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import measures
from benchmarks.report import Outcome, Target
from deepcovid_lib import runs

FOLDER = runs.root() / "_build" / "benchmarks"


def measure(edition: str = "phantom") -> Outcome:
    """Work in a clone of what is committed, with results and a cache of its own."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(exist_ok=True)
    subprocess.run(["git", "clone", "-q", runs.root(), FOLDER], check=True)
    first = measures.seconds(lambda: _reproduce(edition))
    (again,) = measures.side_by_side(lambda: _reproduce(edition))
    _replace(FOLDER / "notebooks" / "scores.ipynb", "# The predicted scores", "# The scores predicted")
    notebook = _planned(edition)
    subprocess.run(["git", "checkout", "-q", "."], cwd=FOLDER, check=True)
    with open(FOLDER / "deepcovid_lib" / "figures" / "distributions.py", "a", encoding="utf-8") as stream:
        stream.write("\n# changed\n")
    drawings = _planned(edition)
    facts = json.loads((FOLDER / "results" / edition / "facts.json").read_text(encoding="utf-8"))
    stages = sorted(
        ({"stage": name, "seconds": told["seconds"]} for name, told in facts.items()), key=lambda row: -row["seconds"]
    )
    return Outcome(
        [
            Target(
                f"edition {edition}, from nothing to its book", first, "most", 480, "s", "all notebooks of the book"
            ),
            Target("nothing changed", again, "most", 10, "s", "deepcovid reproduce, median of 3"),
            Target("rules planned when one notebook changed", len(notebook), "most", 2, "", ", ".join(notebook)),
            Target(
                "frozen passes planned when drawings changed",
                len({"extract", "part"} & set(drawings)),
                "most",
                0,
                "",
                f"{len(drawings)} rules planned",
            ),
        ],
        stages,
        "synthetic films",
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(FOLDER), "DEEPCOVID_ROOT": str(FOLDER)}


def _reproduce(edition: str) -> None:
    command = [sys.executable, "-m", "deepcovid_lib.cli", "reproduce", "--edition", edition]
    subprocess.run(command, cwd=FOLDER, env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _planned(edition: str) -> list[str]:
    """The rules that would run now."""
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/laptop", "-n", "--config", f"run={edition}"]
    told = subprocess.run(command, cwd=FOLDER, env=_environment(), check=True, capture_output=True, text=True)
    text = told.stdout + told.stderr
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", text, flags=re.MULTILINE | re.DOTALL)
    assert table, f"a change was made, yet nothing is planned:\n{text}"
    return [line.split()[0] for line in table[1].splitlines()]


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
