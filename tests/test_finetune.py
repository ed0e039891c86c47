"""Fine-tuning the head on cached features, against the plain loop and against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from benchmarks.plain_loop import plain_fit
from deepcovid_lib import backbones, engines, features, finetune, heads, images
from deepcovid_lib.finetune import Recipe
from deepcovid_lib.problems import Misuse, Problem


@pytest.fixture
def small(monkeypatch):
    """Two small entries of the catalogue, a vector and a map, and features of theirs with hardly separable classes."""
    vector = replace(backbones.get("resnet18"), name="vector", feature_shape=(6,))
    chart = replace(backbones.get("squeezenet"), name="map", feature_shape=(64, 3, 3))
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(70) % 5 == 0
    made = {}
    for backbone in (vector, chart):
        monkeypatch.setitem(backbones.CATALOGUE, backbone.name, backbone)
        made[backbone.name] = torch.rand(70, *backbone.feature_shape, generator=generator)
        made[backbone.name][labels] += 0.2
    return made, labels


def _largest_difference(one, other):
    return max((one[name] - other[name]).abs().max().item() for name in ("weight", "bias"))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet"])
def test_the_cached_way_gives_the_plain_loops_head(name):
    squares = np.random.default_rng(1).integers(0, 255, (12, 224, 224, 3), dtype=np.uint8)
    labels = np.arange(12) % 3 == 0
    squares[labels, 60:160] //= 2
    squares = np.stack(
        [images.augment(square, copy=copy, seed=0, identity="ab") for copy, square in enumerate(squares)]
    )
    recipe = Recipe(batch_size=5, epochs=2, learning_rate=1e-3)
    loaded = backbones.load(name, weights="random", seed=0)
    inputs = torch.from_numpy(images.normalise(squares))
    plain, told = plain_fit(inputs, labels, loaded.module, name, recipe, seed=2)
    carry = engines.passer(loaded.module, engine="pytorch", device="cpu", shape=(features.BATCH, 3, 224, 224))
    cached = torch.from_numpy(features._forward(carry, squares)).view(12, *loaded.backbone.feature_shape)
    head, history = finetune.fit(cached, labels, backbone_name=name, recipe=recipe, seed=2)
    assert _largest_difference(head, plain) < 1e-4
    np.testing.assert_allclose(history[["loss", "accuracy"]], told, rtol=1e-4)
    assert _largest_difference(head, finetune.Draws(2).head(loaded.backbone)) > 2e-3
    other = finetune.fit(cached, labels, backbone_name=name, recipe=recipe, seed=3).head
    assert _largest_difference(other, plain) > 1e-3


@pytest.mark.parametrize("name", ["vector", "map"])
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(name="decayed", weight_decay=0.1, learning_rate=1e-2, epochs=30),
        Recipe(name="stepped", optimizer="sgd", epochs=16, learning_rate=1e-2),
    ],
    ids=lambda recipe: recipe.name,
)
def test_every_recipe_agrees_with_torchs_own_gradient(small, name, recipe):
    made, labels = small
    plain, told = plain_fit(made[name], labels, nn.Identity(), name, recipe, seed=1)
    head, history = finetune.fit(made[name], labels, backbone_name=name, recipe=recipe, seed=1)
    assert _largest_difference(head, plain) < 1e-4
    np.testing.assert_allclose(history[["loss", "accuracy"]], told, rtol=1e-4)
    assert history["epoch"].tolist() == list(range(1, recipe.epochs + 1))


def test_other_dropout_masks_give_another_head(small, monkeypatch):
    made, labels = small
    recipe = Recipe(epochs=5, learning_rate=1e-2)
    head = finetune.fit(made["map"], labels, backbone_name="map", recipe=recipe, seed=1).head
    monkeypatch.setattr(finetune.Draws, "masks", lambda self, out: out.fill_(1.0))
    undropped = finetune.fit(made["map"], labels, backbone_name="map", recipe=recipe, seed=1).head
    assert _largest_difference(head, undropped) > 1e-3


def test_at_convergence_a_linear_head_is_scikit_learns_logistic_regression(small):
    made, labels = small
    decay, rows = 0.02, len(labels)
    recipe = Recipe(name="long", learning_rate=0.01, batch_size=rows, epochs=3000, weight_decay=decay)
    head = finetune.fit(made["vector"], labels, backbone_name="vector", recipe=recipe, seed=0).head
    # Two outputs share the penalty: at the minimum it is a quarter of the decay times the squared difference.
    with_ones = np.hstack([made["vector"].numpy(), np.ones((rows, 1))])
    theirs = LogisticRegression(C=2 / (rows * decay), fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs.fit(with_ones, labels)
    ours = finetune.score(made["vector"], head, "vector")
    expected = theirs.predict_proba(with_ones)[:, 1]
    assert 0 < ((expected >= 0.5) != labels).sum() < rows  # not separable
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vector", "map"])
def test_equal_seeds_give_equal_bytes_on_any_number_of_threads(small, name):
    made, labels = small
    threads, state = torch.get_num_threads(), torch.get_rng_state()

    def trained(count, seed):
        torch.set_num_threads(count)
        return finetune.fit(made[name], labels, backbone_name=name, recipe=Recipe(epochs=3), seed=seed)

    try:
        one, two, other = trained(1, 5), trained(2, 5), trained(1, 6)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one.head[part], two.head[part]) for part in one.head)
    assert one.history.equals(two.history)
    assert _largest_difference(one.head, other.head) > 1e-3
    assert torch.equal(state, torch.get_rng_state())


def test_a_head_learns_which_class_is_covid(small):
    made, labels = small
    for name, rate in (("vector", 3e-2), ("map", 2e-3)):
        separable = made[name] + torch.from_numpy(labels).float().view(-1, *[1] * (made[name].ndim - 1))
        recipe = Recipe(learning_rate=rate, epochs=200)
        head, history = finetune.fit(separable, labels, backbone_name=name, recipe=recipe, seed=0)
        scores = finetune.score(separable, head, name)
        assert scores[labels].min() > scores[~labels].max()
        assert history["loss"].iloc[-1] < history["loss"].iloc[0]


@pytest.mark.parametrize("name", ["vector", "map"])
def test_scores_are_the_softmax_of_torchs_own_layers_without_dropout(small, name):
    made, labels = small
    head = finetune.fit(made[name], labels, backbone_name=name, recipe=Recipe(epochs=2), seed=0).head
    if name == "map":
        layers = nn.Sequential(nn.Dropout(), nn.Conv2d(64, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        layers[1].load_state_dict(head)
    else:
        layers = nn.Linear(6, 2)
        layers.load_state_dict(head)
    with torch.no_grad():
        expected = layers.eval()(made[name]).softmax(dim=1)[:, 1]
    scores = finetune.score(made[name], head, name)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-6)
    assert finetune.score(made[name][:0], head, name).shape == (0,)


def test_the_first_weights_are_drawn_as_torch_and_torchvision_do():
    linear = finetune.Draws(0).head(backbones.get("resnet50"))
    assert linear["weight"].abs().max() == pytest.approx(2048**-0.5, rel=0.01)
    assert linear["weight"].std() == pytest.approx(2048**-0.5 / 3**0.5, rel=0.05)
    assert (linear["bias"].abs() <= 2048**-0.5).all()
    squeezed = finetune.Draws(0).head(backbones.get("squeezenet"))
    assert squeezed["weight"].shape == (2, 512, 1, 1)
    assert squeezed["weight"].std() == pytest.approx(0.01, rel=0.1)
    assert (squeezed["bias"] == 0).all()


def test_dropout_masks_keep_half_and_differ_by_draw():
    draws = finetune.Draws(0)
    first, second = draws.masks(torch.empty(4, 512, 169)), draws.masks(torch.empty(4, 512, 169))
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert first.mean() == pytest.approx(1, abs=0.01)
    assert (first == second).float().mean() == pytest.approx(0.5, abs=0.01)
    again = finetune.Draws(0)
    halves = [again.masks(torch.empty(2, 512, 169)) for _ in range(2)]
    assert torch.equal(torch.cat(halves), first)  # however the rows are divided


@pytest.mark.parametrize(
    ("shape", "labels", "words"),
    [
        ((4, 7), [0, 1, 0, 1], "are not those of ResNet18"),
        ((4, 512), [0, 1], "2 labels for 4 features"),
        ((4, 512), [0, 1, 2, 0], "neither 0 nor 1"),
        ((0, 512), [], "0 labels for 0 features"),
    ],
)
def test_what_does_not_fit_together_is_a_misuse(shape, labels, words):
    with pytest.raises(Misuse, match=words):
        finetune.fit(torch.zeros(shape), labels, backbone_name="resnet18", recipe=Recipe(epochs=1), seed=0)


@pytest.mark.parametrize("changes", [{"optimizer": "adamw"}, {"epochs": 0}, {"learning_rate": 0.0}])
def test_a_recipe_that_cannot_be_followed_is_a_misuse(changes):
    with pytest.raises(Misuse, match="use "):
        Recipe(**changes)


@pytest.fixture
def head():
    generator = torch.Generator().manual_seed(0)
    return {"weight": torch.randn(2, 6, generator=generator), "bias": torch.randn(2, generator=generator)}


def test_a_head_comes_back_as_it_was_written_and_equal_heads_are_equal_bytes(small, head, tmp_path):
    metadata = {"backbone": "vector", "weights_id": "ab", "recipe": {"name": "paper", "epochs": 100}}
    turned = dict(reversed(metadata.items())), dict(reversed(head.items()))
    heads.save(tmp_path / "a", head, metadata)
    heads.save(tmp_path / "b", turned[1], turned[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    held, told = heads.load(tmp_path / "a", expect={"weights_id": "ab"})
    assert told == {**metadata, "classes": ["non_covid", "covid"]}
    assert all(torch.equal(held[part], head[part]) for part in head)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_head_of_something_else_is_refused_by_what_differs(small, head, tmp_path, monkeypatch):
    path = tmp_path / "head.safetensors"
    heads.save(path, head, {"backbone": "vector", "weights_id": "ab", "preset": "224-squash"})
    with pytest.raises(Problem, match="weights_id is ab, not cd, preset is 224-squash, not 224-crop"):
        heads.load(path, expect={"weights_id": "cd", "preset": "224-crop"})
    with pytest.raises(Problem, match="seed is None, not 0"):
        heads.load(path, expect={"seed": 0})
    with pytest.raises(Problem, match="backbone is vector, not map"):
        heads.load(path, expect={"backbone": "map"})
    heads.save(path, head, {"backbone": "map"})
    with pytest.raises(Problem, match=r"weight is \(2, 6\), not \(2, 64, 1, 1\)"):
        heads.load(path, expect={})
    monkeypatch.setattr(finetune, "CLASSES", ("covid", "non_covid"))
    heads.save(path, head, {"backbone": "vector"})
    monkeypatch.undo()
    with pytest.raises(Problem, match=r"classes is \['covid', 'non_covid'\]|no model is named"):
        heads.load(path, expect={})


def test_no_byte_of_a_head_can_change_unnoticed(small, head, tmp_path):
    path = tmp_path / "head.safetensors"
    heads.save(path, head, {"backbone": "vector", "weights_id": "ab"})
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in (1, 32):
            changed = bytearray(content)
            changed[place] ^= bit
            path.write_bytes(changed)
            with pytest.raises(Problem):
                heads.load(path, expect={})
    path.write_bytes(content)
    heads.load(path, expect={})


@pytest.mark.parametrize("content", [b"", b"not a head", b"\x80\x04K\x01."])
def test_what_is_no_head_is_refused(tmp_path, content):
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    with pytest.raises(Problem, match=r"head.safetensors: is not a head, or is damaged; train the head again"):
        heads.load(path, expect={})


def test_an_absent_head_is_told(tmp_path):
    with pytest.raises(Problem, match="there is no such head; train it first"):
        heads.load(tmp_path / "head.safetensors", expect={})
