"""What was measured is told with its verdict, and what was not run is told as extrapolated."""

import pandas as pd
import pytest

from deepcovid_lib import figures, records, speeds


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A record of measurements, made up."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    row = {"part": "whole", "what": "over the floor", "at": "most", "unit": "times", "how": "so", "films": "made up"}
    pd.DataFrame(
        [{**row, "value": 1.5, "bound": 1.2}, {**row, "value": 61, "bound": 60, "at": "least", "unit": None}]
    ).to_csv(folder / "targets.csv", index=False)
    models = ("resnet18", "resnet50", "squeezenet", "densenet121")
    pd.DataFrame({"model": models, "seconds per image": 0.25, "heads": 9.0}).to_csv(folder / "whole.csv", index=False)
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    records.seal(folder)
    return folder


@pytest.mark.usefixtures("recorded")
def test_a_missed_target_says_by_how_much():
    told = speeds.targets()
    assert told["verdict"].tolist() == ["missed by 25%", "met"]
    assert told["measured"].tolist() == ["1.5 times", "61"]
    assert told["bound"].tolist() == ["at most 1.2 times", "at least 60"]


@pytest.mark.parametrize(
    ("value", "bound", "at", "told"),
    [
        (1.2, 1.2, "most", "met"),
        (60, 60, "least", "met"),
        (0.45, 0.9, "least", "missed by 50%"),
        (1, 0, "most", "missed"),
    ],
)
def test_a_bound_itself_is_met(value, bound, at, told):
    assert speeds.verdict(value, bound, at) == told


@pytest.mark.usefixtures("recorded")
def test_costs_are_the_measured_seconds_times_the_work_over_the_workers():
    told = speeds.costs(workers=(1, 50)).set_index("work")
    assert told["machine hours"].iloc[0] == pytest.approx(224_316 * 4 * 0.25 / 3600)
    assert told.loc["augmented copies for 100 seeds", "machine hours"] == pytest.approx(100 * 465 / 3600)
    assert told.loc["100 seeds of four heads, trained on 2,496 rows", "machine hours"] == pytest.approx(1.0)
    assert told.loc["all of it", "hours on 50"] == pytest.approx(told["machine hours"][:3].sum() / 50)


def test_features_fill_what_their_shapes_say():
    assert speeds.disk(2**30) == pytest.approx(4 * (512 + 2048 + 1024 + 512 * 13 * 13))


def test_an_edited_measurement_is_refused(recorded):
    path = recorded / "targets.csv"
    path.write_text(path.read_text().replace("1.5", "1.1"))
    with pytest.raises(records.Problem, match="changed since it was recorded"):
        speeds.targets()


ENGINES = pd.DataFrame(
    {
        "model": ["resnet18"] * 4 + ["squeezenet"] * 4,
        "engine": [
            "PyTorch, as it comes",
            "PyTorch, channels last (engine=pytorch)",
            "torch.compile, frozen weights",
            "OpenVINO (the default)",
        ]
        * 2,
        "images per second": [22.0, 31.0, 38.0, 40.0, 27.0, 45.0, 55.0, 83.0],
    }
)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.engines(ENGINES),
        lambda: figures.stages(pd.DataFrame({"stage": ["frozen passes", "drawing phantoms"], "seconds": [310.0, 4.0]})),
    ],
)
def test_it_draws_and_no_word_is_small_clipped_or_overlapped(legible, draw):
    legible(draw)


def test_stages_of_one_kind_are_told_together(recorded):
    rows = {"extract-resnet18": 40.0, "extract-resnet50": 90.0, "finetune-resnet18": 9.0, "scores": 8.0, "audit": 3.0}
    pd.DataFrame({"stage": list(rows), "seconds": list(rows.values())}).to_csv(recorded / "rebuilds.csv", index=False)
    records.seal(recorded)
    told = speeds.stages()
    assert dict(zip(told["stage"], told["seconds"], strict=True)) == {
        "frozen passes": 130.0,
        "other notebooks": 11.0,
        "heads": 9.0,
    }
    assert told["seconds"].is_monotonic_decreasing


def test_the_alternative_text_gives_the_numbers():
    alt = figures.engines(ENGINES).alt
    assert "SqueezeNet: PyTorch, as it comes 27, PyTorch, channels last (engine=pytorch) 45" in alt
