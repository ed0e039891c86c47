"""The catalogue of networks, their weights and their shapes."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deepcovid_lib import backbones
from deepcovid_lib.problems import Misuse, Problem


def _small(weights=None, num_classes=1000):
    """A network with what the real ones have: convolution, batch normalisation, a last layer called fc."""
    network = nn.Sequential()
    network.add_module("conv", nn.Conv2d(3, 6, 3, stride=32))
    network.add_module("bn", nn.BatchNorm2d(6))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("fc", nn.Linear(6, num_classes))
    return network


@pytest.fixture
def released(monkeypatch, tmp_path):
    """Put a small network into the catalogue and its released weights into a folder; return the state and a placer."""
    torch_state = _small().state_dict()
    generator = torch.Generator().manual_seed(3)
    state = {
        name: torch.rand(value.shape, generator=generator) if value.ndim else value
        for name, value in torch_state.items()
    }

    def place(content, name="small", url="http://127.0.0.1:9/", **changes):
        path = tmp_path / "draft.pth"
        torch.save(content, path)
        file_name = f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
        path = path.rename(tmp_path / file_name)
        known = {"builder": _small, "head": "fc", "feature_shape": (6,), **changes}
        entry = replace(backbones.get("resnet18"), name=name, url=url + file_name, **known)
        monkeypatch.setitem(backbones.CATALOGUE, name, entry)
        return path

    return state, place


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(Misuse, match="no model is named 'resnet81'; did you mean 'resnet18'"):
        backbones.get("resnet81")


def test_unknown_weights_are_refused():
    with pytest.raises(Misuse, match="use 'imagenet' or 'random'"):
        backbones.load("resnet18", weights="pretrained")


@pytest.mark.parametrize("name", backbones.CATALOGUE)
def test_features_are_what_the_last_layer_receives(name):
    backbone = backbones.get(name)
    side = 224 if len(backbone.feature_shape) > 1 else 64
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.device("meta"):
        whole = backbone.builder(weights=None).eval()
    whole.load_state_dict(backbones._random_state(whole, backbone.fan, 5), assign=True)
    received = []
    getattr(whole, backbone.head).register_forward_pre_hook(lambda _module, inputs: received.append(inputs[0]))
    loaded = backbones.load(name, weights="random", seed=5)
    with torch.inference_mode():
        whole(image)
        features = loaded.module(image)
    assert features.shape == (1, *backbone.feature_shape)
    assert torch.equal(features, received[0])
    assert not loaded.module.training
    assert features.std() > 0
    assert features.abs().max() < 1000


def test_random_weights_come_from_the_seed_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002, the global generator is what must not matter
    first = backbones.load("squeezenet1_1", weights="random", seed=0)
    before = torch.get_rng_state()
    second = backbones.load("squeezenet1_1", weights="random", seed=0)
    other = backbones.load("squeezenet1_1", weights="random", seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert first.weights_id == second.weights_id
    assert other.weights_id != first.weights_id
    assert re.fullmatch("[0-9a-f]{16}", first.weights_id)


def test_random_weights_have_the_spread_of_kaiming():
    state = backbones.load("resnet18", weights="random", seed=0).module.state_dict()
    weights = state["layer4.0.conv1.weight"]  # 512 outputs, 256 inputs, 3 x 3
    assert weights.std() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert weights.mean() == pytest.approx(0, abs=1e-4)
    assert (state["bn1.weight"] == 1).all()
    assert (state["bn1.running_var"] == 1).all()
    assert (state["bn1.bias"] == 0).all()


def test_equal_weights_have_equal_ids_wherever_they_come_from(released, tmp_path):
    state, place = released
    place(state, name="one")
    place({**state, "fc.bias": state["fc.bias"] + 1}, name="two")
    place({**state, "conv.bias": state["conv.bias"] + 1}, name="three")
    ids = [backbones.load(name, weights="imagenet", cache=tmp_path).weights_id for name in ("one", "two", "three")]
    assert ids[0] == ids[1]  # the head is no part of them
    assert ids[0] != ids[2]


def test_imagenet_weights_are_read_from_a_placed_file(released, tmp_path):
    state, place = released
    assert not backbones.at_hand("resnet18", cache=tmp_path)
    path = place(state)
    assert backbones.at_hand("small", cache=tmp_path)
    loaded = backbones.load("small", weights="imagenet", cache=path.parent)
    held = loaded.module.state_dict()
    assert set(held) == {name for name in state if not name.startswith("fc")}
    assert all(torch.equal(held[name], state[name]) for name in held)


def test_torchs_own_cache_is_the_default(released, tmp_path, monkeypatch):
    state, place = released
    path = place(state)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "torch/hub/checkpoints").mkdir(parents=True)
    path.rename(tmp_path / "torch/hub/checkpoints" / path.name)
    assert backbones.load("small", weights="imagenet").backbone.name == "small"


def test_a_changed_file_is_refused_before_it_is_opened(released, monkeypatch):
    state, place = released
    path = place(state)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(torch, "load", lambda *_args, **_kwargs: pytest.fail("it was opened"))
    with pytest.raises(Problem, match=r"small-\w{8}\.pth: not the weights .* expected \w{8}; .*http://127.0.0.1:9/"):
        backbones.load("small", weights="imagenet", cache=path.parent)


def test_absent_weights_without_a_network_say_what_to_place_where(released, tmp_path):
    state, place = released
    path = place(state)
    path.unlink()
    with pytest.raises(Problem) as caught:
        backbones.load("small", weights="imagenet", cache=tmp_path)
    assert str(path) in str(caught.value)
    assert f"fetch http://127.0.0.1:9/{path.name}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_absent_weights_are_fetched_once(released, tmp_path, httpserver):
    state, place = released
    path = place(state, url=httpserver.url_for("/"))
    httpserver.expect_ordered_request(f"/{path.name}").respond_with_data(path.read_bytes())
    folder = tmp_path / "weights"
    first = backbones.load("small", weights="imagenet", cache=folder)
    assert backbones.load("small", weights="imagenet", cache=folder).weights_id == first.weights_id
    assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_wrong_download_leaves_nothing(released, tmp_path, httpserver):
    state, place = released
    path = place(state, url=httpserver.url_for("/"))
    httpserver.expect_request(f"/{path.name}").respond_with_data(b"a page that says no")
    with pytest.raises(Problem, match="not the weights of"):
        backbones.load("small", weights="imagenet", cache=tmp_path / "weights")
    assert list((tmp_path / "weights").iterdir()) == []


class _Harm:
    def __reduce__(self):
        return exec, ("raise SystemExit('code in the file ran')",)


@pytest.mark.parametrize("content", [{"conv.weight": _Harm()}, [1, 2], {"conv.weight": torch.zeros(1)}])
def test_what_is_no_state_of_this_network_is_refused(released, content):
    _, place = released
    path = place(content)
    with pytest.raises(Problem, match=r"not a file of network weights|the weights do not fit"):
        backbones.load("small", weights="imagenet", cache=path.parent)


def test_layer_names_of_the_first_densenet_release_are_understood(released, tmp_path):
    _, place = released
    real = backbones.get("densenet121")
    loaded = backbones.load("densenet121", weights="random", seed=0)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): value
        for name, value in loaded.module.state_dict().items()
        if "num_batches_tracked" not in name
    } | {"classifier.weight": torch.zeros(1000, 1024), "classifier.bias": torch.zeros(1000)}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    place(old, name="old", builder=real.builder, head=real.head, feature_shape=real.feature_shape)
    assert backbones.load("old", weights="imagenet", cache=tmp_path).weights_id == loaded.weights_id


@pytest.mark.parametrize("name", backbones.CATALOGUE)
def test_the_summary_adds_up_to_the_network(name):
    backbone = backbones.get(name)
    with torch.device("meta"):
        network = backbone.builder(weights=None, num_classes=2)
    told = backbones.summary(name)
    assert told.columns.tolist() == ["name", "kind", "output", "parameters", "trainable"]
    assert told["parameters"].sum() == sum(parameter.numel() for parameter in network.parameters())
    in_head = sum(parameter.numel() for parameter in getattr(network, backbone.head).parameters())
    assert told["trainable"].sum() == in_head == 2 * backbone.feature_shape[0] + 2
    assert backbones.trainable_share(name) == in_head / told["parameters"].sum()


def test_squeezenet_has_eight_fire_modules_and_a_map_before_its_head():
    told = backbones.summary("squeezenet")
    assert (told["kind"] == "Fire").sum() == 8
    assert told.set_index("name").loc["features.12", "output"] == "512x13x13"


def test_the_default_weights_are_those_of_2020():
    names = {name: backbone.file_name for name, backbone in backbones.CATALOGUE.items()}
    assert names["resnet18"] == "resnet18-f37072fd.pth"
    assert names["resnet50"] == "resnet50-0676ba61.pth"
    assert names["squeezenet"] == "squeezenet1_0-b66bff10.pth"
    assert names["densenet121"] == "densenet121-a639ec97.pth"
    assert backbones.get("densenet121").hash_prefix == "a639ec97"
