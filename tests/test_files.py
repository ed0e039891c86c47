"""Files are complete or absent."""

import errno
import os

import pandas as pd
import pytest

from deepcovid_lib import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_csv(pd.DataFrame({"a": [1]}), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_csv_keeps_every_digit(tmp_path):
    frame = pd.DataFrame({"score": [0.1 + 0.2, 1 / 3]})
    files.write_csv(frame, tmp_path / "scores.csv")
    assert pd.read_csv(tmp_path / "scores.csv")["score"].tolist() == frame["score"].tolist()
