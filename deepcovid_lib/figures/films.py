"""Pictures of films: marked areas, samples, augmented copies."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from scipy.ndimage import label

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

GAP = 0.07
LINE = 0.21


def marked_areas(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], titles: Sequence[str]) -> Drawing:
    """Draw films side by side with the outlines of marked areas.

    Parameters
    ----------
    images : sequence of numpy.ndarray of uint8, shape (height, width) or (height, width, 3)
    masks : sequence of numpy.ndarray of bool, shape (height, width)
        True inside the marked areas; may be empty of them.
    titles : sequence of str
        One short title per film.

    Returns
    -------
    Drawing
        Its data: `title`, `regions` (areas that do not touch), `share` (marked fraction of the film).

    References
    ----------
    Minaee et al. 2020, Fig. 1.

    Examples
    --------
    >>> film, mask = np.full((8, 8), 90, np.uint8), np.eye(8) > 0
    >>> marked_areas([film], [mask & (np.arange(8) < 4)], ["PA"]).alt
    'One chest film with marked areas outlined. PA: 4 areas, 6% of the film.'
    """
    side = (style.WIDTH + GAP) / len(images) - GAP
    figure = Figure(figsize=(style.WIDTH, side + LINE))
    colour = style.group("covid").colour
    records = []
    for k, (image, mask, title) in enumerate(zip(images, masks, titles, strict=True)):
        mask = np.asarray(mask, dtype=bool)
        axes = _film(figure, image, title, left=k * (side + GAP), top=LINE, side=side)
        if mask.any():
            edge = np.pad(mask, 1).astype(float)
            place = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
            axes.contourf(*place, edge, levels=[0.5, 1.5], colors=[colour], alpha=0.18)
            axes.contour(*place, edge, levels=[0.5], colors=["white"], linewidths=3.2)
            axes.contour(*place, edge, levels=[0.5], colors=[colour], linewidths=1.8)
        records.append({"title": title, "regions": label(mask)[1], "share": mask.mean()})
    data = pd.DataFrame(records, columns=["title", "regions", "share"])
    parts = [
        f"{row.title}: {_areas(row.regions)}, {style.percent(row.share, 0)} of the film" for row in data.itertuples()
    ]
    films = "One chest film" if len(data) == 1 else f"{len(data)} chest films side by side"
    return Drawing(figure, data, f"{films} with marked areas outlined. {'; '.join(parts)}.")


def samples(rows: Sequence[Sequence[tuple[np.ndarray, str]]], labels: Sequence[str]) -> Drawing:
    """Draw a grid of films, one row per line of `rows`, the rows labelled at the left.

    Parameters
    ----------
    rows : sequence of sequences of (numpy.ndarray of uint8, str)
        Films with their titles (may be empty), shape (height, width) or (height, width, 3); rows may differ in length.
    labels : sequence of str
        One label per row; neighbouring rows of the same label share it.

    Returns
    -------
    Drawing
        Its data: `row`, `column` (from 1), `label`, `title`.

    References
    ----------
    Minaee et al. 2020, Fig. 2: COVID-19, then normal, then two rows of other findings.

    Examples
    --------
    >>> film = np.full((8, 8), 90, np.uint8)
    >>> samples([[(film, "")], [(film, "Edema")]], ["COVID-19", "Other disease"]).alt
    'A grid of 2 chest films: 1 COVID-19; 1 other disease. Titles: Edema.'
    """
    columns = max(map(len, rows))
    margin = 0.42
    side = (style.WIDTH - margin + GAP) / columns - GAP
    wrapped = [[textwrap.fill(title, 17, break_long_words=False) for _, title in row] for row in rows]
    heads = [LINE * max((title.count("\n") + bool(title) for title in row), default=0) for row in wrapped]
    tops = np.cumsum([head + side + GAP for head in heads]) - side - GAP
    figure = Figure(figsize=(style.WIDTH, tops[-1] + side))
    records = []
    for i, row in enumerate(rows):
        for j, (image, title) in enumerate(row):
            _film(figure, image, wrapped[i][j], left=margin + j * (side + GAP), top=tops[i], side=side)
            records.append({"row": i + 1, "column": j + 1, "label": labels[i], "title": title})
    for name, members in groupby(range(len(rows)), key=lambda i: labels[i]):
        span = list(members)
        axes = _panel(figure, 0, tops[span[0]], margin, tops[span[-1]] + side - tops[span[0]])
        axes.set(xlim=(0, margin), ylim=(0, 1))
        axes.set_axis_off()
        axes.axvline(margin - 0.1, color=_bar_colour(name), linewidth=3.5, solid_capstyle="butt")
        axes.text(0.14, 0.5, name, rotation=90, ha="center", va="center")
    data = pd.DataFrame(records, columns=["row", "column", "label", "title"])
    counts = data.groupby("label", sort=False).size()
    findings = [title for title in dict.fromkeys(data["title"]) if title]
    listed = "; ".join(f"{count} {_lower(name)}" for name, count in counts.items())
    alt = f"A grid of {len(data)} chest films: {listed}." + (f" Titles: {', '.join(findings)}." if findings else "")
    return Drawing(figure, data, alt)


def augmentation(image: np.ndarray, copies: Sequence[np.ndarray], titles: Sequence[str]) -> Drawing:
    """Draw one film and the copies that augmentation makes from it.

    Parameters
    ----------
    image : numpy.ndarray of uint8, shape (height, width) or (height, width, 3)
        The original.
    copies : sequence of numpy.ndarray, as `image`
    titles : sequence of str
        One short title per copy; empty texts are allowed.

    Returns
    -------
    Drawing
        Its data: `copy` (from 1), `title`, `difference` (mean absolute difference from the original, grey levels of
        0 to 255).

    References
    ----------
    Minaee et al. 2020, section II: 31 images become 496.

    Examples
    --------
    >>> film = np.full((8, 8), 90, np.uint8)
    >>> augmentation(film, [film + 10, film + 20], ["+1°", "mirrored"]).data["difference"].tolist()
    [10.0, 20.0]
    """
    columns = min(4, math.ceil(math.sqrt(len(copies))))
    rows = math.ceil(len(copies) / columns)
    wrapped = [textwrap.fill(title, 12, break_long_words=False) for title in titles]
    head = LINE * max((title.count("\n") + bool(title) for title in wrapped), default=0)
    first, margin = 1.3, 2.0
    side = (style.WIDTH - margin + GAP) / columns - GAP
    height = rows * (head + side + GAP) - GAP
    figure = Figure(figsize=(style.WIDTH, max(height, first + LINE)))
    middle = (height - first) / 2
    original = _film(figure, image, "Original", left=0, top=middle, side=first)
    records = []
    for k, (copy, title) in enumerate(zip(copies, titles, strict=True)):
        row, column = divmod(k, columns)
        top = head + row * (head + side + GAP)
        _film(figure, copy, wrapped[k], left=margin + column * (side + GAP), top=top, side=side)
        difference = np.abs(copy.astype(float) - image.astype(float)).mean()
        records.append({"copy": k + 1, "title": title, "difference": difference})
    arrow = FancyArrowPatch((1.05, 0.5), (1.51, 0.5), transform=original.transAxes, arrowstyle="-|>", mutation_scale=14)
    arrow.set(color=style.muted(), linewidth=1.6, clip_on=False)
    original.add_patch(arrow)
    original.text(1.26, 0.56, str(len(copies)), transform=original.transAxes, ha="center", va="bottom")
    noun = "copy" if len(copies) == 1 else "copies"
    original.text(1.26, 0.44, noun, transform=original.transAxes, ha="center", va="top", fontsize=style.SMALL)
    data = pd.DataFrame(records, columns=["copy", "title", "difference"])
    alt = (
        f"One film and the {len(data)} {noun} made from it, which differ from the original by "
        f"{data['difference'].min():.0f} to {data['difference'].max():.0f} of 255 grey levels on average."
    )
    return Drawing(figure, data, alt)


def _panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _film(figure: Figure, image: np.ndarray, title: str, *, left: float, top: float, side: float) -> Axes:
    """Show one film inside a square, grey levels as stored."""
    axes = _panel(figure, left, top, side, side)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=style.SMALL, loc="center", pad=3)
    return axes


def _bar_colour(name: str) -> str:
    """Return the colour of the group whose label begins so, the quiet one if there is none."""
    return next((look.colour for look in style.GROUPS.values() if look.label.startswith(name)), style.muted())


def _areas(count: int) -> str:
    return "no marked area" if count == 0 else "one area" if count == 1 else f"{count} areas"


def _lower(name: str) -> str:
    """Return a label as it stands inside a sentence."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]
