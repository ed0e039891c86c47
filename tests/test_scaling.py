"""Standardised features, folded back into the head."""

import torch

from deepcovid_lib import scaling


def test_a_constant_feature_stays_finite():
    features = torch.ones(5, 3)
    assert torch.equal(scaling.standardise(features, scaling.measure(features)), torch.zeros(5, 3))


def test_features_come_out_with_mean_0_and_deviation_1():
    features = torch.rand(50, 4, generator=torch.Generator().manual_seed(1)) * 7 + 3
    scaled = scaling.standardise(features, scaling.measure(features))
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0, correction=0), torch.ones(4))


def test_a_head_for_maps_is_folded_exactly():
    draw = torch.Generator().manual_seed(2)
    maps = torch.rand(6, 4, 3, 3, generator=draw) * 5
    head = {"weight": torch.randn(2, 4, 1, 1, generator=draw), "bias": torch.randn(2, generator=draw)}
    scale = scaling.measure(maps)
    folded = scaling.fold(head, scale)
    on_scaled = torch.nn.functional.conv2d(scaling.standardise(maps, scale), head["weight"], head["bias"])
    torch.testing.assert_close(torch.nn.functional.conv2d(maps, folded["weight"], folded["bias"]), on_scaled)
