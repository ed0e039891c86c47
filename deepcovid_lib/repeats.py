"""Would it hold? The last layer trained again: from other seeds, and with the patients divided otherwise.

From a shell: ``python -m deepcovid_lib.repeats RUN MODEL [--repeats N]`` repeats one model of a run and leaves
``results/RUN/repeats/MODEL.csv``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from torch import Tensor

from deepcovid_lib import backbones, finetune, metrics, pools, runs, scaling, stages, tables
from deepcovid_lib.editions import RecipeAsked
from deepcovid_lib.files import write_csv
from deepcovid_lib.pools import Pool
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run


def linear(models: Sequence[str]) -> list[str]:
    """Return the backbones whose head is one linear layer, which trains in seconds.

    Examples
    --------
    >>> linear(["resnet18", "squeezenet"])
    ['resnet18']
    """
    return [model for model in models if len(backbones.get(model).feature_shape) == 1]


def head(pool: Pool, rows: np.ndarray, *, recipe: RecipeAsked, seed: int) -> dict[str, Tensor]:
    """Train a head on some rows of the pool, exactly as `stages.fit` trains the run's own.

    Parameters
    ----------
    pool : Pool
    rows : array of int, shape (n,)
        Positions in the pool; a row given twice is trained on twice.
    recipe : RecipeAsked
        Where it asks for standardised features, their scale is measured on these rows alone and folded into the head.
    seed : int
    """
    return scaling.fit(
        pool.features[rows],
        (pool.films["label"].iloc[rows] == "covid").to_numpy(),
        scale=recipe.features,
        backbone_name=pool.model,
        recipe=finetune.Recipe(**recipe.model_dump(exclude={"features"})),
        seed=seed,
    ).head


def scores(pool: Pool, rows: np.ndarray, trained: dict[str, Tensor]) -> pd.DataFrame:
    """Return what a head gives to some rows of the pool: ``image_id, patient_id, label, group, score``."""
    films = pool.films.iloc[rows][["image_id", "patient_id", "label", "group"]].reset_index(drop=True)
    return films.assign(score=finetune.score(pool.features[rows], trained, pool.model))


def redivide(films: pd.DataFrame, seed: int) -> pd.Series:
    """Divide the patients anew, as many of each kind in training as before.

    Parameters
    ----------
    films : DataFrame
        ``patient_id, group, split``. A patient is of the first kind among ``covid, other_disease, normal, unknown`` of
        which there is an image.
    seed : int

    Returns
    -------
    Series of str
        ``train`` or ``test`` for every row; all rows of a patient are on one side. The patients of each kind in
        training are as many as before, so the numbers of images may differ a little.

    Examples
    --------
    >>> films = pd.DataFrame({"patient_id": list("aabcd"), "group": "covid", "split": ["train"] * 2 + ["test"] * 3})
    >>> redivide(films, seed=2).tolist()
    ['test', 'test', 'test', 'train', 'test']
    """
    rng = np.random.default_rng(seed)
    kinds = films["group"].map({"covid": 0, "other_disease": 1, "normal": 2, "unknown": 3})
    patients = films.assign(kind=kinds).groupby("patient_id").agg(kind=("kind", "min"), split=("split", "first"))
    sides = patients.groupby("kind")["split"].transform(lambda own: rng.permutation(own.to_numpy()))
    return films["patient_id"].map(sides).rename("split")


def over_seeds(pool: Pool, seeds: Sequence[int], *, recipe: RecipeAsked) -> list[pd.DataFrame]:
    """Train on the run's own training rows once per seed, and score its test images each time."""
    train, test = np.flatnonzero(pool.films["split"] == "train"), pools.originals(pool, "test")
    return [scores(pool, test, head(pool, train, recipe=recipe, seed=seed)) for seed in seeds]


def on_originals(pool: Pool, sides: pd.Series, *, recipe: RecipeAsked, copies: int, seed: int) -> pd.DataFrame:
    """Train on the films of one side without augmented copies, and score the other side.

    Images that stood in the run's test have no copies, so every COVID-19 training image is taken `copies` times as it
    is.

    Parameters
    ----------
    pool : Pool
    sides : Series of str
        ``train`` or ``test``, under the positions of the images in the pool.
    recipe, copies, seed
        Of the run.
    """
    train, test = (np.asarray(sides.index[sides == side]) for side in ("train", "test"))
    times = np.where(pool.films["label"].iloc[train] == "covid", copies, 1)
    return scores(pool, test, head(pool, np.repeat(train, times), recipe=recipe, seed=seed))


def measure(frame: pd.DataFrame, *, threshold: float) -> dict[str, float]:
    """Measure one repetition.

    Parameters
    ----------
    frame : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score``.
    threshold : float
        The run's own; positive when ``score >= threshold``.

    Returns
    -------
    dict
        ``auc``; ``specificity``, where these very scores first reach 97.5% sensitivity (Section IV.E);
        ``kept_sensitivity`` and ``kept_specificity`` at the given threshold. NaN where a class has no image.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.4, 0.3]})
    >>> measure(frame, threshold=0.5)
    {'auc': 1.0, 'specificity': 1.0, 'kept_sensitivity': 0.0, 'kept_specificity': 1.0}
    """
    if frame["label"].nunique() < 2:
        return dict.fromkeys(("auc", "specificity", "kept_sensitivity", "kept_specificity"), np.nan)
    covid, score = frame["label"] == "covid", frame["score"]
    own = metrics.operating_points(covid, score, sensitivities=[tables.TARGET])["specificity"].iloc[0]
    kept = metrics.sensitivity_specificity(covid, score, threshold=threshold)
    return {
        "auc": float(roc_auc_score(covid, score)),
        "specificity": float(own),
        "kept_sensitivity": kept.sensitivity,
        "kept_specificity": kept.specificity,
    }


def repeat(run: Run, model: str, *, repeats: int) -> pd.DataFrame:
    """Repeat one model of a run, `repeats` times with other seeds and as often with other patients in training.

    Returns
    -------
    DataFrame
        ``model, varied, number`` (from 1) and what `measure` gives at the run's threshold, which reaches 97.5%
        sensitivity on its own test images. ``varied`` is ``run``, the run itself; ``seed``; ``copies``, once, the
        run's own division trained as `on_originals` does; ``patients``, the same with the patients divided anew.
    """
    own = stages.scores(run, model)
    threshold = metrics.operating_points(own["label"] == "covid", own["score"], sensitivities=[tables.TARGET])
    threshold = float(threshold["threshold"].iloc[0])
    pool = pools.gather(run, model)
    films = pool.films[pool.films["copy"] == 0]
    recipe, seed = run.edition.recipe, run.edition.seed
    others = [seed + number for number in range(1, repeats + 1)]
    divisions = [films["split"], *(redivide(films, other) for other in others)]
    asked = {"recipe": recipe, "copies": run.edition.copies, "seed": seed}
    same, *divided = (on_originals(pool, sides, **asked) for sides in divisions)
    found = {
        "run": [own],
        "seed": over_seeds(pool, others, recipe=recipe),
        "copies": [same],
        "patients": divided,
    }
    rows = [
        {"model": model, "varied": varied, "number": number, **measure(frame, threshold=threshold)}
        for varied, frames in found.items()
        for number, frame in enumerate(frames, start=1)
    ]
    return pd.DataFrame(rows)


def spread(repeated: pd.DataFrame) -> pd.DataFrame:
    """Return from where to where each number went.

    Parameters
    ----------
    repeated : DataFrame
        Of `repeat`, for any number of models.

    Returns
    -------
    DataFrame
        ``model, varied, repeats``; for ``auc``, ``specificity``, ``kept_sensitivity`` and ``kept_specificity`` the
        lowest and the highest of the repeats (``_low, _high``), and the run's own (``_run``).

    Examples
    --------
    >>> repeated = pd.DataFrame({"model": "resnet18", "varied": ["run", "seed", "seed"], "auc": [0.8, 0.7, 0.9],
    ...                          "specificity": 0.5, "kept_sensitivity": 1.0, "kept_specificity": 0.5})
    >>> spread(repeated)[["varied", "repeats", "auc_run", "auc_low", "auc_high"]].values.tolist()
    [['seed', 2, 0.8, 0.7, 0.9]]
    """
    quantities = ["auc", "specificity", "kept_sensitivity", "kept_specificity"]
    own = repeated[repeated["varied"] == "run"].set_index("model")[quantities]
    rows = []
    for (model, varied), frame in repeated[repeated["varied"] != "run"].groupby(["model", "varied"], sort=False):
        row = {"model": model, "varied": varied, "repeats": len(frame)}
        for name in quantities:
            row |= {f"{name}_run": own.at[model, name], f"{name}_low": frame[name].min()}
            row |= {f"{name}_high": frame[name].max()}
        rows.append(row)
    bounds = [f"{name}_{end}" for name in quantities for end in ("run", "low", "high")]
    return pd.DataFrame(rows, columns=["model", "varied", "repeats", *bounds])


def main(arguments: list[str] | None = None) -> int:
    """Repeat one model of a run; the pipeline's rule `repeats` calls this."""
    parser = argparse.ArgumentParser(prog="python -m deepcovid_lib.repeats", description="Repeat one model of a run.")
    parser.add_argument("run", help="the run's name, e.g. phantom")
    parser.add_argument("model", help="a backbone, e.g. squeezenet")
    parser.add_argument("--repeats", type=int, default=20, help="heads of each kind (default: 20)")
    asked = parser.parse_args(arguments)
    try:
        run = runs.reopen(asked.run)
        target = run.folder / "repeats" / f"{asked.model}.csv"
        with runs.timed(run, f"repeats-{asked.model}"):
            write_csv(repeat(run, asked.model, repeats=asked.repeats), target)
    except (Problem, OSError) as fault:
        sys.stderr.write(f"deepcovid: {fault}\n")
        return 1
    seconds = runs.facts_of(run)[f"repeats-{asked.model}"]["seconds"]
    sys.stderr.write(f"deepcovid: done repeats-{asked.model} {seconds}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
