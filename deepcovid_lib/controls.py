"""A positive control: does the ladder find a planted mark, and is it quiet where there is none?

Synthetic films are the only ones of which this is known. From one pool of them many small data sets are drawn. In a
world with a sign the COVID-19 films show the disease; in one without, films without a finding take their place. The
mark (a letter, black borders, a tint) is planted on the films called COVID-19, and on no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepcovid_lib import images, ladders, metrics, rungs, stages, thumbnails
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.files import fingerprint, unchanged
from deepcovid_lib.phantoms.cues import plant
from deepcovid_lib.progress import track
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import NORMAL, phantom

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0)
RUNGS = ("border alone", "8x8 grey")
SIGNS = ("no sign", "a sign")
MOST = 36
DATA_SETS = 20
NULL_SETS = 100
RENDERED = {"covid": 40, "normal": 120, "each_other": 0}


class Stock(NamedTuple):
    """One film of each of many synthetic patients, as the two rungs see it at every strength of the mark.

    Attributes
    ----------
    ill : numpy.ndarray
        bool (n,), True for films with COVID-19, False for films without a finding.
    seen : dict of str to numpy.ndarray
        By rung: float (n, strengths, numbers).
    """

    ill: np.ndarray
    seen: dict[str, np.ndarray]


def pool(run: Run) -> Stock:
    """Return the pool of a run: its own synthetic films where no mark is on them, else some made for this.

    Every film is read once, marked at each strength, and kept as numbers in the cache.
    """
    films = _films(run)
    made_in = Path(films["path"].iloc[0]).parent.parent.name  # it names what its films were ordered with
    code = fingerprint(*(module.__file__ for module in (images, thumbnails, rungs)), __file__)
    named = f"{code} {phantom.version()} {made_in} {' '.join(films['image_id'])}"

    def make() -> dict[str, np.ndarray]:
        seen = {name: [] for name in RUNGS}
        for place, path in enumerate(track(films["path"], label="mark films", total=len(films))):
            pixels = _marked(images.read(path)[..., 0], place)
            seen["border alone"].append(rungs.border(pixels))
            seen["8x8 grey"].append(thumbnails.grey(pixels, 8))
        return {name: np.stack(values) for name, values in seen.items()}

    kept = thumbnails.kept(run.cache / "controls", named, make)
    return Stock((films["label"] == "covid").to_numpy(), {name: kept[name] for name in RUNGS})


def reaching(run: Run) -> tuple[int, int]:
    """Count the pool's COVID-19 films whose true opacity reaches into the outer tenth, and all its COVID-19 films."""
    films = _films(run)
    paths = films.loc[films["label"] == "covid", "path"]
    reached = 0
    for path in paths:
        opacity = phantom.masks(path)[1]
        height, width = (round(thumbnails.BORDER * side) for side in opacity.shape)
        reached += bool(opacity.sum() > opacity[height:-height, width:-width].sum())
    return reached, len(paths)


def power(drawn: Stock, *, seed: int) -> pd.DataFrame:
    """Count in how many data sets each rung speaks, by sign and strength of the mark.

    A rung speaks where the lower end of the 95% interval of its area under the curve lies above 0.5, as in the ladder,
    on test films of one division with 45% of the patients in training. Without sign and mark there is nothing to find,
    so what speaks there is a false alarm; the rule's nominal rate of those is 2.5%.

    Parameters
    ----------
    drawn : Stock
    seed : int

    Returns
    -------
    DataFrame
        ``rung, sign, strength, positives, negatives`` (films in a data set, one per patient), ``sets, spoke``,
        ``share`` with Clopper-Pearson bounds ``low, high``, ``auc``, the mean area; NaN and a ``note`` where the pool
        is too small.
    """
    rows = []
    for sign in SIGNS:
        positives = size(drawn, sign)
        for strength in STRENGTHS:
            sets = NULL_SETS if sign == SIGNS[0] and strength == 0 else DATA_SETS
            sets = sets if positives == MOST else max(4, sets * positives // MOST)
            cell = {"sign": sign, "strength": strength, "positives": positives, "negatives": 2 * positives}
            if positives < FEWEST_PATIENTS:
                rows += [{"rung": name, **cell, "note": f"only {positives} films of one class"} for name in RUNGS]
                continue
            verdicts = _verdicts(drawn, sign, strength, [seed + number for number in range(sets)], positives)
            for name, own in verdicts.groupby("rung", sort=False):
                undecided = own[own["verdict"] == ladders.UNDECIDED]
                if len(undecided):
                    rows.append({"rung": name, **cell, "note": undecided["note"].iloc[0]})
                    continue
                spoke = int((own["verdict"] == ladders.ABOVE).sum())
                low, high = metrics.proportion_interval(spoke, sets, method="clopper-pearson")
                counted = {"sets": sets, "spoke": spoke, "share": spoke / sets, "low": low, "high": high}
                rows.append({"rung": name, **cell, **counted, "auc": own["auc"].mean(), "note": ""})
    columns = [
        "rung",
        "sign",
        "strength",
        "positives",
        "negatives",
        "sets",
        "spoke",
        "share",
        "low",
        "high",
        "auc",
        "note",
    ]
    frame = pd.DataFrame(rows).reindex(columns=columns).astype({"sets": "Int64", "spoke": "Int64"})
    return frame.sort_values("rung", key=lambda names: names.map(RUNGS.index), kind="stable", ignore_index=True)


def size(drawn: Stock, sign: str) -> int:
    """Return how many films called COVID-19 a data set has; the others are twice as many.

    Data sets of at most four fifths of the COVID-19 films, so that they differ.

    Examples
    --------
    >>> size(Stock(np.arange(100) < 20, {}), "a sign"), size(Stock(np.arange(100) < 20, {}), "no sign")
    (16, 16)
    """
    ill, healthy = int(drawn.ill.sum()), int((~drawn.ill).sum())
    return min(MOST, ill * 4 // 5, healthy // 4)


def worlds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the four corners of `power`: neither sign nor mark, either, both, and what each rung should do there.

    Returns
    -------
    DataFrame
        ``world, rung, expected`` (``quiet``, ``speaks`` or ``may speak``), ``spoke, sets, share, low, high, auc``, and
        the ``verdict``: ``as expected`` where the interval holds the nominal 2.5% for quiet, or lies above it for
        speaks; ``not as expected``; ``no expectation``; or why it cannot be decided.
    """
    names = {
        ("no sign", 0.0): "neither",
        ("a sign", 0.0): "sign only",
        ("no sign", 1.0): "mark only",
        ("a sign", 1.0): "both",
    }
    corners = table[table["strength"].isin([0.0, 1.0])].copy()
    corners["world"] = [names[key] for key in zip(corners["sign"], corners["strength"], strict=True)]
    corners["expected"] = [_expected(row.world, row.rung) for row in corners.itertuples()]
    corners["verdict"] = [_verdict(row) for row in corners.itertuples()]
    columns = ["world", "rung", "expected", "spoke", "sets", "share", "low", "high", "auc", "verdict"]
    return corners[columns].sort_values(
        "world", key=lambda each: each.map(list(names.values()).index), kind="stable", ignore_index=True
    )


def conclusion(corners: pd.DataFrame) -> str:
    """Say in one sentence what the four worlds showed.

    Parameters
    ----------
    corners : DataFrame
        Of `worlds`.

    Examples
    --------
    >>> conclusion(pd.DataFrame({"world": ["both"], "rung": ["8x8 grey"], "verdict": ["as expected"]}))
    'Where something was expected, all went as expected (1 of 1).'
    """
    asked = corners[corners["verdict"].isin(["as expected", "not as expected"])]
    if asked.empty:
        return "The pool is too small to decide anything."
    failed = asked[asked["verdict"] == "not as expected"]
    if failed.empty:
        return f"Where something was expected, all went as expected ({len(asked)} of {len(asked)})."
    named = "; ".join(f"{row.rung} in the world '{row.world}'" for row in failed.itertuples())
    return f"Not as expected in {len(failed)} of {len(asked)}: {named}."


def _films(run: Run) -> pd.DataFrame:
    own = run.edition.positives == run.edition.negatives == phantom.SOURCE
    if own and not run.edition.options.get(phantom.SOURCE, {}).get("shortcut", 0):
        films = stages.manifest(run)
        films = films.assign(path=[unchanged(*film) for film in zip(films["path"], films["sha256"], strict=True)])
    else:
        folder = run.cache / "phantoms" / f"control-{run.edition.seed}-{phantom.version()}"
        films = phantom.candidates(folder, **RENDERED, seed=run.edition.seed).rows
    films = films[films["finding"].isin([phantom.COVID, NORMAL])]
    return films.sort_values("image_id").drop_duplicates("patient_id").reset_index(drop=True)


def _marked(film: np.ndarray, film_seed: int) -> np.ndarray:
    """Return the film at every strength, uint8 (strengths, side, side, 3)."""
    small = images.Preset(size=thumbnails.SIDE)
    versions = []
    for strength in STRENGTHS:
        marked = plant(film, film_seed, strength)[0]
        colour = marked if marked.ndim == 3 else np.repeat(marked[..., None], 3, axis=2)
        versions.append(images.fit(colour, small))
    return np.stack(versions)


def _verdicts(drawn: Stock, sign: str, strength: float, seeds: Sequence[int], positives: int) -> pd.DataFrame:
    level = STRENGTHS.index(strength)
    rows = []
    for seed in seeds:
        rng = np.random.default_rng([seed, SIGNS.index(sign), level])
        healthy = rng.permutation(np.flatnonzero(~drawn.ill))
        ill = rng.permutation(np.flatnonzero(drawn.ill)) if sign == "a sign" else healthy[2 * positives :]
        chosen = np.concatenate([ill[:positives], healthy[: 2 * positives]])
        y_true = np.arange(3 * positives) < positives
        levels = np.where(y_true, level, 0)
        train = next(ladders.splits(y_true, chosen, seed=seed))
        for name in RUNGS:
            scores = ladders.scored(drawn.seen[name][chosen, levels], y_true, train)
            rows.append({"rung": name, **ladders.judged(y_true[~train], scores, chosen[~train])})
    return pd.DataFrame(rows)


def _expected(world: str, rung: str) -> str:
    if world == "neither" or (world == "sign only" and rung == RUNGS[0]):
        return "quiet"
    return "may speak" if world == "sign only" else "speaks"


def _verdict(row) -> str:
    if pd.isna(row.share):
        return f"{ladders.UNDECIDED}: {row.note}"
    if row.expected == "may speak":
        return "no expectation"
    right = row.low <= 0.025 if row.expected == "quiet" else row.low > 0.025
    return "as expected" if right else "not as expected"
