"""The four heads at the paper's scale: beside one pass of the distinct images, and beside the plain loop."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from benchmarks import material, measures
from benchmarks.passes import MODELS
from benchmarks.plain_loop import plain_fit
from benchmarks.report import Outcome, Target
from deepcovid_lib import backbones, engines, features, finetune, images

TRAINING, TESTING, EPOCHS, AT_ONCE = 2496, 3040, 100, 20


def measure(models: tuple[str, ...] = MODELS, few: int = 64, many: int = 448, epochs: int = EPOCHS) -> Outcome:
    """Time the pass on some films and scale it, fit the heads on as many rows as the paper has."""
    paths, films = material.films()
    paths = paths[: min(many, len(paths))]
    many = len(paths)
    table = material.requests(paths)
    table = pd.concat([table, table[: many // 12].assign(copy=1)], ignore_index=True)  # 465 of the paper's 5,536
    floor = ours = plain = 0.0
    rows = []
    for name in models:
        row = {"model": name, **_pass(name, table, few), "heads": _head(name, epochs), **_plain(name, paths)}
        passes = TRAINING + TESTING
        row["floor"] = passes / row["images per second"]
        row["ours"] = row["before the first image"] + passes * row["seconds per image"] + row["heads"]
        row["plain loop"] = row["seconds per batch"] * (epochs * TRAINING + TESTING) / AT_ONCE
        floor, ours, plain = floor + row["floor"], ours + row["ours"], plain + row["plain loop"]
        rows.append(row)
    difference, areas = _equal(paths[:60])
    how = (
        f"{ours:.0f} s beside {floor:.0f} s for {TRAINING + TESTING} passes by OpenVINO; ours timed on {few} and "
        f"{len(table)} passes from the films' files to features in the cache, and scaled; the heads in full"
    )
    return Outcome(
        [
            Target("four heads, all in all, over the floor", ours / floor, "most", 1.2, "times", how),
            Target(
                "the plain loop over ours",
                plain / ours,
                "least",
                60,
                "times",
                f"{plain / 3600:.1f} h, scaled from 4 batches of {AT_ONCE} per model",
            ),
            Target(
                "largest difference of weights from the plain loop",
                difference,
                "most",
                1e-4,
                "",
                "ResNet18, 40 films, 5 epochs",
            ),
            Target("difference of the areas under the curve", areas, "most", 0, "", "the same, on 20 other films"),
        ],
        rows,
        films,
    )


def _pass(name: str, table, few: int) -> dict[str, float]:
    """Images per second of the bare engine, and what the library needs per image and before the first one."""
    preset = images.Preset()
    loaded = backbones.load(name, weights="random", engine="openvino")
    batch = images.normalise(np.stack([images.square(path, preset) for path in table["path"][: features.BATCH]]))
    carry = engines.passer(loaded.module, engine=loaded.engine, device="cpu", shape=batch.shape)
    carry(batch)
    (bare,) = measures.side_by_side(lambda: carry(batch), turns=5)
    taken = {}
    for count in (few, len(table)):
        with tempfile.TemporaryDirectory() as cache:

            def work(count=count, cache=cache):
                fresh = backbones.load(name, weights="random", engine="openvino")
                features.extract(table[:count], fresh, preset=preset, cache=cache)
                features.gather(table[:count], fresh, preset=preset, cache=cache)

            taken[count] = measures.seconds(work)
    each = (taken[len(table)] - taken[few]) / (len(table) - few)
    return {
        "images per second": len(batch) / bare,
        "seconds per image": each,
        "before the first image": max(0.0, taken[few] - few * each),
    }


def _head(name: str, epochs: int) -> float:
    """Seconds to fit a head and to score."""
    shape = backbones.get(name).feature_shape
    generator = torch.Generator().manual_seed(0)
    training, testing = (torch.randn(rows, *shape, generator=generator) for rows in (TRAINING, TESTING))

    def work():
        labels = np.arange(TRAINING) % 5 == 0
        recipe = finetune.Recipe(epochs=epochs)
        head = finetune.fit(training, labels, backbone_name=name, recipe=recipe, seed=0).head
        finetune.score(testing, head, name)

    return measures.seconds(work)


def _plain(name: str, paths: list[Path]) -> dict[str, float]:
    """Seconds that the plain loop takes per batch of training."""
    network = backbones.load(name, weights="random").module
    inputs = _inputs(paths[: 4 * AT_ONCE])
    labels = np.arange(len(inputs)) % 5 == 0
    recipe = finetune.Recipe(epochs=1)
    plain_fit(inputs[:AT_ONCE], labels[:AT_ONCE], network, name, recipe, 0)
    taken = measures.seconds(lambda: plain_fit(inputs, labels, network, name, recipe, 0))
    return {"seconds per batch": taken / (len(inputs) / AT_ONCE)}


def _equal(paths: list[Path]) -> tuple[float, float]:
    """How far the cached way's head and area are from the plain loop's."""
    name, count, recipe = "resnet18", 2 * len(paths) // 3, finetune.Recipe(epochs=5)
    labels = np.arange(len(paths)) % 5 == 0
    network, inputs = backbones.load(name, weights="random").module, _inputs(paths)
    plain, _ = plain_fit(inputs[:count], labels[:count], network, name, recipe, 0)
    with torch.inference_mode():
        outer = network(inputs[count:])
    loaded, preset, table = (
        backbones.load(name, weights="random", engine="openvino"),
        images.Preset(),
        material.requests(paths),
    )
    with tempfile.TemporaryDirectory() as cache:
        features.extract(table, loaded, preset=preset, cache=cache)
        held = features.gather(table, loaded, preset=preset, cache=cache)
    head = finetune.fit(held[:count], labels[:count], backbone_name=name, recipe=recipe, seed=0).head
    areas = [
        roc_auc_score(labels[count:], finetune.score(rows, made, name))
        for rows, made in ((held[count:], head), (outer, plain))
    ]
    return max(float((head[part] - plain[part]).abs().max()) for part in head), abs(areas[0] - areas[1])


def _inputs(paths: list[Path]) -> torch.Tensor:
    return torch.from_numpy(images.normalise(np.stack([images.square(path, images.Preset()) for path in paths])))
