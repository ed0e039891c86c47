"""The list of claims, and verdicts that keep this run and the paper apart."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from deepcovid_lib import claims, editions, findings, manifest, paper, records, runs, stages, tables
from deepcovid_lib.claims import DOES_NOT, HOLDS, NO_TEST, UNDECIDED
from deepcovid_lib.findings import Evidence, Finding


def paper_like(models=claims.MODELS):
    """Evidence with the paper's counts: scores at Table VI's specificities, a manifest and histories."""
    rows = []
    for split, normal, each in (("train", 700, 100), ("test", 1700, 100)):
        covid = 31 if split == "train" else 40
        findings_of = ["COVID-19"] * covid + ["No Finding"] * normal
        findings_of += [f"disease {number}" for number in range(13) for _ in range(each)]
        part = pd.DataFrame({"finding": findings_of, "split": split})
        part["label"] = np.where(part["finding"] == "COVID-19", "covid", "non_covid")
        part["patient_id"] = [f"{split}:{number}" for number in range(len(part))]
        rows.append(part)
    films = pd.concat(rows, ignore_index=True).assign(source="made")
    films["image_id"] = films["patient_id"]
    test = films[films["split"] == "test"].reset_index(drop=True)
    printed = paper.values().set_index("id")["value"]
    scores, order = {}, np.random.default_rng(0).permutation(3000) / 3000
    for model in models:
        cleared = order < printed[f"table-6/{model}/specificity"]
        own = np.r_[0.2, np.linspace(0.8, 0.805, 39), np.where(cleared, 0.1 + 0.1 * order, 0.81 + 0.1 * order)]
        scores[model] = test.assign(group=manifest.group(test).to_numpy(), score=own)
    return Evidence(
        scores,
        tables.dataset(films, copies=16, comparable=True),
        {model: pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.6]}) for model in models},
        films,
        {},
    )


@cache
def judged(comparable):
    return claims.table(paper_like(), recipe=True, images=comparable, performance=comparable).set_index("claim")


def test_the_claims_are_data_with_a_known_test_each():
    table = claims.listed()
    assert 20 <= len(table) <= 35
    assert table["claim"].is_unique
    assert set(table["scope"]) == {"method", "recipe", "images", "performance", "practice"}
    assert set(table["test"]) <= set(findings.__all__)
    assert {name for name in findings.__all__ if name.islower()} == set(table["test"])
    assert table["where"].str.contains("Abstract|Section").all()


@pytest.mark.parametrize(
    ("scope", "images", "performance", "testing"),
    [
        ("method", False, False, True),
        ("recipe", False, False, True),
        ("images", False, False, False),
        ("images", True, False, True),
        ("performance", True, False, False),
        ("performance", True, True, True),
        ("practice", True, True, False),
    ],
)
@pytest.mark.parametrize(("holds", "word"), [(True, HOLDS), (False, DOES_NOT), (None, UNDECIDED)])
def test_the_four_verdicts(scope, images, performance, testing, holds, word):
    own, verdict = claims.judge(Finding(holds), scope=scope, recipe=True, images=images, performance=performance)
    assert own == word
    assert verdict == (word if testing else NO_TEST)


def test_a_head_trained_otherwise_refutes_no_sentence_on_the_loss():
    rose = paper_like()._replace(histories={"resnet18": pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 200.0]})})
    for recipe, word in ((True, DOES_NOT), (False, NO_TEST)):
        table = claims.table(rose, recipe=recipe, images=False, performance=False).set_index("test")
        assert tuple(table.loc["loss_falls", ["of_this_run", "verdict"]]) == (DOES_NOT, word)
    assert not editions.follows_recipe(editions.resolve("phantom", {"recipe.learning_rate": 10}))


def test_other_images_or_weights_neither_confirm_nor_refute():
    table = judged(False)
    assert set(table.loc[~table["scope"].isin(["method", "recipe"]), "verdict"]) == {NO_TEST}
    assert (table.loc[table["verdict"] == NO_TEST, "reason"] != "").all()
    tested = judged(True)
    assert table["of_this_run"].equals(tested["of_this_run"])
    known = tested["scope"] != "practice"
    assert tested.loc[known, "verdict"].equals(tested.loc[known, "of_this_run"])


def test_the_papers_own_numbers_get_the_verdicts_they_should():
    table = judged(True)
    holding = [
        "The training set has 31 COVID-19 images.",
        "1,700 test images have no finding, and each of 13 other categories has around 100.",
        "All images of a patient go to only one of training and test set.",
        "The test set is highly imbalanced.",
        "Sensitivity and specificity suit such a test set better than accuracy does.",
        "A threshold gives each model a sensitivity of 97.5%.",
        "The margin of the specificities is around 1%.",
        "The margin of the sensitivities is around 4.8%.",
    ]
    assert table.loc[holding, "verdict"].tolist() == [HOLDS] * len(holding)
    failing = [
        "There are more than 5,000 non-COVID images.",
        "At a sensitivity of around 97% the specificity of all models is 84 to 97%.",
    ]
    assert table.loc[failing, "verdict"].tolist() == [DOES_NOT] * len(failing)
    ranged = table[table["test"].isin(["specificities", "better_specificity"])]
    assert ranged["verdict"].tolist() == [DOES_NOT, *[UNDECIDED] * 4]
    assert ranged["reason"].str.contains("found on these images").all()
    best = table.loc["The best model has a specificity of around 95% at a sensitivity of 97.5%."]
    assert (best["verdict"], round(best["value"], 3)) == (UNDECIDED, 0.978)


def test_three_models_do_not_decide_a_claim_on_four():
    table = claims.table(paper_like(claims.MODELS[:3]), recipe=True, images=True, performance=True)
    performance = table[table["scope"] == "performance"]
    assert set(performance["verdict"]) == {UNDECIDED}
    assert performance["reason"].str.contains("without DenseNet-121").all()
    assert HOLDS in set(performance["of_this_run"])


def test_scores_that_are_all_equal_refute_nothing():
    known = paper_like()
    same = {model: own.assign(score=0.5) for model, own in known.scores.items()}
    table = claims.table(known._replace(scores=same), recipe=True, images=True, performance=True)
    performance = table[table["scope"] == "performance"]
    assert set(performance["verdict"]) == {UNDECIDED}
    assert performance["reason"].str.contains("DenseNet-121: the same score for every image").all()
    assert not table.loc[table["scope"] == "method", "verdict"].eq(DOES_NOT).any()


def test_counts_that_were_asked_of_the_curation_confirm_nothing(monkeypatch):
    monkeypatch.setattr(records, "tests_counts", lambda run, counted: True)
    monkeypatch.setattr(stages, "counts", lambda run: None)
    found = {
        edition: stages.found_counts(runs.resolve(edition)) for edition in ("covid-xray-5k-rebuilt", "covid-xray-5k")
    }
    assert found == {"covid-xray-5k-rebuilt": False, "covid-xray-5k": True}


def test_a_replay_has_scores_counts_and_no_images(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.resolve("phantom", speed="replay")
    known = claims.evidence(run, stages.all_scores(run))
    assert list(known.scores) == list(claims.MODELS)
    assert known.manifest is None
    table = claims.table(known, recipe=True, images=run.tests("counts"), performance=stages.tests_performance(run))
    assert set(table.loc[~table["scope"].isin(["method", "recipe"]), "verdict"]) == {NO_TEST}
    apart = table[table["test"] == "patients_apart"].iloc[0]
    assert apart["of_this_run"] == UNDECIDED


def test_what_is_shown():
    rows = [
        ("share", 0.9051, 0.894, 0.915, "90.5%", "89.4% to 91.5%"),
        ("points", -0.012, -0.02, 0.001, "−1.2 points", "−2.0 to 0.1 points"),
        ("area", 0.9931, np.nan, np.nan, "0.993", "–"),
        ("images", 3000.0, np.nan, np.nan, "3,000 images", "–"),
        ("ratio", 75.0, np.nan, np.nan, "75.00", "–"),
        ("", np.nan, np.nan, np.nan, "–", "–"),
    ]
    table = claims.shown(pd.DataFrame(rows, columns=["unit", "value", "low", "high", "run", "interval"]))
    assert table["run_shown"].tolist() == table["run"].tolist()
    assert table["interval_shown"].tolist() == table["interval"].tolist()


def test_the_tally_counts_every_claim():
    table = judged(False)
    numbers = [int(word) for word in claims.tally(table["verdict"]).split() if word.isdigit()]
    assert sum(numbers) == len(table)
    assert "not a test" not in claims.tally(table["of_this_run"])
