"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 15.0


def track(items: Iterable[Item], *, label: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` one by one while telling on standard error how far the work has come.

    Parameters
    ----------
    items : iterable
        What is worked through.
    label : str
        What the work is, e.g. ``"extract resnet18"``.
    total : int, optional
        How many there are; taken from ``len(items)`` where it has one.

    Examples
    --------
    >>> sum(track([1, 2, 3], label="adding"))
    6
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, leave=False)
        return
    started = spoke = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - spoke >= SECONDS_BETWEEN_LINES:
            spoke = now
            rest = f", about {(now - started) * (total - count) / count:.0f} s left" if total else ""
            print(f"{label}: {count}{f' of {total}' if total else ''}{rest}", file=sys.stderr, flush=True)
