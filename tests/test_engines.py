"""Engines agree, and say what they cannot do."""

import importlib.util
import socket

import numpy as np
import pytest
import torch

from deepcovid_lib import backbones, engines
from deepcovid_lib.problems import Misuse

TOLERANCE = 1e-5  # of the largest feature


@pytest.mark.parametrize("name", ["resnet18", "squeezenet", "densenet121"])
def test_openvino_gives_pytorch_s_features_to_rounding(name):
    loaded = backbones.load(name, weights="random", seed=3)
    batch = np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)
    with torch.inference_mode():
        plain = loaded.module(torch.from_numpy(batch)).numpy()
    for engine in engines.NAMES:
        carry = engines.passer(loaded.module, engine=engine, device="cpu", shape=batch.shape)
        features = carry(batch)
        assert features.dtype == np.float32
        assert features.shape == plain.shape
        assert np.abs(features - plain).max() <= TOLERANCE * np.abs(plain).max()
        assert np.array_equal(carry(batch), features)
        assert not np.array_equal(carry(-batch), features)


def test_what_a_pass_returned_is_not_written_over_by_the_next():
    loaded = backbones.load("squeezenet", weights="random", seed=3)
    carry = engines.passer(loaded.module, engine="openvino", device="cpu", shape=(1, 3, 224, 224))
    first = carry(np.ones((1, 3, 224, 224), np.float32))
    kept = first.copy()
    carry(-np.ones((1, 3, 224, 224), np.float32))
    assert np.array_equal(first, kept)


def test_openvino_tells_nobody_that_it_is_used(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *told, **_: asked.append(told))
    engines.passer(torch.nn.Flatten(), engine="openvino", device="cpu", shape=(1, 3, 4, 4))
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
    assert not asked


def test_where_openvino_is_missing_pytorch_works_and_a_line_says_so(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    engines._tell.cache_clear()
    for _ in range(2):
        assert backbones.load("squeezenet", weights="random", engine="openvino").engine == "pytorch"
    assert capsys.readouterr().err.count("OpenVINO is not installed") == (0 if torch.cuda.is_available() else 1)


def test_an_unknown_engine_is_a_misuse():
    with pytest.raises(Misuse, match="no engine is named 'abacus'"):
        engines.at_hand("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named_and_the_cpu_offered(monkeypatch):
    monkeypatch.delenv(engines.DEVICE, raising=False)
    assert engines.device() == "cpu"
    with pytest.raises(Misuse, match="no device 'cuda'; use --device cpu"):
        engines.device("cuda")
    monkeypatch.setenv(engines.DEVICE, "cuda")
    with pytest.raises(Misuse, match="no device 'cuda'"):
        engines.device()
    assert backbones.load("squeezenet", weights="random").engine == "pytorch"  # who only reads features needs no GPU


def test_a_device_of_no_known_kind_is_a_misuse():
    with pytest.raises(Misuse, match="no device 'abacus'"):
        engines.device("abacus")
