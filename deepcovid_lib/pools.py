"""All of a run's images with their features, whichever side of the split they stand on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from deepcovid_lib import features, stages
from deepcovid_lib import manifest as manifests
from deepcovid_lib.runs import Run


class Pool(NamedTuple):
    """The images of a run as one backbone sees them.

    Attributes
    ----------
    model : str
        The backbone.
    films : DataFrame
        ``image_id, copy, patient_id, label, group, split``, one row per feature, in the order of the manifest. Copy 0
        is the image itself; only COVID-19 images of the training split have others.
    features : Tensor of float32, shape (n, ...)
        In the order of the films.
    """

    model: str
    films: pd.DataFrame
    features: Tensor


def gather(run: Run, model: str) -> Pool:
    """Return the run's images with a backbone's features, computing those that the cache lacks.

    Raises
    ------
    Misuse
        For a replayed run, which has no images.
    """
    rows = stages.manifest(run)
    wanted = features.requests(rows, copies=run.edition.copies, seed=run.edition.seed)
    loaded = stages.backbone(run, model)
    features.extract(wanted, loaded, preset=stages.preset(run), cache=run.cache)
    numbers = features.gather(wanted, loaded, preset=stages.preset(run), cache=run.cache)
    known = rows.assign(group=manifests.group(rows)).set_index("image_id")
    films = wanted[["image_id", "copy"]].join(known[["patient_id", "label", "group", "split"]], on="image_id")
    return Pool(model, films, numbers)


def originals(pool: Pool, split: str) -> np.ndarray:
    """Return the positions of a split's images themselves, without their copies.

    Examples
    --------
    >>> films = pd.DataFrame({"copy": [0, 1, 0], "split": ["train", "train", "test"]})
    >>> originals(Pool("resnet18", films, None), "train").tolist()
    [0]
    """
    return np.flatnonzero((pool.films["split"] == split) & (pool.films["copy"] == 0))
