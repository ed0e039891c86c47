"""The record of mutants: what it claims adds up, and what it shows stays text."""

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from deepcovid_lib import mutants, records
from deepcovid_lib.files import read_json

ROOT = Path(__file__).parent.parent
TOLD = {
    "date": "2026-11-25",
    "commit": "abc",
    "tool": "a tool",
    "tests": "the tests",
    "left_out": "Others",
    "modules": [
        {"module": "metrics.py", "mutants": 30, "killed": 28, "timeout": 0},
        {"module": "areas.py", "mutants": 10, "killed": 10, "timeout": 1},
    ],
    "survivors": [
        {"module": "metrics.py", "line": 3, "was": "a <b> *c* `d`", "became": "{role}`x`", "reason": "the same"},
        {"module": "metrics.py", "line": 4, "was": "a == 0", "became": "a <= 0", "reason": "never below 0"},
    ],
}


def test_the_share_is_that_of_all_modules():
    text = mutants.section(TOLD)
    assert "In `metrics.py`, `areas.py` each sign" in text
    assert "Of 40 such changes the tests noticed **38 (95%)**, 1 of them by never ending." in text


def test_every_survivor_stands_with_its_reason_and_its_code_stays_code():
    text = mutants.section(TOLD)
    assert text.count("\n* - ") == 3
    shown = [MarkdownIt().renderInline(line[4:]) for line in text.splitlines() if line.startswith("  - ")]
    assert "<code>a &lt;b&gt; *c* `d`</code>" in shown
    assert "<code>{role}`x`</code>" in shown
    assert shown[-1] == "never below 0"


def test_without_survivors_there_is_no_list_and_without_a_record_nothing():
    assert "list-table" not in mutants.section(TOLD | {"survivors": []})
    assert mutants.section({}) == ""


@pytest.fixture(scope="module")
def recorded():
    return read_json(records.folder() / "mutation.json")


def test_the_record_adds_up_and_gives_a_reason_for_each_survivor(recorded):
    for known in recorded["modules"]:
        alive = [mutant for mutant in recorded["survivors"] if mutant["module"] == known["module"]]
        assert known["mutants"] == known["killed"] + len(alive)
    assert all(mutant["reason"] and mutant["was"] != mutant["became"] for mutant in recorded["survivors"])


def test_the_recorded_survivors_are_of_the_code_as_it_is(recorded):
    for mutant in recorded["survivors"]:
        text = (ROOT / "deepcovid_lib" / mutant["module"]).read_text(encoding="utf-8")
        assert mutant["was"] in text, f"{mutant['module']} has changed: run the mutants again"
