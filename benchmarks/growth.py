"""Growth: the frozen pass over ever more images, stopped in the middle, and shared by two jobs."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import material, measures
from benchmarks.report import Outcome, Target
from deepcovid_lib import runs

COUNTS = (1000, 5000, 20000)
SIDE = 128
WORK = """
import sys, time
from pathlib import Path
import pandas as pd
from deepcovid_lib import backbones, features, images
wanted = features.part(pd.read_csv(sys.argv[1]), (int(sys.argv[3]), int(sys.argv[4])))
loaded = backbones.load("resnet18", weights="random")
began = time.perf_counter()
counts = features.extract(wanted, loaded, preset=images.Preset(size=32), cache=sys.argv[2])
told = [time.perf_counter() - began, counts.computed, counts.kept]
"""


def measure(counts: tuple[int, ...] = COUNTS) -> Outcome:
    """Pass small films through ResNet18 at 32 pixels, so that the bookkeeping shows and not the network."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        paths = material.varied(folder / "films", max(counts), (SIDE, SIDE))
        table = material.requests(paths)
        for count in counts:
            listed, cache = folder / f"{count}.csv", folder / f"cache-{count}"
            table[:count].to_csv(listed, index=False)
            peak, (seconds, computed, _) = measures.alone(WORK, listed, cache, 1, 1)
            assert computed == count
            size = sum(path.stat().st_size for path in cache.rglob("*.safetensors"))
            rows.append({"images": count, "seconds": seconds, "MiB of memory": peak, "bytes per image": size / count})
        least, most = rows[0], rows[-1]
        slower = (most["seconds"] / most["images"]) / (least["seconds"] / least["images"])
        lost = _stopped(folder / f"{counts[0]}.csv", folder / "stopped", counts[0])
        again = _shared(folder / f"{counts[0]}.csv", folder / "shared")
    between = f"{most['images']} images beside {least['images']}"
    return Outcome(
        [
            Target("time per image", slower, "most", 1.2, "times", between),
            Target("memory", most["MiB of memory"] / least["MiB of memory"], "most", 1.2, "times", between),
            Target(
                "features lost by a kill",
                lost,
                "most",
                0,
                "",
                f"killed with -9 in the middle of {counts[0]}, then resumed",
            ),
            Target(
                "features left to do after two jobs at once", again, "most", 0, "", "parts 1/2 and 2/2 on one cache"
            ),
        ],
        rows,
        f"{material.films()[1]}, made small and varied",
    )


def _started(listed: Path, cache: Path, part: int, parts: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WORK + measures.PEAK, *map(str, (listed, cache, part, parts))]
    return subprocess.Popen(command, cwd=runs.root(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _entries(cache: Path) -> int:
    return sum(1 for path in (cache / "features").rglob("*.safetensors") if not path.name.startswith("."))


def _stopped(listed: Path, cache: Path, count: int) -> int:
    """How many complete features of a killed job the next one did not find."""
    job = _started(listed, cache, 1, 1)
    while _entries(cache) < count // 3 and job.poll() is None:
        time.sleep(0.05)
    job.kill()
    job.wait()
    complete = _entries(cache)
    assert 0 < complete < count, f"killed with {complete} of {count} done: not in the middle"
    _, (_, computed, kept) = measures.alone(WORK, listed, cache, 1, 1)
    assert computed + kept == count
    return complete - kept


def _shared(listed: Path, cache: Path) -> int:
    """How many features are still to be computed after two jobs did half each at the same time."""
    jobs = [_started(listed, cache, part, 2) for part in (1, 2)]
    done = [json.loads(job.communicate()[0].splitlines()[-1])[1][1] for job in jobs]
    assert min(done) > 0, f"the two jobs computed {done}"
    return measures.alone(WORK, listed, cache, 1, 1)[1][1]
