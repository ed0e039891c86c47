"""Whether a cluster gives the same results: the record of the edition `tiny` made as Slurm jobs, with two accidents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def section(told: Mapping[str, Any]) -> str:
    """Return the section on Slurm in Markdown; empty where nothing was recorded.

    Parameters
    ----------
    told : mapping
        As `benchmarks/slurm.py` writes it: ``date, commit, slurm, cores, shards, jobs_at_a_time``; ``submitted``, the
        jobs before and after the command was killed; ``restarted``, how many jobs were tried again; ``killed_at``, the
        rule at work when it was; ``seconds`` of both ways; ``compared``, by kind of file ``files, equal, beside``.

    Examples
    --------
    >>> section({})
    ''
    """
    if not told:
        return ""
    kinds = told["compared"]
    files, equal = (sum(kind[what] for kind in kinds.values()) for what in ("files", "equal"))
    before, after = told["submitted"]
    verdict = "Yes, to the byte" if files == equal else f"Not all: {files - equal} of {files} files differ"
    lines = [
        "## Does a cluster give the same results?",
        "",
        f"{verdict}. The edition `tiny` was made twice from the same commit, `{told['commit']}`: once on one machine, "
        f"in one piece, once as jobs of Slurm {told['slurm']}, {told['jobs_at_a_time']} at a time, each frozen pass in "
        f"{told['shards']} parts. One part was cancelled while it worked, and tried again "
        f"({told['restarted']} {'job' if told['restarted'] == 1 else 'jobs'} restarted). While the rule "
        f"`{told['killed_at']}` was at work the whole command was killed, {before} jobs after its start; given again, "
        f"it submitted {after} more and ended. Then all files were compared:",
        "",
        "| file | compared | equal to the byte |",
        "|---|---|---|",
        *(f"| {name} | {kind['files']} | {kind['equal']} |" for name, kind in kinds.items()),
        "",
        f"This was done on {told['date']} by `benchmarks/slurm.py` on a Slurm of one node with {told['cores']} cores, "
        "which the script installs, starts on this machine alone and removes again. More than one node was not tried.",
        "",
    ]
    return "\n".join(lines)
