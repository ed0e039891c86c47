"""What so few COVID-19 images can and cannot tell apart: pairs of models, margins, films of one patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

Z = 1.96  # of Eq. 3 at 95%
IMAGES_PER_PATIENT = {1: 34, 2: 11, 3: 1, 4: 3}
"""How many patients have so many of the 71 images: PA X-rays of COVID-19 in covid-chestxray-dataset at 2a99173c83."""


def smallest_p(trials: int, better: int, worse: int) -> float:
    """Return the smallest p that an exact McNemar test of two models on the same images can have.

    It is reached where every image that the worse model finds is also found by the better one.

    Parameters
    ----------
    trials : int
        COVID-19 images, seen by both models.
    better, worse : int
        How many each calls positive, ``0 <= worse <= better <= trials``.

    Raises
    ------
    ValueError
        If the counts are not in that order.

    References
    ----------
    McNemar (1947), Psychometrika 12:153, in its exact form.

    Examples
    --------
    >>> smallest_p(40, 39, 35)
    0.125
    """
    if not 0 <= worse <= better <= trials:
        raise ValueError(f"needs 0 <= worse <= better <= trials, not {worse}, {better}, {trials}")
    table = [[worse, better - worse], [0, trials - better]]
    return float(mcnemar(table, exact=True).pvalue)


def distinguishable(trials: int, better: int, worse: Sequence[int]) -> pd.DataFrame:
    """Tabulate the best case for telling a model from worse ones.

    Returns
    -------
    DataFrame
        ``better, worse`` (images found), ``difference`` of the sensitivities, ``smallest_p`` and ``possible``:
        whether p can fall below 0.05 at all.

    Examples
    --------
    >>> distinguishable(40, 39, [35, 33])
       better  worse  difference  smallest_p possible
    0      39     35        0.10     0.12500       no
    1      39     33        0.15     0.03125      yes
    """
    rows = []
    for count in worse:
        p = smallest_p(trials, better, count)
        rows.append((better, count, (better - count) / trials, p, "yes" if p < 0.05 else "no"))
    return pd.DataFrame(rows, columns=["better", "worse", "difference", "smallest_p", "possible"])


def images_needed(share: float, half_width: float) -> int:
    """Return the fewest images at which the margin of Eq. 3 is no wider than `half_width`.

    Parameters
    ----------
    share : float in [0, 1]
        The sensitivity expected.
    half_width : float
        Above 0, as a fraction: 0.05 is five points.

    References
    ----------
    Paper, Eq. 3, z = 1.96.

    Examples
    --------
    >>> [images_needed(0.975, points / 100) for points in (5, 3, 2, 1)]
    [38, 105, 235, 937]
    """
    if not 0 <= share <= 1 or not half_width > 0:
        raise ValueError(f"needs a share in [0, 1] and a half-width above 0, not {share} and {half_width}")
    return math.ceil(Z**2 * share * (1 - share) / half_width**2)


def design_effect(patients: Mapping[int, int], correlation: float) -> float:
    """Return by how much films that share patients inflate the variance of a sensitivity.

    Parameters
    ----------
    patients : mapping of int to int
        How many patients have 1, 2, ... films; at least one patient.
    correlation : float in [0, 1]
        Within patients: 0 if their films are as different as those of strangers, 1 if all get the same call.

    References
    ----------
    Kish (1965), Survey Sampling, for clusters of unequal size.

    Examples
    --------
    >>> round(design_effect(IMAGES_PER_PATIENT, 0.5), 2), round(design_effect(IMAGES_PER_PATIENT, 1), 2)
    (1.45, 1.9)
    """
    films = sum(size * count for size, count in patients.items())
    if not films > 0 or not 0 <= correlation <= 1:
        raise ValueError(f"needs a patient and a correlation in [0, 1], not {dict(patients)} and {correlation}")
    mates = sum(size**2 * count for size, count in patients.items()) / films
    return 1 + (mates - 1) * correlation


def effective_images(trials: int, correlations: Sequence[float]) -> pd.DataFrame:
    """Tabulate how many independent films `trials` films are worth, if they are grouped as the 71 are.

    Returns
    -------
    DataFrame
        ``correlation`` within patients, ``design_effect``, ``effective`` images.

    Examples
    --------
    >>> effective_images(40, [0, 1]).round(1)
       correlation  design_effect  effective
    0            0            1.0       40.0
    1            1            1.9       21.0
    """
    effects = [design_effect(IMAGES_PER_PATIENT, correlation) for correlation in correlations]
    columns = {"correlation": list(correlations), "design_effect": effects}
    return pd.DataFrame(columns | {"effective": [trials / effect for effect in effects]})
