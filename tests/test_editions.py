"""Editions: validated, overridden, refused by name."""

import pytest

from deepcovid_lib import editions
from deepcovid_lib.problems import Misuse


@pytest.mark.parametrize("name", editions.names())
def test_every_edition_is_valid(name):
    assert editions.resolve(name).title


def test_the_editions_of_the_plan_are_there():
    assert editions.names() == sorted(["phantom", "tiny", "covid-xray-5k", "covid-xray-5k-rebuilt", "open-cxr"])


def test_the_rebuilt_edition_asks_for_the_papers_counts():
    split = editions.resolve("covid-xray-5k-rebuilt").split
    assert (split.covid.train, split.covid.test) == (31, 40)
    assert split.normal.train + 13 * split.each_other.train == 2000
    assert split.normal.test + 13 * split.each_other.test == 3000


def test_the_default_edition_keeps_the_papers_proportions():
    split = editions.resolve("phantom").split
    assert split.normal.train + 13 * split.each_other.train == 244
    assert split.normal.test + 13 * split.each_other.test == 300


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"recipe.epoch": 3}, "nearest: recipe.epochs"),
        ({"modles": ["resnet18"]}, "nearest: models"),
        ({"models": ["resnet19"]}, "nearest: resnet18"),
        ({"weights": "best"}, "key 'weights'"),
        ({"split.covid.train": 0}, "greater than or equal to 1"),
        ({"seed.x": 1}, "is not a group"),
        ({"seed": 2**31}, "key 'seed'.*less than 2147483648"),
        ({"options.phantoms.shortcut": 1}, "options of 'phantoms' reach no source; its sources are phantom"),
        ({"folders.phantoms": "x"}, "folders has no 'phantoms'.*nearest: phantom"),
        ({"split": "released"}, "the authors' archive alone is divided already; write split released for it"),
        ({"tests_paper": ["performance"]}, "synthetic films test nothing"),
        ({"models": ["resnet18", "resnet18"]}, "^edition .tiny.: the model resnet18 is named twice; name each once$"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings, told):
    with pytest.raises(Misuse, match=told):
        editions.resolve("tiny", settings)


def test_counts_asked_of_the_authors_archive_are_refused():
    with pytest.raises(Misuse, match="the authors' archive alone is divided already"):
        editions.resolve("covid-xray-5k", {"split": {"covid": {"train": 31, "test": 40}}})


def test_a_test_of_the_performance_needs_the_counts():
    with pytest.raises(Misuse, match="only the paper's numbers of images test its performance; add counts"):
        editions.resolve("covid-xray-5k", {"tests_paper": ["performance"]})


def test_an_unknown_edition_names_the_nearest():
    with pytest.raises(Misuse, match="nearest: phantom"):
        editions.resolve("phantoms")


def test_settings_are_read_as_yaml():
    assert editions.parse_settings(["seed=7", "recipe.learning_rate=0.001"]) == {
        "seed": 7,
        "recipe.learning_rate": 0.001,
    }
    with pytest.raises(Misuse, match="not key=value"):
        editions.parse_settings(["seed"])
