"""The frozen pass: every image through a backbone once, kept in a cache that all runs share (Section III.A)."""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from deepcovid_lib import backbones, engines, images, lineage
from deepcovid_lib.backbones import Loaded
from deepcovid_lib.files import fingerprint, replacing, unchanged
from deepcovid_lib.images import Preset
from deepcovid_lib.problems import Misuse, Problem
from deepcovid_lib.progress import track

BATCH = 32
READERS = 4
COLUMNS = ("image_id", "path", "sha256", "copy", "seed", "split", "label")


class Counts(NamedTuple):
    """What one call of `extract` did, in features: computed now, and found complete in the cache."""

    computed: int
    kept: int


class _Item(NamedTuple):
    """One feature to compute: its key, and the film and the copy it is made from."""

    key: str
    path: str
    sha256: str
    copy: int
    seed: int


def requests(manifest: pd.DataFrame, *, copies: int, seed: int) -> pd.DataFrame:
    """List the features that a run needs, in the order of the manifest.

    Parameters
    ----------
    manifest : DataFrame
        One row per source image: ``image_id, path, sha256, label, split`` and more.
    copies : int
        How many rows each COVID-19 image of the training split becomes: itself (copy 0) and ``copies - 1`` augmented
        ones. Every other image has one row.
    seed : int
        Fixes the augmentation.

    Returns
    -------
    DataFrame
        ``image_id, path, sha256, copy, seed, split, label``, one row per feature.

    References
    ----------
    Section II and Table I of the paper: 31 images, 496 after augmentation (16 each).

    Examples
    --------
    >>> manifest = pd.DataFrame({"image_id": ["a:1", "a:2", "b:3"], "path": "film.png", "sha256": "ab" * 32,
    ...                          "split": ["train", "test", "train"], "label": ["covid", "covid", "non_covid"]})
    >>> requests(manifest, copies=3, seed=7)[["image_id", "copy"]].values.tolist()
    [['a:1', 0], ['a:1', 1], ['a:1', 2], ['a:2', 0], ['b:3', 0]]
    """
    if copies < 1:
        raise Misuse(f"{copies} copies of an image cannot be made", remedy="1 keeps the image alone; the paper has 16")
    augmented = (manifest["split"] == "train") & (manifest["label"] == "covid")
    repeats = np.where(augmented, copies, 1)
    rows = manifest.iloc[np.repeat(np.arange(len(manifest)), repeats)].reset_index(drop=True)
    rows["copy"] = np.concatenate([np.arange(0), *(np.arange(count) for count in repeats)])
    return rows.assign(seed=seed)[list(COLUMNS)]


def part(requests: pd.DataFrame, shard: tuple[int, int]) -> pd.DataFrame:
    """Return the rows of one of n parts of the images, for jobs that work beside each other on one cache.

    Parameters
    ----------
    requests : DataFrame
        From `requests`.
    shard : (int, int)
        ``(i, n)``: the i-th of n parts, i counting from 1. All copies of an image are in one part.

    Raises
    ------
    Misuse
        If i is not one of 1 to n.

    Examples
    --------
    >>> rows = pd.DataFrame({"sha256": ["aa", "aa", "bb", "cc"], "copy": [0, 1, 0, 0]})
    >>> part(rows, (1, 2))["sha256"].tolist(), part(rows, (2, 2))["sha256"].tolist()
    (['aa', 'aa', 'cc'], ['bb'])
    """
    number, parts = shard
    if not 1 <= number <= parts:
        raise Misuse(f"there is no shard {number}/{parts}", remedy="shards count from 1/n to n/n")
    return requests[pd.factorize(requests["sha256"])[0] % parts == number - 1]


def extract(
    requests: pd.DataFrame,
    loaded: Loaded,
    *,
    preset: Preset,
    cache: str | Path,
) -> Counts:
    """Compute the features that the cache lacks, and leave them there.

    Each distinct image is decoded once per call, and not at all if its small form is in the cache. Batches always hold
    32 images (the last one is filled up), so that a feature does not depend on which others are computed with it.
    An entry is complete or absent; one that is damaged or holds something else is computed again. Several jobs may
    work on one cache; a job that was stopped goes on where it was. Memory does not grow with the number of images.

    Parameters
    ----------
    requests : DataFrame
        From `requests`.
    loaded : Loaded
        From `backbones.load`.
    preset : Preset
        How a film becomes a square.
    cache : path-like
        The cache's folder; features go to ``features/<backbone>-<weights_id>/<preset>/``, small images to ``images/``.
        Features asked of different engines never share an entry; those of different devices do, equal to rounding.

    Returns
    -------
    Counts
        ``computed`` and ``kept``, in distinct features.

    Raises
    ------
    Problem
        If a film cannot be read or is no longer the one that the manifest names.
    """
    films = [film for _, film in _items(requests).groupby("sha256", sort=False)]
    items = [_Item(*row) for film in films for row in film.itertuples(index=False)]
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda item: _read(*_feature_entry(item.key, loaded, preset, cache)) is not None, items)
        missing = [item for item, there in zip(items, found, strict=True) if not there]
        counts = Counts(len(missing), len(items) - len(missing))
        if not missing:
            return counts
        shape = (BATCH, 3, preset.size, preset.size)
        carry = engines.passer(loaded.module, engine=loaded.engine, device=engines.device(), shape=shape)
        squares = _squares(missing, preset, Path(cache), pool)
        batches = track(range(0, len(missing), BATCH), label=f"extract {loaded.backbone.name}")
        for start in batches:
            batch = missing[start : start + BATCH]
            features = _forward(carry, np.stack(list(islice(squares, len(batch)))))
            for item, feature in zip(batch, _shaped(features, loaded, preset), strict=True):
                _write(*_feature_entry(item.key, loaded, preset, cache), feature)
    return counts


def _shaped(features: np.ndarray, loaded: Loaded, preset: Preset) -> np.ndarray:
    """Lay features out as the backbone's last layer receives them, which for a map hangs on the films' size."""
    shape = loaded.backbone.feature_shape
    if features[0].size != math.prod(shape):
        raise Problem(
            f"of films of {preset.size} pixels a side {loaded.backbone.title} makes {features[0].size:,} numbers; its "
            f"head takes {math.prod(shape):,}",
            remedy="ask for preset.size=224, or leave this model out",
        )
    return features.reshape(len(features), *shape)


@cache
def version() -> str:
    """Return a fingerprint of what reads, augments and passes images, so that no two versions share an entry.

    It covers the code here and the versions of the packages that do the work.

    Examples
    --------
    >>> len(version())
    12
    """
    code = fingerprint(images.__file__, backbones.__file__, engines.__file__, __file__)
    return hashlib.sha256(f"{code} {lineage.versions(lineage.PASSING)}".encode()).hexdigest()[:12]


def gather(requests: pd.DataFrame, loaded: Loaded, *, preset: Preset, cache: str | Path) -> torch.Tensor:
    """Read features back from the cache.

    Returns
    -------
    Tensor of float32, shape (n, ...)
        In the order of the n requests.

    Raises
    ------
    Problem
        If a feature is absent or damaged: `extract` mends both.
    """
    features = np.empty((len(requests), *loaded.backbone.feature_shape), np.float32)

    def fill(row: int, key: str) -> None:
        path, entry = _feature_entry(key, loaded, preset, cache)
        feature = _read(path, entry)
        if feature is None:
            what = f"the feature of {requests['image_id'].iloc[row]} is absent or damaged"
            raise Problem(what, file=path, remedy=f"extract the features of {loaded.backbone.name} first")
        features[row] = feature

    with ThreadPoolExecutor(READERS) as pool:
        deque(pool.map(fill, range(len(requests)), _keys(requests)), maxlen=0)
    return torch.from_numpy(features)


def _keys(requests: pd.DataFrame) -> list[str]:
    """The content key of each request; the seed tells augmented copies apart, not an image itself."""
    rows = zip(requests["sha256"], requests["copy"], requests["seed"], strict=True)
    return [
        hashlib.sha256(f"{version()} {film} {copy} {seed if copy else '-'}".encode()).hexdigest()
        for film, copy, seed in rows
    ]


def _items(requests: pd.DataFrame) -> pd.DataFrame:
    """The distinct features among the requests."""
    return requests.assign(key=_keys(requests)).drop_duplicates("key")[list(_Item._fields)]


def _forward(carry: engines.Pass, squares: np.ndarray) -> np.ndarray:
    """Features of up to 32 squares (n, size, size, 3), by a batch of exactly 32."""
    padding = np.zeros((BATCH - len(squares), *squares.shape[1:]), np.uint8)
    return carry(images.normalise(np.concatenate([squares, padding])))[: len(squares)]


def _squares(items: Sequence[_Item], preset: Preset, cache: Path, pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
    """The augmented squares of the items in order; a bounded number of films is decoded ahead."""
    films = list({item.sha256: item for item in items}.values())
    waiting = iter(films)
    ahead = deque(pool.submit(_square, film, preset, cache) for film in islice(waiting, 2 * BATCH))
    current = None
    for item in items:
        if item.sha256 != current:
            current, square = item.sha256, ahead.popleft().result()
            ahead.extend(pool.submit(_square, film, preset, cache) for film in islice(waiting, 1))
        yield images.augment(square, copy=item.copy, seed=item.seed, identity=item.sha256)


def _square(item: _Item, preset: Preset, cache: Path) -> np.ndarray:
    """A film at the preset's size, from the cache or, checked against its hash, from its file."""
    entry = {"version": version(), "sha256": item.sha256, "preset": preset.key}
    path = cache / "images" / preset.key / item.sha256[:2] / f"{item.sha256}.safetensors"
    square = _read(path, entry)
    if square is None:
        square = images.square(unchanged(item.path, item.sha256), preset)
        _write(path, entry, square)
    return square


def _feature_entry(key: str, loaded: Loaded, preset: Preset, cache: str | Path) -> tuple[Path, dict[str, object]]:
    """Where a feature lies, and what its file must say of itself."""
    name = "-".join([loaded.backbone.name, loaded.weights_id, *([] if loaded.engine == "pytorch" else [loaded.engine])])
    folder = Path(cache) / "features" / name / preset.key
    entry = {"backbone": loaded.backbone.name, "weights_id": loaded.weights_id, "engine": loaded.engine}
    entry |= {"preset": preset.key, "key": key}
    return folder / key[:2] / f"{key}.safetensors", entry


def _stamp(entry: dict[str, object], values: np.ndarray) -> str:
    """The entry as text, with a SHA-256 over it and the values."""
    text = json.dumps(entry, sort_keys=True)
    digest = hashlib.sha256(f"{text} {values.dtype} {values.shape}\n".encode())
    digest.update(np.ascontiguousarray(values))
    return json.dumps({**entry, "checksum": digest.hexdigest()}, sort_keys=True)


def _write(path: Path, entry: dict[str, object], values: np.ndarray) -> None:
    """Leave values in the cache under a stamp."""
    with replacing(path) as temporary:
        temporary.write_bytes(save({"values": np.ascontiguousarray(values)}, {"entry": _stamp(entry, values)}))


def _read(path: Path, entry: dict[str, object]) -> np.ndarray | None:
    """The values under that entry, or None if they are absent, damaged or another's."""
    try:
        with safe_open(path, framework="numpy") as stream:
            values, stamp = stream.get_tensor("values"), stream.metadata()["entry"]
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return values if stamp == _stamp(entry, values) else None
