"""Maps of evidence laid over films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

LAID_OVER = LinearSegmentedColormap.from_list(
    "evidence", [(1, 0.85, 0.2, 0.0), (1, 0.6, 0.1, 0.55), (0.9, 0.15, 0.1, 0.8)]
)
LUNGS = "#7fe0ff"
HEAD, GAP = 0.26, 0.07


def evidence(
    films: np.ndarray,
    maps: Mapping[str, np.ndarray],
    titles: Sequence[str],
    lungs: np.ndarray | None = None,
) -> Drawing:
    """Draw films, one per row, each with the maps of the evidence for COVID-19 laid over it.

    Parameters
    ----------
    films : ndarray of uint8, shape (n, size, size, 3)
    maps : mapping of str to ndarray of float, shape (n, size, size)
        A method's name to its maps; the positive part is drawn, each map on its own scale.
    titles : sequence of str
        One line per film.
    lungs : ndarray of bool, shape (n, size, size), optional
        The lung fields, outlined.

    Returns
    -------
    Drawing
        Its data: ``film, method``; ``inside``, the share of the evidence inside the lung fields (NaN where unknown or
        where there is no evidence), rounded to four digits.

    Examples
    --------
    >>> film, half = np.full((1, 8, 8, 3), 90, np.uint8), np.arange(64).reshape(1, 8, 8) < 32
    >>> evidence(film, {"Grad-CAM": half * 1.0}, ["COVID-19, score 0.90"], half).alt
    'Films with the evidence for COVID-19 laid over. COVID-19, score 0.90: Grad-CAM 100% inside the lungs.'
    """
    columns = 1 + len(maps)
    side = (style.WIDTH + GAP) / columns - GAP
    height = len(films) * (HEAD + side + GAP) - GAP + HEAD
    figure = Figure(figsize=(style.WIDTH, height))
    rows = []
    for k, (film, title) in enumerate(zip(films, titles, strict=True)):
        top = HEAD + k * (HEAD + side + GAP)
        figure.text(0, 1 - (top + HEAD / 2) / height, title, va="center", fontsize=style.SMALL)
        for column, (method, values) in enumerate({"Film": None, **maps}.items()):
            left = column * (side + GAP)
            place = (left / style.WIDTH, 1 - (top + HEAD + side) / height, side / style.WIDTH, side / height)
            axes = figure.add_axes(place)
            axes.imshow(film, interpolation="antialiased")
            axes.set_axis_off()
            if k == 0:
                figure.text((left + side / 2) / style.WIDTH, 1 - HEAD / 2 / height, method, ha="center", va="center")
            if values is None:
                continue
            shown = values[k].clip(min=0)
            if shown.any():
                axes.imshow(shown / shown.max(), cmap=LAID_OVER, vmin=0, vmax=1, interpolation="bilinear")
            if lungs is not None and lungs[k].any():
                axes.contour(lungs[k].astype(float), levels=[0.5], colors=[LUNGS], linewidths=1.2)
            known = lungs is not None and shown.any()
            inside = shown[lungs[k]].sum() / shown.sum() if known else np.nan
            rows.append({"film": title, "method": method, "inside": round(float(inside), 4)})
    data = pd.DataFrame(rows, columns=["film", "method", "inside"])
    return Drawing(figure, data, _told(data))


def _told(data: pd.DataFrame) -> str:
    parts = []
    for title, own in data.groupby("film", sort=False):
        shares = [f"{row.method} {style.percent(row.inside, 0)}" for row in own.dropna(subset="inside").itertuples()]
        parts.append(f"{title}: {', '.join(shares)} inside the lungs" if shares else f"{title}")
    return f"Films with the evidence for COVID-19 laid over. {'; '.join(parts)}."
