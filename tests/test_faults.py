"""The page of faults: counts from the report, text that stays text."""

import pytest
from markdown_it import MarkdownIt

from deepcovid_lib import faults

FAULT = {
    "area": "images",
    "fault": "a file named <script>alert(1)</script> {value}`x` *a*",
    "done": "refused by name",
    "lost": "nothing",
    "rerun": "remove it",
    "tests": ["tests/faults/test_bad_images.py::test_a"],
    "inputs": 1200,
    "passed": 3,
    "failed": 0,
    "skipped": 0,
}
REPORT = {"date": "2026-11-25", "commit": "abc", "python": "3.11", "device": "2 cores, X", "faults": [FAULT]}


def test_every_fault_stands_with_what_it_led_to_and_how_to_run_it_again():
    page = faults.page(REPORT)
    assert "1 kinds of fault are planted by tests, on 1,200 inputs in all. All that were run held." in page
    assert "refused by name\n  - nothing\n  - remove it\n  - 1,200\n  - yes\n" in page
    assert "--faults tests/faults/test_bad_images.py -m fault" in page


@pytest.mark.parametrize(
    ("outcome", "words"),
    [({"failed": 1}, "**1 did not hold**"), ({"passed": 0, "skipped": 2, "inputs": 0}, "2 tests were skipped")],
)
def test_what_failed_or_was_skipped_is_said(outcome, words):
    page = faults.page(REPORT | {"faults": [FAULT | outcome]})
    assert words in page
    assert f"  - {'no' if 'failed' in outcome else 'skipped'}\n" in page


def test_text_of_a_fault_stays_text():
    line = next(line for line in faults.page(REPORT).splitlines() if "script" in line)
    shown = MarkdownIt().renderInline(line.removeprefix("* - "))
    assert "<script>" not in shown
    assert "<em>" not in shown
    assert "<code>" not in shown


def test_without_a_report_the_page_says_so():
    assert "make test-faults" in faults.page({})
