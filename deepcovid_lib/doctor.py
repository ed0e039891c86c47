"""What this machine has, and what each edition still needs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepcovid_lib import editions, lineage, runs
from deepcovid_lib.files import read_json, write_json
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run

TOLD = ("torch", "torchvision", "graphics", "weights")
LEAST, ENOUGH = 2.0, 4.0  # GB of memory or disk: below the first nothing goes, up to the second not every edition


def report() -> list[str]:
    """Return the findings, one line each; the last is the verdict.

    Examples
    --------
    >>> any(line.startswith("edition tiny: ready") for line in report())
    True
    """
    root = runs.root()
    book = root / "_build" / "html" / "index.html"
    versions = ", ".join(f"{package} {version}" for package, version in lineage.versions(lineage.PACKAGES).items())
    lines = [
        f"project: {root}",
        f"python: {platform.python_version()}; {versions}",
        f"device: {runs.device()}; {_graphics()}",
        f"memory: {_amount(memory_free())} free; disk: {_amount(disk_free())} free",
        f"book: {book if book.is_file() else 'not built yet: make book'}",
    ]
    for name in editions.names():
        needs = _needs(runs.resolve(name))
        lines.append(f"edition {name}: {'needs ' + '; '.join(needs) if needs else 'ready'}")
    return [*lines, verdict()]


def verdict() -> str:
    """Say in one line whether a notebook can run here.

    Returns
    -------
    str
        Starts with ``Ready:``, ``Ready, but`` (with what may run short) or ``Not ready:`` (with the remedy), and names
        the device, the free memory and disk, the ImageNet weights at hand and the versions. Nothing is raised.
        What takes torch to find out is kept in ``cache/machine.json`` until machine, environment or versions change.

    Examples
    --------
    >>> verdict().partition(":")[0] in ("Ready", "Not ready") or verdict().startswith("Ready, but")
    True
    """
    try:
        met = _met()
    except Exception as fault:  # a broken installation fails in many ways
        reason = " ".join(f"{type(fault).__name__}: {fault}".split())
        return f"Not ready: torch or torchvision cannot be loaded, {reason} (install both anew, in versions that match)"
    memory, disk = memory_free(), disk_free()
    scarce = {
        f"{_amount(free)} of {what} free ({remedy})": free
        for what, free, remedy in (
            ("memory", memory, "close other programs or kernels"),
            ("disk", disk, "make room, or set DEEPCOVID_ROOT to a folder elsewhere"),
        )
        if free is not None and free < ENOUGH
    }
    short = [line for line, free in scarce.items() if free < LEAST]
    folder = _existing(runs.root())
    if not os.access(folder, os.W_OK):
        short.append("this folder cannot be written to (start the notebook in one of yours)")
    found = (
        f"{met['graphics']}; {_amount(memory)} of memory and {_amount(disk)} of disk free; {_weights(met['weights'])}; "
        f"Python {platform.python_version()}, torch {met['torch']}, torchvision {met['torchvision']}"
    )
    if short:
        return f"Not ready: {' and '.join(short)}. Found {found}"
    if scarce:
        return f"Ready, but only {' and '.join(scarce)}: {found}"
    return f"Ready: {found}"


def memory_free() -> float | None:
    """Return the memory that a new process can have, in GB, a container's own limit counted; None if not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        free = min(free, limit - used + int(kept["inactive_file"]))
    except (OSError, KeyError, ValueError):  # no such limit
        pass
    return free / 1e9


def disk_free() -> float | None:
    """Return the free space where the project's files go, in GB; None if not known."""
    try:
        return shutil.disk_usage(_existing(runs.root())).free / 1e9
    except OSError:
        return None


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _graphics() -> str:
    import torch

    try:
        if torch.cuda.is_available():
            return f"GPU {torch.cuda.get_device_name()}"
    except (RuntimeError, AssertionError):  # a driver that does not fit
        pass
    return f"no GPU, {runs.cores()} processor cores"


def _met() -> dict[str, Any]:
    """What torch told when it was loaded here: the graphics device, and where it looks for weights."""
    note = runs.root() / "cache" / "machine.json"
    surroundings = {name: os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "TORCH_HOME", "XDG_CACHE_HOME")}
    place = {"machine": platform.node(), "environment": sys.prefix, "home": str(Path.home()), **surroundings}
    known = {"place": place, "driver": Path("/dev/nvidiactl").exists(), "versions": lineage.versions(lineage.PACKAGES)}
    with suppress(OSError, ValueError, AttributeError):
        before = read_json(note)
        if {key: before.get(key) for key in known} == known and set(TOLD) <= before.keys():
            return before
    import torch
    import torchvision

    from deepcovid_lib import backbones

    models = editions.resolve("phantom").models
    weights = {model: str(backbones.weights_path(model)) for model in models}
    loaded = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    met = {**known, **loaded, "graphics": _graphics(), "weights": weights}
    with suppress(OSError):
        write_json(met, note)
    return met


def _weights(places: dict[str, str]) -> str:
    found = [model for model in editions.resolve("phantom").models if Path(places[model]).is_file()]
    return f"ImageNet weights of {', '.join(found)}" if found else "no ImageNet weights yet (phantoms need none)"


def _amount(free: float | None) -> str:
    return "unknown" if free is None else f"{free:.1f} GB"


def _needs(run: Run) -> list[str]:
    from deepcovid_lib import backbones, downloads
    from deepcovid_lib.sources import chexpert, cohen, find_table, nih, released

    tables = {cohen.SOURCE: [cohen.TABLE], nih.SOURCE: nih.TABLES, chexpert.SOURCE: chexpert.TABLES}
    needs = []
    for source in dict.fromkeys((run.edition.positives, run.edition.negatives)):
        folder = run.source_folder(source)
        if source == "phantom":
            continue
        if not folder.is_dir():
            needs.append(f"{downloads.SOURCES[source].title} in {folder}")
            continue
        try:
            released.sides(folder) if source == released.SOURCE else find_table(folder, tables[source])
        except Problem as problem:
            needs.append(str(problem))
    if run.edition.weights == "imagenet":
        absent = [model for model in run.edition.models if not backbones.at_hand(model)]
        needs += filter(None, map(backbones.damage, run.edition.models))
        if absent:
            needs.append(f"ImageNet weights of {', '.join(absent)} (fetched at first use)")
    return needs
