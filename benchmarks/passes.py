"""The frozen pass: images per second of every engine, and what the library's own takes beside the fastest."""

import shutil

import numpy as np
import torch

from benchmarks import material, measures
from benchmarks.report import Outcome, Target
from deepcovid_lib import backbones, engines, images
from deepcovid_lib.features import BATCH

MODELS = ("resnet18", "resnet50", "squeezenet", "densenet121")
PLAIN = "PyTorch, as it comes"
OURS = "OpenVINO (the default)"
FALLBACK = "PyTorch, channels last (engine=pytorch)"
TOLERANCE = 1e-5


def carriers(loaded: backbones.Loaded, shape: tuple[int, ...]) -> dict[str, engines.Pass]:
    """Return every engine as a function of a batch; without a C++ compiler, no compiled one."""

    def fresh():
        return backbones.load(loaded.backbone.name, weights="random").module

    def by(network):
        def carry(batch):
            with torch.no_grad():
                return network(torch.from_numpy(batch)).numpy()

        return carry

    carrying = {
        PLAIN: by(fresh()),
        FALLBACK: engines.passer(fresh(), engine="pytorch", device="cpu", shape=shape),
    }
    if shutil.which("c++"):
        torch._inductor.config.freezing = True
        carrying["torch.compile, frozen weights"] = by(torch.compile(fresh()))
    return {**carrying, OURS: engines.passer(loaded.module, engine="openvino", device="cpu", shape=shape)}


def measure(models: tuple[str, ...] = MODELS, batches: int = 3, size: int = 224) -> Outcome:
    """Carry batches of films through each backbone by each engine, in turns."""
    paths, films = material.films()
    squares = np.stack([images.square(path, images.Preset(size=size)) for path in paths[:BATCH]])
    batch = images.normalise(squares)
    targets, rows = [], []
    for name in models:
        carrying = carriers(backbones.load(name, weights="random"), batch.shape)
        features = {engine: carry(batch) for engine, carry in carrying.items()}
        taken = measures.side_by_side(*(lambda carry=carry: carry(batch) for carry in carrying.values()), turns=batches)
        rates = {engine: len(batch) / seconds for engine, seconds in zip(carrying, taken, strict=True)}
        largest = np.abs(features[PLAIN]).max()
        off = {engine: float(np.abs(found - features[PLAIN]).max() / largest) for engine, found in features.items()}
        rows += [
            {"model": name, "engine": engine, "images per second": rate, "difference": off[engine]}
            for engine, rate in rates.items()
        ]
        fastest = max(rates, key=rates.get)
        how = f"{rates[OURS]:.1f} images/s beside {rates[fastest]:.1f} by {fastest}"
        targets.append(
            Target(f"{name}: the default over the fastest", rates[OURS] / rates[fastest], "least", 0.9, "times", how)
        )
        targets.append(
            Target(
                f"{name}: largest difference from PyTorch",
                max(off.values()),
                "most",
                TOLERANCE,
                "of the largest feature",
                "all engines",
            )
        )
    return Outcome(targets, rows, films)
