"""What is recorded of the tests' coverage is what was reported, and it stands in the book."""

import subprocess
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


@pytest.mark.parametrize(
    ("passed", "during", "said"),
    [
        (True, "", "96.2% of statements and branches"),
        (False, "", "not all tests passed"),
        (True, "x = 1", "was changed while the tests ran"),
    ],
)
def test_a_share_is_kept_of_all_tests_alone_and_of_one_library(tmp_path, monkeypatch, capsys, passed, during, said):
    library = tmp_path / "deepcovid_lib"
    library.mkdir()
    (library / "coverage.py").write_text("")
    monkeypatch.setattr(coverage, "__file__", str(library / "coverage.py"))
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    monkeypatch.setattr(sys, "argv", ["coverage"])
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k one")

    def run(command, *, cwd, env):
        chosen = [word for word in command[3:] if not word.startswith("--cov")]
        assert chosen == list(coverage.TESTS), "no test is left out"
        assert (cwd, "PYTEST_ADDOPTS" in env) == (tmp_path, False)
        (library / "coverage.py").write_text(during)
        write_json(REPORT, command[-1].removeprefix("--cov-report=json:"))
        return subprocess.CompletedProcess(command, 0 if passed else 1)

    monkeypatch.setattr(coverage.subprocess, "run", run)
    monkeypatch.setattr(coverage.runs, "commit", lambda folder: "abc")
    kept = said.startswith("96")
    assert coverage.main() == (0 if kept else 1)
    assert said in capsys.readouterr().err
    assert (tmp_path / coverage.NAME).is_file() == kept
    if kept:
        told = read_json(tmp_path / coverage.NAME)
        assert (told["statements_run"], told["commit"]) == (290, "abc")


def test_the_shipped_record_adds_up():
    kept = read_json(records.folder() / coverage.NAME)
    share = (kept["statements_run"] + kept["branches_run"]) / (kept["statements"] + kept["branches"])
    assert kept["percent"] == pytest.approx(100 * share, abs=0.06)
    assert all(known["percent"] < coverage.WANTED for known in kept["modules"])
