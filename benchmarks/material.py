"""What is measured on: real films where there are any, else phantoms."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from deepcovid_lib import files, phantoms, runs
from deepcovid_lib.phantoms import FINDINGS

REAL = os.environ.get("DEEPCOVID_REAL_DATA")
CHEXPERT = (390, 320)  # width and height of a film in CheXpert's small version


def films() -> tuple[list[Path], str]:
    """Return grey films and what they are; phantoms are drawn once, into the cache."""
    if REAL:
        return sorted(Path(REAL).glob("nih-chestxray/*/*.jpg")), "real films (NIH ChestX-ray14)"
    folder = runs.root() / "cache" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{number:03d}.png" for number in range(128)]
    for number, path in enumerate(made):
        if not path.is_file():
            film = phantoms.film(number, number, finding=FINDINGS[number % len(FINDINGS)], view="PA")
            with files.replacing(path) as temporary:
                Image.fromarray(film.image).save(temporary, format="PNG")
    return made, "synthetic films"


def varied(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write that many grey JPEGs of a size, each with content of its own, made from the films at hand."""
    sources, _ = films()
    rng = np.random.default_rng(0)
    small = [Image.open(path).convert("L").resize(size) for path in sources[: min(count, 400)]]
    paths = []
    for number in range(count):
        pixels = np.array(small[number % len(small)]) + rng.integers(-4, 5, size[::-1])
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(pixels).save(path, quality=90)
        paths.append(path)
    return paths


def requests(paths: list[Path]) -> pd.DataFrame:
    """Return the films as `features.extract` takes them."""
    return pd.DataFrame(
        {
            "image_id": [path.stem for path in paths],
            "path": [str(path) for path in paths],
            "sha256": [files.sha256(path) for path in paths],
            "copy": 0,
            "seed": 0,
            "split": "train",
            "label": ["covid" if number % 5 == 0 else "non_covid" for number in range(len(paths))],
        }
    )
