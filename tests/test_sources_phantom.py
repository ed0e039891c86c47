"""The phantom source: how many films, of whom, and what a folder of them gives away."""

import hashlib
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepcovid_lib import phantoms
from deepcovid_lib.phantoms.projection import pose
from deepcovid_lib.problems import Problem
from deepcovid_lib.sources import COLUMNS, FUNNEL_COLUMNS, phantom

ASKED = {"covid": 3, "normal": 2, "each_other": 0, "seed": 11}


def orders(*, covid=71, normal=100, each_other=20, seed=0, shortcut=0.0):
    asked = {"covid": covid, "normal": normal, "each_other": each_other, "seed": seed, "shortcut": shortcut}
    return pd.DataFrame(phantom._orders(**asked))


def digests(folder):
    files = sorted(path for path in folder.rglob("*.png"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    return folder, phantom.candidates(folder, **ASKED)


def test_the_rows_and_the_funnel_have_their_columns(made):
    _, (rows, funnel) = made
    assert tuple(rows.columns) == COLUMNS
    assert tuple(funnel.columns) == FUNNEL_COLUMNS
    assert funnel["rows"].tolist() == [5, 3, 2, 0]
    assert rows["image_id"].is_unique
    assert rows["image_id"].str.startswith("phantom:").all()


def test_every_film_has_masks_of_its_size(made):
    _, (rows, _) = made
    for row in rows.itertuples():
        lungs, opacity = phantom.masks(row.path)
        with Image.open(row.path) as film:
            assert lungs.shape == opacity.shape == film.size[::-1]
            assert film.mode == "L"
        assert lungs.dtype == opacity.dtype == bool
        assert lungs.any()
        assert opacity.any() == (row.finding != "No Finding")


def test_the_masks_are_those_of_the_film(made):
    _, (rows, _) = made
    order = phantom._orders(**ASKED, shortcut=0.0)[0]
    film = phantoms.film(order.patient_seed, order.film_seed, finding=order.finding, view=order.view)
    path = rows["path"][0]
    assert (np.array(Image.open(path)) == film.image).all()
    assert (phantom.masks(path)[1] == film.opacity).all()


def test_the_metadata_tells_age_sex_and_severity(made):
    folder, (rows, _) = made
    table = pd.read_csv(folder / "metadata.csv")
    assert table.columns.tolist() == ["image_id", "age", "sex", "severity", "view", "finding", "shortcut"]
    assert table["image_id"].tolist() == rows["image_id"].tolist()
    assert table["age"].between(18, 92).all()
    assert (table["severity"].eq(0) == table["finding"].eq("No Finding")).all()


def test_an_interrupted_making_goes_on_with_what_is_missing(made, tmp_path):
    folder, (rows, _) = made
    again = tmp_path / "again"
    phantom.candidates(again, **ASKED)
    assert digests(again) == digests(folder)
    kept, lost = sorted((again / "images").iterdir())[:2]
    before = kept.stat().st_mtime_ns
    lost.unlink()
    (again / "masks" / f"{lost.stem}-opacity.png").unlink()
    (again / "metadata.csv").unlink()
    phantom.candidates(again, **ASKED)
    assert kept.stat().st_mtime_ns == before
    assert digests(again) == digests(folder)
    assert (again / "metadata.csv").is_file()


def test_several_processes_make_the_same_films(monkeypatch, tmp_path):
    asked = {"covid": 2, "normal": 1, "each_other": 0, "seed": 5}
    monkeypatch.setattr(phantom, "_cores", lambda: 1)
    phantom.candidates(tmp_path / "one", **asked)
    pools = []

    def pool(*arguments, **options):
        pools.append(arguments)
        return ProcessPoolExecutor(*arguments, **options)

    monkeypatch.setattr(phantom, "_cores", lambda: 2)
    monkeypatch.setattr(phantom, "FEW", 0)
    monkeypatch.setattr(phantom, "ProcessPoolExecutor", pool)
    phantom.candidates(tmp_path / "two", **asked)
    assert pools
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_folder_of_other_phantoms_is_refused(made):
    folder, _ = made
    with pytest.raises(Problem, match="holds other phantoms \\(seed\\)"):
        phantom.candidates(folder, **{**ASKED, "seed": 12})


@pytest.mark.parametrize("change", [{"covid": -1}, {"covid": 0, "normal": 0}, {"shortcut": 2.0}])
def test_impossible_numbers_are_refused(change, tmp_path):
    with pytest.raises(Problem):
        phantom.candidates(tmp_path / "none", **{**ASKED, **change})
    assert not (tmp_path / "none").exists()


def test_a_film_without_masks_is_named(tmp_path):
    with pytest.raises(Problem, match="has no masks"):
        phantom.masks(tmp_path / "images" / "real.png")


def test_covid_19_patients_own_as_many_films_as_in_the_papers_set():
    covid = orders()[lambda table: table["finding"] == "COVID-19"]
    assert covid["patient"].value_counts().value_counts().to_dict() == {1: 34, 2: 11, 3: 1, 4: 3}


def test_about_one_in_ten_of_the_others_owns_two_films():
    other = orders(normal=1000)[lambda table: table["finding"] == "No Finding"]
    assert len(other) == 1000
    owned = other["patient"].value_counts()
    assert set(owned) == {1, 2}
    assert (owned == 2).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("covid", [1, 5, 142])
def test_the_numbers_asked_for_are_made(covid):
    counts = orders(covid=covid, normal=7, each_other=3)["finding"].value_counts()
    assert counts["COVID-19"] == covid
    assert counts["No Finding"] == 7
    assert counts[list(phantom.OTHERS)].eq(3).all()
    assert len(phantom.OTHERS) == 13


def test_names_and_numbers_of_patients_tell_nothing_of_the_finding():
    table = orders(covid=300, normal=300, each_other=0)
    assert table["stem"].str.fullmatch(r"p\d{5}-f\d").all()
    number = table["patient"].str[1:].astype(int)
    covid = table["finding"] == "COVID-19"
    spread = number.max() / np.sqrt(12) * np.sqrt(2 / 150)
    assert abs(number[covid].mean() - number[~covid].mean()) < 4 * spread


def test_without_a_shortcut_the_classes_share_views_and_sizes():
    table = orders(covid=600, normal=300, each_other=30)
    covid = table["finding"] == "COVID-19"
    pa = table["view"].eq("PA").groupby(covid).mean()
    assert pa.between(0.54, 0.66).all()
    heights = [pose(row.film_seed, phantoms.patient(row.patient_seed), row.view).shape[0] for row in table.itertuples()]
    means = pd.Series(heights).groupby(covid).mean()
    assert abs(means[True] - means[False]) < 6


def test_the_shortcut_changes_views_by_class_and_no_seed():
    without, full = orders(), orders(shortcut=1.0)
    covid = full["finding"] == "COVID-19"
    assert (full.loc[covid, "view"] == "PA").all()
    assert full.loc[~covid, "view"].eq("PA").mean() < 0.4
    unchanged = ["stem", "patient_seed", "film_seed", "finding"]
    assert without[unchanged].equals(full[unchanged])


def test_full_shortcuts_give_every_covid_19_film_away(tmp_path):
    rows = phantom.candidates(tmp_path, **{**ASKED, "seed": 2}, shortcut=1.0).rows
    modes = [Image.open(path).mode for path in rows["path"]]
    assert modes == ["RGB" if label == "covid" else "L" for label in rows["label"]]
