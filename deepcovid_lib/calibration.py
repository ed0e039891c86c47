"""Do the scores mean what they say? Calibration, the change of mix between training and test, and decisions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import brier_score_loss

from deepcovid_lib import metrics
from deepcovid_lib.checks import within_unit

BINS = 10


def mix(counts: pd.DataFrame) -> dict[str, float]:
    """Return how many COVID-19 images there are for each other image, where the head is trained and where it is tried.

    Parameters
    ----------
    counts : DataFrame
        Of `stages.counts`: ``split, class, run``.

    Returns
    -------
    dict
        ``train`` (COVID-19 images after augmentation) and ``test``, as odds; ``offset``, the logarithm of the test
        odds divided by the training odds. NaN where a class has no image.

    Examples
    --------
    >>> counts = pd.DataFrame({"split": ["train"] * 2 + ["test"] * 2, "run": [496, 2000, 40, 3000],
    ...                        "class": ["COVID-19 after augmentation", "Non-COVID", "COVID-19", "Non-COVID"]})
    >>> {name: round(value, 3) for name, value in mix(counts).items()}
    {'train': 0.248, 'test': 0.013, 'offset': -2.923}
    """
    images = counts.set_index(["split", "class"])["run"]
    odds = {}
    for split, name in (("train", "COVID-19 after augmentation"), ("test", "COVID-19")):
        covid, others = int(images[split, name]), int(images[split, "Non-COVID"])
        odds[split] = covid / others if covid and others else math.nan
    return {**odds, "offset": math.log(odds["test"] / odds["train"])}


def shift(scores: ArrayLike, offset: float) -> np.ndarray:
    """Return probabilities whose log-odds are moved by an offset, as another mix of the classes asks.

    Parameters
    ----------
    scores : array-like of shape (n,)
        Probabilities of COVID-19, in [0, 1].
    offset : float
        Added to the log-odds, e.g. of `mix`. The order of the scores stays.

    References
    ----------
    Saerens, Latinne & Decaestecker (2002), Neural Comput. 14:21.

    Examples
    --------
    >>> shift([0.2, 1.0], np.log(0.25)).round(3).tolist()
    [0.059, 1.0]
    """
    return expit(logit(within_unit("scores", np.asarray(scores, float))) + offset)


def curve(frame: pd.DataFrame, *, bins: int = BINS) -> pd.DataFrame:
    """Set the share of COVID-19 images beside the scores, by bins of equal width closed on the right.

    Parameters
    ----------
    frame : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score``, in [0, 1].
    bins : int

    Returns
    -------
    DataFrame
        One row per bin that holds images: ``above`` and ``upto``, its bounds; ``images``; ``score``, their mean;
        ``share`` of COVID-19 with Wilson bounds ``low, high``, which take the images as independent.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid", "non_covid"], "score": [0.9, 0.2, 0.1]})
    >>> curve(frame, bins=2)[["images", "score", "share"]].round(2).values.tolist()
    [[2.0, 0.15, 0.0], [1.0, 0.9, 1.0]]
    """
    place = np.searchsorted(np.arange(1, bins) / bins, within_unit("score", frame["score"].to_numpy(float)))
    covid = frame["label"] == "covid"
    rows = []
    for number in np.unique(place):
        own = place == number
        low, high = metrics.proportion_interval(int(covid[own].sum()), int(own.sum()), method="wilson")
        row = {"above": number / bins, "upto": (number + 1) / bins, "images": int(own.sum())}
        rows.append(row | {"score": frame["score"][own].mean(), "share": covid[own].mean(), "low": low, "high": high})
    return pd.DataFrame(rows, columns=["above", "upto", "images", "score", "share", "low", "high"])


def summary(scores_by_model: Mapping[str, pd.DataFrame], *, offset: float, bins: int = BINS) -> pd.DataFrame:
    """Measure each model's calibration, as its scores are and moved to the test mix.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``label`` (``covid``/``non_covid``) and ``score``.
    offset : float
        Of `mix`.
    bins : int

    Returns
    -------
    DataFrame
        Two rows per model, ``scores`` being ``as given`` and ``moved to the test mix``: ``expected``, the COVID-19
        images that the scores add up to, and ``found``, those there are; ``brier``, the mean squared error; ``skill``,
        1 - brier / that of saying the share of COVID-19 for every image, so at most 1 and below 0 where that is
        better; ``calibration_error`` of `metrics.calibration_error`. NaN where undefined.

    References
    ----------
    Brier (1950), Mon. Weather Rev. 78:1.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.8, 0.2]})
    >>> summary({"resnet18": frame}, offset=0.0).loc[0, ["expected", "found", "brier", "skill"]].round(2).tolist()
    [1.0, 1.0, 0.04, 0.84]
    """
    rows = []
    for model, frame in scores_by_model.items():
        covid = (frame["label"] == "covid").to_numpy()
        spread = covid.mean() * (1 - covid.mean()) if len(covid) else 0.0
        given = within_unit("score", frame["score"].to_numpy(float))
        for name, score in (("as given", given), ("moved to the test mix", shift(given, offset))):
            row = {"model": model, "scores": name, "expected": score.sum(), "found": int(covid.sum())}
            if not len(covid) or np.isnan(score).any():
                row |= {"expected": math.nan, **dict.fromkeys(("brier", "skill", "calibration_error"), math.nan)}
            else:
                brier = float(brier_score_loss(covid, score, pos_label=True))
                row |= {"brier": brier, "skill": 1 - brier / spread if spread else math.nan}
                row |= {"calibration_error": metrics.calibration_error(covid, score, bins=bins)}
            rows.append(row)
    return pd.DataFrame(rows)


def net_benefit(frame: pd.DataFrame, *, thresholds: Sequence[float]) -> pd.DataFrame:
    """Weigh found against falsely alarmed images, for every rate at which one is taken for the other.

    Parameters
    ----------
    frame : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score``, a probability.
    thresholds : sequence of float in [0, 1)
        A call is made when ``score >= threshold``; threshold / (1 - threshold) is what a false alarm costs, a found
        image being worth 1.

    Returns
    -------
    DataFrame
        ``threshold, model`` (the scores' net benefit per image), ``all`` (every image called COVID-19); calling none
        has the net benefit 0. NaN without images.

    References
    ----------
    Vickers & Elkin (2006), Med. Decis. Making 26:565.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid", "non_covid"], "score": [0.9, 0.6, 0.1]})
    >>> net_benefit(frame, thresholds=[0.5]).round(3).values.tolist()
    [[0.5, 0.0, -0.333]]
    """
    covid, score = (frame["label"] == "covid").to_numpy(), frame["score"].to_numpy(float)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for threshold in thresholds:
            cost, total = threshold / (1 - threshold), len(covid) or math.nan
            tp, _, fp, _ = metrics.confusion(covid, score, threshold=threshold)
            everything = (covid.sum() - cost * (~covid).sum()) / total
            rows.append({"threshold": threshold, "model": (tp - cost * fp) / total, "all": everything})
    return pd.DataFrame(rows, columns=["threshold", "model", "all"])
