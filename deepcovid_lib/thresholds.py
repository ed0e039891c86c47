"""Thresholds chosen without the test images, then frozen: what they promise and what they keep."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.model_selection import StratifiedGroupKFold

from deepcovid_lib import metrics, pools, repeats, tables
from deepcovid_lib.editions import RecipeAsked
from deepcovid_lib.pools import Pool
from deepcovid_lib.problems import Misuse

LABELS = ("covid", "non_covid")
NAMES = {"covid": "COVID-19", "non_covid": "non-COVID"}
RATES = ["sensitivity", "specificity"]


def undecidable(films: pd.DataFrame) -> str:
    """Say why no threshold can be tried on patients left out; empty where one can.

    Parameters
    ----------
    films : DataFrame
        ``patient_id, label``.

    Examples
    --------
    >>> undecidable(pd.DataFrame({"patient_id": list("aabc"), "label": ["covid"] * 2 + ["non_covid"] * 2}))
    'cannot be decided: 2 COVID-19 patients are needed at least, there is 1'
    """
    for label in LABELS:
        count = films.loc[films["label"] == label, "patient_id"].nunique()
        if count < 2:
            there = f"there is {count}" if count else "there is none"
            return f"cannot be decided: 2 {NAMES[label]} patients are needed at least, {there}"
    return ""


def folds(films: pd.DataFrame, *, count: int, seed: int) -> np.ndarray:
    """Divide images into folds: patients stay together, classes are spread evenly.

    Parameters
    ----------
    films : DataFrame
        ``patient_id, label``; two patients of each class at least (see `undecidable`).
    count : int
        How many folds, at least 2; fewer where a class has fewer patients.
    seed : int

    Returns
    -------
    array of int, shape (n,)
        The fold of each image, from 0.

    Raises
    ------
    Misuse
        If there are fewer than 2 folds.
    """
    if count < 2:
        raise Misuse(f"{count} folds leave no patient out", remedy="use 2 or more")
    fewest = min(films.loc[films["label"] == label, "patient_id"].nunique() for label in LABELS)
    divider = StratifiedGroupKFold(min(count, fewest), shuffle=True, random_state=seed)
    found = np.zeros(len(films), int)
    parts = divider.split(films, films["label"] == "covid", films["patient_id"])
    for number, (_, left_out) in enumerate(parts):
        found[left_out] = number
    return found


def left_out(pool: Pool, *, recipe: RecipeAsked, count: int, seed: int) -> pd.DataFrame:
    """Score each training image by a head that was trained without its patient.

    Augmented copies of a patient's images are left out with them; only images themselves are scored.

    Returns
    -------
    DataFrame
        ``image_id, patient_id, label, group, score, fold``; no rows where `undecidable`.
    """
    first = pools.originals(pool, "train")
    films = pool.films.iloc[first]
    if undecidable(films):
        return pd.DataFrame(columns=["image_id", "patient_id", "label", "group", "score", "fold"])
    numbers = folds(films, count=count, seed=seed)
    found = []
    for fold in np.unique(numbers):
        test = first[numbers == fold]
        apart = pool.films["patient_id"].isin(pool.films["patient_id"].iloc[test])
        train = np.flatnonzero((pool.films["split"] == "train") & ~apart)
        trained = repeats.head(pool, train, recipe=recipe, seed=seed)
        found.append(repeats.scores(pool, test, trained).assign(fold=fold))
    return pd.concat(found, ignore_index=True)


def frozen(chosen_on: pd.DataFrame, applied_to: pd.DataFrame, *, target: float = tables.TARGET) -> dict[str, float]:
    """Choose a threshold on some images and apply it to others.

    Parameters
    ----------
    chosen_on, applied_to : DataFrame
        ``label`` (``covid``/``non_covid``) and ``score``.
    target : float in [0, 1]
        The threshold is the highest score of the first images whose sensitivity there is >= the target.

    Returns
    -------
    dict
        ``threshold``, in few digits; ``promised_sensitivity, promised_specificity``, on the images it was chosen on;
        ``sensitivity, specificity``, on the others, positive when ``score >= threshold``. NaN where a class has no
        image.

    Examples
    --------
    >>> one = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.6, 0.4]})
    >>> other = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.5, 0.3]})
    >>> frozen(one, other)["promised_sensitivity"], frozen(one, other)["sensitivity"]
    (1.0, 0.0)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # NaN says it
        covid = (chosen_on["label"] == "covid").to_numpy()
        point = metrics.operating_points(covid, chosen_on["score"].to_numpy(float), sensitivities=[target]).iloc[0]
        kept = metrics.SensitivitySpecificity(np.nan, np.nan)
        if not np.isnan(point["threshold"]):
            covid = (applied_to["label"] == "covid").to_numpy()
            score = applied_to["score"].to_numpy(float)
            kept = metrics.sensitivity_specificity(covid, score, threshold=point["threshold"])
    promised = {f"promised_{rate}": float(point[rate]) for rate in RATES}
    both = (frame["score"].to_numpy(float) for frame in (chosen_on, applied_to))
    return {"threshold": tables.in_few_digits(float(point["threshold"]), *both), **promised, **kept._asdict()}


def promises(
    left_out: pd.DataFrame, tested: pd.DataFrame, *, targets: Sequence[float] = (tables.TARGET,)
) -> pd.DataFrame:
    """Set what thresholds from training patients promise beside what they keep on the test images.

    Parameters
    ----------
    left_out : DataFrame
        Of `left_out`; without rows everything but the test choice is NaN.
    tested : DataFrame
        The run's scores of its test images: ``label, score``.
    targets : sequence of float in [0, 1]

    Returns
    -------
    DataFrame
        Per target: ``target`` and what `frozen` gives; ``chosen_threshold, chosen_sensitivity, chosen_specificity``,
        where the threshold is chosen on the test images as the paper does; ``optimism_sensitivity,
        optimism_specificity``, chosen minus frozen: what choosing on the test images adds.

    Examples
    --------
    >>> one = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.6, 0.4]})
    >>> other = pd.DataFrame({"label": ["covid", "non_covid"], "score": [0.5, 0.3]})
    >>> promises(one, other)[["chosen_sensitivity", "optimism_sensitivity"]].values.tolist()
    [[1.0, 1.0]]
    """
    rows = []
    for target in targets:
        row = frozen(left_out, tested, target=target)
        own = frozen(tested, tested, target=target)
        row |= {f"chosen_{name}": own[name] for name in ("threshold", *RATES)}
        row |= {f"optimism_{rate}": own[rate] - row[rate] for rate in RATES}
        rows.append({"target": target, **row})
    return pd.DataFrame(rows)


def halves(tested: pd.DataFrame, *, repeats: int, seed: int, target: float = tables.TARGET) -> pd.DataFrame:
    """Choose a threshold on half of the test patients and apply it to the other half, many times.

    No head is trained for this: only the choice of the threshold is tried.

    Parameters
    ----------
    tested : DataFrame
        ``patient_id, label, score``. The patients with a COVID-19 image and the others are halved apart.
    repeats, seed : int
    target : float in [0, 1]

    Returns
    -------
    DataFrame
        One row per halving, as `frozen` gives it; no rows where `undecidable`.
    """
    if undecidable(tested):
        return pd.DataFrame(columns=["threshold", *(f"promised_{rate}" for rate in RATES), *RATES])
    rng = np.random.default_rng(seed)
    ill = (tested["label"] == "covid").groupby(tested["patient_id"]).any()
    rows = []
    for _ in range(repeats):
        place = pd.Series(rng.permutation(len(ill)), index=ill.index)
        half = (place.groupby(ill).rank() % 2 == 0).reindex(tested["patient_id"]).to_numpy()
        rows.append(frozen(tested[half], tested[~half], target=target))
    return pd.DataFrame(rows)
