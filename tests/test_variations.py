"""One factor changed at a time: what is held equal, and the paired interval."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from deepcovid_lib import finetune, frozen, metrics, runs, stages, variations
from deepcovid_lib.frozen import Part
from deepcovid_lib.problems import Problem
from deepcovid_lib.variations import Difference, auc_difference


def side(seed, films, copies=1):
    """Made-up features of ResNet18; COVID-19 films lie apart in ten of them."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"image_id": [f"{seed}:{k // copies}" for k in range(films)]})
    rows["copy"] = np.arange(films) % copies
    rows["label"] = np.where(np.arange(films) // copies % 3 == 0, "covid", "non_covid")
    numbers = rng.normal(3, 2, (films, 512))
    numbers[rows["label"] == "covid", :10] += 2
    return Part(rows, torch.from_numpy(numbers).float())


TRAIN, TEST = side(1, 60, copies=2), side(2, 45)
OPTIONS = {"model": "resnet18", "features": "standardised"}


def short(way):
    return way._replace(recipe=dataclasses.replace(way.recipe, epochs=3, learning_rate=1e-3))


def test_every_variation_changes_one_thing():
    own = variations.reference(runs.resolve("phantom"))
    for way in variations.variations(runs.resolve("phantom")):
        changed = [name for name in ("recipe", "copies", "seed") if getattr(way, name) != getattr(own, name)]
        assert len(changed) == 1
        fields = dataclasses.asdict(way.recipe).items() - dataclasses.asdict(own.recipe).items()
        assert len(fields) == (changed == ["recipe"])


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"copies": 16}, {"4 copies of a COVID-19 film", "no augmented copies"}),
        ({"copies": 1}, set()),
        ({"recipe.optimizer": "sgd"}, {"Adam", "no augmented copies"}),
        ({"recipe.weight_decay": 0.01}, {"no weight decay", "weight decay 0.0001", "no augmented copies"}),
    ],
)
def test_variations_start_from_the_runs_own_recipe(settings, labels):
    found = {way.label for way in variations.variations(runs.resolve("phantom", settings=settings))}
    common = {
        "SGD with a step schedule",
        "weight decay 0.0001",
        "weight decay 0.01",
    }
    assert labels <= found
    assert found - labels <= common


def test_scores_are_those_of_a_head_on_standardised_features():
    own = short(variations.reference(runs.resolve("phantom")))
    scaler = StandardScaler().fit(TRAIN.features.double().numpy())
    scaled, tested = (
        torch.from_numpy(scaler.transform(part.features.double().numpy())).float() for part in (TRAIN, TEST)
    )
    head = finetune.fit(scaled, TRAIN.labels, backbone_name="resnet18", recipe=own.recipe, seed=own.seed).head
    assert np.allclose(
        variations.scores(TRAIN, TEST, own, **OPTIONS), finetune.score(tested, head, "resnet18"), atol=1e-5
    )


def test_left_out_copies_bear_on_nothing():
    own = short(variations.reference(runs.resolve("phantom")))._replace(copies=1)
    other = TRAIN.features.clone()
    other[1::2] = 99.0
    first = variations.scores(TRAIN, TEST, own, **OPTIONS)
    assert np.array_equal(first, variations.scores(Part(TRAIN.rows, other), TEST, own, **OPTIONS))
    both = variations.scores(Part(TRAIN.rows, other), TEST, own._replace(copies=2), **OPTIONS)
    assert not np.allclose(first, both)


def scored(films=400, seed=0):
    rng = np.random.default_rng(seed)
    y_true = np.arange(films) % 4 == 0
    common = rng.normal(y_true, 1)
    return y_true, common + rng.normal(0, 0.7, films), common + rng.normal(0, 1.2, films)


def test_the_difference_is_that_of_two_areas():
    y_true, a, b = scored(60)
    a, b = a.round(), b.round()
    found = auc_difference(y_true, a, b, groups=np.arange(60))
    assert found.difference == pytest.approx(roc_auc_score(y_true, a) - roc_auc_score(y_true, b))


def test_the_interval_agrees_with_delong_where_images_are_independent():
    y_true, a, b = scored()
    found = auc_difference(y_true, a, b, groups=np.arange(400))
    margin = t.ppf(0.975, 99) * math.sqrt(metrics.compare_aucs(y_true, a, b).error ** 2 + 2 / 100**2 + 2 / 300**2)
    assert (found.low, found.high) == pytest.approx((found.difference - margin, found.difference + margin), abs=1e-4)


def test_the_interval_agrees_with_a_loop_over_drawn_patients():
    y_true, a, b = scored(480)
    groups = np.arange(480) // 6
    rng, drawn = np.random.default_rng(1), []
    for _ in range(200):
        rows = []
        for of_class in (y_true, ~y_true):
            patients = np.unique(groups[of_class])
            for patient in rng.choice(patients, len(patients)):
                rows += np.flatnonzero((groups == patient) & of_class).tolist()
        drawn.append(roc_auc_score(y_true[rows], a[rows]) - roc_auc_score(y_true[rows], b[rows]))
    found = auc_difference(y_true, a, b, groups=groups)
    width = np.diff(np.quantile(drawn, [0.025, 0.975])).item()
    added = 2 * t.ppf(0.975, 79) * math.sqrt(2 / 80**2 + 2 / 80**2)
    assert found.high - found.low == pytest.approx(math.hypot(width, added), rel=0.15)


def test_the_difference_over_seeds_is_the_mean_and_their_spread_widens_the_interval():
    y_true, a, b = scored()
    rng, groups = np.random.default_rng(5), np.arange(len(y_true))
    ways = [
        np.stack([way + spread * rng.normal(size=len(way)) for _ in range(10)]) for way, spread in ((a, 0.0), (b, 3.0))
    ]
    found = auc_difference(y_true, *ways, groups=groups)
    each = [auc_difference(y_true, one, other, groups=groups).difference for one, other in zip(*ways, strict=True)]
    assert found.difference == pytest.approx(np.mean(each))
    fixed = auc_difference(y_true, np.repeat(a[None], 10, axis=0), np.repeat(b[None], 10, axis=0), groups=groups)
    assert fixed == pytest.approx(auc_difference(y_true, a, b, groups=groups), abs=0.005)
    assert fixed.difference == pytest.approx(auc_difference(y_true, a, b, groups=groups).difference)


@pytest.mark.parametrize(("positives", "negatives"), [(5, 200), (8, 30)])
def test_few_patients_are_seldom_called_better_or_worse_where_nothing_differs(positives, negatives):
    rng, called = np.random.default_rng(0), 0
    y_true = np.arange(positives + negatives) < positives
    for _ in range(300):
        common, own = rng.normal(y_true, 1), rng.normal(0, 0.5, (2, len(y_true)))
        ways = [common + each + 0.2 * rng.normal(size=(3, len(y_true))) for each in own]
        found = auc_difference(y_true, *ways, groups=np.arange(len(y_true)))
        called += variations.verdict(found) in ("better", "worse")
    assert called <= 24


def test_one_seed_in_ten_that_differs_is_no_verdict():
    y_true = np.arange(400) < 100
    same = np.random.default_rng(0).normal(size=400) + y_true
    once = np.stack([same] * 9 + [same + 2 * y_true])
    assert variations.verdict(auc_difference(y_true, same + 2 * y_true, same, groups=np.arange(400))) == "better"
    over = auc_difference(y_true, once, np.stack([same] * 10), groups=np.arange(400))
    assert variations.verdict(over) == "no difference seen"


def test_equal_scores_do_not_differ():
    y_true, a, _ = scored(60)
    alike = auc_difference(y_true, a, a, groups=np.arange(60))
    assert alike.low == -alike.high < alike.difference == 0, "equal ranks of these films say little of others"
    apart, half = np.where(y_true, 0.9, 0.1), np.full(60, 0.5)
    assert str(auc_difference(y_true, apart, half, groups=np.arange(60))) == str(Difference(0.5, math.nan, math.nan))
    assert variations.comparison(y_true, a, a, np.arange(60))["verdict"] == "no difference seen"


def test_what_cannot_be_decided_says_why():
    y_true, a, b = scored(60)
    alone = auc_difference(np.ones(60), a, b, groups=np.arange(60))
    assert all(math.isnan(value) for value in alone)
    assert variations.verdict(alone) == "cannot be decided: a class has no films"
    assert math.isnan(auc_difference(y_true, a, b, groups=np.where(y_true, 0, np.arange(60))).low)


def made(monkeypatch, shift=0.0):
    run = runs.resolve("phantom", settings={"recipe.epochs": 3, "copies": 2})
    monkeypatch.setattr(frozen, "sides", lambda run, model: (TRAIN, TEST))
    score = variations.scores(TRAIN, TEST, variations.reference(run), **OPTIONS) + shift
    told = TEST.rows.assign(score=score, patient_id=TEST.rows["image_id"]).sample(frac=1, random_state=0)
    monkeypatch.setattr(stages, "scores", lambda run, model: told)
    return run


def test_an_area_just_below_one_is_not_one():
    y_true = np.arange(3040) < 40
    score = np.where(y_true, 0.9, 0.1) + 0.0001 * np.arange(3040)
    score[0] = 0.4038
    row = variations.comparison(y_true, score, score, np.arange(3040))
    assert row["auc"] == pytest.approx(roc_auc_score(y_true, score))
    assert 0.99995 < row["auc"] < 1


def test_the_runs_own_scores_are_the_reference(monkeypatch):
    run = made(monkeypatch)
    table = variations.compared(run, "resnet18")
    assert table["factor"].tolist() == ["optimizer", "copies", "weight decay", "weight decay"]
    own = variations.reference(run)
    ways = [own._replace(seed=own.seed + number) for number in range(variations.SEEDS)]
    areas = [roc_auc_score(TEST.labels, variations.scores(TRAIN, TEST, way, **OPTIONS)) for way in ways]
    assert table["reference_auc"].to_numpy() == pytest.approx(np.mean(areas))
    assert table["reference_lowest"].to_numpy() == pytest.approx(min(areas))
    assert table["reference_highest"].to_numpy() == pytest.approx(max(areas))
    assert min(areas) < max(areas)
    assert np.allclose(table["auc"] - table["reference_auc"], table["difference"], atol=2e-4)


def test_scores_that_the_recipe_does_not_give_are_refused(monkeypatch):
    with pytest.raises(Problem, match="does not give these scores again"):
        variations.compared(made(monkeypatch, shift=1e-3), "resnet18")
