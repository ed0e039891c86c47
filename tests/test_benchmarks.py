"""The measurements measure: each cheap part at toy size, without a word about its seconds."""

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from benchmarks import curation, decoding, heads, intervals, material, measures, report
from deepcovid_lib import records


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    return tmp_path / "benchmarks"


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Three phantoms in place of the films at hand."""
    from PIL import Image

    paths = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (64, 48), np.uint8)).save(path)
        paths.append(path)
    monkeypatch.setattr(material, "films", lambda: (paths, "made up"))


@pytest.mark.usefixtures("few")
def test_reading_is_compared_with_equal_results():
    targets = {target.what: target for target in decoding.measure(count=4, turns=1).targets}
    assert targets["largest difference in grey values"].value == 0
    assert all(np.isfinite(target.value) for target in targets.values())


def test_heads_are_compared_with_equal_results():
    outcome = heads.measure(rows=40, epochs=2)
    differences = [target for target in outcome.targets if "difference" in target.what]
    assert len(differences) == 4
    assert all(target.met for target in differences)
    memory = next(target for target in outcome.targets if target.what.startswith("memory"))
    assert 100 < memory.value < 20_000


def test_intervals_are_measured():
    outcome = intervals.measure(images=200, replicates=20, many=500)
    assert [target.unit for target in outcome.targets] == ["s", "s"]
    assert all(target.value > 0 for target in outcome.targets)


def test_curation_reads_the_made_file_whole(monkeypatch):
    monkeypatch.setattr(material, "REAL", None)
    outcome = curation.measure(rows=200, turns=1)
    assert outcome.films == "a made label file of 200 rows"
    assert all(0 < target.value < np.inf for target in outcome.targets)


@pytest.mark.usefixtures("few")
def test_varied_films_each_have_content_of_their_own(tmp_path):
    (tmp_path / "made").mkdir()
    table = material.requests(material.varied(tmp_path / "made", 9, (40, 32)))
    assert table["sha256"].nunique() == 9


def test_memory_is_that_of_the_process_itself():
    small, told = measures.alone("told = 1")
    large, _ = measures.alone("held = bytearray(80 * 2**20); held[::4096] = held[::4096]; told = 1")
    assert told == 1
    assert large - small == pytest.approx(80, abs=20)


def test_a_part_measured_again_replaces_itself_alone(recorded):
    def outcome(value):
        target = report.Target("time", value, "most", 1.0, "s", "so")
        return report.Outcome([target], [{"images": 3}], "made up")

    now = datetime(2026, 1, 2, tzinfo=UTC)
    for part, value in (("heads", 0.5), ("passes", 2.0), ("heads", 0.7)):
        report.keep(part, outcome(value), now, 3.0)
    kept = records.table("benchmarks", "targets")
    assert dict(zip(kept["part"], kept["value"], strict=True)) == {"heads": 0.7, "passes": 2.0}
    assert dict(zip(kept["part"], kept["met"], strict=True)) == {"heads": True, "passes": False}
    assert set(json.loads((recorded / "facts.json").read_text())) == {"heads", "passes"}
    assert isinstance(records.table("benchmarks", "passes"), pd.DataFrame)
