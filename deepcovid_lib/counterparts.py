"""This run's counterparts of the paper's printed counts and settings, each with what their comparison is worth.

Every function returns them by the ids of `paper.values`. `told` holds the printed numbers by id; `comparable` says
whether this run's images are the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from deepcovid_lib import metrics, tables
from deepcovid_lib.editions import Edition
from deepcovid_lib.sources import OTHER, chexpert, cohen
from deepcovid_lib.tables import AGREES, DIFFERS, NO_TEST

CONFIDENCE = 0.95  # of every interval of this project, as in Section IV.E
WHY_COUNT = {AGREES: "as printed", DIFFERS: "not as printed", NO_TEST: "other images or settings than the paper's"}


class Found(NamedTuple):
    """This run's side of a printed value: NaN where it has none or no interval, and always a reason."""

    run: float
    low: float = math.nan
    high: float = math.nan
    verdict: str = NO_TEST
    reason: str = ""


def counted(counts: pd.DataFrame, edition: Edition, told: pd.Series, *, comparable: bool) -> dict[str, Found]:
    """The images of Table I, and whatever else the text says of them."""
    images = counts.set_index(["split", "class"])["run"]
    parts = {
        "training/covid": images["train", "COVID-19"],
        "training/covid-augmented": images["train", "COVID-19 after augmentation"],
        "training/non-covid": images["train", "Non-COVID"],
        "test/covid": images["test", "COVID-19"],
        "test/non-covid": images["test", "Non-COVID"],
    }
    covid, negative = (parts[f"training/{label}"] + parts[f"test/{label}"] for label in ("covid", "non-covid"))
    training, test = (parts[f"{side}/covid"] + parts[f"{side}/non-covid"] for side in ("training", "test"))
    equal = {f"{place}/{name}": number for name, number in parts.items() for place in ("section-2", "table-1")}
    equal |= {"section-2/training": training, "section-2/test": test, "section-4f/test": test}
    equal |= {f"section-4b/{label}": parts[f"test/{label}"] for label in ("covid", "non-covid")}
    equal["section-2/covid"] = covid
    found = {name: _chosen(edition, number, number == told[name], comparable) for name, number in equal.items()}
    copied = f"a setting: {edition.copies} of each"
    for name in ("section-2/training/covid-augmented", "table-1/training/covid-augmented"):
        found[name] = _chosen(edition, equal[name], equal[name] == told[name], comparable, copied)
    rough = {"abstract/training": training, "abstract/test": test}
    rough |= dict.fromkeys(("abstract/dataset", "section-5/dataset"), training + test)
    for name, number in rough.items():
        found[name] = _chosen(edition, number, round(number, -3) == told[name], comparable, "to the nearest thousand")
    below, above = "section-5/covid", "section-5/non-covid"
    found[below] = _chosen(edition, covid, covid < told[below], comparable, "printed as an upper bound")
    own = sum(told[f"table-1/{side}/non-covid"] for side in ("training", "test"))
    note = f"printed as a lower bound; the paper's own Table I has {own:,.0f}"
    return found | {above: _chosen(edition, negative, negative > told[above], comparable, note)}


def by_finding(
    scores_by_model: Mapping[str, pd.DataFrame], edition: Edition, told: pd.Series, *, comparable: bool
) -> dict[str, Found]:
    """The non-COVID images of each sub-category: in training as asked, in test as scored."""
    found = {}
    for part, key in (("no-finding", "normal"), ("each-other-category", "each_other")):
        name = f"section-2/training/{part}"
        sides = None if edition.split == "released" else getattr(edition.split, key)
        found[name] = absent("this run does not count its training images by finding")
        if sides:
            found[name] = _chosen(edition, sides.train, sides.train == told[name], comparable)
    healthy, other = "section-2/test/no-finding", "section-2/test/each-other-category"
    if not scores_by_model:
        return found | dict.fromkeys((healthy, other), absent("this run has no scores"))
    scores = next(iter(scores_by_model.values()))
    negatives = scores[scores["label"] == "non_covid"]
    if not negatives["group"].isin(["normal", "other_disease"]).all():
        return found | dict.fromkeys((healthy, other), absent("not every test image has a finding"))
    normal = int((negatives["group"] == "normal").sum())
    found[healthy] = _chosen(edition, normal, normal == told[healthy], comparable)
    if (negatives["finding"] == OTHER).any():
        return found | {other: absent("other findings are not told apart")}
    sizes = negatives.loc[negatives["group"] == "other_disease", "finding"].value_counts()
    if sizes.nunique() == 1:
        size = int(sizes.iloc[0])
        return found | {other: _chosen(edition, size, size == told[other], comparable)}
    spread = f"from {sizes.min():,} to {sizes.max():,} by finding" if len(sizes) else "no images of other diseases"
    return found | {other: _chosen(edition, math.nan, False, comparable, spread)}


def selected(funnel: pd.DataFrame, told: pd.Series, *, comparable: bool) -> dict[str, Found]:
    """How many images the two collections hold, and what the rules of Section II left of the first."""
    found = {}
    for source, title in ((cohen.SOURCE, "covid-chestxray-dataset"), (chexpert.SOURCE, "CheXpert")):
        names = [name for name in told.index if name.startswith(f"section-2/{source}/")]
        found |= dict.fromkeys(names, absent(f"this run does not read the table of {title}"))
    left = {source: part.set_index("rule") for source, part in funnel.groupby("source")}
    if cohen.SOURCE in left:
        rows = left[cohen.SOURCE]["rows"]
        xray, positive = rows["modality is X-ray"], rows["finding contains COVID-19"]
        numbers = {"x-ray": xray, "x-ray/covid": positive, "x-ray/non-covid": xray - positive}
        notes = {"ct": "all rows that are no X-ray"}
        for part, number in ({"ct": rows["rows of metadata.csv"] - xray} | numbers).items():
            name = f"section-2/cohen/{part}"
            found[name] = _count(number, number == told[name], comparable, notes.get(part, ""))
        unparted = absent("the curation does not part the CT images by finding")
        found |= dict.fromkeys(("section-2/cohen/ct/covid", "section-2/cohen/ct/non-covid"), unparted)
        kept, rule = rows.iloc[-1], rows.index[-1]
        note = f"rows left after '{rule}', where the paper had a radiologist choose"
        found["section-2/covid"] = _count(kept, kept == told["section-2/covid"], comparable, note)
    if chexpert.SOURCE in left:
        whole = left[chexpert.SOURCE].iloc[0]
        note = "train.csv alone; the paper's number holds CheXpert's validation and test sets too"
        found["section-2/chexpert/images"] = Found(whole["rows"], reason=note)
        found["section-2/chexpert/patients"] = Found(whole["patients"], reason=note)
        for part, names in (("categories", chexpert.FINDINGS), ("other-categories", chexpert.DISEASES)):
            name = f"section-2/chexpert/{part}"
            found[name] = _count(len(names), len(names) == told[name], comparable)
    return found


def set_beforehand(edition: Edition, told: pd.Series) -> dict[str, Found]:
    """Settings, and what nobody measures here."""
    low, high = metrics.proportion_interval(1, 2, method="wald")
    settings = {
        "section-4a/epochs": edition.recipe.epochs,
        "section-4a/batch-size": edition.recipe.batch_size,
        "section-4a/learning-rate": edition.recipe.learning_rate,
        "section-4a/image-side": edition.preset.size,
        "section-4e/confidence": CONFIDENCE,
        "section-4e/z": round((high - low) / 2 / math.sqrt(1 / 8), 6),
        "section-4e/target": tables.TARGET,
    }
    found = {}
    for name, number in settings.items():
        equal = math.isclose(number, told[name])
        found[name] = Found(number, reason="set from the paper" if equal else "this run sets another value")
    before, after = (told[f"table-1/training/covid{end}"] for end in ("", "-augmented"))
    note = f"a setting; the paper contradicts itself, since from {before:g} to {after:g} is a factor of"
    found["section-1/augmentation"] = Found(edition.copies, reason=f"{note} {after / before:g}")
    for start, note in (
        ("section-3c/", "quoted from another article"),
        ("figure-2/", "the layout of a figure, taken over from the paper"),
    ):
        found |= {name: absent(note) for name in told.index if name.startswith(start)}
    return found


def absent(reason: str) -> Found:
    return Found(math.nan, reason=reason)


def joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _count(run: float, holds: bool, comparable: bool, note: str = "") -> Found:
    decision = (AGREES if holds else DIFFERS) if comparable else NO_TEST
    return Found(run, verdict=decision, reason=joined(WHY_COUNT[decision], note))


def _chosen(edition: Edition, run: float, holds: bool, comparable: bool, note: str = "") -> Found:
    """A count of chosen images: what the curation was asked for tests nothing."""
    if comparable and edition.split != "released":
        return Found(run, reason=joined("as many were asked of the curation", note))
    return _count(run, holds, comparable, note)
