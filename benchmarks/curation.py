"""Curation: CheXpert's label file beside pandas reading it, and the memory it takes."""

import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import material, measures
from benchmarks.report import Outcome, Target
from deepcovid_lib.sources import chexpert

OURS = """
import sys, time
from pathlib import Path
from deepcovid_lib.sources import chexpert
began = time.perf_counter()
chexpert.candidates(Path(sys.argv[1]))
told = time.perf_counter() - began
"""
PANDAS = """
import sys, time
from pathlib import Path
import pandas as pd
path = next(Path(sys.argv[1]).glob("train.csv*"))
began = time.perf_counter()
pd.read_csv(path)
told = time.perf_counter() - began
"""


def measure(rows: int = 223_414, turns: int = 3) -> Outcome:
    """Read the real label file where it is at hand, else a made one of its length; each in a process of its own."""
    if material.REAL:
        return _beside(Path(material.REAL) / "chexpert", turns, "CheXpert's own label file")
    with tempfile.TemporaryDirectory() as folder:
        _made(rows).to_csv(Path(folder) / "train.csv", index=False)
        return _beside(Path(folder), turns, f"a made label file of {rows} rows")


def _beside(folder: Path, turns: int, what: str) -> Outcome:
    pairs = [(measures.alone(OURS, folder), measures.alone(PANDAS, folder)) for _ in range(turns)]
    ours, theirs = (statistics.median(pair[which][1] for pair in pairs) for which in (0, 1))
    peak = max(pair[0][0] for pair in pairs)
    return Outcome(
        [
            Target(
                "reading and choosing beside pandas reading",
                ours / theirs,
                "most",
                2,
                "times",
                f"{ours:.2f} s beside {theirs:.2f} s",
            ),
            Target("memory", peak, "most", 600, "MiB", "peak of the process"),
        ],
        [],
        what,
    )


def _made(rows: int) -> pd.DataFrame:
    """A label file in CheXpert's form, filled at random."""
    rng = np.random.default_rng(0)
    labels = {name: rng.choice([1.0, 0.0, -1.0, np.nan], rows, p=[0.1, 0.1, 0.05, 0.75]) for name in chexpert.FINDINGS}
    frontal = rng.random(rows) < 0.85
    views = np.where(frontal, "frontal", "lateral")
    paths = [
        f"CheXpert-v1.0-small/train/patient{number // 4 + 1:05d}/study{number % 4 + 1}/view1_{view}.jpg"
        for number, view in enumerate(views)
    ]
    known = {"Path": paths, "Sex": "Female", "Age": 60, "Frontal/Lateral": np.where(frontal, "Frontal", "Lateral")}
    return pd.DataFrame({**known, "AP/PA": np.where(frontal, "AP", None), **labels})
