"""The book: staged, built by Jupyter Book, and put in place in one step."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deepcovid_lib import runs
from deepcovid_lib.files import fingerprint, replacing
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.staging import Audience, stage


def build(run: Run, *, audience: Audience = "local") -> Path:
    """Build the book of a run and return its folder; nothing that stood before is touched.

    Raises
    ------
    Problem
        With Sphinx's first complaint; warnings are complaints.
    """
    books = run.root / "_build" / "books"
    books.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.root / "_build", prefix=f"stage-{run.name}-") as scratch:
        source, out = Path(scratch) / "src", Path(scratch) / "out"
        source.mkdir()
        stage(run, source, audience=audience)
        command = [
            *(sys.executable, "-m", "deepcovid_lib.owners", Path(sys.executable).with_name("jupyter-book")),
            "build",
            "--all",
            "-W",
            "--keep-going",
            source,
            "--path-output",
            out,
        ]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "SPHINX_GALLERY": "", "PYTHONHASHSEED": "0"}
        told = subprocess.run(
            [str(word) for word in command], cwd=scratch, capture_output=True, text=True, env=environment
        )
        made = out / "_build" / "html"
        (run.folder / "book.log").unlink(missing_ok=True)
        if told.returncode or not (made / "index.html").is_file():
            log = run.folder / "book.log"
            with replacing(log) as temporary:
                temporary.write_text(told.stdout + told.stderr, encoding="utf-8")
            raise Problem(
                f"the book was not built: {_complaint(told.stdout + told.stderr)}",
                remedy=f"see {log.relative_to(run.root)}",
            )
        target = books / f"{run.name}-{time.time_ns() // 1_000_000}"
        os.replace(made, target)
    return target


def written(run: Run) -> str:
    """Return a fingerprint of what a book is made from: its notebooks, prose, code, tests, records, edition."""
    patterns = (
        "*.md",
        "_*.yml",
        "CITATION.cff",
        "book/**/*",
        "tests/**/*.py",
        "deepcovid_lib/**/*.*",
        "recorded/**/*.*",
    )
    found = (path for pattern in patterns for path in sorted(run.root.glob(pattern)) if path.is_file())
    written = [path for path in found if path.suffix != ".pyc"]
    executed = [path for path in sorted(run.folder.glob("notebooks/[!.]*.ipynb")) if not path.stem.endswith(".failed")]
    words = f"{run.edition.title} {runs.about(run)} {run.edition.publish_films}"
    return hashlib.sha256(f"{fingerprint(*written, *executed)} {words}".encode()).hexdigest()[:12]


def put_in_place(run: Run, made: Path) -> Path:
    """Point `_build/html` at a finished book in one step, drop older books of no use, and return the link."""
    link = run.root / "_build" / "html"
    temporary = link.with_name(f".html-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(made.relative_to(link.parent))
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    os.replace(temporary, link)
    for older in (run.root / "_build" / "books").glob(f"{run.name}-[0-9]*"):
        if re.fullmatch(rf"{re.escape(run.name)}-\d+", older.name) and older.name < made.name:
            shutil.rmtree(older, ignore_errors=True)
    return link


def _complaint(log: str) -> str:
    found = re.search(r"^.*?((?:WARNING|ERROR|CRITICAL|Error|Exception)\b.*)$", log, re.MULTILINE)
    return re.sub(r"\x1b\[[0-9;]*m", "", found.group(0).strip())[:300] if found else "Sphinx did not say why"
