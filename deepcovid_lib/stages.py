"""The stages of a run: each reads its file if it is there and makes it if not.

A notebook opened alone obtains what it lacks through the same calls as the pipeline.
"""

from __future__ import annotations

from contextlib import contextmanager

import pandas as pd
from filelock import FileLock

from deepcovid_lib import curation, images, manifest
from deepcovid_lib.curation import Curated
from deepcovid_lib.files import write_csv
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import Candidates


def preset(run: Run) -> images.Preset:
    """Return how this run's images become network input."""
    return images.Preset(size=run.edition.preset.size, fit=run.edition.preset.fit)
