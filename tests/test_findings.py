"""Every test of a claim says yes, no and 'too little to tell' on made data, and agrees with other libraries."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, t
from sklearn.metrics import roc_auc_score

from deepcovid_lib import findings, metrics, pairs, tables
from deepcovid_lib.findings import Evidence

MODELS = ["resnet18", "resnet50", "squeezenet", "densenet121"]
COUNTS = {"covid": 40, "normal": 170, "other_disease": 130}


def scored(places, seed=0, counts=COUNTS, spread=1.0):
    """Scores of one model: groups drawn around their places, two films of a patient."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(list(counts), list(counts.values()))
    odds = rng.normal([places[group] for group in groups], spread)
    names = [f"{group}:{number}" for number, group in enumerate(groups)]
    patients = [f"{group}:p{number // 2}" for number, group in enumerate(groups)]
    label = np.where(groups == "covid", "covid", "non_covid")
    columns = {"image_id": names, "patient_id": patients, "label": label, "group": groups}
    return pd.DataFrame(columns | {"score": 1 / (1 + np.exp(-odds))})


def apart(far, seed=0, other=0.0, **options):
    return scored({"covid": far, "normal": 0.0, "other_disease": other}, seed, **options)


def swapped(frame):
    """The same scores but for two neighbours of either class, which change places."""
    order = frame["score"].sort_values().index
    classes = frame.loc[order, "label"].to_numpy()
    place = int(np.flatnonzero(classes[1:] != classes[:-1])[0])
    one, other = order[place], order[place + 1]
    score = frame["score"].copy()
    score[[one, other]] = score[[other, one]].to_numpy()
    return frame.assign(score=score)


def flat(frame):
    return frame.assign(score=0.5)


def manifest(normal=5, each=(2, 2), shared=0):
    rows = [("covid", "COVID-19", f"c{number}") for number in range(3)]
    rows += [("non_covid", "No Finding", f"n{number}") for number in range(normal)]
    rows += [
        ("non_covid", name, f"{name}{number}") for name, size in zip("AB", each, strict=True) for number in range(size)
    ]
    train = pd.DataFrame(rows, columns=["label", "finding", "patient_id"]).assign(split="train")
    test = train.assign(split="test", patient_id=train["patient_id"] + "t")
    test.loc[test.index[:shared], "patient_id"] = train["patient_id"].iloc[:shared]
    return pd.concat([train, test], ignore_index=True)


def evidence(**known):
    scores = known.get("scores", {})
    counts = known.get("counts", dataset(31, 40, 3000))
    return Evidence(scores, counts, known.get("histories", {}), known.get("manifest"), known.get("heads", {}))


def dataset(train, test, negatives):
    labels = np.repeat(["covid", "covid", "non_covid", "non_covid"], [train, test, 5, negatives])
    splits = np.repeat(["train", "test", "train", "test"], [train, test, 5, negatives])
    films = pd.DataFrame({"label": labels, "split": splits}).assign(patient_id=np.arange(len(labels)).astype(str))
    return tables.dataset(films, copies=4, comparable=False)


def falling(*losses):
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "loss": losses})


GOOD, POOR = apart(6), apart(0.5, seed=1)
LARGE = {"covid": 400, "normal": 1700, "other_disease": 1300}
SIX = {"covid": 3, "normal": 3, "other_disease": 3}
FEW = apart(1, counts=SIX)
ONE_CLASS = GOOD[GOOD["label"] == "non_covid"]
FAR = {"resnet18": apart(1, 1), "squeezenet": apart(6, 2)}
NEAR = {"resnet18": apart(6, 1), "squeezenet": apart(1, 2)}
EVEN = {"resnet18": apart(2, 1), "squeezenet": apart(2, 2)}
MANY = {"covid": 1000, "normal": 1000, "other_disease": 1000}
ALIKE = {"resnet18": apart(3, 1, counts=MANY), "squeezenet": swapped(apart(3, 1, counts=MANY))}
LAYER = {"weight": (2, 512), "bias": (2,)}
ALL = ["normal", "other_disease"]
HALF = {"least": 0.85, "most": 0.95, "of": "half"}


def clearing(*shares, counts=COUNTS):
    """Models that clear these shares of the non-COVID images at 97.5% sensitivity, and anywhere near it."""
    found = {}
    for model, share in zip(MODELS, shares, strict=False):
        frame = apart(1, counts=counts)
        negatives = int((frame["label"] == "non_covid").sum())
        cleared = round(share * negatives)
        near = np.linspace(0.5, 0.5001, len(frame) - negatives)
        score = np.r_[near, np.full(cleared, 0.1), np.full(negatives - cleared, 0.9)]
        found[model] = frame.assign(score=score)
    return found


CASES = {
    "images": (
        {"split": "test", "of": "COVID-19", "least": 40, "most": 40},
        evidence(),
        evidence(counts=dataset(31, 41, 5)),
        None,
    ),
    "categories": (
        {"split": "train", "normal": 5, "others": 2, "each": [2, 2]},
        evidence(manifest=manifest()),
        evidence(manifest=manifest(each=(2, 3))),
        evidence(),
    ),
    "patients_apart": ({}, evidence(manifest=manifest()), evidence(manifest=manifest(shared=1)), evidence()),
    "imbalance": ({"least": 10}, evidence(), evidence(counts=dataset(3, 40, 399)), evidence(counts=dataset(3, 0, 9))),
    "ranked": (
        {"above": ["covid"], "below": ALL},
        evidence(scores={"resnet18": GOOD}),
        evidence(scores={"resnet18": GOOD, "resnet50": apart(-3)}),
        evidence(scores={"resnet18": flat(GOOD)}),
    ),
    "farthest_apart": ({"model": "squeezenet"}, evidence(scores=FAR), evidence(scores=NEAR), evidence(scores=EVEN)),
    "largest_area": ({"model": "squeezenet"}, evidence(scores=FAR), evidence(scores=NEAR), evidence(scores=EVEN)),
    "similar_areas": (
        {"within": 0.02},
        evidence(scores=ALIKE),
        evidence(scores={"resnet18": apart(0.3, 1), "squeezenet": apart(6, 2)}),
        evidence(scores={"resnet18": GOOD}),
    ),
    "specificities": (
        HALF,
        evidence(scores=clearing(0.9, 0.91, 0.89, 0.5, counts=LARGE)),
        evidence(scores=clearing(0.9, 0.98, 0.5, 0.4, counts=LARGE)),
        evidence(scores=clearing(0.9, 0.95, 0.5, 0.9, counts=LARGE)),
    ),
    "better_specificity": (
        {"models": ["squeezenet", "resnet50"]},
        evidence(scores=clearing(0.8, 0.9, 0.95, 0.7, counts=LARGE)),
        evidence(scores=clearing(0.9, 0.8, 0.95, 0.7, counts=LARGE)),
        evidence(scores=clearing(0.9, 0.9, 0.95, 0.7, counts=LARGE)),
    ),
    "reaches": (
        {"share": 0.975},
        evidence(scores={"resnet18": GOOD}),
        evidence(scores={"resnet18": FEW}),
        evidence(scores={"resnet18": ONE_CLASS}),
    ),
    "margin": (
        {"quantity": "specificity", "least": 0.005, "most": 0.015},
        evidence(scores=clearing(0.905, counts=LARGE)),
        evidence(scores=clearing(0.905)),
        evidence(scores=clearing(1.0)),
    ),
    "sensitivity_wider": (
        {},
        evidence(scores={"resnet18": apart(3, counts=LARGE)}),
        evidence(scores={"resnet18": apart(1, counts={"covid": 400, "normal": 20, "other_disease": 20})}),
        evidence(scores={"resnet18": FEW}),
    ),
    "sensitivity_vague": (
        {"more_than": 0.05},
        evidence(scores={"resnet18": GOOD}),
        evidence(scores={"resnet18": apart(1, counts={"covid": 400, "normal": 20, "other_disease": 20})}),
        evidence(scores={"resnet18": ONE_CLASS}),
    ),
    "accuracy_misleads": (
        {},
        evidence(scores={"resnet18": POOR}),
        evidence(scores={"resnet18": apart(9)}),
        evidence(scores={"resnet18": ONE_CLASS}),
    ),
    "rates_vary": (
        {},
        evidence(scores={"resnet18": GOOD}),
        None,
        evidence(scores={"resnet18": flat(GOOD)}),
    ),
    "loss_falls": (
        {},
        evidence(histories={"resnet18": falling(0.7, 0.8, 0.6)}),
        evidence(histories={"resnet18": falling(0.7, 0.6), "resnet50": falling(0.7, 0.8)}),
        evidence(histories={"resnet18": falling()}),
    ),
    "last_layer": (
        {},
        evidence(heads={"resnet18": (LAYER, LAYER)}),
        evidence(heads={"resnet18": ({**LAYER, "extra": (3,)}, LAYER)}),
        evidence(),
    ),
    "untried": ({"why": "nobody looked"}, None, None, evidence()),
}
OUTCOMES = [
    pytest.param(name, parameters, known, expected, id=f"{name}-{expected}")
    for name, (parameters, *each) in CASES.items()
    for known, expected in zip(each, (True, False, None), strict=True)
    if known is not None
]


@pytest.mark.parametrize(("name", "parameters", "known", "expected"), OUTCOMES)
def test_a_claim_holds_does_not_or_cannot_be_decided(name, parameters, known, expected):
    found = getattr(findings, name)(known, **parameters)
    assert found.holds is expected
    assert expected is not None or found.reason or not math.isnan(found.low)
    if not math.isnan(found.low):
        assert found.low <= found.value <= found.high


def test_every_test_of_a_claim_is_tried():
    functions = {name for name in findings.__all__ if name.islower()}
    assert set(CASES) == functions


WITHOUT = {
    "no model": evidence(),
    "no COVID-19": evidence(scores={"squeezenet": ONE_CLASS, "resnet50": ONE_CLASS, "resnet18": ONE_CLASS}),
    "COVID-19 alone": evidence(scores=dict.fromkeys(MODELS, GOOD[GOOD["label"] == "covid"])),
}
ON_SCORES = ["ranked", "farthest_apart", "largest_area", "similar_areas", "specificities", "better_specificity"]
ON_SCORES += ["reaches", "margin", "sensitivity_wider", "sensitivity_vague", "accuracy_misleads", "rates_vary"]


@pytest.mark.parametrize("known", WITHOUT.values(), ids=WITHOUT)
@pytest.mark.parametrize("name", ON_SCORES)
def test_a_missing_class_or_model_leaves_it_undecided(name, known):
    found = getattr(findings, name)(known, **CASES[name][0])
    assert found.holds is None
    assert found.reason


@pytest.mark.parametrize("name", ["farthest_apart", "better_specificity"])
def test_too_few_patients_leave_it_undecided(name):
    scores = {model: apart(far, counts=SIX) for model, far in zip(MODELS, (1, 9, 9, 1), strict=True)}
    found = getattr(findings, name)(evidence(scores=scores), **CASES[name][0])
    assert found.holds is None


def test_gaps_are_compared_by_welchs_test_where_patients_have_one_film():
    rng, films = np.random.default_rng(0), GOOD.assign(patient_id=GOOD["image_id"])
    known = {"squeezenet": films.assign(score=rng.uniform(size=len(films))), "resnet18": films}
    found = findings.farthest_apart(evidence(scores=known), model="squeezenet")
    farther, ill = (known["squeezenet"]["score"] - films["score"]).to_numpy(), (films["label"] == "covid").to_numpy()
    error = math.sqrt(sum(farther[side].var(ddof=1) / side.sum() + 2 / side.sum() ** 2 for side in (ill, ~ill)))
    margin = t.ppf(0.975, min(ill.sum(), (~ill).sum()) - 1) * error
    assert found.value == pytest.approx(farther[ill].mean() - farther[~ill].mean())
    assert (found.low, found.high) == pytest.approx((found.value - margin, found.value + margin))


def test_films_of_one_patient_widen_the_interval_of_a_gap():
    films = pd.DataFrame({"label": np.repeat(["covid", "non_covid"], 60), "image_id": range(120), "group": "normal"})
    patient = np.arange(120) // 6
    rng = np.random.default_rng(0)
    one, other = (films.assign(score=rng.normal(size=20)[patient] * size) for size in (1.0, 0.0))
    widths = []
    for names in (np.arange(120), patient):
        known = {model: each.assign(patient_id=names) for model, each in (("squeezenet", one), ("resnet18", other))}
        found = findings.farthest_apart(evidence(scores=known), model="squeezenet")
        widths.append(found.high - found.low)
    assert widths[1] > 2.2 * widths[0]


def test_areas_and_their_differences_are_those_of_other_libraries():
    alone = {model: frame.assign(patient_id=frame["image_id"]) for model, frame in FAR.items()}
    known = evidence(scores=alone)
    area = {model: roc_auc_score(frame["label"] == "covid", frame["score"]) for model, frame in FAR.items()}
    found = findings.largest_area(known, model="squeezenet")
    assert found.value == pytest.approx(area["squeezenet"] - area["resnet18"])
    error = metrics.compare_aucs(
        FAR["resnet18"]["label"] == "covid", FAR["squeezenet"]["score"], FAR["resnet18"]["score"]
    ).error
    error = math.sqrt(error**2 + 2 / 40**2 + 2 / 300**2)
    assert (found.high - found.low) / 2 / t.ppf(0.975, 39) == pytest.approx(error)
    assert findings.ranked(known, above=["covid"], below=ALL).value == pytest.approx(min(area.values()))


def test_what_was_picked_of_several_has_a_wider_interval():
    rng, films = np.random.default_rng(0), GOOD.assign(patient_id=GOOD["image_id"])
    scores = {model: films.assign(score=films["score"] + rng.normal(size=len(films))) for model in MODELS}
    area = {model: roc_auc_score(each["label"] == "covid", each["score"]) for model, each in scores.items()}
    best, *_, worst = sorted(area, key=area.get, reverse=True)
    for claim, asked, others in (("similar_areas", {"within": 0.02}, 6), ("largest_area", {"model": worst}, 3)):
        found = getattr(findings, claim)(evidence(scores=scores), **asked)
        alone = getattr(findings, claim)(evidence(scores={model: scores[model] for model in (best, worst)}), **asked)
        assert found.value == pytest.approx(alone.value)
        freedom = (films["label"] == "covid").sum() - 1
        wider = t.ppf(1 - 0.025 / others, freedom) / t.ppf(0.975, freedom)
        assert found.high - found.low == pytest.approx(wider * (alone.high - alone.low))


def test_areas_that_are_equal_by_chance_are_told_with_their_interval():
    one = pd.DataFrame({"label": (["covid"] * 3 + ["non_covid"] * 3) * 2, "score": [5, 3, 1, 4, 2, 0] * 2})
    one["image_id"] = one["patient_id"] = one.index
    other = one.assign(score=[3, 1, 5, 2, 0, 4] * 2)
    found = findings.similar_areas(evidence(scores={"resnet18": one, "squeezenet": other}), within=0.02)
    assert (found.holds, found.value) == (None, 0)
    assert found.low == pytest.approx(-found.high)
    assert found.low < -0.02


def test_one_patients_images_decide_no_difference_of_areas():
    one = {
        model: frame.assign(patient_id=frame["label"].where(frame["label"] == "covid", frame["image_id"]))
        for model, frame in FAR.items()
    }
    for claim, asked in (("largest_area", {"model": "squeezenet"}), ("similar_areas", {"within": 0.02})):
        found = getattr(findings, claim)(evidence(scores=one), **asked)
        assert found.holds is None
        assert "no interval" in found.reason
    assert set(pairs.areas(one)["verdict"]) == {pairs.UNDECIDED}


def test_models_that_rank_all_images_alike_are_not_said_to_be_similar():
    same = {"resnet18": GOOD, "squeezenet": GOOD.assign(score=GOOD["score"] ** 2)}
    found = findings.similar_areas(evidence(scores=same), within=0.02)
    assert (found.holds, found.value) == (None, 0)


def test_equal_draws_make_no_interval():
    clear = {
        model: GOOD.assign(score=np.where(GOOD["label"] == "covid", high, 1 - high))
        for model, high in (("resnet18", 0.8), ("squeezenet", 0.9))
    }
    found = findings.farthest_apart(evidence(scores=clear), model="squeezenet")
    assert (found.holds, found.value) == (None, pytest.approx(0.2))
    assert math.isnan(found.low)


def test_perfect_separation_of_enough_images_is_decided():
    perfect = GOOD.assign(score=np.where(GOOD["label"] == "covid", 0.9, 0.1))
    assert findings.ranked(evidence(scores={"resnet18": perfect}), above=["covid"], below=ALL).holds is True
    few = perfect.assign(patient_id=perfect["patient_id"].where(perfect["label"] != "covid", perfect.index % 4))
    found = findings.ranked(evidence(scores={"resnet18": few}), above=["covid"], below=ALL)
    assert (found.holds, found.value) == (None, 1.0)
    assert "a group has fewer than 5 patients" in found.reason


def test_many_images_of_few_patients_rank_by_their_patients():
    rng = np.random.default_rng(4)
    ill = pd.DataFrame({"group": "covid", "patient_id": np.repeat(np.arange(6), 30)})
    ill["score"] = np.repeat([0.9, 0.8, 0.7, 0.4, 0.6, 0.3], 30) + 0.01 * rng.random(180)
    well = pd.DataFrame({"group": "normal", "patient_id": np.arange(100, 300), "score": rng.random(200)})
    films = pd.concat([ill, well], ignore_index=True)
    assert mannwhitneyu(ill["score"], well["score"]).pvalue < 0.05
    assert findings.ranked(evidence(scores={"resnet18": films}), above=["covid"], below=["normal"]).holds is None
    every = findings.specificities(
        evidence(
            scores={
                "resnet18": films.assign(
                    label=np.where(films["group"] == "covid", "covid", "non_covid"),
                    patient_id=films["patient_id"].clip(upper=103),
                    image_id=films.index,
                )
            }
        ),
        least=0,
        most=1,
        of="every",
    )
    assert (every.holds, every.reason) == (None, "a class has images of fewer than 5 patients")


def test_the_order_of_a_models_rows_does_not_matter():
    for name in ("farthest_apart", "largest_area"):
        mixed = {model: frame.sample(frac=1, random_state=3) for model, frame in FAR.items()}
        plain, shuffled = (
            getattr(findings, name)(evidence(scores=scores), model="squeezenet") for scores in (FAR, mixed)
        )
        assert shuffled.holds is plain.holds
        assert shuffled.value == pytest.approx(plain.value)


@pytest.mark.parametrize(
    ("of", "least", "most", "holds"),
    [
        ("every", 0.5, 0.99, True),
        ("every", 0.85, 0.99, False),
        ("every", 0.8, 0.99, None),
        ("mean", 0.8, 0.95, True),
        ("mean", 0.9, 0.95, False),
        ("mean", 0.875, 0.95, None),
        ("highest", 0.9, 1, True),
        ("highest", 0.5, 0.9, False),
        ("highest", 0.95, 1, None),
        ("half", 0.9, 1, False),
    ],
)
def test_specificities_against_a_range(of, least, most, holds):
    known = evidence(scores=clearing(0.8, 0.95, counts=LARGE))
    found = findings.specificities(known, least=least, most=most, of=of)
    assert found.holds is holds
    if of == "mean":
        assert found.value == pytest.approx(0.875)


@pytest.mark.parametrize(("normal", "others", "holds"), [(5, 2, True), (4, 2, False), (5, 3, False)])
def test_the_number_of_findings_counts_too(normal, others, holds):
    found = findings.categories(evidence(manifest=manifest()), split="train", normal=normal, others=others, each=[2, 2])
    assert found.holds is holds


def test_specificities_of_few_positives_are_not_told_apart():
    for counts, holds in ((LARGE, True), (COUNTS, None)):
        scores = clearing(0.8, 0.9, 0.95, 0.7, counts=counts)
        found = findings.better_specificity(evidence(scores=scores), models=["squeezenet", "resnet50"])
        assert found.holds is holds
        assert found.value == pytest.approx(0.1, abs=0.01)
        assert found.low < found.value < found.high
        assert "found on these images" in found.reason


def test_many_films_of_few_patients_tell_no_specificities_apart():
    scores = clearing(0.8, 0.9, 0.95, 0.7, counts=LARGE)
    scores = {
        model: each.assign(patient_id=each["label"] + (each.index % 4).astype(str)) for model, each in scores.items()
    }
    found = findings.better_specificity(evidence(scores=scores), models=["squeezenet", "resnet50"])
    assert (found.holds, found.reason) == (None, "a class has images of fewer than 5 patients")


def test_other_findings_that_are_not_told_apart_are_not_counted():
    films = pd.DataFrame({"finding": ["No Finding"] * 3 + ["other"] * 13, "split": "train", "label": "non_covid"})
    asked = {"split": "train", "normal": 3, "others": 13, "each": [1, 1]}
    found = findings.categories(evidence(manifest=films), **asked)
    assert (found.holds, found.value, found.reason) == (None, 3, "other findings are not told apart")


def test_the_best_of_three_rivals_without_a_missed_film_by_chance_does_not_refute_a_claim_of_equal_areas():
    rng, films = np.random.default_rng(1), pd.DataFrame({"label": np.repeat(["covid", "non_covid"], [40, 400])})
    films["image_id"] = films["patient_id"] = films.index
    ill, refuted = (films["label"] == "covid").to_numpy(), 0
    for _ in range(150):
        scores = {}
        for model in MODELS:
            score = rng.uniform(size=len(films))
            score[ill] = 0.93 if model == "squeezenet" else np.where(rng.uniform(size=40) < 0.07, -1, 2)
            scores[model] = films.assign(score=score)
        refuted += findings.largest_area(evidence(scores=scores), model="squeezenet").holds is False
    assert refuted <= 8
