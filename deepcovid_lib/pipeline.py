"""Everything of a run in order, by Snakemake, told in plain lines with an estimate."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml
from tqdm import tqdm

from deepcovid_lib import owners, runner, runs, site, stages
from deepcovid_lib.files import sha256, unchanged
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run

DONE = re.compile(r"^deepcovid: done (\S+) ([\d.]+)$")
TOLD = re.compile(r"^(deepcovid: .+|[\w-]+( [\w-]+)?: \d+ of \d+, about .+)$")
ENDED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)$")
STALE = 60  # seconds
PLANNED = re.compile(r"^(\w+)\s+(\d+)$")


def reproduce(
    run: Run, *, audience: site.Audience, jobs: int | None = None, profile: str = "laptop", shards: int = 1
) -> Path:
    """Bring a run up to date and its book into place; return the path of the book's first page.

    Nothing is done again where nothing changed. One `reproduce` works in a checkout at a time; what a killed one left
    at work on this machine has ended before the next begins.

    Parameters
    ----------
    run : Run
    audience : {"local", "public"}
    jobs : int, optional
        Processor cores on this machine, jobs at a time on a cluster; by default the profile's number.
    profile : str
        One of the folders in `profiles/`, or the path of another: where the work is done.
    shards : int
        In how many parts each frozen pass is done.

    Raises
    ------
    Misuse
        If there is no such profile.
    Problem
        With the first failure's own line; the log keeps the rest.
    """
    snakefile = run.root / "Snakefile"
    if not snakefile.is_file():
        raise Problem(
            "the pipeline needs the project's checkout",
            file=snakefile,
            remedy="clone the repository, or open one notebook alone",
        )
    options = _options(run.root, profile, jobs)
    with owners.own(run.root) as environment:
        _refuse_another_library(run)
        _sweep(run)
        _forget_outdated(run)
        stamp = run.folder / f"book-{audience}.txt"
        config = [f"run={run.name}", f"audience={audience}", f"shards={shards}"]
        _snakemake(run, [*options, "--config", *config], jobs=jobs or runs.cores(), environment=environment)
        return site.put_in_place(run, _book(run, stamp)) / "index.html"


def expected(run: Run) -> dict[str, float]:
    """Return the seconds each stage took before: in this run, else in the recorded run of the same edition."""
    recorded = run.root / "recorded" / run.edition_name / "facts.json"
    before = json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else {}
    return {stage: facts["seconds"] for stage, facts in {**before, **runs.facts_of(run)}.items() if "seconds" in facts}


def _sweep(run: Run) -> None:
    """Remove the temporary files that a killed run left; a younger one may be that of a notebook opened alone."""
    for path in run.folder.rglob(".*"):
        if path.is_file() and path.suffix not in ("", ".lock") and time.time() - path.stat().st_mtime > STALE:
            path.unlink(missing_ok=True)
    for path in (run.root / "_build").glob(f"stage-{run.name}-*"):
        shutil.rmtree(path, ignore_errors=True)


def _refuse_another_library(run: Run) -> None:
    """Refuse to make a checkout's book with an installed library that is not the checkout's."""
    installed, own = Path(__file__).parent, run.root / "deepcovid_lib"
    if installed == own:
        return
    for path in sorted(path for kind in ("py", "yaml", "css") for path in own.rglob(f"*.{kind}")):
        there = installed / path.relative_to(own)
        if not there.is_file() or sha256(there) != sha256(path):
            raise Problem(
                "is not what is installed as deepcovid_lib, so the book would not show the code that ran",
                file=path.relative_to(run.root),
                remedy="install the checkout again: pip install .",
            )


def _forget_outdated(run: Run) -> None:
    """Remove a manifest, notebooks and notes of books that were made from other files, whatever the time stamps say.

    A manifest that was edited is refused here, before the pipeline trains on it; so are films that were replaced.
    """
    if stages.outdated(run):
        _say("    the manifest is made anew: its code, its sources' tables or what its edition asks were others")
        run.manifest.unlink()
    elif run.manifest.is_file():
        for film in stages.manifest(run).itertuples():
            unchanged(film.path, film.sha256)
    for path in sorted((run.folder / "notebooks").glob("[!.]*.ipynb")):
        other = runner.outdated(path, run) or _changed(path, run)
        if other:
            _say(f"    {path.stem} is made anew: it {other}")
            path.unlink()
    for built in run.folder.glob("book-*.txt"):  # while a book counts as there, Snakemake misses no page of it
        told = built.read_text(encoding="utf-8").split()
        if told[1:] != [site.written(run)] or not (run.root / told[0]).is_dir():
            built.unlink()


def _changed(path: Path, run: Run) -> str:
    """Say what an executed notebook published and the run no longer holds so; empty where all is as it was."""
    try:
        runner.check_artefacts(path, run)
    except Problem as problem:
        return problem.what
    return ""


def _book(run: Run, stamp: Path) -> Path:
    return run.root / stamp.read_text(encoding="utf-8").split()[0]


def _options(root: Path, profile: str, jobs: int | None) -> list[str]:
    """Snakemake's options for a profile; a number of jobs counts cores here and jobs elsewhere."""
    folder = root / "profiles" / profile if os.sep not in profile else Path(profile).resolve()
    if not (folder / "config.yaml").is_file():
        known = ", ".join(sorted(path.parent.name for path in root.glob("profiles/*/config.yaml")))
        raise Misuse(f"no profile '{profile}'", remedy=f"choose {known}, or give the path of a folder of your own")
    settings = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {}
    executor = settings.get("executor", "local")
    plugin = f"snakemake_executor_plugin_{executor.replace('-', '_')}"
    if executor != "local" and importlib.util.find_spec(plugin) is None:
        raise Misuse(
            f"profile '{profile}' needs Snakemake's executor '{executor}', which is not installed",
            remedy=f"install it with: pip install {plugin.replace('_', '-')}",
        )
    counted = [] if jobs is None else ["--cores" if executor == "local" else "--jobs", str(jobs)]
    return ["--profile", str(folder), *counted]


def _snakemake(run: Run, options: list[str], *, jobs: int, environment: dict[str, str]) -> None:
    command = [
        *(sys.executable, "-m", "deepcovid_lib.owners", "snakemake"),
        *("--snakefile", run.root / "Snakefile", "--directory", run.root, *options),
    ]
    log = run.folder / "log.txt"
    seconds = expected(run)
    spoken: list[str] = []
    with open(log, "w", encoding="utf-8") as record:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=run.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        )
        planned: dict[str, int] = {}
        bar, steps, finished, began = None, 0, 0, time.monotonic()
        for line in process.stdout:
            record.write(line)
            record.flush()
            line = line.rstrip()
            found = PLANNED.match(line)
            if found and found[1] not in ("total", "cores") and bar is None:
                planned[found[1]] = int(found[2])
            elif line.startswith("total ") and bar is None:
                total = sum(planned.values())
                bar = tqdm(
                    total=total, desc=f"run {run.name}", unit="step", disable=not sys.stderr.isatty(), leave=False
                )
                _say(f"run {run.name}: {total} steps{_estimate(planned, seconds, jobs)}")
            elif done := DONE.match(line):
                rule = _rule(done[1])
                planned[rule] = planned.get(rule, 1) - 1
                steps += 1
                if bar is not None:
                    bar.update()
                    _say(f"[{steps}/{total}] {done[1]} {float(done[2]):.0f} s{_estimate(planned, seconds, jobs)}")
            elif ended := ENDED.match(line):
                finished += 1
                if finished > steps and bar is not None:  # done on another machine, whose lines are not heard here
                    planned[ended[1]] = planned.get(ended[1], 1) - 1
                    steps += 1
                    bar.update()
                    _say(f"[{steps}/{total}] {ended[1]}{_estimate(planned, seconds, jobs)}")
            elif line.startswith("note: "):
                _say(f"    {line}")
            elif TOLD.match(line):
                if line.startswith("deepcovid: "):
                    spoken.append(line.removeprefix("deepcovid: "))
                else:
                    _say(f"    {line}")
        if bar is not None:
            bar.close()
            _say(f"run {run.name}: {time.monotonic() - began:.0f} s in all")
    if process.wait():
        where = log.relative_to(run.root)
        raise Problem(spoken[0] if spoken else (_elsewhere(log) or [_reason(log)])[-1], remedy=f"the log is {where}")


def _elsewhere(log: Path) -> list[str]:
    """What jobs on other machines said of their failure, in the logs that Snakemake's log names."""
    named = dict.fromkeys(re.findall(r"/\S+\.log\b", log.read_text(encoding="utf-8")))
    texts = [Path(name).read_text(encoding="utf-8", errors="replace") for name in named if Path(name).is_file()]
    return re.findall(r"^deepcovid: (?!done )(.+)$", "\n".join(texts), flags=re.MULTILINE)


def _reason(log: Path) -> str:
    """The first complaint in Snakemake's log, with the two lines that explain it."""
    lines = log.read_text(encoding="utf-8").splitlines()
    first = next((number for number, line in enumerate(lines) if re.search(r"(Exception|Error)\b", line)), None)
    return " ".join(" ".join(lines[first : first + 6]).split()) if first is not None else "the pipeline stopped"


def _rule(stage: str) -> str:
    name = re.sub(r"^(part|extract|finetune)-.*$", r"\1", stage)
    return name.replace("-", "_")


def _estimate(planned: dict[str, int], seconds: dict[str, float], jobs: int) -> str:
    """Return the time left, from how long each stage took before; nothing where that is not known."""
    if not seconds:
        return ""
    left = 0.0
    for rule, count in planned.items():
        known = [taken for stage, taken in seconds.items() if _rule(stage) == rule]
        whole_machine = rule in ("curate", "part", "extract", "book")
        left += count * (sum(known) / len(known) if known else 5) / (1 if whole_machine else min(jobs, 2))
    return f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()
