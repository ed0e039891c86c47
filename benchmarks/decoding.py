"""Decoding and resizing: `images.square` beside Pillow with torchvision's transforms, on one thread."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision import transforms

from benchmarks import material, measures
from benchmarks.report import Outcome, Target
from deepcovid_lib import images


def measure(count: int = 400, turns: int = 5) -> Outcome:
    """Read grey JPEGs of CheXpert's size, made from the films at hand."""
    preset = images.Preset()
    resize = transforms.Resize((preset.size, preset.size))

    def usual(path):
        return np.asarray(resize(Image.open(path).convert("RGB")))

    with tempfile.TemporaryDirectory() as folder:
        paths = material.varied(Path(folder), count, material.CHEXPERT)
        off = max(
            int(np.abs(images.square(path, preset).astype(int) - usual(path).astype(int)).max()) for path in paths
        )
        ours, theirs = measures.side_by_side(
            lambda: [images.square(path, preset) for path in paths],
            lambda: [usual(path) for path in paths],
            turns=turns,
        )
    width, height = material.CHEXPERT
    how = f"{count / ours:.0f} images/s beside {count / theirs:.0f}, {count} grey JPEGs of {width} x {height}"
    return Outcome(
        [
            Target("reading and scaling beside Pillow with transforms", theirs / ours, "least", 1.5, "times", how),
            Target("largest difference in grey values", off, "most", 1, "of 255", f"{count} films"),
        ],
        [],
        material.films()[1],
    )
