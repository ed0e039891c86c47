"""Training as a plain loop over whole films: what cannot be done on cached features, at its full cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from deepcovid_lib import finetune, images, scaling
from deepcovid_lib.backbones import Loaded
from deepcovid_lib.files import unchanged
from deepcovid_lib.finetune import Draws, Recipe
from deepcovid_lib.images import Preset
from deepcovid_lib.problems import Misuse
from deepcovid_lib.progress import track
from deepcovid_lib.scaling import Scale

REGIMES = ("frozen", "drift", "whole")


def device() -> str:
    """Return torch's name of the device that trains: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def squares(requests: pd.DataFrame, preset: Preset) -> np.ndarray:
    """Read the films of `features.requests`, augmented copies among them, as uint8 (n, size, size, 3)."""
    films = {row.sha256: row.path for row in requests.itertuples()}
    plain = {film: images.fit(images.read(unchanged(path, film)), preset) for film, path in films.items()}
    return np.stack(
        [
            images.augment(plain[row.sha256], copy=row.copy, seed=row.seed, identity=row.sha256)
            for row in requests.itertuples()
        ]
    )


def scores(
    loaded: Loaded,
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    *,
    regime: str,
    recipe: Recipe,
    seed: int,
    features: str,
) -> np.ndarray:
    """Train by passing every film through the network in every epoch, and score the test films in eval mode.

    Parameters
    ----------
    loaded : Loaded
        A network whose head is a linear layer; training changes it.
    train, test : ndarray of uint8, shape (n, size, size, 3)
        From `squares`.
    labels : ndarray of bool, shape (n,)
        True for COVID-19, one per training film.
    regime : {"frozen", "drift", "whole"}
        ``"frozen"``: the head alone, the backbone in eval mode: what `finetune.fit` does on cached features.
        ``"drift"``: the head alone, but batch normalisation in train mode, as in the script that the authors released:
        it normalises by the batch and moves its running statistics. ``"whole"``: every weight, batch normalisation
        by its fixed statistics.
    recipe : Recipe
    seed : int
        Of the first head and the order of the rows: those of `finetune.fit`.
    features : {"raw", "standardised"}
        ``"standardised"``: the head receives features at mean 0 and deviation 1, measured on the training films in the
        regime's own mode before the first step.

    Returns
    -------
    ndarray of float64, shape (n,)
        The probability of COVID-19 of each test film.

    Raises
    ------
    Misuse
        For another regime, or a head that takes a map.
    """
    if regime not in REGIMES:
        raise Misuse(f"no regime '{regime}'", remedy=f"choose {', '.join(REGIMES)}")
    if len(loaded.backbone.feature_shape) > 1:
        raise Misuse(f"the head of {loaded.backbone.title} takes a map", remedy="use a network with a linear head")
    draws, module = Draws(seed), loaded.module
    head = nn.Linear(loaded.backbone.feature_shape[0], 2)
    head.load_state_dict(draws.head(loaded.backbone))
    module.to(device(), memory_format=torch.channels_last).train(regime == "drift")
    head.to(device())
    scale = None
    if features == "standardised":
        mixed = train[np.random.default_rng(seed).permutation(len(train))]
        measured = scaling.measure(_features(module, mixed, recipe.batch_size))
        scale = Scale(*(part.to(device()) for part in measured))
    module.requires_grad_(regime == "whole")
    trained = [*head.parameters(), *(module.parameters() if regime == "whole" else [])]
    optimiser, schedule = recipe.optimiser(trained)
    targets = torch.from_numpy(labels.astype(np.int64)).to(device())
    for _ in track(range(recipe.epochs), label=f"{regime} {loaded.backbone.name}"):
        for batch in draws.order(len(train)).split(recipe.batch_size):
            outputs = module(_inputs(train[batch.numpy()]))
            loss = nn.functional.cross_entropy(head(_scaled(outputs, scale)), targets[batch.to(device())])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    module.eval().requires_grad_(False)
    state = {name: value.detach() for name, value in head.state_dict().items()}
    folded = {name: value.cpu() for name, value in (scaling.fold(state, scale) if scale else state).items()}
    return finetune.score(_features(module, test, finetune.ROWS_SCORED_TOGETHER), folded, loaded.backbone.name)


def _inputs(films: np.ndarray) -> Tensor:
    return torch.from_numpy(images.normalise(films)).to(device(), memory_format=torch.channels_last)


def _features(module: nn.Module, films: np.ndarray, rows: int) -> Tensor:
    """One pass over the films, in the mode that the module is in."""
    with torch.no_grad():
        parts = [module(_inputs(films[start : start + rows])).cpu() for start in range(0, len(films), rows)]
    return torch.cat(parts)


def _scaled(features: Tensor, scale: Scale | None) -> Tensor:
    return scaling.standardise(features, scale) if scale else features
