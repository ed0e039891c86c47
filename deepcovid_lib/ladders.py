"""The ladder: one and the same simple classifier on ever more of a film, beside the run's models.

A rung that does not see the lungs and still ranks COVID-19 films high has found something else. What the models reach
above the rungs is the most that can be owed to more than that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import fisher_exact, t
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from deepcovid_lib import metrics, pairs, style
from deepcovid_lib.checks import FEWEST_PATIENTS
from deepcovid_lib.rungs import Rung
from deepcovid_lib.tables import TARGET

SPLITS = 10
TRAINING = 0.45
ROUNDING = 1e-9
NO_SPREAD = "a class shows no spread between patients, so there is no interval; Fisher's exact test decides"
NO_VARIANCE = "the area has no variance between patients"
ALL_ALIKE = "every split gives this area, so there is no interval"
ABOVE, BELOW, CHANCE, UNDECIDED = "above chance", "below chance", "not told from chance", "cannot be decided"
EMPTY = dict.fromkeys(("auc", "low", "high", "specificity", "auc_mean", "auc_lowest", "auc_highest"), math.nan)


def classifier() -> Pipeline:
    """Return the classifier of every rung: balanced logistic regression on standardised numbers, blanks at the mean.

    Examples
    --------
    >>> [name for name, _ in classifier().steps]
    ['simpleimputer', 'standardscaler', 'logisticregression']
    """
    blanks = SimpleImputer(keep_empty_features=True)
    return make_pipeline(blanks, StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))


def splits(y_true: np.ndarray, patients: np.ndarray, *, seed: int) -> Iterator[np.ndarray]:
    """Yield ten divisions of the films with 45% of the patients of each class in training and no patient on both sides.

    Parameters
    ----------
    y_true : numpy.ndarray of bool, shape (n,)
        True for COVID-19. A patient with films of both classes counts with COVID-19.
    patients : numpy.ndarray, shape (n,)
    seed : int

    Yields
    ------
    numpy.ndarray of bool, shape (n,)
        True for the films of training.

    Examples
    --------
    >>> y_true, patients = np.arange(20) % 2 == 0, np.arange(20) // 2 * 2 + np.arange(20) % 2
    >>> [int(train.sum()) for train in splits(y_true, patients, seed=0)][:3]
    [9, 9, 9]
    """
    names, codes = np.unique(patients, return_inverse=True)
    ill = np.bincount(codes, weights=y_true) > 0
    drawn = StratifiedShuffleSplit(SPLITS, train_size=TRAINING, random_state=seed).split(names, ill)
    for chosen, _ in drawn:
        yield np.isin(codes, chosen)


def undecided(values: np.ndarray, y_true: np.ndarray, patients: np.ndarray) -> str:
    """Say why no ladder can stand on these films; empty where it can.

    Examples
    --------
    >>> undecided(np.ones((9, 1)), np.arange(9) < 2, np.arange(9))
    'COVID-19 films of 2 patients, fewer than 5'
    >>> undecided(np.ones((10, 1)), np.arange(10) < 5, np.arange(10))
    'every film has the same values'
    """
    for name, own in (("COVID-19", y_true), ("other", ~y_true)):
        count = len(np.unique(patients[own]))
        if count < FEWEST_PATIENTS:
            return f"{name} films of {count} patients, fewer than {FEWEST_PATIENTS}"
    known = np.where(np.isnan(values), np.inf, values)
    return "every film has the same values" if (known == known[:1]).all() else ""


def scored(values: np.ndarray, y_true: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the scores of the films outside training: log-odds of COVID-19 under balanced classes.

    Films of equal values are scored once: a product of matrices rounds equal rows differently by their place.

    Parameters
    ----------
    values : numpy.ndarray of shape (n, numbers)
    y_true, train : numpy.ndarray of bool, shape (n,)
        Both classes are in training.

    Returns
    -------
    numpy.ndarray of shape (n - training,)
    """
    asked = values[~train]
    _, first, place = np.unique(
        np.where(np.isnan(asked), np.inf, asked), axis=0, return_index=True, return_inverse=True
    )
    return classifier().fit(values[train], y_true[train]).decision_function(asked[first])[place.ravel()]


def shuffled(y_true: np.ndarray, patients: np.ndarray, *, seed: int) -> np.ndarray:
    """Return labels dealt anew among the patients; films of one patient keep one label."""
    codes = np.unique(patients, return_inverse=True)[1]
    ill = np.bincount(codes, weights=y_true) > 0
    return np.random.default_rng(seed).permutation(ill)[codes]


def ladder(
    rungs: Sequence[Rung], films: pd.DataFrame, scores_by_model: Mapping[str, pd.DataFrame], *, seed: int
) -> pd.DataFrame:
    """Measure every rung, and the run's models beside them.

    Parameters
    ----------
    rungs : sequence of Rung
    films : DataFrame
        ``patient_id, label`` (``covid``/``non_covid``) and ``split`` (``train``/``test``), in the order of the rungs.
    scores_by_model : mapping of str to DataFrame
        Frames with ``label, patient_id`` and ``score``, of the same test films.
    seed : int

    Returns
    -------
    DataFrame
        One row per rung: ``rung, kind, numbers`` seen of a film. On the run's own test films: ``auc`` with the bounds
        ``low`` and ``high`` (95%, of `judged`) and ``specificity``, where sensitivity first
        reaches 97.5%. Over ten other patient-disjoint splits: ``auc_mean, auc_lowest, auc_highest`` and
        ``specificity_mean``. ``verdict``: above chance where `low` exceeds 0.5, below where `high` does not reach it,
        or by a test (see `judged`); ``note``, why a rung has no numbers.

    References
    ----------
    DeGrave et al. (2021), Nat. Mach. Intell. 3:610; Maguolo & Nanni (2021), Inf. Fusion 76:1.

    Examples
    --------
    >>> films = pd.DataFrame({"label": ["covid", "non_covid"] * 10, "patient_id": range(20)})
    >>> rung = Rung("the label", "metadata", (films[["label"]] == "covid").to_numpy(float))
    >>> print(*ladder([rung], films.assign(split=["train"] * 8 + ["test"] * 12), {}, seed=0).loc[0, ["auc", "verdict"]])
    1.0 above chance
    """
    y_true, patients = (films["label"] == "covid").to_numpy(), films["patient_id"].to_numpy()
    rows = []
    for model, scores in scores_by_model.items():
        own = judged((scores["label"] == "covid").to_numpy(), scores["score"], scores["patient_id"])
        rows.append({"rung": model, "kind": "model", **EMPTY, **own})
    for rung in rungs:
        reason = rung.reason or undecided(rung.values, y_true, patients)
        row = {"rung": rung.name, "kind": rung.kind, "numbers": rung.values.shape[1], **EMPTY}
        if not reason:
            row |= _own_split(rung, y_true, patients, (films["split"] == "train").to_numpy(), seed)
            row |= _over_splits(rung, y_true, patients, seed)
        rows.append(row | ({"verdict": UNDECIDED, "note": reason} if reason else {}))
    frame = pd.DataFrame(rows).reindex(columns=_columns())
    return frame.astype({"numbers": "Int64"}).fillna({"note": ""})


def told(table: pd.DataFrame, rung: str) -> str:
    """Return a rung's area with its interval as a sentence quotes it, or why there is none.

    Examples
    --------
    >>> table = pd.DataFrame({"rung": ["a", "b"], "auc": [0.75, np.nan], "low": 0.6, "high": 0.9, "note": "no film"})
    >>> told(table, "a"), told(table, "b")
    ('0.75 (0.60 to 0.90)', 'not decided: no film')
    """
    row = table.set_index("rung").loc[rung]
    return (
        f"not decided: {row['note']}"
        if pd.isna(row["auc"])
        else f"{style.decimal(row['auc'], 2)} ({style.between(row['low'], row['high'], 2)})"
    )


def conclusion(table: pd.DataFrame) -> str:
    """Say in a sentence or two what the border makes of a ladder, and how many rungs reach the best model.

    Parameters
    ----------
    table : DataFrame
        Of `ladder`.

    Examples
    --------
    >>> table = pd.DataFrame({"rung": ["border alone"], "kind": "masked", "auc": 0.6, "low": 0.4, "verdict": CHANCE})
    >>> conclusion(table)
    'The border alone is not told from chance: no mark of a class was found there.'
    """
    border = table.set_index("rung").loc["border alone", "verdict"]
    said = {
        ABOVE: "The border alone is above chance: what the outer tenth of the film shows goes with the class.",
        BELOW: "The border alone is below chance: what the outer tenth of the film shows goes with the class, "
        "but on the test films the other way round than in training.",
        CHANCE: "The border alone is not told from chance: no mark of a class was found there.",
        UNDECIDED: "Whether the border tells the classes apart cannot be decided.",
    }[border]
    measured = table[table["auc"].notna() & (table["kind"] != "null")]
    models, rungs = (measured.loc[own, "auc"] for own in (measured["kind"] == "model", measured["kind"] != "model"))
    if models.empty or rungs.empty:
        return said
    over = int((rungs >= models.max()).sum())
    return (
        f"{said} Of {len(rungs)} rungs, {over or 'none'} {'reach' if over != 1 else 'reaches'} the best model's area."
    )


def resampled(rung: Rung, y_true: np.ndarray, patients: np.ndarray, *, seed: int) -> dict:
    """Return what a rung reaches over the ten splits, where no split is the run's own.

    The splits share films, so their areas lie closer together than those of other films would: the interval is the mean
    ± *t* (nine degrees of freedom) · deviation · √(1/10 + 55/45), the last being films judged to films trained on. Near
    an area of 1, where splits hardly differ, it is too narrow.

    Parameters
    ----------
    rung : Rung
        With both classes among `undecided`'s films.
    y_true : numpy.ndarray of bool, shape (n,)
    patients : numpy.ndarray, shape (n,)
    seed : int

    Returns
    -------
    dict
        ``auc``, the mean area; ``low, high`` (95%, within [0, 1]); ``auc_lowest, auc_highest``; ``verdict, note``.

    References
    ----------
    Nadeau & Bengio (2003), Mach. Learn. 52:239, section 3.

    Examples
    --------
    >>> y_true = np.arange(20) % 2 == 0
    >>> told = resampled(Rung("the label", "metadata", y_true[:, None] * 1.0), y_true, np.arange(20), seed=0)
    >>> told["auc"], told["verdict"], told["note"]
    (1.0, 'above chance', 'every split gives this area, so there is no interval')
    """
    areas = [roc_auc_score(labels, scores) for labels, scores in _held_out(rung, y_true, patients, seed)]
    if len(areas) < SPLITS:
        return {"verdict": UNDECIDED, "note": "a side of a split has one class only"}
    mean, deviation = np.mean(areas), np.std(areas, ddof=1)
    half = t.ppf(0.975, SPLITS - 1) * deviation * math.sqrt(1 / SPLITS + (1 - TRAINING) / TRAINING)
    alike = half < ROUNDING
    low, high = (math.nan, math.nan) if alike else (max(mean - half, 0.0), min(mean + half, 1.0))
    return {
        "auc": float(mean),
        "low": low,
        "high": high,
        "auc_lowest": min(areas),
        "auc_highest": max(areas),
        "verdict": _verdict(mean, low, high),
        "note": ALL_ALIKE if alike else "",
    }


def _columns() -> list[str]:
    ends = ["specificity_mean", "verdict", "note"]
    return [
        "rung",
        "kind",
        "numbers",
        "auc",
        "low",
        "high",
        "specificity",
        "auc_mean",
        "auc_lowest",
        "auc_highest",
        *ends,
    ]


def _own_split(rung: Rung, y_true: np.ndarray, patients: np.ndarray, train: np.ndarray, seed: int) -> dict:
    labels = shuffled(y_true, patients, seed=seed) if rung.kind == "null" else y_true
    for side in (train, ~train):
        if labels[side].all() or not labels[side].any():
            return {"verdict": UNDECIDED, "note": "a side of the split has one class only"}
    return judged(labels[~train], scored(rung.values, labels, train), patients[~train])


def judged(y_true: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> dict:
    """Return ``auc, low, high, specificity, verdict, note`` of scores, as `ladder` defines them.

    The interval is Student's *t* on the logit of the area, a patient's films kept together (`pairs.deviation`). A class
    with test films of fewer than five patients decides nothing. Where one class has one value and the other departs
    from it to one side, how the first spreads is not known: then there is no interval, and Fisher's exact test of the
    patients who depart decides at 0.05.

    References
    ----------
    Pepe (2003), The statistical evaluation of medical tests, section 5.2 (the logit of an area). Fisher (1922), J. R.
    Stat. Soc. 85:87.
    """
    for name, own in (("COVID-19", y_true), ("other", ~y_true)):
        count = len(np.unique(np.asarray(patients)[own]))
        if count < FEWEST_PATIENTS:
            unknown = dict.fromkeys((*metrics.AucInterval._fields, "specificity"), math.nan)
            note = f"{name} test films of {count} patients, fewer than {FEWEST_PATIENTS}"
            return {**unknown, "verdict": UNDECIDED, "note": note}
    won, known = pairs.wins(y_true, np.asarray(scores, float)), np.asarray(patients)
    auc, (spread, freedom) = float(won.mean()), pairs.by_patient(won, known[y_true], known[~y_true])
    p, note = _departing(won, known[y_true], known[~y_true]), ""
    if p is not None or math.isnan(spread):
        area, note = metrics.AucInterval(auc, math.nan, math.nan), NO_VARIANCE if p is None else NO_SPREAD
        verdict = UNDECIDED if p is None else CHANCE if p >= pairs.LEVEL else ABOVE if auc > 0.5 else BELOW
    else:
        margin = t.ppf(1 - pairs.LEVEL / 2, freedom) * spread / (auc * (1 - auc))
        area = metrics.AucInterval(auc, *expit(logit(auc) + np.array([-margin, margin])).tolist())
        verdict = _verdict(*area)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        reached = metrics.operating_points(y_true, scores, sensitivities=[TARGET])["specificity"].iloc[0]
    return {**area._asdict(), "specificity": reached, "verdict": verdict, "note": note}


def _departing(won: np.ndarray, ill: np.ndarray, well: np.ndarray) -> float | None:
    """Fisher's p of the patients who depart to one side from a class of one value; None where it is not so."""
    rows, columns = won.mean(axis=1) - 0.5, won.mean(axis=0) - 0.5
    for own, other, patients, rest in ((rows, columns, ill, well), (columns, rows, well, ill)):
        one_sided = (own >= -ROUNDING).all() or (own <= ROUNDING).all()
        if np.ptp(other) < ROUNDING and one_sided:
            marked = pd.Series(np.abs(own) > ROUNDING).groupby(patients).any()
            return float(fisher_exact([[marked.sum(), (~marked).sum()], [0, len(set(rest))]]).pvalue)
    return None


def _verdict(auc: float, low: float, high: float) -> str:
    if auc == 1.0 or low > 0.5:
        return ABOVE
    return BELOW if auc == 0.0 or high < 0.5 else CHANCE


def _held_out(
    rung: Rung, y_true: np.ndarray, patients: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the labels and scores of the films outside training, for each split with both classes on either side."""
    for number, train in enumerate(splits(y_true, patients, seed=seed)):
        labels = shuffled(y_true, patients, seed=seed + number) if rung.kind == "null" else y_true
        if all(len(set(labels[side])) == 2 for side in (train, ~train)):
            yield labels[~train], scored(rung.values, labels, train)


def _over_splits(rung: Rung, y_true: np.ndarray, patients: np.ndarray, seed: int) -> dict:
    areas, spared = [], []
    for labels, scores in _held_out(rung, y_true, patients, seed):
        areas.append(roc_auc_score(labels, scores))
        reached = metrics.operating_points(labels, scores, sensitivities=[TARGET])
        spared.append(reached["specificity"].iloc[0])
    if not areas:
        return {}
    spread = {"auc_mean": np.mean(areas), "auc_lowest": min(areas), "auc_highest": max(areas)}
    return {**spread, "specificity_mean": np.mean(spared)}
