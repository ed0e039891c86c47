"""Heads: `finetune.fit` beside torch's own loop over the same cached features, and its memory."""

import numpy as np
import torch
from torch import nn

from benchmarks import measures
from benchmarks.plain_loop import plain_fit
from benchmarks.report import Outcome, Target
from deepcovid_lib import backbones, finetune

ROWS = 2496
BOUNDS = {"resnet18": 3, "densenet121": 3, "resnet50": 3, "squeezenet": 60}
MAPS = """
import sys, torch
from deepcovid_lib import finetune
rows = int(sys.argv[1])
maps = torch.randn(rows, 512, 13, 13, generator=torch.Generator().manual_seed(0))
finetune.fit(maps, torch.arange(rows) % 5 == 0, backbone_name="squeezenet", recipe=finetune.Recipe(epochs=2), seed=0)
told = None
"""


def measure(rows: int = ROWS, epochs: int = 100) -> Outcome:
    """Fit each head by the paper's recipe on random features; the plain loop over maps is timed on 2 epochs."""
    targets, table = [], []
    labels = np.arange(rows) % 5 == 0
    for name, bound in BOUNDS.items():
        shape = backbones.get(name).feature_shape
        features = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))
        recipe = finetune.Recipe(epochs=epochs)
        plain = finetune.Recipe(epochs=epochs if len(shape) == 1 else min(2, epochs))
        made = {}

        def ours(recipe=recipe, made=made, features=features, name=name):
            made["ours"] = finetune.fit(features, labels, backbone_name=name, recipe=recipe, seed=1).head

        def theirs(recipe=plain, made=made, features=features, name=name):
            made["theirs"] = plain_fit(features, labels, nn.Identity(), name, recipe, 1)[0]

        taken, slow = measures.side_by_side(ours, theirs, turns=3 if plain == recipe else 1)
        if plain != recipe:
            made["ours"] = finetune.fit(features, labels, backbone_name=name, recipe=plain, seed=1).head
        off = max(float((made["ours"][part] - made["theirs"][part]).abs().max()) for part in ("weight", "bias"))
        slow *= recipe.epochs / plain.epochs
        scaled = "" if plain == recipe else f", scaled from {plain.epochs} epochs"
        how = f"{rows} rows, {epochs} epochs; torch's own loop {slow:.1f} s{scaled}"
        targets.append(Target(f"{name}: the head", taken, "most", bound, "s", how))
        targets.append(
            Target(f"{name}: largest difference of weights", off, "most", 1e-4, "", f"{plain.epochs} epochs")
        )
        table.append({"model": name, "seconds": taken, "plain seconds": slow, "ratio": slow / taken})
    peak, _ = measures.alone(MAPS, rows)
    targets.append(Target("memory of SqueezeNet's head, maps included", peak, "most", 2048, "MiB", f"{rows} maps"))
    return Outcome(targets, table, "random features")
