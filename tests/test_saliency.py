"""Maps of evidence: the network is the run's own, and the maps find what is planted."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from deepcovid_lib import backbones, finetune, runs, saliency
from deepcovid_lib.finetune import Draws

MODELS = ["resnet18", "squeezenet1_1", "densenet121"]


def joined(model):
    loaded = backbones.load(model, weights="random", seed=3)
    return loaded, saliency.network(loaded, Draws(5).head(backbones.get(model)))


@pytest.mark.parametrize("model", ["resnet18", "squeezenet1_1"])
def test_the_sigmoid_of_the_log_odds_is_the_score(model):
    loaded, network = joined(model)
    films = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = loaded.module(films).reshape(2, *loaded.backbone.feature_shape)
        odds = network(films).double().numpy()
    scores = finetune.score(features, Draws(5).head(loaded.backbone), model)
    assert np.allclose(expit(odds), scores, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_grad_cam_is_the_gradients_mean_times_the_blocks_output(model):
    _, network = joined(model)
    films = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    kept = []
    layer = network.backbone.get_submodule(saliency.LAST_BLOCKS[model])
    hook = layer.register_forward_hook(lambda _layer, _inputs, output: kept.append(output))
    odds = network(films.clone().requires_grad_())
    hook.remove()
    (slopes,) = torch.autograd.grad(odds.sum(), kept[0])
    by_hand = (slopes.mean(dim=(2, 3), keepdim=True) * kept[0]).sum(dim=1, keepdim=True).detach()
    by_hand = nn.functional.interpolate(by_hand, (64, 64), mode="bilinear")[:, 0]
    maps = saliency.grad_cam(network, films, model=model)
    assert maps.shape == (2, 64, 64)
    assert np.allclose(maps, by_hand.numpy(), rtol=1e-3, atol=1e-4 * np.abs(maps).max())


class Corner(nn.Module):
    """Log-odds from the upper left quarter alone."""

    def forward(self, films):
        return films[:, :, :32, :32].mean(dim=(1, 2, 3))


def test_occlusion_finds_the_only_place_that_counts():
    films = torch.zeros(3, 3, 64, 64)
    films[:2, :, :16, :16] = 1.0
    films[1] *= -1
    maps = saliency.occlusion(Corner(), films)
    assert maps.shape == (3, 64, 64)
    assert maps[0, 4, 4] > 0
    assert np.allclose(maps[0, 40:, 40:], 0)
    assert np.allclose(maps[1], -maps[0], atol=1e-6)
    assert np.allclose(maps[2], 0)


def test_the_windows_cover_the_whole_film():
    film = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))

    class Darkest(nn.Module):
        def forward(self, films):
            changed = (films != film).any(dim=1).flatten(1).sum(dim=1)
            return -changed.float()

    maps = saliency.occlusion(Darkest(), film)
    assert maps.min() == maps.max() == 56**2


def test_every_draw_is_another_head_and_another_backbone(monkeypatch):
    own = backbones.load("resnet18", weights="random", seed=3)
    run = runs.resolve("tiny", settings={"recipe.features": "raw"})
    monkeypatch.setattr(saliency.stages, "backbone", lambda run, model: own)
    one, same, other = (saliency.redrawn(run, "resnet18", draw=draw) for draw in (1, 1, 2))
    for which in ("head", "head and backbone"):
        assert torch.equal(one[which].head.weight, same[which].head.weight)
        assert not torch.equal(one[which].head.weight, other[which].head.weight)
    stems = [drawn["head and backbone"].backbone.conv1.weight for drawn in (one, same, other)] + [
        own.module.conv1.weight
    ]
    assert [torch.equal(stems[0], stem) for stem in stems] == [True, True, False, False]
    assert one["head"].backbone is own.module
