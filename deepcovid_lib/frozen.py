"""A run's features from the cache, with the rows they belong to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from deepcovid_lib import features, stages
from deepcovid_lib.runs import Run


class Part(NamedTuple):
    """The features of one split: ``rows`` of `features.requests`, and ``features`` in their order."""

    rows: pd.DataFrame
    features: Tensor

    @property
    def labels(self) -> np.ndarray:
        """True for COVID-19, one per row."""
        return (self.rows["label"] == "covid").to_numpy()


def sides(run: Run, model: str) -> tuple[Part, Part]:
    """Return the training and the test side of a run, as `stages.fit` takes them; what the cache lacks is computed.

    Returns
    -------
    train, test : Part
        Raw features: not standardised. The training side holds the augmented copies.
    """
    loaded = stages.backbone(run, model)
    wanted = features.requests(stages.manifest(run), copies=run.edition.copies, seed=run.edition.seed)
    features.extract(wanted, loaded, preset=stages.preset(run), cache=run.cache)
    parts = (wanted[wanted["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    train, test = (
        Part(rows, features.gather(rows, loaded, preset=stages.preset(run), cache=run.cache)) for rows in parts
    )
    return train, test
