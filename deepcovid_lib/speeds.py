"""What was measured of speed and memory, and what it would cost to do more."""

from __future__ import annotations

import pandas as pd

from deepcovid_lib import backbones, records, style

NAME = "benchmarks"
CHEXPERT = 224_316
SEEDS = 100
AUGMENTED = 465  # the paper's 31 films give 496, so each seed adds 465 passes
FLOAT = 4  # bytes


def targets() -> pd.DataFrame:
    """Return every target with what was measured.

    Returns
    -------
    DataFrame
        ``what, measured, bound`` (texts with their units), ``verdict``: ``met``, or ``missed by`` how much of the
        bound, ``how`` it was measured, and the ``part`` of the benchmarks that did.

    Examples
    --------
    >>> targets().columns.tolist()
    ['what', 'measured', 'bound', 'verdict', 'how', 'part']
    """
    told = records.table(NAME, "targets").fillna({"unit": "", "how": ""})
    return pd.DataFrame(
        {
            "what": told["what"],
            "measured": [f"{_number(row.value)} {row.unit}".strip() for row in told.itertuples()],
            "bound": [f"at {row.at} {_number(row.bound)} {row.unit}".strip() for row in told.itertuples()],
            "verdict": [verdict(row.value, row.bound, row.at) for row in told.itertuples()],
            "how": told["how"],
            "part": told["part"],
        }
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def verdict(value: float, bound: float, at: str) -> str:
    """Say whether a value keeps its bound, and if not, by how much of the bound it fails.

    Examples
    --------
    >>> verdict(0.9, 1.0, "most"), verdict(1.25, 1.0, "most"), verdict(45, 60, "least"), verdict(3, 0, "most")
    ('met', 'missed by 25%', 'missed by 25%', 'missed')
    """
    if value <= bound if at == "most" else value >= bound:
        return "met"
    return f"missed by {style.percent(abs(value - bound) / bound, 0)}" if bound else "missed"


def rates() -> pd.DataFrame:
    """Return ``model, engine, images per second, difference`` of the frozen pass, by each engine measured."""
    return records.table(NAME, "passes")


def stages() -> pd.DataFrame:
    """Return ``stage, seconds`` of the default edition made from nothing, longest first; like stages together.

    Notebooks run as many at a time as there are processors, so the seconds add up to more than the run took.
    """
    told = records.table(NAME, "rebuilds")
    kind = told["stage"].str.replace(r"^(extract|finetune)-.*", r"\1", regex=True)
    names = {"curate": "drawing phantoms", "extract": "frozen passes", "finetune": "heads", "book": "pages"}
    summed = told["seconds"].groupby(kind.map(names).fillna("other notebooks")).sum()
    return summed.sort_values(ascending=False).rename_axis("stage").reset_index()


def growth() -> pd.DataFrame:
    """Return ``images, seconds, MiB of memory, bytes per image`` of the frozen pass over ever more small films."""
    return records.table(NAME, "growth")


def costs(workers: tuple[int, ...] = (1, 8, 32, 100)) -> pd.DataFrame:
    """Extrapolate to all of CheXpert and a hundred seeds, from what one machine took for the paper's scale.

    Nothing of it was run. A worker is a machine like the one measured; the work is shared without loss.

    Returns
    -------
    DataFrame
        ``work``, ``machine hours`` and one column of hours for each number of workers: every image through each of
        the four backbones once; the augmented copies that each seed adds; its heads, trained on
        2,496 rows for 100 epochs and scored on 3,040 as in the paper; all of it. Scoring all of CheXpert is not
        counted.

    Examples
    --------
    >>> costs(workers=(1,)).columns.tolist()
    ['work', 'machine hours', 'hours on 1']
    """
    told = records.table(NAME, "whole")
    per_image, heads = told["seconds per image"].sum(), told["heads"].sum()
    seconds = {
        f"{CHEXPERT:,} images through four backbones": CHEXPERT * per_image,
        f"augmented copies for {SEEDS} seeds": SEEDS * AUGMENTED * per_image,
        f"{SEEDS} seeds of four heads, trained on 2,496 rows": SEEDS * heads,
    }
    seconds["all of it"] = sum(seconds.values())
    hours = pd.DataFrame({"work": list(seconds), "machine hours": [value / 3600 for value in seconds.values()]})
    for count in workers:
        hours[f"hours on {count}"] = hours["machine hours"] / count
    return hours


def disk(images: int = CHEXPERT) -> float:
    """Return the gibibytes that the features of the four backbones take.

    Examples
    --------
    >>> f"{disk(1000):.2f}"
    '0.34'
    """
    shapes = (backbones.get(name).feature_shape for name in ("resnet18", "resnet50", "squeezenet", "densenet121"))
    numbers = sum(pd.Series(shape).prod() for shape in shapes)
    return float(images * numbers * FLOAT / 2**30)
