"""Films of a run to look at: those of the paper's Figs 1 and 2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from deepcovid_lib import images, manifest, stages, style
from deepcovid_lib.files import unchanged
from deepcovid_lib.problems import Problem
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import phantom


def samples(run: Run) -> tuple[list[list[tuple[np.ndarray, str]]], list[str]]:
    """Return the rows and row labels of Fig. 2: four COVID-19, four normal and eight other training films.

    Up to eight films of unknown finding follow, where there are any. A kind of finding without films has no row.
    """
    films = stages.manifest(run)
    films = films[films["split"] == "train"].assign(group=lambda frame: manifest.group(frame))
    films = films.sample(frac=1, random_state=run.edition.seed)
    chosen = [(group, films[films["group"] == group].head(4)) for group in ("covid", "normal")]
    for group in ("other_disease", "unknown"):
        own = films[films["group"] == group].sort_values("finding", kind="stable")
        spread = own.iloc[np.unique(np.linspace(0, len(own) - 1, 8).round().astype(int))] if len(own) else own
        chosen += [(group, spread.iloc[:4]), (group, spread.iloc[4:])]
    there = [(group, part) for group, part in chosen if len(part)]
    rows = [[(_square(run, film), film.finding.replace("|", ", ")) for film in part.itertuples()] for _, part in there]
    return rows, [style.group(group).label for group, _ in there]


def marked(run: Run) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Return three COVID-19 training films, the mask of what shows the disease, and their titles (Fig. 1).

    A phantom's mask is its true opacity. For other sources a table of marks is read where the edition names one
    (``folders.marks``: ``image_id, x, y, width, height`` in pixels of the film); without it the masks are empty.

    Raises
    ------
    Problem
        If the table is none of marks, or names an image as no source of the run does, or no image of the run at all.
    """
    films = stages.manifest(run)
    marks = _marks(run, films)
    films = films[(films["split"] == "train") & (films["label"] == "covid")]
    found = []
    for film in films.itertuples():
        pixels = images.read(unchanged(film.path, film.sha256))
        mask = phantom.masks(film.path)[1] if film.source == "phantom" else np.zeros(pixels.shape[:2], bool)
        for mark in marks[marks["image_id"] == film.image_id].itertuples():
            mask[mark.y : mark.y + mark.height, mark.x : mark.x + mark.width] = True
        found.append((pixels, mask, f"{film.view or 'view unknown'}"))
        if sum(mask.any() for _, mask, _ in found) == 3 or (
            len(found) >= 3 and marks.empty and film.source != "phantom"
        ):
            break
    found = sorted(found, key=lambda item: not item[1].any())[:3]
    return [item[0] for item in found], [item[1] for item in found], [item[2] for item in found]


def _square(run: Run, film: Any) -> np.ndarray:
    return images.square(unchanged(film.path, film.sha256), stages.preset(run))


def _marks(run: Run, films: pd.DataFrame) -> pd.DataFrame:
    columns = ["image_id", "x", "y", "width", "height"]
    if "marks" not in run.edition.folders:
        return pd.DataFrame(columns=columns)
    path = run.source_folder("marks")
    try:
        marks = pd.read_csv(path)[columns].astype({"image_id": str} | dict.fromkeys(columns[1:], int))
    except (OSError, KeyError, ValueError) as fault:
        raise Problem(
            f"not a table of marks ({fault})", file=path, remedy=f"it needs the columns {', '.join(columns)}"
        ) from None
    remedy = f"write it as the manifest does, e.g. {films['image_id'].iloc[0]}"
    foreign = ~marks["image_id"].str.partition(":")[0].isin(films["source"])
    if foreign.any():
        place = int(foreign.to_numpy().argmax())
        name = marks["image_id"].iloc[place]
        raise Problem(f"image_id '{name}' names no source of this run", file=path, row=place + 2, remedy=remedy)
    if len(marks) and not marks["image_id"].isin(films["image_id"]).any():
        raise Problem("none of its images is in this run", file=path, remedy=remedy)
    return marks
