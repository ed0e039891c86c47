"""A disk that runs full, or a file that may not grow: a clear line, and the last good state stands."""

import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import checkouts
import numpy as np
import pandas as pd
import pytest
import torch

from deepcovid_lib import features, heads
from deepcovid_lib.files import write_csv, write_json

LITTLE = 100_000  # bytes
WRITES = {
    "feature": lambda path: features._write(path, {"key": "a"}, np.ones(LITTLE, np.float32)),
    "head": lambda path: heads.save(path, {"weight": torch.ones(2, LITTLE)}, {"backbone": "resnet18"}),
    "scores": lambda path: write_csv(pd.DataFrame({"score": [0.123456789] * LITTLE}), path),
    "record": lambda path: write_json({"cells": ["0.123456789"] * LITTLE}, path),
}


@contextmanager
def small_disk(folder, size):
    """A file system of its own that holds little."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by the administrator only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def short_files(folder, size):
    """A folder in which no file of this process may grow beyond a size."""
    folder.mkdir()
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.mark.parametrize(
    ("place", "reason"),
    [(small_disk, "No space left on device"), (short_files, "File too large")],
    ids=["full disk", "short files"],
)
@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.fault(
    "disk",
    "the disk runs full, or a file may not grow, while a feature, a head, scores or a record are written",
    done="the write fails with the system's reason; the file that was there before stays, no temporary file is left",
    lost="nothing",
    rerun="make room, then give the same command again",
)
def test_a_write_that_does_not_fit_leaves_the_last_good_file(tmp_path, kind, place, reason):
    with place(tmp_path / "disk", LITTLE) as folder:
        target = folder / "file.x"
        target.write_text("the last good one")
        with pytest.raises(OSError, match=reason):
            WRITES[kind](target)
        assert target.read_text() == "the last good one"
        assert [path.name for path in folder.iterdir()] == ["file.x"]


@pytest.mark.slow_fault
@pytest.mark.fault(
    "disk",
    "the disk runs full while the films of a run are made",
    done="one line with the reason and status 1; with room again the same command goes on",
    lost="nothing",
    rerun="make room, then give the same command again",
)
def test_a_full_disk_is_told_in_one_line_and_mended_by_room(tmp_path):
    command = [sys.executable, "-m", "deepcovid_lib.cli", "curate", "--edition", "tiny"]
    with small_disk(tmp_path / "disk", "300k") as place:
        environment = {**os.environ, "DEEPCOVID_ROOT": str(place)}
        told = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment)
        assert told.returncode == 1
        last = told.stderr.strip().splitlines()[-1]
        assert last.startswith("deepcovid: ")
        assert "No space left on device" in last
        assert "Traceback" not in told.stderr
        assert not (place / "results" / "tiny" / "manifest.csv").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
        again = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment)
        assert again.returncode == 0, again.stderr
        assert len(pd.read_csv(place / "results" / "tiny" / "manifest.csv")) > 40


@pytest.mark.slow_fault
@pytest.mark.fault(
    "disk",
    "the disk runs full while a book is built",
    done="one line with the reason and status 1; the last book stands, nothing half-built is left beside it",
    lost="nothing",
    rerun="make room, then give the same command again",
)
def test_a_book_that_does_not_fit_leaves_the_last_one(undisturbed, tmp_path):
    folder = checkouts.copied(tmp_path / "checkout")
    shutil.copytree(undisturbed / "results", folder / "results")
    (folder / "results" / "tiny" / "book-local.txt").unlink()
    with small_disk(folder / "_build", "1m") as place:
        (place / "books" / "tiny-1").mkdir(parents=True)
        (place / "books" / "tiny-1" / "index.html").write_text("the last good one")
        (place / "html").symlink_to("books/tiny-1")
        environment = {**os.environ, "DEEPCOVID_ROOT": str(folder), "PYTHONPATH": str(folder)}
        command = [sys.executable, "-m", "deepcovid_lib.cli", "book", "--run", "tiny"]
        told = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        assert told.returncode == 1
        assert "Traceback" not in told.stderr
        assert len(told.stderr.strip().splitlines()) == 1
        assert (place / "html" / "index.html").read_text() == "the last good one"
        assert sorted(path.name for path in place.iterdir()) == ["books", "html"]
        assert not (folder / "results" / "tiny" / "book-local.txt").exists()
