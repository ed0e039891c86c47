"""The section on Slurm says what was recorded, and no more."""

import pytest

from deepcovid_lib import clusters


@pytest.fixture
def told():
    return {
        "date": "2026-01-02",
        "commit": "abc123",
        "slurm": "22.05.8",
        "cores": 2,
        "shards": 3,
        "jobs_at_a_time": 2,
        "submitted": [17, 9],
        "restarted": 1,
        "killed_at": "scores",
        "seconds": {"one piece": 300, "Slurm": 500},
        "compared": {
            "heads": {"files": 2, "equal": 2, "beside": 0},
            "tables": {"files": 40, "equal": 40, "beside": 0},
        },
    }


def test_equal_files_are_a_yes(told):
    text = clusters.section(told)
    assert "Yes, to the byte." in text
    assert "| tables | 40 | 40 |" in text
    assert "17 jobs after its start; given again, it submitted 9 more" in text


def test_a_file_that_differs_is_counted(told):
    told["compared"]["tables"]["equal"] = 38
    assert "Not all: 2 of 42 files differ." in clusters.section(told)
