"""Who works in a checkout: one owner at a time, and nothing that it started outlives it.

A killed command leaves its jobs and kernels at work. They hold a shared lock as long as they live and end as soon as
the owner's own lock is free; the next owner waits for theirs before it begins. The locks are the kernel's, so no
file has to be cleaned up after a kill.

From a shell: ``python -m deepcovid_lib.owners PROGRAM [ARGUMENT ...]`` runs a module, or a script given by its path, as
one of the owner's processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import runpy
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcovid_lib.problems import Problem

OWNER = "DEEPCOVID_OWNER"
PATIENCE = 10.0


@contextmanager
def own(root: Path) -> Iterator[dict[str, str]]:
    """Own a checkout while the block runs; yield the environment that makes a process one of the owner's.

    Waits a few seconds for what a killed owner left at work.

    Raises
    ------
    Problem
        If the checkout has an owner already.

    Examples
    --------
    >>> import tempfile
    >>> with own(Path(tempfile.mkdtemp())) as environment:
    ...     list(environment)
    ['DEEPCOVID_OWNER']
    """
    name, work = _files(root)
    name.parent.mkdir(parents=True, exist_ok=True)
    with open(name, "a+", encoding="utf-8") as ours, open(work, "a", encoding="utf-8") as theirs:
        ends = time.monotonic() + PATIENCE
        while not (_taken(theirs) and _taken(ours)):
            fcntl.flock(theirs, fcntl.LOCK_UN)
            if time.monotonic() > ends:
                raise Problem(
                    "another reproduce is at work in this checkout",
                    file=name.relative_to(root),
                    remedy="wait for it to end",
                )
            time.sleep(0.1)
        token = f"{_machine()}-{uuid.uuid4().hex}"
        ours.truncate(0)
        ours.write(token)
        ours.flush()
        fcntl.flock(theirs, fcntl.LOCK_UN)
        yield {OWNER: token}


def serve(root: Path) -> tuple[int, ...]:
    """Bind this process to the owner that started it, if there is one on this machine: it ends when the owner does.

    Returns
    -------
    tuple of int
        The descriptors to pass on to processes that must have ended before the next owner begins; empty for a process
        that no owner started.
    """
    token = os.environ.get(OWNER, "")
    if not token.startswith(_machine()):
        return ()
    name, work = _files(root)
    held = os.open(work, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_SH)
    if name.read_text(encoding="utf-8") != token:
        os._exit(1)
    threading.Thread(target=_end_with, args=(name,), daemon=True).start()
    return (held,)


def _end_with(name: Path) -> None:
    """Wait until the owner's lock is free, then end this process at once."""
    with open(name, encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        os._exit(1)


def _taken(stream) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _files(root: Path) -> tuple[Path, Path]:
    return root / "results" / ".reproduce.lock", root / "results" / ".at-work.lock"


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


if __name__ == "__main__":
    from deepcovid_lib import runs

    serve(runs.root())
    sys.argv = sys.argv[1:]
    started = runpy.run_path if os.sep in sys.argv[0] else runpy.run_module
    started(sys.argv[0], run_name="__main__")
