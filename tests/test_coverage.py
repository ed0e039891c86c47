"""What is recorded of the tests' coverage is what was reported, and it stands in the book."""

import sys

import pytest

from deepcovid_lib import coverage, records
from deepcovid_lib.files import read_json, write_json


def counted(statements, lines, branches, taken):
    share = 100 * (lines + taken) / (statements + branches)
    told = {"num_statements": statements, "covered_lines": lines, "num_branches": branches, "covered_branches": taken}
    return told | {"percent_covered": share}


REPORT = {
    "totals": counted(300, 290, 100, 95),
    "files": {
        "deepcovid_lib/whole.py": {"summary": counted(100, 100, 20, 20)},
        "deepcovid_lib/sources/half.py": {"summary": counted(100, 60, 40, 30)},
        "deepcovid_lib/most.py": {"summary": counted(100, 90, 40, 36)},
    },
}


def test_only_modules_below_the_share_wanted_are_named_the_least_covered_first():
    told = coverage.summary(REPORT)
    assert [known["module"] for known in told["modules"]] == ["sources/half.py", "most.py"]
    assert told["modules"][0] == {"module": "sources/half.py", "percent": 64.3, "missing": 50}
    assert told["percent"] == 96.2


@pytest.mark.parametrize(("lines", "verdict"), [(290, "met"), (250, "missed")])
def test_the_section_says_whether_the_aim_is_met(lines, verdict):
    report = REPORT | {"totals": counted(300, lines, 100, 95)}
    text = coverage.section(coverage.summary(report) | {"date": "2026-11-28", "commit": "abc"})
    assert f"{lines} of 300 statements and 95 of 100 branches" in text
    assert f"The aim of 95% is {verdict}. Below it are `sources/half.py` 64%, `most.py` 90%." in text


@pytest.mark.parametrize(("day", "kept"), [("2999-01-02", True), ("2020-01-02", False)])
def test_a_report_is_kept_with_its_own_date_unless_the_library_changed_since(tmp_path, monkeypatch, capsys, day, kept):
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    write_json(REPORT | {"meta": {"timestamp": f"{day}T10:00:00"}}, tmp_path / "report.json")
    monkeypatch.setattr(sys, "argv", ["coverage", str(tmp_path / "report.json")])
    assert coverage.main() == (0 if kept else 2)
    assert (tmp_path / coverage.NAME).is_file() == kept
    if kept:
        told = read_json(tmp_path / coverage.NAME)
        assert (told["statements_run"], told["date"]) == (290, day)
        assert "commit" in told
    else:
        assert "older than the library" in capsys.readouterr().err


def test_the_shipped_record_adds_up():
    kept = read_json(records.folder() / coverage.NAME)
    share = (kept["statements_run"] + kept["branches_run"]) / (kept["statements"] + kept["branches"])
    assert kept["percent"] == pytest.approx(100 * share, abs=0.06)
    assert all(known["percent"] < coverage.WANTED for known in kept["modules"])
