"""The model card: what a run's models are, how well they do, and for whom.

An image is called positive, COVID-19, when ``score >= threshold``. Shares are fractions of 1, intervals are at 95%.

References
----------
Mitchell et al. (2019), Model cards for model reporting, Proc. FAT*, 220-229.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from deepcovid_lib import metrics, people, ranges, records, runs, stages, style, tables
from deepcovid_lib.editions import Edition
from deepcovid_lib.runs import Run

FEWEST = 12
"""Patients of a class below which a share is not given: Wilson's interval could then span more than half the scale."""

CHARACTERISTICS = {"group": "finding", "sex": "sex", "age_band": "age", "view": "view"}
RATES = ("auc", "sensitivity", "specificity")
WEIGHTS = {"imagenet": "ImageNet (torchvision's IMAGENET1K_V1)", "random": "random and untrained, fixed by the seed"}
SOURCES = {
    "phantom": "synthetic radiographs made by this project",
    "cohen": "covid-chestxray-dataset",
    "chexpert": "CheXpert",
    "nih": "NIH ChestX-ray14",
    "released": "the authors' released archive",
}
FITS = {"squash": "the whole film, squeezed to", "crop": "the middle of the film, cut to"}
OPTIMIZERS = {"adam": "Adam", "sgd": "stochastic gradient descent (momentum 0.9, the rate a tenth every 7 epochs)"}


def recipe(edition: Edition) -> str:
    """Say how an edition's heads are trained.

    Examples
    --------
    >>> recipe(runs.resolve("covid-xray-5k").edition)
    'Adam, learning rate 0.0001, batches of 20, 100 epochs, weight decay 0, cross-entropy'
    """
    asked = edition.recipe
    return (
        f"{OPTIMIZERS[asked.optimizer]}, learning rate {asked.learning_rate:g}, batches of {asked.batch_size}, "
        f"{asked.epochs} epochs, weight decay {asked.weight_decay:g}, cross-entropy"
    )


def described(run: Run) -> pd.DataFrame:
    """Return what a run's models are: ``item, answer``, both text; it needs no images.

    Examples
    --------
    >>> described(runs.resolve("phantom", speed="replay")).set_index("item").loc["seed", "answer"]
    '2020'
    """
    edition = run.edition
    training, augmented, others, tested, cleared = (f"{count:,}" for count in stages.counts(run)["run"])
    scale = {"raw": "as the network gives them", "standardised": "standardised on the training images"}
    sources = dict.fromkeys((edition.positives, edition.negatives))
    rows = {
        "networks": ", ".join(style.model(model).label for model in edition.models),
        "weights of the backbone": WEIGHTS[edition.weights],
        "trained part": "the last layer alone; the backbone is frozen",
        "recipe": recipe(edition),
        "features": scale[edition.recipe.features],
        "seed": edition.seed,
        "input": f"{FITS[edition.preset.fit]} {edition.preset.size} × {edition.preset.size} pixels",
        "output": "a score from 0 to 1; COVID-19 is called where it reaches the threshold",
        "source of the images": ", ".join(SOURCES[source] for source in sources),
        "training images": f"{training} COVID-19, {augmented} after augmentation; {others} others",
        "test images": f"{tested} COVID-19; {cleared} others",
        "does it test the paper?": stages.trust(run),
    }
    return pd.DataFrame([(item, str(answer)) for item, answer in rows.items()], columns=["item", "answer"])


def environment(run: Run) -> str:
    """Say where and with what the heads were trained, or the recorded ones of a replayed run.

    Examples
    --------
    >>> environment(runs.resolve("phantom", speed="replay")).startswith("Trained on 20")
    True
    """
    facts = records.facts(records.of(run)) if run.speed == "replay" else runs.facts_of(run)
    notes = {model: runs.trained(facts, model) for model in run.edition.models}
    noted, silent = list(filter(None, notes.values())), [model for model, note in notes.items() if not note]
    if not noted:
        return "Where the heads were trained was not noted."
    told = []
    for fact in noted:
        versions = ", ".join(f"{name} {version}" for name, version in fact["versions"].items())
        commit = fact.get("commit") or "outside a checkout"
        told.append(f"{fact['started'][:10]} on {fact['device']}; Python {fact['python']}, {versions}; commit {commit}")
    lacking = f" Of {', '.join(style.model(model).label for model in silent)} it was not noted." if silent else ""
    return f"Trained on {'. Others on '.join(dict.fromkeys(told))}.{lacking}"


def performance(scores_by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return each model's area under the ROC curve and its rates at the operating point (paper, Table VI and Fig. 10).

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``patient_id, label`` (``covid``/``non_covid``) and ``score``.

    Returns
    -------
    DataFrame
        ``model``; ``threshold``, the highest whose sensitivity is >= 97.5%, in few digits; ``auc, sensitivity,
        specificity``, each with ``_low`` and ``_high``: the range of `ranges.area` for the area (NaN where all scores
        are equal or a class has fewer than five patients), Wilson's for the rates, which count films as independent.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": ["covid", "covid", "non_covid"], "score": [0.9, 0.2, 0.3]})
    >>> card = performance({"resnet18": scores.assign(patient_id=["a", "b", "c"])})
    >>> print(*card.loc[0, ["threshold", "auc", "sensitivity", "specificity"]])
    0.2 0.5 1.0 0.0
    """
    rows = []
    for model, scores in scores_by_model.items():
        threshold = operating_point(scores)
        shown = tables.in_few_digits(threshold, scores["score"].to_numpy(float))
        rows.append({"model": model, "threshold": shown, **_rates(scores, threshold)})
    return pd.DataFrame(rows)


def by_group(scores_by_model: Mapping[str, pd.DataFrame], films: pd.DataFrame) -> pd.DataFrame:
    """Return the same by kind of finding, and by sex, age band and view where they are told.

    Parameters
    ----------
    scores_by_model : mapping of str to DataFrame
        Frames with ``image_id, patient_id, label, group`` and ``score``.
    films : DataFrame
        Of `people.of`; without rows, only the finding is known.

    Returns
    -------
    DataFrame
        ``model, characteristic, level``; ``covid_films, covid_patients, other_films, other_patients``; the rates of
        `performance` at the threshold chosen on all test films; and a ``note``. Among findings, each group of other
        films is set against all COVID-19 films, whose sensitivity is then not repeated. A rate is NaN, and the note
        says that it cannot be decided, where one of its classes has fewer than `FEWEST` patients.

    Examples
    --------
    >>> scores = pd.DataFrame({"image_id": ["a", "b"], "patient_id": ["a", "b"], "label": ["covid", "non_covid"],
    ...                        "group": ["covid", "normal"], "score": [0.9, 0.2]})
    >>> by_group({"resnet18": scores}, pd.DataFrame(columns=list(people.COLUMNS))).loc[0, "note"]
    'cannot be decided: 1 COVID-19 patient, 1 other patient'
    """
    rows = []
    for model, scores in scores_by_model.items():
        threshold = operating_point(scores)
        told = scores.merge(films[["image_id", "sex", "age_band", "view"]], on="image_id", how="left")
        for column, characteristic in CHARACTERISTICS.items():
            for level in _levels(told, column):
                own = told[column] == level
                part = told[own | (told["label"] == "covid")] if column == "group" else told[own]
                row = {"model": model, "characteristic": characteristic, "level": _shown(level)}
                rows.append(row | _decided(part, threshold, sensitivity_told=column != "group"))
    return pd.DataFrame(rows)


def makeup(films: pd.DataFrame) -> pd.DataFrame:
    """Count who is on the films of each split and class.

    Parameters
    ----------
    films : DataFrame
        Of `people.of`.

    Returns
    -------
    DataFrame
        ``split, class, films, patients``; of the films: the share of ``women`` among those whose sex is told,
        ``sex_told``, the median ``age`` in years, ``age_told`` and the share ``pa`` of PA views among those told,
        ``view_told``. A share of nothing is NaN.
    """
    rows = []
    for split in ("train", "test"):
        for label, name in (("covid", "COVID-19"), ("non_covid", "Non-COVID")):
            own = films[(films["split"] == split) & (films["label"] == label)]
            sex, view = (own.loc[own[column] != people.NOT_TOLD, column] for column in ("sex", "view"))
            row = {"split": split, "class": name, "films": len(own), "patients": own["patient_id"].nunique()}
            row |= {"women": (sex == "women").mean(), "sex_told": len(sex)}
            row |= {"age": own["age"].median(), "age_told": int(own["age"].notna().sum())}
            rows.append(row | {"pa": (view == "PA").mean(), "view_told": len(view)})
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame) -> str:
    """Say in how many rows of `by_group` something cannot be decided, and which intervals lie apart.

    Pairs of levels of one characteristic are compared within a model. Intervals that lie apart are a sign, no test;
    of many pairs a few may do so by chance.

    Examples
    --------
    >>> row = {"model": "resnet18", "characteristic": "sex", "note": "", "auc_low": 0.8, "auc_high": 0.9}
    >>> row |= {f"{rate}_{end}": math.nan for rate in RATES[1:] for end in ("low", "high")}
    >>> other = {"level": "women", "auc_low": 0.6, "auc_high": 0.7}
    >>> verdict(pd.DataFrame([row | {"level": "men"}, row | other]))
    '0 of 2 rows cannot be decided. 1 of 1 pairs of intervals lies apart: AUC of men and women (ResNet18).'
    """
    apart, pairs = [], 0
    for (model, _), own in table.groupby(["model", "characteristic"], sort=False):
        for one, other in combinations(own.to_dict("records"), 2):
            for rate in RATES:
                bounds = [row[f"{rate}_{end}"] for row in (one, other) for end in ("low", "high")]
                if pd.isna(bounds).any():
                    continue
                pairs += 1
                if bounds[1] < bounds[2] or bounds[3] < bounds[0]:
                    what = f"{tables.heading(rate) if rate == 'auc' else rate} of {one['level']} and {other['level']}"
                    apart.append(f"{what} ({style.model(model).label})")
    undecided = int(table["note"].str.startswith("cannot be decided").sum())
    listed = f": {'; '.join(apart)}" if apart else ""
    verb = "lies" if len(apart) == 1 else "lie"
    lost = f"{undecided} of {len(table)} rows cannot be decided."
    return f"{lost} {len(apart)} of {pairs} pairs of intervals {verb} apart{listed}."


def operating_point(scores: pd.DataFrame) -> float:
    """Return the highest observed score whose sensitivity is >= 97.5%; NaN without a COVID-19 image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the cell shows it
        found = metrics.operating_points(scores["label"] == "covid", scores["score"], sensitivities=[tables.TARGET])
    return float(found["threshold"].iloc[0])


def _rates(scores: pd.DataFrame, threshold: float) -> dict[str, float]:
    found = _area(scores)
    for rate, label in (("sensitivity", "covid"), ("specificity", "non_covid")):
        called = scores.loc[scores["label"] == label, "score"] >= threshold
        right, trials = int((called == (label == "covid")).sum()), len(called)
        told = math.nan, math.nan, math.nan
        if trials and not math.isnan(threshold):
            told = right / trials, *metrics.proportion_interval(right, trials, method="wilson")
        found |= dict(zip((rate, f"{rate}_low", f"{rate}_high"), told, strict=True))
    return found


def _area(scores: pd.DataFrame) -> dict[str, float]:
    area = ranges.area(scores["label"] == "covid", scores["score"], scores["patient_id"])
    return {"auc": area.auc, "auc_low": area.low, "auc_high": area.high}


def _decided(part: pd.DataFrame, threshold: float, *, sensitivity_told: bool) -> dict[str, Any]:
    """Counts and rates of a part of the test films; what too few patients carry is NaN, and the note says so."""
    row, few = {}, {}
    for label, name, word in (("covid", "covid", "COVID-19"), ("non_covid", "other", "other")):
        own = part[part["label"] == label]
        patients = own["patient_id"].nunique()
        row |= {f"{name}_films": len(own), f"{name}_patients": patients}
        if patients < FEWEST:
            few[name] = f"{patients} {word} patient{'' if patients == 1 else 's'}"
    row |= _rates(part, threshold)
    lost = [rate for rate, name in (("sensitivity", "covid"), ("specificity", "other")) if name in few]
    lost += ["auc"] if few else []
    lost += [] if sensitivity_told else ["sensitivity"]
    row |= {f"{rate}{end}": math.nan for rate in lost for end in ("", "_low", "_high")}
    return row | {"note": f"cannot be decided: {', '.join(few.values())}" if few else ""}


def _levels(told: pd.DataFrame, column: str) -> list[str]:
    """The levels of a characteristic in the order of the tables; none where nothing is told."""
    there = set(told[column].dropna()) - ({"covid"} if column == "group" else set())
    if there <= {people.NOT_TOLD}:
        return []
    order = [*style.GROUPS, "women", "men", *people.BANDS, "PA", "AP"]
    rest = sorted(there - set(order) - {people.NOT_TOLD})
    return [level for level in [*order, *rest, people.NOT_TOLD] if level in there]


def _shown(level: str) -> str:
    return style.GROUPS[level].label if level in style.GROUPS else level
