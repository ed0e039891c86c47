"""What this machine has, and what each edition still needs."""

from __future__ import annotations

import platform
import shutil

from deepcovid_lib import editions, runs
from deepcovid_lib.runs import Run


def report() -> list[str]:
    """Return the findings, one line each.

    Examples
    --------
    >>> any(line.startswith("edition tiny: ready") for line in report())
    True
    """
    import torch

    root = runs.root()
    free = shutil.disk_usage(root).free / 1e9
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the processor is used"
    book = root / "_build" / "html" / "index.html"
    versions = ", ".join(f"{package} {version}" for package, version in runs.versions().items())
    lines = [
        f"project: {root}",
        f"python: {platform.python_version()}; {versions}",
        f"device: {runs.device()}; graphics card: {gpu}",
        f"disk: {free:.0f} GB free{'' if free > 5 else ' (5 GB are wanted: make room first)'}",
        f"book: {book if book.is_file() else 'not built yet: make book'}",
    ]
    for name in editions.names():
        needs = _needs(runs.resolve(name))
        lines.append(f"edition {name}: {'needs ' + '; '.join(needs) if needs else 'ready'}")
    return lines


def _needs(run: Run) -> list[str]:
    from deepcovid_lib import backbones, downloads

    needs = []
    for source in dict.fromkeys((run.edition.positives, run.edition.negatives)):
        if source != "phantom" and not run.source_folder(source).is_dir():
            needs.append(f"{downloads.SOURCES[source].title} in {run.source_folder(source)}")
    if run.edition.weights == "imagenet":
        absent = [model for model in run.edition.models if not backbones.at_hand(model)]
        if absent:
            needs.append(f"ImageNet weights of {', '.join(absent)} (fetched at first use)")
    return needs
