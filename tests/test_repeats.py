"""Repeats train as the run does, keep patients on one side, and measure as the tables do."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from deepcovid_lib import editions, metrics, pools, repeats, runs, stages, tables
from deepcovid_lib.files import sha256
from deepcovid_lib.pools import Pool

SETTINGS = {
    "models": ["resnet18"],
    "split.normal": {"train": 3, "test": 3},
    "split.covid": {"train": 3, "test": 3},
    "split.each_other": None,
    "recipe.epochs": 3,
}
RECIPE = editions.RecipeAsked(epochs=5, features="standardised")


def pool(patients=24, films=2, copies=3, seed=0):
    """Made-up features: every third patient has COVID-19, every second one is in training."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        ill, train = patient % 3 == 0, patient % 2 == 0
        for film in range(films):
            for copy in range(copies if ill and train else 1):
                label, group = (
                    ("covid", "covid") if ill else ("non_covid", ("normal", "other_disease")[patient % 4 // 2])
                )
                split = "train" if train else "test"
                rows.append((f"x:{patient}-{film}", copy, f"x:p{patient}", label, group, split))
    frame = pd.DataFrame(rows, columns=["image_id", "copy", "patient_id", "label", "group", "split"])
    numbers = rng.normal(size=(len(frame), 512)) + (frame["label"] == "covid").to_numpy()[:, None] * 0.3
    return Pool("resnet18", frame, torch.from_numpy(numbers).float())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    before = os.environ.get("DEEPCOVID_ROOT")
    os.environ["DEEPCOVID_ROOT"] = str(tmp_path_factory.mktemp("root"))
    run = runs.begin("tiny", settings=SETTINGS)
    stages.fit(run, "resnet18")
    yield run
    os.environ.pop("DEEPCOVID_ROOT") if before is None else os.environ.update(DEEPCOVID_ROOT=before)


def test_the_runs_own_seed_gives_the_runs_own_scores(run):
    own = stages.scores(run, "resnet18")
    again = repeats.over_seeds(pools.gather(run, "resnet18"), [run.edition.seed], recipe=run.edition.recipe)[0]
    assert again["image_id"].tolist() == own["image_id"].tolist()
    assert again["score"].tolist() == own["score"].tolist()
    assert again["patient_id"].tolist() == own["patient_id"].tolist()
    assert again["group"].tolist() == own["group"].tolist()


def test_a_pool_holds_every_image_once_and_copies_of_training_images_alone(run):
    gathered = pools.gather(run, "resnet18")
    films, listed = gathered.films, stages.manifest(run)
    assert set(films.loc[films["copy"] == 0, "image_id"]) == set(listed["image_id"])
    copied = films[films["copy"] > 0]
    assert set(copied["split"]) == {"train"}
    assert set(copied["label"]) == {"covid"}
    assert len(copied) == 3 * (run.edition.copies - 1)
    assert len(gathered.features) == len(films)


def test_the_shell_command_leaves_the_repeats(run):
    before = {path: sha256(path) for path in run.fit("resnet18").iterdir()}
    assert repeats.main([run.name, "resnet18", "--repeats", "2"]) == 0
    found = pd.read_csv(run.folder / "repeats" / "resnet18.csv")
    assert found["varied"].tolist() == ["run", "seed", "seed", "copies", "patients", "patients"]
    table = tables.reliability(stages.all_scores(run), comparable=False).set_index("quantity")
    assert found.loc[0, "specificity"] == pytest.approx(table.loc["specificity", "value"])
    assert found.loc[0, "kept_sensitivity"] == pytest.approx(table.loc["sensitivity", "value"])
    assert {path: sha256(path) for path in run.fit("resnet18").iterdir()} == before
    assert repeats.main(["nothing", "resnet18"]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_patients_stay_together_and_as_many_of_each_kind_train(seed):
    films = pool(seed=seed).films
    sides = repeats.redivide(films, seed)
    assert (sides.groupby(films["patient_id"]).nunique() == 1).all()
    for _, own in films.groupby("group"):
        before, after = (
            side[own.index].groupby(own["patient_id"]).first().value_counts() for side in (films["split"], sides)
        )
        assert before.to_dict() == after.to_dict()


def test_another_seed_divides_otherwise():
    films = pool().films
    assert repeats.redivide(films, 1).equals(repeats.redivide(films, 1))
    assert not repeats.redivide(films, 1).equals(repeats.redivide(films, 2))


def test_no_patient_is_scored_by_a_head_that_knew_it(monkeypatch):
    made, used = pool(), []
    train = repeats.head
    monkeypatch.setattr(repeats, "head", lambda pool, rows, **rest: used.append(rows) or train(pool, rows, **rest))
    films = made.films[made.films["copy"] == 0]
    for sides in (films["split"], repeats.redivide(films, 1)):
        frame = repeats.on_originals(made, sides, recipe=RECIPE, copies=3, seed=0)
        known = made.films.iloc[used[-1]]
        assert not set(known["patient_id"]) & set(frame["patient_id"])
        assert set(known["image_id"]) | set(frame["image_id"]) == set(films["image_id"])
        assert set(known["copy"]) == {0}
        times = known.groupby(["label", "image_id"]).size()
        assert set(times["covid"]) == {3}
        assert set(times["non_covid"]) == {1}
        assert frame["image_id"].is_unique


def test_a_scale_is_measured_on_the_training_rows_alone():
    made = pool()
    rows = np.arange(10)
    spoiled = made._replace(features=made.features.clone())
    spoiled.features[10:] += 100
    one, other = (repeats.head(each, rows, recipe=RECIPE, seed=1) for each in (made, spoiled))
    assert torch.equal(one["weight"], other["weight"])


def test_measures_are_those_of_the_metrics():
    frame = repeats.over_seeds(pool(), [3], recipe=RECIPE)[0]
    found = repeats.measure(frame, threshold=0.4)
    covid = frame["label"] == "covid"
    assert found["auc"] == pytest.approx(metrics.auc_interval(covid, frame["score"], method="delong").auc)
    kept = metrics.sensitivity_specificity(covid, frame["score"], threshold=0.4)
    assert (found["kept_sensitivity"], found["kept_specificity"]) == tuple(kept)
    assert all(np.isnan(value) for value in repeats.measure(frame[covid], threshold=0.4).values())


def test_without_repeats_there_is_no_spread():
    own = pd.DataFrame([{"model": "resnet18", "varied": "run", "number": 1, "auc": 0.8, "specificity": 0.5}])
    assert repeats.spread(own.assign(kept_sensitivity=1.0, kept_specificity=0.5)).empty
