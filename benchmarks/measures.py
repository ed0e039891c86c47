"""Time and memory: the median of several turns, alternating; the peak of a process of its own."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

PEAK = """
import json, re
from pathlib import Path
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([peak, told]))
"""


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def side_by_side(*works: Callable[[], object], turns: int = 3) -> list[float]:
    """Return the median seconds of each, measured in turns, so that what slows the machine slows all."""
    taken = [[seconds(work) for work in works] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def alone(code: str, *arguments: object) -> tuple[float, object]:
    """Run code in a process of its own; return its peak memory in MiB (Linux) and what it left in `told`."""
    command = [sys.executable, "-c", code + PEAK, *map(str, arguments)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peak, told = json.loads(said.splitlines()[-1])
    return peak, told
