"""The plain loop over whole films: frozen as the cached way, and what the other regimes move."""

import numpy as np
import pytest
import torch

from deepcovid_lib import backbones, finetune, images, scaling, training
from deepcovid_lib.finetune import Recipe
from deepcovid_lib.problems import Misuse

FILMS = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(8) % 3 == 0
RECIPE = Recipe(epochs=2, batch_size=4, learning_rate=1e-3)


def trained(regime, features="standardised"):
    loaded = backbones.load("resnet18", weights="random", seed=1)
    options = {"recipe": RECIPE, "seed": 7, "features": features}
    return loaded, training.scores(loaded, FILMS, LABELS, FILMS[:5], regime=regime, **options)


@pytest.mark.parametrize("features", ["raw", "standardised"])
def test_frozen_is_the_cached_way(features):
    loaded, found = trained("frozen", features)
    with torch.no_grad():
        numbers = loaded.module(torch.from_numpy(images.normalise(FILMS)))
    scale = scaling.measure(numbers)
    inputs = scaling.standardise(numbers, scale) if features == "standardised" else numbers
    head = finetune.fit(inputs, LABELS, backbone_name="resnet18", recipe=RECIPE, seed=7).head
    assert np.allclose(found, finetune.score(inputs[:5], head, "resnet18"), atol=1e-4)


@pytest.mark.parametrize(("regime", "moved"), [("frozen", set()), ("drift", {"statistics"}), ("whole", {"weights"})])
def test_a_regime_moves_what_it_says(regime, moved):
    before = backbones.load("resnet18", weights="random", seed=1).module.state_dict()
    loaded, _ = trained(regime)
    changed = {
        "statistics" if "running" in name else "weights"
        for name, value in loaded.module.state_dict().items()
        if "num_batches" not in name and not torch.equal(value, before[name])
    }
    assert changed == moved
    assert not loaded.module.training


def test_what_cannot_be_trained_is_refused():
    loaded = backbones.load("squeezenet1_1", weights="random", seed=1)
    options = {"recipe": RECIPE, "seed": 7, "features": "raw"}
    with pytest.raises(Misuse, match="takes a map"):
        training.scores(loaded, FILMS, LABELS, FILMS, regime="frozen", **options)
    with pytest.raises(Misuse, match="no regime 'frosty'"):
        training.scores(loaded, FILMS, LABELS, FILMS, regime="frosty", **options)
