"""The page of faults: what the project's tests plant, what follows, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLD = {
    "images": "Images",
    "tables": "Tables",
    "downloads": "Downloads and archives",
    "models": "Model files",
    "interruption": "Interruption",
    "disk": "A full disk",
    "determinism": "Determinism",
    "leakage": "Leakage between training and test",
    "numbers": "Numbers that are no longer true",
    "pages": "Pages",
    "parameters": "Parameters",
    "privacy": "Privacy",
}
COMMAND = ".venv/bin/python -m pytest --faults"


def page(report: Mapping[str, Any]) -> str:
    """Return the page of faults in Markdown.

    Parameters
    ----------
    report : mapping
        As the fault tests write it: ``faults`` with ``area, fault, done, lost, rerun, tests, inputs, passed, failed,
        skipped``, and ``date, commit, python, device``. Empty where none was recorded.

    Examples
    --------
    >>> "not recorded" in page({})
    True
    """
    if not report:
        remedy = "`make test-faults RECORD=recorded/faults.json`"
        return f"# What can go wrong?\n\nThe fault tests were not recorded for this version: run\n{remedy}.\n"
    known = report["faults"]
    tried, failed = sum(fault["inputs"] for fault in known), [fault for fault in known if fault["failed"]]
    skipped = sum(fault["skipped"] for fault in known)
    idle = [fault for fault in known if not fault["passed"] and not fault["failed"]]
    verdict = f"**{len(failed)} did not hold**" if failed else "All that were run held"
    verdict += f"; {len(idle)} kinds were not run" if idle else ""
    lines = [
        "# What can go wrong?",
        "",
        f"{len(known)} kinds of fault are planted by tests, on {tried:,} inputs in all. {verdict}"
        + (f"; {skipped} {'test was' if skipped == 1 else 'tests were'} skipped" if skipped else "")
        + f". The tables below are written by those tests, on {report['date']} at commit "
        f"`{report['commit'] or 'unknown'}` with Python {report['python']} on {_safe(report['device'])}.",
        "",
        "Nothing is promised beyond what is tested. *Lost* says what cannot be had back; *then*, how to go on.",
        "",
    ]
    for area in dict.fromkeys(fault["area"] for fault in known):
        lines += [f"## {TOLD.get(area, area)}", ""]
        lines += ["````{list-table}", ":header-rows: 1", ":class: faults", ""]
        lines += ["* - fault", "  - what is done", "  - lost", "  - then", "  - inputs", "  - held"]
        for fault in (fault for fault in known if fault["area"] == area):
            held = "no" if fault["failed"] else "yes" if fault["passed"] else "skipped"
            cells = (*(_safe(fault[key]) for key in ("fault", "done", "lost", "rerun")), f"{fault['inputs']:,}", held)
            lines += [f"{'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(cells)]
        lines += ["````", ""]
        files = sorted({test.partition("::")[0] for fault in known if fault["area"] == area for test in fault["tests"]})
        lines += ["To run these tests again:", "", "```sh", f"{COMMAND} {' '.join(files)} -m fault", "```", ""]
    return "\n".join(lines)


def _safe(text: str) -> str:
    """Text as Markdown shows it, whatever it holds."""
    escaped = "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#$|" else sign for sign in text)
    return " ".join(escaped.split())
