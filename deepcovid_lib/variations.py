"""Recipes compared: one factor changed at a time, on the run's own films, under the same seeds of the head."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from deepcovid_lib import finetune, frozen, scaling, stages
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.finetune import Recipe
from deepcovid_lib.frozen import Part
from deepcovid_lib.pairs import by_patient, reserve, studentised, wins
from deepcovid_lib.problems import Problem
from deepcovid_lib.progress import track
from deepcovid_lib.runs import Run

COPIES = (4, 1)
DECAYS = (1e-4, 1e-2)
SEEDS = 10
SAME = 1e-6
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD with a step schedule"}


class Variation(NamedTuple):
    """One way to train a head on cached features: what was changed, and everything that training needs."""

    factor: str
    label: str
    recipe: Recipe
    copies: int
    seed: int


class Difference(NamedTuple):
    """A difference of two areas under the ROC curve with the bounds of its 95% interval."""

    difference: float
    low: float
    high: float


def reference(run: Run) -> Variation:
    """Return the run's own way."""
    recipe = Recipe(**run.edition.recipe.model_dump(exclude={"features"}))
    return Variation("reference", "the run's recipe", recipe, run.edition.copies, run.edition.seed)


def variations(run: Run) -> list[Variation]:
    """List what differs from the run's own way in one factor and can be trained on its cached features.

    The optimizer is the other one; copies are fewer than the run's; weight decay is added, or removed where the run has
    some.

    References
    ----------
    Sections II, III.A and IV.A of the paper: 16 copies of a COVID-19 film, Adam, and a regularised loss that was "not
    better".

    Examples
    --------
    >>> from deepcovid_lib import runs
    >>> for one in variations(runs.resolve("phantom")):
    ...     print(one.factor, "|", one.label)
    optimizer | SGD with a step schedule
    copies | no augmented copies
    weight decay | weight decay 0.0001
    weight decay | weight decay 0.01
    """
    own = reference(run)
    other = "sgd" if own.recipe.optimizer == "adam" else "adam"
    decays = [decay for decay in (*DECAYS, 0.0) if decay != own.recipe.weight_decay]
    if own.recipe.weight_decay == 0:
        decays = list(DECAYS)
    found = [_changed(own, "optimizer", OPTIMIZERS[other], optimizer=other)]
    for copies in COPIES:
        if copies < own.copies:
            label = "no augmented copies" if copies == 1 else f"{copies} copies of a COVID-19 film"
            found.append(own._replace(factor="copies", label=label, copies=copies))
    for decay in decays:
        label = f"weight decay {decay:g}" if decay else "no weight decay"
        found.append(_changed(own, "weight decay", label, weight_decay=decay))
    return found


def scores(train: Part, test: Part, variation: Variation, *, model: str, features: str) -> np.ndarray:
    """Train a head the variation's way and score the test films, as `stages.fit` does.

    Parameters
    ----------
    train, test : Part
        Raw features. Copies numbered ``variation.copies`` or higher are left out.
    variation : Variation
    model : str
    features : {"raw", "standardised"}
        ``"standardised"``: brought to mean 0 and deviation 1 over the training rows that are used.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the order of ``test.rows``.
    """
    used = np.flatnonzero(train.rows["copy"] < variation.copies)
    options = {"backbone_name": model, "recipe": variation.recipe, "seed": variation.seed}
    fitted = scaling.fit(train.features[used], train.labels[used], scale=features, **options)
    return finetune.score(test.features, fitted.head, model)


def compared(run: Run, model: str) -> pd.DataFrame:
    """Train every variation and the run's own recipe under ten seeds, and compare them on the same test films.

    A seed gives a head its first weights and the order of its rows; the first one is the run's.

    Returns
    -------
    DataFrame
        ``factor, variation``; ``reference_auc, auc``, means over the seeds; ``difference`` with ``low, high``, of
        `auc_difference`; a ``verdict`` by that interval: ``better``, ``worse``, ``no difference seen``, or ``cannot be
        decided``; ``reference_lowest, reference_highest``, how far the seed alone moves the reference's area.

    Raises
    ------
    Problem
        If the run's own recipe does not give the run's own scores again.
    """
    train, test = frozen.sides(run, model)
    told = stages.scores(run, model).set_index("image_id").loc[test.rows["image_id"]]

    def trained(way: Variation) -> np.ndarray:
        options = {"model": model, "features": run.edition.recipe.features}
        ways = (way._replace(seed=way.seed + number) for number in range(SEEDS))
        return np.stack([scores(train, test, each, **options) for each in ways])

    again = trained(reference(run))
    if not np.allclose(again[0], told["score"], rtol=0, atol=SAME):
        raise Problem(
            "the run's recipe does not give these scores again",
            file=(run.fit(model) / "scores.csv").relative_to(run.root),
            remedy="delete the fit's folder to train again",
        )
    areas = [float(wins(np.asarray(test.labels, dtype=bool), each).mean()) for each in again]
    seeds = {"reference_lowest": min(areas), "reference_highest": max(areas)}
    rows = []
    for variation in track(variations(run), label="recipes"):
        row = {"factor": variation.factor, "variation": variation.label}
        row |= comparison(test.labels, again, trained(variation), told["patient_id"])
        rows.append(row | seeds)
    return pd.DataFrame(rows)


def comparison(y_true: ArrayLike, reference: ArrayLike, score: ArrayLike, patients: ArrayLike) -> dict[str, object]:
    """Return the areas of `compared`, their difference and the verdict from the scores of both ways.

    Examples
    --------
    >>> comparison([1, 0], [0.6, 0.4], [0.3, 0.4], ["a", "b"])["verdict"]
    'cannot be decided: too few patients, or no spread between them'
    """
    found = auc_difference(y_true, score, reference, groups=patients)
    positive = np.asarray(y_true, dtype=bool)
    ways = [[wins(positive, each) for each in np.atleast_2d(np.asarray(way, float))] for way in (reference, score)]
    areas = [float(np.mean(each)) if each[0].size else math.nan for each in ways]
    row = {"reference_auc": areas[0], "auc": areas[1], **found._asdict()}
    return row | {"verdict": verdict(found)}


def auc_difference(y_true: ArrayLike, score: ArrayLike, reference: ArrayLike, *, groups: ArrayLike) -> Difference:
    """Return the area under the ROC curve of one score less that of another, with its 95% interval by Student's *t*.

    Its variance is that of the mean over the seeds between patients, as in `pairs.deviation`, and that of the seeds;
    the degrees of freedom are Satterthwaite's.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for COVID-19, 0 otherwise.
    score, reference : array-like of shape (n,) or (seeds, n)
        Two scores of the same images, or of each under the same seeds. A tie counts one half.
    groups : array-like of shape (n,)
        Patients, whose images are kept together (`pairs.deviation`).

    Returns
    -------
    Difference
        The bounds are NaN where a class has fewer than five patients or every pair of images gives the same gain that
        is not 0. All NaN without one of the classes.

    References
    ----------
    Satterthwaite (1946), Biometrics Bulletin 2:110.

    Examples
    --------
    >>> auc_difference([1, 1, 0, 0], [4, 2, 3, 1], [4, 3, 2, 1], groups=list("abcd"))
    Difference(difference=-0.25, low=nan, high=nan)
    """
    positive, patients = np.asarray(y_true, dtype=bool), np.asarray(groups)
    if positive.all() or not positive.any():
        return Difference(math.nan, math.nan, math.nan)
    ways = (np.atleast_2d(np.asarray(way, float)) for way in (score, reference))
    gained = np.stack([wins(positive, own) - wins(positive, other) for own, other in zip(*ways, strict=True)])
    mean = float(gained.mean())
    sides = patients[positive], patients[~positive]
    spread, freedom = by_patient(gained.mean(axis=0), *sides)
    if freedom >= FEWEST_PATIENTS - 1 and not gained.any():
        spread = 0.0
    if math.isnan(spread):
        return Difference(mean, math.nan, math.nan)
    parts = [(spread**2 + reserve(*sides) ** 2, freedom)]
    if len(gained) > 1:
        parts.append((gained.mean(axis=(1, 2)).var(ddof=1) / len(gained), len(gained) - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    low, high, _ = studentised(mean, math.sqrt(variance), freedom)
    return Difference(mean, low, high)


def verdict(found: Difference) -> str:
    """Say what the interval of a difference allows.

    Examples
    --------
    >>> verdict(Difference(0.02, 0.01, 0.03)), verdict(Difference(0.02, -0.01, 0.03))
    ('better', 'no difference seen')
    """
    if math.isnan(found.difference):
        return "cannot be decided: a class has no films"
    if math.isnan(found.low):
        return "cannot be decided: too few patients, or no spread between them"
    return "better" if found.low > 0 else "worse" if found.high < 0 else "no difference seen"


def _changed(own: Variation, factor: str, label: str, **fields: object) -> Variation:
    return own._replace(factor=factor, label=label, recipe=dataclasses.replace(own.recipe, **fields))
