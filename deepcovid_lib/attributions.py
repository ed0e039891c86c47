"""Where a map's evidence lies, and whether it hangs on the training: the maps of `saliency` against what is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, t

from deepcovid_lib import images, stages
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.files import unchanged
from deepcovid_lib.runs import Run
from deepcovid_lib.sources import phantom

CASES = (
    ("COVID-19, highest score", "covid", "max"),
    ("COVID-19, lowest score", "covid", "min"),
    ("Non-COVID, highest score", "non_covid", "max"),
)
REGIONS = ("lung fields", "opacity")
TOO_FEW = "too few patients"
ROUNDING = 1e-6  # of a map's largest value: what smaller differences rank is the order of operations


def cases(scores: pd.DataFrame) -> pd.DataFrame:
    """Choose the surest film, the worst miss and the worst false alarm.

    Parameters
    ----------
    scores : DataFrame
        Of the test films: ``image_id, label, score`` and more.

    Returns
    -------
    DataFrame
        The rows of `scores`, with their ``case``; a class without films gives none.

    Examples
    --------
    >>> scores = pd.DataFrame({"image_id": ["a", "b"], "label": ["covid", "non_covid"], "score": [0.9, 0.2]})
    >>> cases(scores)["image_id"].tolist()
    ['a', 'a', 'b']
    """
    found = []
    for case, label, which in CASES:
        own = scores[scores["label"] == label]
        if len(own):
            found.append(own.loc[getattr(own["score"], f"idx{which}")()].to_dict() | {"case": case})
    return pd.DataFrame(found, columns=[*scores.columns, "case"])


def sample(scores: pd.DataFrame, *, share: float, seed: int) -> pd.DataFrame:
    """Draw test films to measure on: a share of the COVID-19 films, one at least, and as many others.

    Examples
    --------
    >>> scores = pd.DataFrame({"image_id": list("abcd"), "label": ["covid", "covid", "non_covid", "non_covid"]})
    >>> sample(scores, share=0.5, seed=0)["label"].tolist()
    ['covid', 'non_covid']
    """
    wanted = max(1, round(share * (scores["label"] == "covid").sum()))
    parts = [own.sample(min(wanted, len(own)), random_state=seed) for _, own in scores.groupby("label")]
    return pd.concat(parts).reset_index(drop=True) if parts else scores


def squares(run: Run, films: pd.DataFrame) -> np.ndarray:
    """Return the films of these test rows as the network receives them, uint8 (n, size, size, 3)."""
    rows = _rows(run, films)
    paths = (unchanged(row.path, row.sha256) for row in rows.itertuples())
    return np.stack([images.fit(images.read(path), stages.preset(run)) for path in paths])


def inputs(pixels: np.ndarray) -> torch.Tensor:
    """Return films of `squares` normalised for the network, float32 (n, 3, size, size)."""
    return torch.from_numpy(images.normalise(pixels))


def regions(run: Run, films: pd.DataFrame) -> dict[str, np.ndarray] | None:
    """Return what is known about each film, brought to the network's size.

    Returns
    -------
    dict of str to ndarray of bool, shape (n, size, size), or None
        ``"lung fields"``, and ``"opacity"``, where a finding changed the film. None where the source has no such
        truth: only synthetic films have.
    """
    if run.edition.positives != "phantom" or run.edition.negatives != "phantom":
        return None
    preset = stages.preset(run)
    masks = [[_fit(mask, preset) for mask in phantom.masks(path)] for path in _rows(run, films)["path"]]
    return {name: np.stack([pair[k] for pair in masks]) for k, name in enumerate(REGIONS)}


def shares(maps: np.ndarray, films: pd.DataFrame, known: Mapping[str, np.ndarray] | None) -> pd.DataFrame:
    """Measure for each film how much of the evidence for COVID-19 lies inside a region, and how large that is.

    Parameters
    ----------
    maps : ndarray of float, shape (n, size, size)
        From `saliency`; only the positive part counts.
    films : DataFrame
        The n test rows, with ``patient_id``.
    known : mapping, optional
        Of `regions`; films where a region is empty are left out of its rows.

    Returns
    -------
    DataFrame
        ``region, patient_id``; ``area``, the region's share of the film; ``share``, its share of the evidence (NaN
        where a map has no positive part). No rows where nothing is known.

    Examples
    --------
    >>> left = np.arange(4) < 1
    >>> map = np.array([[3.0, 1.0, -5.0, 0.0]])
    >>> shares(map[None], pd.DataFrame({"patient_id": ["p"]}), {"lung fields": left[None, None]})
            region patient_id  area  share
    0  lung fields          p  0.25   0.75
    """
    rows = []
    for region, masks in (known or {}).items():
        for each, mask, patient in zip(maps, masks, films["patient_id"], strict=True):
            evidence = each.clip(min=0)
            if mask.any():
                share = evidence[mask].sum() / evidence.sum() if evidence.any() else math.nan
                rows.append({"region": region, "patient_id": patient, "area": mask.mean(), "share": share})
    return pd.DataFrame(rows, columns=["region", "patient_id", "area", "share"])


def placed(measured: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare shares of evidence with shares of the film, by method and region.

    Parameters
    ----------
    measured : mapping of str to DataFrame
        The name of a method to its frame of `shares`.

    Returns
    -------
    DataFrame
        ``method, region, films, without_evidence``; mean ``area`` and ``share`` over the films with evidence; their
        mean ``difference`` (share less area) with the bounds ``low, high`` of its 95% interval; and a ``verdict``:
        ``more than its area``, ``less than its area``, ``no difference seen``, or ``cannot be decided`` with the
        reason.
    """
    rows = []
    for method, frame in measured.items():
        for region in REGIONS:
            own = frame[frame["region"] == region]
            seen = own.dropna(subset="share")
            mean, low, high = interval(seen["share"] - seen["area"], seen["patient_id"])
            row = {"method": method, "region": region, "films": len(own), "without_evidence": len(own) - len(seen)}
            row |= {"area": seen["area"].mean(), "share": seen["share"].mean()}
            row |= {"difference": mean, "low": low, "high": high}
            if own.empty:
                verdict = "cannot be decided: no masks of this region"
            else:
                idle = "no map has a positive part" if seen.empty else TOO_FEW
                verdict = _verdict(low, high, above="more than its area", below="less than its area", idle=idle)
            rows.append(row | {"verdict": verdict})
    return pd.DataFrame(rows)


def likeness(maps: np.ndarray, others: Iterable[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Compare the trained network's maps with those of networks that learned nothing from the labels.

    A head drawn anew points for COVID-19 or against it by chance, so over draws the sign cancels and the size of the
    correlation counts.

    Parameters
    ----------
    maps : ndarray of float, shape (n, size, size)
    others : iterable of mapping of str to ndarray
        For each draw, what was drawn anew, to the maps of the same films.

    Returns
    -------
    DataFrame
        ``redrawn, films``; ``draws``, those that gave a map; ``without``, the pairs of maps of which one is the same
        everywhere and that have no correlation. Of each draw's mean correlation (Spearman, over the places of a film,
        -1 to 1): ``lowest, highest``; the mean ``size`` (0 to 1) with its 95% interval ``low, high`` by Student's *t*
        over the draws, NaN for fewer than five.

    Examples
    --------
    >>> maps = np.arange(20.0).reshape(5, 2, 2)
    >>> likeness(maps, [{"head": maps**3}, {"head": -maps}])[["lowest", "highest", "size"]].values.tolist()
    [[-1.0, 1.0, 1.0]]
    """
    found: dict[str, list[list[float]]] = {}
    ranks = [_ranks(each) for each in maps]
    for draw in others:
        for name, drawn in draw.items():
            pairs = zip(ranks, map(_ranks, drawn), strict=True)
            found.setdefault(name, []).append([_correlation(one, other) for one, other in pairs])
    rows = []
    for name, correlations in found.items():
        each = pd.DataFrame(correlations)
        means = each.mean(axis=1)
        size, low, high = interval(means.abs(), means.index)
        row = {
            "redrawn": name,
            "films": len(maps),
            "draws": int(means.notna().sum()),
            "without": int(each.isna().sum().sum()),
        }
        row |= {"lowest": means.min(), "highest": means.max(), "size": size, "low": max(low, 0.0), "high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def interval(values: pd.Series, patients: pd.Series) -> tuple[float, float, float]:
    """Return a mean over films with its 95% interval by Student's *t*, the films of a patient kept together.

    The mean is a ratio, of the patients' sums to their films, and its deviation that of a ratio's first-order
    expansion; the degrees of freedom are one less than the patients. The bounds stay within [-1, 1], where shares,
    their differences and correlations lie. NaN values are left out. The bounds are NaN for fewer than five patients,
    the mean too without any value.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 6.4 (ratio estimates).

    Examples
    --------
    >>> interval(pd.Series([1.0, 1.0, 1.0]), pd.Series(["a", "b", "c"]))
    (1.0, nan, nan)
    """
    known = pd.DataFrame({"value": list(values), "patient": list(patients)}).dropna(subset="value")
    if known.empty:
        return math.nan, math.nan, math.nan
    mean, count = float(known["value"].mean()), known["patient"].nunique()
    if count < FEWEST_PATIENTS:
        return mean, math.nan, math.nan
    apart = (known["value"] - mean).groupby(known["patient"]).sum()
    half = t.ppf(0.975, count - 1) * math.sqrt(count / (count - 1) * (apart**2).sum()) / len(known)
    return mean, float(max(mean - half, -1.0)), float(min(mean + half, 1.0))


def _verdict(low: float, high: float, *, above: str, below: str, idle: str) -> str:
    if math.isnan(low):
        return f"cannot be decided: {idle}"
    return above if low > 0 else below if high < 0 else "no difference seen"


def _ranks(map: np.ndarray) -> np.ndarray | None:
    """The ranks of a map's places, less their mean; None where it is the same everywhere, but for rounding."""
    if np.ptp(map) <= ROUNDING * np.abs(map).max():
        return None
    ranks = rankdata(map)
    return ranks - ranks.mean()


def _correlation(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Spearman's correlation of two maps, given by `_ranks`."""
    if one is None or other is None:
        return math.nan
    return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def _rows(run: Run, films: pd.DataFrame) -> pd.DataFrame:
    return stages.manifest(run).set_index("image_id").loc[films["image_id"]]


def _fit(mask: np.ndarray, preset: images.Preset) -> np.ndarray:
    """A mask brought to the network's size as its film is."""
    grey = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    return images.fit(grey, preset)[..., 0] >= 128
