"""Whether the tests would notice a wrong formula: the record of small changes made to the code of the numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def section(told: Mapping[str, Any]) -> str:
    """Return the section on mutation testing in Markdown; empty where nothing was recorded.

    Parameters
    ----------
    told : mapping
        ``date, commit, tool, tests, left_out``; ``modules``, each with ``module, mutants, killed, timeout``;
        ``survivors``, each with ``module, line, was, became`` and ``reason``, in Markdown.

    Examples
    --------
    >>> section({})
    ''
    """
    if not told:
        return ""
    mutants, killed = (sum(known[what] for known in told["modules"]) for what in ("mutants", "killed"))
    overrun = sum(known["timeout"] for known in told["modules"])
    modules = ", ".join(f"`{known['module']}`" for known in told["modules"])
    lines = [
        "## Would the tests notice a wrong formula?",
        "",
        f"In {modules} each sign, number and condition was changed, one at a time: + into -, < into <=, 1 into 2. Of "
        f"{mutants} such changes the tests noticed **{killed} ({killed / mutants:.0%})**"
        + (f", {overrun} of them by never ending" if overrun else "")
        + f". This was done once, by {told['tool']}, on {told['date']} at commit `{told['commit']}`, with "
        + f"{told['tests']}. {told['left_out']} were left out.",
        "",
    ]
    if not told["survivors"]:
        return "\n".join(lines)
    lines += ["What was not noticed, and why that is no gap:", ""]
    lines += [
        "````{list-table}",
        ":header-rows: 1",
        ":class: faults",
        "",
        "* - line",
        "  - was",
        "  - became",
        "  - why",
    ]
    for known in told["survivors"]:
        cells = (f"`{known['module']}`, {known['line']}", _code(known["was"]), _code(known["became"]), known["reason"])
        lines += [f"{'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(cells)]
    return "\n".join([*lines, "````", ""])


def _code(text: str) -> str:
    """Code within a line of Markdown, whatever signs it holds."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {' '.join(text.split())} {fence}"
