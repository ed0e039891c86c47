"""The checklist: every point of the guideline once, answered twice, on pages that are there."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from deepcovid_lib import runs, staging, tripod

ROOT = Path(__file__).parent.parent
PARTS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab", 27: "abc"}
POINT = {"id": "1", "asks": "a", "paper": "partly", "where": "Title", "says": "b", "adds": "c", "pages": ["index"]}


def test_every_point_of_the_guideline_stands_once_in_its_order():
    wanted = [f"{item}{letter}" for item in range(1, 28) for letter in PARTS.get(item, [""])]
    assert len(wanted) == 52
    assert tripod.points()["id"].tolist() == wanted


def test_every_point_has_both_entries():
    listed = tripod.points()
    assert (listed[["asks", "says", "adds"]].map(str.strip) != "").all(axis=None)
    assert set(listed["paper"]) == set(tripod.ANSWERS)
    assert not listed.loc[listed["paper"].isin(["not", "not applicable"]), "where"].any()
    assert listed.loc[listed["paper"].isin(["full", "partly"]), "where"].all()


def test_every_page_that_it_names_is_in_the_book():
    contents = staging.pages(runs.resolve("phantom"))
    there = {contents["root"], *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"])}
    named = {page for pages in tripod.points()["pages"] for page in pages}
    assert named <= there, sorted(named - there)


def test_the_page_holds_every_point_and_the_tally_adds_up():
    page = tripod.page()
    for row in tripod.points().itertuples():
        assert f"* - {row.id}\n  - {row.asks}\n" in page
        assert all(f"{{doc}}`/{name}`" in page for name in row.pages)
    counts = tripod.tally(tripod.points())
    assert counts.loc["all", "points"] == 52
    assert (counts[list(tripod.ANSWERS)].sum(axis=1) == counts["points"]).all()
    assert (counts.drop("all").sum() == counts.loc["all"]).all()
    assert f"reports {counts.loc['all', 'full']} points in full" in page
    assert "52 points under 27 items" in page


@pytest.mark.parametrize(
    "wrong",
    [
        {"paper": "mostly"},
        {"where": ""},
        {"paper": "not"},
        {"pages": []},
        {"adds": "Nothing: none."},
        {"says": ""},
        {"id": "28z"},
        {"asked": "more"},
    ],
)
def test_a_point_that_is_not_whole_is_refused(wrong):
    assert tripod._Point.model_validate(POINT)
    with pytest.raises(ValidationError):
        tripod._Point.model_validate(POINT | wrong)


def test_the_file_is_shipped_with_the_library():
    path = Path(tripod.__file__).with_name(tripod.FILE)
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), list)
