"""A run killed anywhere goes on when the command is given again, and comes to the same bytes."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import checkouts
import pandas as pd
import pytest
from safetensors import safe_open

from deepcovid_lib import cli, owners, pipeline, runs

SEED = 20200424
EVALUATION = "(reliability|paper_versus_run|thresholds|scores|roc_and_confusion)"  # whichever comes first
STAGES = ("curate", "extract", "finetune", EVALUATION, EVALUATION, "book")
KILLS = {"everything at once": os.killpg, "the command alone": os.kill}
# What must be equal: every number and picture. Times (facts.json, seconds-*), the log, the executed notebooks' own
# times and the book's time stamp may differ.
EQUAL = ("manifest.csv", "funnel.csv", "rejected.csv", "features", "fits", "tables", "figures", "values")


@pytest.fixture(autouse=True)
def scratch(monkeypatch):
    """A place, its name short enough for sockets, for what killed commands leave in the system's temporary folder."""
    with tempfile.TemporaryDirectory(prefix="dc-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield


def started(folder, *arguments):
    environment = {**os.environ, "DEEPCOVID_ROOT": str(folder), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "deepcovid_lib.cli", "reproduce", "--edition", "tiny", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def numbers(folder):
    """The digest of every file that must be equal."""
    results = folder / "results" / "tiny"
    found = {}
    for name in EQUAL:
        place = results / name
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                content = path.read_bytes()
                if path.parent.name == "values":
                    kept = {key: text for key, text in json.loads(content).items() if not key.startswith("seconds-")}
                    content = json.dumps(kept, sort_keys=True).encode()
                found[path.relative_to(results).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def partial(folder):
    """The files under their final names that are not complete."""
    return [path for path in (folder / "results" / "tiny").rglob("*") if path.is_file() and not complete(path)]


def complete(path):
    if path.name.startswith("."):
        return True
    try:
        if path.suffix in (".json", ".ipynb"):
            json.loads(path.read_bytes())
        elif path.suffix == ".csv":
            pd.read_csv(path)
            return path.read_bytes().endswith(b"\n")
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as stream:
                return all(stream.get_tensor(name).size for name in stream.keys())  # noqa: SIM118
        elif path.suffix == ".svg":
            return path.read_bytes().rstrip().endswith(b"</svg>")
        elif path.suffix == ".png":
            return path.read_bytes().endswith(b"IEND\xaeB`\x82")
        elif path.suffix == ".pdf":
            return path.read_bytes().rstrip().endswith(b"%%EOF")
    except FileNotFoundError:  # replaced or removed since it was listed
        return True
    except Exception:  # noqa: BLE001, whatever a reader stumbles over is what this looks for
        return False
    return True


class Watch(threading.Thread):
    """Look at every file of a run as it appears, and at the book, until told to stop."""

    def __init__(self, folder, book):
        super().__init__(daemon=True)
        self.folder, self.book = folder, book
        self.seen, self.torn, self.gaps, self.stopped = set(), [], [], threading.Event()

    def run(self):
        while not self.stopped.wait(0.5):
            try:
                (self.folder / "_build" / "html" / "index.html").read_bytes()
            except OSError as fault:
                self.gaps.append(str(fault))
            for path in (self.folder / "results" / "tiny").rglob("*"):
                try:
                    stamp = (path, path.stat().st_mtime_ns)
                except FileNotFoundError:
                    continue
                if stamp not in self.seen and path.is_file():
                    self.seen.add(stamp)
                    if not complete(path):
                        self.torn.append(path)


def book_bytes(folder):
    place = (folder / "_build" / "html").resolve()
    return {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def reached(process, folder, stage, seconds=900):
    """Wait until the pipeline has begun a stage; False if it ended before."""
    log, ends = folder / "results" / "tiny" / "log.txt", time.monotonic() + seconds
    while time.monotonic() < ends:
        if log.is_file() and re.search(rf"rule {stage}:", log.read_text(errors="replace")):
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    return False


@pytest.mark.slow_fault
@pytest.mark.fault(
    "interruption",
    "a run is killed in each of its stages at random moments, its jobs and kernels with it or left behind",
    done="the same command goes on from the last complete stage, after what was left behind has ended; manifest, "
    "features, heads, scores, tables, figures and their data come out byte for byte as in an undisturbed run",
    lost="nothing",
    rerun="give the same command again",
)
def test_a_run_killed_in_every_stage_comes_to_the_same_bytes(undisturbed, tmp_path, count_inputs):
    folder = checkouts.copied(tmp_path / "checkout")
    book = folder / "_build" / "books" / "tiny-1"
    shutil.copytree((undisturbed / "_build" / "html").resolve(), book)
    (folder / "_build" / "html").symlink_to(book.relative_to(folder / "_build"))
    stood = book_bytes(folder)
    draw = random.Random(SEED)
    print("seed", SEED)
    watch = Watch(folder, book)
    watch.start()
    killed = 0
    for number, stage in enumerate(STAGES):
        (folder / "results" / "tiny" / "log.txt").unlink(missing_ok=True)
        process = started(folder)
        assert reached(process, folder, stage), process.stderr.read().decode()
        name = list(KILLS)[number % 2]
        wait = draw.uniform(0.5, 6)
        time.sleep(wait)
        assert process.poll() is None, f"{stage} was over before it could be killed"
        KILLS[name](process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
        killed += 1
        print(f"killed {name} {wait:.1f} s into {stage}")
        assert not partial(folder)
        assert book_bytes(folder) == stood
    last = started(folder)
    told = last.stderr.read().decode()
    last.stderr.close()
    assert last.wait() == 0, told
    watch.stopped.set()
    watch.join()
    assert not watch.torn
    assert not watch.gaps
    assert len(watch.seen) > 100
    assert numbers(folder) == numbers(undisturbed)
    assert (folder / "_build" / "html").resolve() != book
    assert (folder / "_build" / "html" / "index.html").is_file()
    assert not list((folder / "_build").glob("stage-*"))
    count_inputs(killed)


SERVANT = """
import os, subprocess, sys, time
from pathlib import Path
from deepcovid_lib import owners
held = owners.serve(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)"], pass_fds=held) if held else None
Path(sys.argv[1], "at-work").write_text(f"{len(held)} {os.getpid()}")
time.sleep(60)
"""
OWNER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from deepcovid_lib import owners
with owners.own(Path(sys.argv[1])) as environment:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], env={**os.environ, **environment})
    while not Path(sys.argv[1], "at-work").is_file():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.fault(
    "interruption",
    "a command is killed and leaves a job and its kernel at work",
    done="the job ends by itself; the next command waits until job and kernel are gone",
    lost="nothing",
    rerun="give the same command again",
)
def test_what_a_killed_owner_started_is_gone_before_the_next_begins(tmp_path):
    killed = subprocess.run([sys.executable, "-c", OWNER, str(tmp_path), SERVANT], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    held, servant = (tmp_path / "at-work").read_text().split()
    assert held == "1"
    began = time.monotonic()
    with owners.own(tmp_path):
        assert time.monotonic() - began > 0.5, "the kernel was not waited for"
        assert not Path("/proc", servant).exists() or "Z" in Path("/proc", servant, "stat").read_text().split()[2]


@pytest.mark.fault(
    "interruption",
    "a job of a killed command comes to life after the next command has begun",
    done="it sees that its owner is gone and ends before it writes anything",
    lost="nothing",
    rerun="nothing to do",
)
def test_a_late_job_of_a_killed_owner_does_nothing(tmp_path):
    with owners.own(tmp_path) as environment:
        pass
    late = [sys.executable, "-c", SERVANT, str(tmp_path)]
    with owners.own(tmp_path):
        assert subprocess.run(late, env={**os.environ, **environment}, timeout=60).returncode == 1
    assert not (tmp_path / "at-work").exists()


@pytest.mark.fault(
    "interruption",
    "a second build is started in a checkout while one is at work",
    done="it is refused in one line; the first goes on",
    lost="nothing",
    rerun="wait for the first to end",
)
def test_a_second_build_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    folder = checkouts.copied(tmp_path / "checkout")
    monkeypatch.setenv("DEEPCOVID_ROOT", str(folder))
    monkeypatch.setattr(owners, "PATIENCE", 0.3)
    with owners.own(folder):
        assert cli.main(["reproduce", "--edition", "tiny"]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert told == [
        "deepcovid: results/.reproduce.lock: another reproduce is at work in this checkout; wait for it to end"
    ]
    assert not (folder / "results" / "tiny" / "log.txt").exists()


@pytest.mark.fault(
    "interruption",
    "a killed run leaves temporary files and a half-staged book",
    done="the next run sweeps them away and touches nothing else",
    lost="nothing",
    rerun="give the same command again",
)
def test_what_a_killed_run_left_is_swept_away(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.begin("tiny")
    kept = [run.folder / name for name in ("run.yaml", ".facts.lock", ".scores-fresh.csv", "tables/tab-x.csv")]
    gone = [run.folder / name for name in ("tables/.tab-x-abc_1234.csv", "notebooks/.dataset.running.ipynb")]
    for path in (*kept, *gone):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for path in (run.folder / ".facts.lock", run.folder / "tables" / "tab-x.csv", *gone):
        os.utime(path, (0, 0))
    (tmp_path / "_build" / "stage-tiny-abc" / "src").mkdir(parents=True)
    (tmp_path / "_build" / "books" / "tiny-1").mkdir(parents=True)
    pipeline._sweep(run)
    assert all(path.is_file() for path in kept)
    assert not any(path.exists() for path in gone)
    assert [path.name for path in (tmp_path / "_build").iterdir()] == ["books"]
