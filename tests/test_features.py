"""The frozen pass and its cache."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from deepcovid_lib import backbones, features, images
from deepcovid_lib.files import sha256
from deepcovid_lib.images import Preset
from deepcovid_lib.problems import Misuse, Problem

PRESET = Preset(size=32)


def _loaded(seed=0):
    """A small frozen network, as `backbones.load` gives the real ones."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, 5, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    backbone = replace(backbones.get("resnet18"), name="small", feature_shape=(5, 2, 2))
    module.eval().requires_grad_(False)
    return backbones.Loaded(backbone, module, "random", backbones._content_id(module.state_dict()))


@pytest.fixture
def manifest(tmp_path):
    """Forty films: 2 COVID-19 and 28 others to train on, 3 and 7 to test."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(40):
        path = tmp_path / "films" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (50, 40), dtype=np.uint8)).save(path)
        rows.append(
            {
                "image_id": f"made:{number}",
                "path": str(path),
                "sha256": sha256(path),
                "label": "covid" if number in (0, 7, 30, 31, 32) else "non_covid",
                "split": "train" if number < 30 else "test",
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture
def read(monkeypatch):
    """Count the films that are decoded."""
    paths, plain = [], images.square

    def counted(path, preset):
        paths.append(path)
        return plain(path, preset)

    monkeypatch.setattr(images, "square", counted)
    return paths


def _entries(cache, kind="features"):
    return sorted(path for path in (cache / kind).rglob("*") if path.is_file())


def _plain(wanted, loaded):
    """The same features without a cache, one image after the other."""
    rows = []
    for row in wanted.itertuples():
        square = images.fit(images.read(row.path), PRESET)
        square = images.augment(square, copy=row.copy, seed=row.seed, identity=row.sha256)
        with torch.no_grad():
            rows.append(loaded.module(torch.from_numpy(images.normalise(square[None])))[0])
    return torch.stack(rows).view(-1, *loaded.backbone.feature_shape)


def test_only_covid_films_of_the_training_split_have_copies(manifest):
    wanted = features.requests(manifest, copies=16, seed=3)
    assert wanted.columns.tolist() == ["image_id", "path", "sha256", "copy", "seed", "split", "label"]
    assert len(wanted) == 2 * 16 + 28 + 10
    copied = wanted[wanted["copy"] > 0]
    assert set(copied["image_id"]) == {"made:0", "made:7"}
    assert wanted["image_id"].drop_duplicates().tolist() == manifest["image_id"].tolist()
    assert wanted.query("image_id == 'made:7'")["copy"].tolist() == list(range(16))


def test_the_papers_31_films_become_496():
    manifest = pd.DataFrame({"image_id": range(31), "path": "", "sha256": "ab", "label": "covid", "split": "train"})
    assert len(features.requests(manifest, copies=16, seed=0)) == 496


def test_no_copies_at_all_is_a_misuse(manifest):
    with pytest.raises(Misuse, match="1 keeps the image alone"):
        features.requests(manifest, copies=0, seed=0)


def test_features_are_those_of_the_plain_way_in_the_order_asked(manifest, tmp_path):
    wanted = features.requests(manifest, copies=4, seed=3)
    loaded = _loaded()
    counts = features.extract(wanted, loaded, preset=PRESET, cache=tmp_path / "cache")
    assert counts == (46, 0)
    mixed = wanted.sample(frac=1, random_state=1)
    held = features.gather(mixed, loaded, preset=PRESET, cache=tmp_path / "cache")
    assert held.dtype == torch.float32
    assert held.shape == (46, 5, 2, 2)
    torch.testing.assert_close(held, _plain(mixed, loaded), rtol=1e-5, atol=1e-6)
    assert len(held.flatten(1).unique(dim=0)) == 46


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_a_feature_does_not_depend_on_what_shares_its_batch(manifest, tmp_path, name):
    wanted = features.requests(manifest, copies=1, seed=0)
    loaded = backbones.load(name, weights="random")
    features.extract(wanted, loaded, preset=PRESET, cache=tmp_path / "all")
    alone = wanted.iloc[[35]]
    features.extract(alone, loaded, preset=PRESET, cache=tmp_path / "one")
    together = features.gather(alone, loaded, preset=PRESET, cache=tmp_path / "all")
    assert torch.equal(together, features.gather(alone, loaded, preset=PRESET, cache=tmp_path / "one"))


def test_shards_make_up_the_whole_and_leave_the_same_bytes(manifest, tmp_path):
    wanted = features.requests(manifest, copies=4, seed=0)
    loaded = _loaded()
    features.extract(wanted, loaded, preset=PRESET, cache=tmp_path / "whole")
    counts = [
        features.extract(features.part(wanted, (number, 3)), loaded, preset=PRESET, cache=tmp_path / "parts")
        for number in (3, 1, 2)
    ]
    assert sum(count.computed for count in counts) == 46
    assert min(count.computed for count in counts) > 0
    whole, parts = _entries(tmp_path / "whole"), _entries(tmp_path / "parts")
    assert [path.name for path in whole] == [path.name for path in parts]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0)])
def test_a_shard_that_does_not_exist_is_a_misuse(manifest, shard):
    with pytest.raises(Misuse, match="there is no shard"):
        features.part(features.requests(manifest, copies=1, seed=0), shard)


def test_each_film_is_decoded_once_for_its_copies_and_for_all_models(manifest, tmp_path, read):
    wanted = features.requests(manifest, copies=16, seed=0)
    features.extract(wanted, _loaded(seed=0), preset=PRESET, cache=tmp_path / "cache")
    assert sorted(read) == sorted(manifest["path"])
    features.extract(wanted, _loaded(seed=1), preset=PRESET, cache=tmp_path / "cache")
    assert len(read) == 40


def test_equal_films_share_an_entry(manifest, tmp_path):
    twice = pd.concat([manifest, manifest.head(5).assign(image_id="again")])
    wanted = features.requests(twice, copies=1, seed=0)
    assert features.extract(wanted, _loaded(), preset=PRESET, cache=tmp_path / "cache").computed == 40
    held = features.gather(wanted, _loaded(), preset=PRESET, cache=tmp_path / "cache")
    assert torch.equal(held[:5], held[40:])


def test_nothing_is_computed_twice_and_only_copies_depend_on_the_seed(manifest, tmp_path):
    cache = {"preset": PRESET, "cache": tmp_path / "cache"}
    first = features.requests(manifest, copies=4, seed=0)
    assert features.extract(first, _loaded(), **cache) == (46, 0)
    assert features.extract(first, _loaded(), **cache) == (0, 46)
    other = features.requests(manifest, copies=4, seed=1)
    assert features.extract(other, _loaded(), **cache) == (6, 40)
    assert features.extract(first, _loaded(seed=1), **cache).computed == 46
    assert features.extract(first, _loaded(), preset=Preset(32, "crop"), cache=tmp_path / "cache").computed == 46


def _cut(path, _other):
    path.write_bytes(path.read_bytes()[:-3])


def _flip(path, _other):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def _empty(path, _other):
    path.write_bytes(b"")


def _swap(path, other):
    shutil.copy(other, path)


@pytest.mark.parametrize("harm", [_cut, _flip, _empty, _swap])
def test_a_damaged_or_foreign_entry_is_found_and_computed_again(manifest, tmp_path, harm):
    cache = {"preset": PRESET, "cache": tmp_path / "cache"}
    wanted = features.requests(manifest, copies=1, seed=0)
    loaded = _loaded()
    features.extract(wanted, loaded, **cache)
    sound = features.gather(wanted, loaded, **cache)
    path, other = _entries(tmp_path / "cache")[:2]
    square = _entries(tmp_path / "cache", "images")
    harm(path, other)
    harm(square[0], square[1])
    with pytest.raises(Problem, match=rf"{path.name}: the feature of made:\d+ is absent or damaged; extract"):
        features.gather(wanted, loaded, **cache)
    assert features.extract(wanted, loaded, **cache) == (1, 39)
    assert torch.equal(features.gather(wanted, loaded, **cache), sound)
    shutil.rmtree(tmp_path / "cache" / "features")
    features.extract(wanted, loaded, **cache)
    assert torch.equal(features.gather(wanted, loaded, **cache), sound)


def test_a_stopped_extraction_leaves_whole_entries_and_goes_on(manifest, tmp_path, monkeypatch):
    wanted = features.requests(manifest, copies=1, seed=0)
    loaded, calls, plain = _loaded(), [], features._forward

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(features, "_forward", stopping)
    with pytest.raises(KeyboardInterrupt):
        features.extract(wanted, loaded, preset=PRESET, cache=tmp_path / "cache")
    assert len(_entries(tmp_path / "cache")) == features.BATCH
    assert features.extract(wanted, loaded, preset=PRESET, cache=tmp_path / "cache") == (8, 32)


def test_jobs_may_share_a_cache(manifest, tmp_path):
    wanted = features.requests(manifest, copies=4, seed=0)
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(features.extract, wanted, _loaded(), preset=PRESET, cache=tmp_path / "cache") for _ in range(3)
        ]
        assert all(sum(job.result()) == 46 for job in jobs)
    torch.testing.assert_close(
        features.gather(wanted, _loaded(), preset=PRESET, cache=tmp_path / "cache"), _plain(wanted, _loaded())
    )
    assert len(_entries(tmp_path / "cache")) == 46


def test_films_of_a_size_that_the_head_does_not_take_are_refused(manifest, tmp_path):
    known = _loaded()
    other = replace(known, backbone=replace(known.backbone, feature_shape=(5, 3, 3)))
    wanted = features.requests(manifest.head(2), copies=1, seed=0)
    with pytest.raises(Problem, match="ResNet18 makes 20 numbers; its head takes 45; ask for preset.size=224"):
        features.extract(wanted, other, preset=PRESET, cache=tmp_path / "cache")


def test_a_film_changed_since_the_manifest_is_refused(manifest, tmp_path):
    wanted = features.requests(manifest, copies=1, seed=0)
    shutil.copy(manifest["path"][1], manifest["path"][4])
    with pytest.raises(Problem, match=r"4\.png: has changed since the manifest was written; restore it, or"):
        features.extract(wanted, _loaded(), preset=PRESET, cache=tmp_path / "cache")


def test_few_films_are_held_at_a_time(manifest, tmp_path, read, monkeypatch):
    monkeypatch.setattr(features, "BATCH", 4)
    items = [features._Item(*row) for row in features._items(features.requests(manifest, copies=1, seed=0)).to_numpy()]
    with ThreadPoolExecutor(2) as pool:
        squares = features._squares(items, PRESET, tmp_path / "cache", pool)
        next(squares)
    assert len(read) <= 2 * 4 + 1
