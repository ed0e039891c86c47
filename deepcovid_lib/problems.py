"""Faults that a user can mend, told in one line."""

from __future__ import annotations

import re
from pathlib import Path

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def spelled(text: str | Path) -> str:
    r"""Return a text from data that can be shown and written anywhere: control characters and broken bytes spelled out.

    Examples
    --------
    >>> print(spelled("film\n\x1b[2J.png"), spelled("\udce9"))
    film\n\x1b[2J.png \udce9
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(text))


class Problem(Exception):
    """A fault in the input or the surroundings, with the remedy.

    Parameters
    ----------
    what : str
        What is wrong, without a full stop.
    file : path-like, optional
        The file concerned.
    row : int, optional
        The row of that file; the first data row of a CSV is row 2, as an editor counts lines.
    remedy : str, optional
        What to do about it.

    Examples
    --------
    >>> print(Problem("no column 'view'", file="metadata.csv", row=1, remedy="use the file of commit 2a99173c83"))
    metadata.csv, row 1: no column 'view'; use the file of commit 2a99173c83
    """

    def __init__(self, what: str, *, file: str | Path | None = None, row: int | None = None, remedy: str | None = None):
        self.what = what
        place = [spelled(file)] if file is not None else []
        if row is not None:
            place.append(f"row {row}")
        line = ", ".join(place) + (": " if place else "") + what + (f"; {remedy}" if remedy else "")
        super().__init__(spelled(" ".join(line.split())))


class Misuse(Problem):
    """A command, parameter or key that does not exist or cannot be combined."""
