"""Variations that need new passes through a network: declared, costly, run by name, kept as numbers.

From a shell: ``python -m deepcovid_lib.sweeps RUN NAME...``; ``--record`` keeps them under `recorded/` as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepcovid_lib import features, floors, records, runs, stages, training, variations
from deepcovid_lib.files import write_csv, write_json
from deepcovid_lib.finetune import Recipe
from deepcovid_lib.frozen import Part
from deepcovid_lib.images import Preset
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.runs import Run

PAPER_COPIES = 16  # Section II: 31 images, 496 after augmentation


class Extent(NamedTuple):
    """How much a sweep takes.

    Attributes
    ----------
    train, test : float
        Share of the patients of each class; the COVID-19 patients of the test side always all stay.
    size : int
        Side of the films in pixels.
    epochs : int
        Of the plain loops, which pass every film in every epoch; heads on cached features keep the run's recipe.
    learning_rates : dict of str to float
        Of the plain loops, by sweep; reference and variation share it. A head alone bears more than a whole network.
    """

    train: float
    test: float
    size: int
    epochs: int
    learning_rates: dict[str, float]


SMALL = Extent(train=2 / 3, test=2 / 5, size=112, epochs=10, learning_rates={"drift": 1e-3, "whole": 1e-4})
"""What fits a processor: minutes."""

FULL = Extent(train=1.0, test=1.0, size=224, epochs=100, learning_rates={"drift": 1e-4, "whole": 1e-4})
"""Every film at the paper's size by the paper's recipe: for a GPU."""


class Sweep(NamedTuple):
    """One factor: how it is told, and a function of run, training and test rows and extent that scores both ways."""

    factor: str
    reference: str
    variation: str
    scores: Callable[[Run, pd.DataFrame, pd.DataFrame, Extent], tuple[np.ndarray, np.ndarray]]


def subset(manifest: pd.DataFrame, extent: Extent, *, seed: int) -> pd.DataFrame:
    """Draw whole patients with all their films, so that what patients share stays as it is.

    Examples
    --------
    >>> films = pd.DataFrame({"patient_id": list("aabcdefghi"), "label": ["covid"] * 4 + ["non_covid"] * 6})
    >>> films["split"] = "test"
    >>> subset(films, SMALL, seed=0)["label"].value_counts().to_dict()
    {'covid': 4, 'non_covid': 2}
    """
    kept = []
    for (split, label), own in manifest.groupby(["split", "label"]):
        share = 1.0 if (split, label) == ("test", "covid") else getattr(extent, split)
        patients = own["patient_id"].drop_duplicates()
        kept.append(own[own["patient_id"].isin(patients.sample(frac=share, random_state=seed))])
    return pd.concat(kept).sort_index() if kept else manifest


def crop(run: Run, train: pd.DataFrame, test: pd.DataFrame, extent: Extent) -> tuple[np.ndarray, np.ndarray]:
    """Score with whole films squashed to a square, and with their centre cropped."""
    presets = (Preset(size=extent.size, fit=fit) for fit in ("squash", "crop"))
    squash, centre = (_cached(run, train, test, run.edition.models[0], preset) for preset in presets)
    return squash, centre


def deeper(run: Run, train: pd.DataFrame, test: pd.DataFrame, extent: Extent) -> tuple[np.ndarray, np.ndarray]:
    """Score by DenseNet-121 and by DenseNet-161."""
    preset = Preset(size=extent.size, fit=run.edition.preset.fit)
    smaller, larger = (_cached(run, train, test, model, preset) for model in ("densenet121", "densenet161"))
    return smaller, larger


def copies(run: Run, train: pd.DataFrame, test: pd.DataFrame, extent: Extent) -> tuple[np.ndarray, np.ndarray]:
    """Score with the run's own number of copies of each COVID-19 film, and with the paper's."""
    model, preset = run.edition.models[0], Preset(size=extent.size, fit=run.edition.preset.fit)
    more = features.requests(train[train["copy"] == 0], copies=PAPER_COPIES, seed=run.edition.seed)
    own, paper = (_cached(run, rows, test, model, preset) for rows in (train, more))
    return own, paper


def drift(run: Run, train: pd.DataFrame, test: pd.DataFrame, extent: Extent) -> tuple[np.ndarray, np.ndarray]:
    """Score with batch normalisation frozen, and drifting as in the released script."""
    return _looped(run, train, test, extent, "drift")


def whole(run: Run, train: pd.DataFrame, test: pd.DataFrame, extent: Extent) -> tuple[np.ndarray, np.ndarray]:
    """Score with the last layer trained, and with the whole network."""
    return _looped(run, train, test, extent, "whole")


SWEEPS = {
    "copies": Sweep("copies", "the recorded run's copies", f"{PAPER_COPIES} copies", copies),
    "crop": Sweep("fit", "whole film squashed", "centre crop", crop),
    "densenet161": Sweep("network", "DenseNet-121", "DenseNet-161", deeper),
    "drift": Sweep("batch normalisation", "frozen", "drifting batch normalisation", drift),
    "whole": Sweep("trained layers", "last layer", "whole network", whole),
}


def compared(run: Run, name: str, extent: Extent = SMALL) -> pd.DataFrame:
    """Run one sweep; reference and variation share films, seed and first head.

    Returns
    -------
    DataFrame
        One row: ``name, factor, reference, variation``; ``films_train`` and ``films_test``, ``rows_train`` with the
        copies; ``size``, ``epochs``, ``learning_rate``; and the columns of `variations.comparison`.

    Raises
    ------
    Misuse
        For an unknown name.
    """
    if name not in SWEEPS:
        raise Misuse(f"no sweep '{name}'", remedy=f"choose of {', '.join(SWEEPS)}")
    sweep = SWEEPS[name]
    films = subset(stages.manifest(run), extent, seed=run.edition.seed)
    wanted = features.requests(films, copies=run.edition.copies, seed=run.edition.seed)
    train, test = (wanted[wanted["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    reference, score = sweep.scores(run, train, test, extent)
    patients = films.set_index("image_id").loc[test["image_id"], "patient_id"]
    recipe = _recipe(run, extent, name)
    row = {"name": name, "factor": sweep.factor, "reference": sweep.reference, "variation": sweep.variation}
    row |= {"films_train": train["image_id"].nunique(), "rows_train": len(train), "films_test": len(test)}
    row |= {"size": extent.size, "epochs": recipe.epochs, "learning_rate": recipe.learning_rate}
    row |= variations.comparison(test["label"] == "covid", reference, score, patients)
    return pd.DataFrame([row])


def recorded(name: str) -> pd.DataFrame:
    """Return the recorded sweeps of a run, one row each, with the ``seconds`` they took; no rows where there are none.

    Examples
    --------
    >>> recorded("no-such-run").empty
    True
    """
    if not (records.folder() / f"recipes-{name}").is_dir():
        return pd.DataFrame(columns=["factor", "variation"])
    return records.table(f"recipes-{name}", "sweeps")


def record(run: Run, row: pd.DataFrame) -> Path:
    """Keep a sweep of a recorded run under `recorded/recipes-<run>/`: its numbers, when and where they were made.

    Parameters
    ----------
    run : Run
    row : DataFrame
        Of `compared`, just made. It takes the place of an earlier one of its name; the other sweeps stay.

    Raises
    ------
    Misuse
        If no such run is recorded under the run's name: another edition, or other settings.
    Problem
        If its films are not those of the record.
    """
    _refuse_unrecorded(run)
    name, folder = row["name"].iloc[0], records.folder() / f"recipes-{run.name}"
    fact, before = runs.facts_of(run)[f"sweep-{name}"], recorded(run.name)
    facts = {} if before.empty else records.facts(folder.name)
    others = [] if before.empty else [before[before["name"] != name]]
    made = pd.concat([row.assign(seconds=fact["seconds"]), *others], ignore_index=True)
    write_csv(made.sort_values("name"), folder / "sweeps.csv")
    write_json({**facts, f"sweep-{name}": fact}, folder / "facts.json")
    records.seal(folder)
    return folder


def main(arguments: list[str] | None = None) -> int:
    """Run sweeps of a run by name."""
    parser = argparse.ArgumentParser(prog="python -m deepcovid_lib.sweeps", description="Compare costly variations.")
    parser.add_argument("run", help="the run's name, e.g. phantom")
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"of {', '.join(SWEEPS)}")
    parser.add_argument("--full", action="store_true", help="every film at the paper's size and recipe: for a GPU")
    parser.add_argument("--record", action="store_true", help="keep them under recorded/ as well")
    asked = parser.parse_args(arguments)
    try:
        run = runs.reopen(asked.run)
        if asked.record:
            _refuse_unrecorded(run)
        for name in asked.names:
            with runs.timed(run, f"sweep-{name}"):
                row = compared(run, name, FULL if asked.full else SMALL)
                write_csv(row, _path(run, name))
            sys.stderr.write(f"{row.iloc[0].to_dict()}\n")
            if asked.record:
                record(run, row)
    except (Problem, OSError) as fault:
        sys.stderr.write(f"deepcovid: {fault}\n")
        return 1
    return 0


def _refuse_unrecorded(run: Run) -> None:
    if (recorded := records.of(run)) != run.name:
        again = f"deepcovid reproduce --edition {run.edition_name} --run {recorded}"
        raise Misuse(f"run '{run.name}' is recorded as '{recorded}'", remedy=f"make it under that name: {again}")
    if not floors.tested(run, stages.manifest(run)):
        raise floors.unlike(run)


def _path(run: Run, name: str) -> Path:
    return run.folder / "sweeps" / f"{name}.csv"


def _recipe(run: Run, extent: Extent, name: str) -> Recipe:
    """The run's recipe; for a plain loop, as long and as fast as the extent says."""
    own = variations.reference(run).recipe
    if name not in extent.learning_rates:
        return own
    return dataclasses.replace(own, epochs=extent.epochs, learning_rate=extent.learning_rates[name])


def _cached(
    run: Run, train: pd.DataFrame, test: pd.DataFrame, model: str, preset: Preset, recipe: Recipe | None = None
) -> np.ndarray:
    """Scores of a head trained on cached features."""
    loaded = stages.backbone(run, model)
    sides = []
    for rows in (train, test):
        features.extract(rows, loaded, preset=preset, cache=run.cache)
        sides.append(Part(rows, features.gather(rows, loaded, preset=preset, cache=run.cache)))
    way = variations.reference(run)
    way = way._replace(recipe=recipe or way.recipe, copies=int(train["copy"].max()) + 1)
    return variations.scores(*sides, way, model=model, features=run.edition.recipe.features)


def _looped(
    run: Run, train: pd.DataFrame, test: pd.DataFrame, extent: Extent, regime: str
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the frozen way on cached features, and of a regime that passes every film in every epoch."""
    model, preset = run.edition.models[0], Preset(size=extent.size, fit=run.edition.preset.fit)
    recipe = _recipe(run, extent, regime)
    reference = _cached(run, train, test, model, preset, recipe)
    score = training.scores(
        stages.backbone(run, model),
        training.squares(train, preset),
        (train["label"] == "covid").to_numpy(),
        training.squares(test, preset),
        regime=regime,
        recipe=recipe,
        seed=run.edition.seed,
        features=run.edition.recipe.features,
    )
    return reference, score


if __name__ == "__main__":
    sys.exit(main())
