"""How much of the library its tests run: the record of a measurement, and its section in the book.

From a shell in a checkout, ``python -m deepcovid_lib.coverage`` runs all quick tests and keeps what coverage.py says.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepcovid_lib import records, runs
from deepcovid_lib.files import fingerprint, read_json, write_json

WANTED = 95  # per cent
NAME = "coverage.json"
TESTS = ("-q", "-n", "2", "--dist", "worksteal")


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the totals of a report of coverage.py, and every module below the share wanted.

    Parameters
    ----------
    report : mapping
        coverage.py's JSON report, with branches.

    Returns
    -------
    dict
        ``statements, branches`` and how many of each were run, ``percent`` of both together, 0 to 100; ``modules``,
        the least covered first, each with ``module``, ``percent`` and ``missing``, its statements and branches not run.

    Examples
    --------
    >>> told = {"num_statements": 8, "covered_lines": 7, "num_branches": 2, "covered_branches": 1}
    >>> told["percent_covered"] = 80.0
    >>> summary({"totals": told, "files": {"deepcovid_lib/a.py": {"summary": told}}})["modules"]
    [{'module': 'a.py', 'percent': 80.0, 'missing': 2}]
    """
    totals = report["totals"]
    modules = [
        {
            "module": Path(name).relative_to("deepcovid_lib").as_posix(),
            "percent": round(told["summary"]["percent_covered"], 1),
            "missing": _all(told["summary"]) - _run(told["summary"]),
        }
        for name, told in report["files"].items()
        if told["summary"]["percent_covered"] < WANTED
    ]
    return {
        "statements": totals["num_statements"],
        "statements_run": totals["covered_lines"],
        "branches": totals["num_branches"],
        "branches_run": totals["covered_branches"],
        "percent": round(totals["percent_covered"], 1),
        "modules": sorted(modules, key=lambda known: (known["percent"], known["module"])),
    }


def _all(told: Mapping[str, Any]) -> int:
    return told["num_statements"] + told["num_branches"]


def _run(told: Mapping[str, Any]) -> int:
    return told["covered_lines"] + told["covered_branches"]


def section(told: Mapping[str, Any]) -> str:
    """Return the section on coverage in Markdown; empty where nothing was recorded.

    Parameters
    ----------
    told : mapping
        Of `summary`, with ``date`` and ``commit``.

    Examples
    --------
    >>> section({})
    ''
    """
    if not told:
        return ""
    below = ", ".join(f"`{known['module']}` {known['percent']:.0f}%" for known in told["modules"])
    verdict = "met" if told["percent"] >= WANTED else "missed"
    return "\n".join(
        [
            "## How much of the library do the tests run?",
            "",
            f"**{told['percent']:.1f}%**: {told['statements_run']:,} of {told['statements']:,} statements and "
            f"{told['branches_run']:,} of {told['branches']:,} branches, counted once with `make coverage` on "
            f"{told['date']} at commit `{told['commit']}`, the quick tests alone. The aim of {WANTED}% is {verdict}. "
            + (f"Below it are {below}." if below else "No module is below it."),
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deepcovid_lib.coverage", description="Run all quick tests and keep how much of the library ran."
    )
    parser.parse_args()
    library = Path(__file__).parent
    before = fingerprint(*sorted(library.rglob("*.py")))
    when = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": runs.commit(library)}
    unaltered = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    with tempfile.TemporaryDirectory(prefix="deepcovid-coverage-") as scratch:
        report = Path(scratch) / NAME
        options = [*TESTS, "--cov", "--cov-report=term", f"--cov-report=json:{report}"]
        if subprocess.run([sys.executable, "-m", "pytest", *options], cwd=library.parent, env=unaltered).returncode:
            sys.stderr.write("not all tests passed, so nothing is kept\n")
            return 1
        told = summary(read_json(report))
    if fingerprint(*sorted(library.rglob("*.py"))) != before:
        sys.stderr.write("the library was changed while the tests ran, so nothing is kept; run make coverage again\n")
        return 1
    write_json({**when, **told}, records.folder() / NAME)
    sys.stderr.write(f"{told['percent']}% of statements and branches were run; kept in recorded/{NAME}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
