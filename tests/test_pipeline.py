"""The pipeline's estimate and its reading of a failure."""

import pytest

from deepcovid_lib import pipeline, runs
from deepcovid_lib.problems import Problem


def test_the_estimate_follows_what_each_stage_took_before():
    seconds = {"extract-resnet18": 30.0, "extract-resnet50": 90.0, "scores": 10.0}
    assert pipeline._estimate({"extract": 2, "scores": 1}, seconds, 2) == ", about 2 min left"
    assert pipeline._estimate({"scores": 1}, seconds, 1) == ", about 10 s left"
    assert pipeline._estimate({"scores": 1}, {}, 1) == ""


def test_stages_belong_to_their_rules():
    assert pipeline._rule("extract-resnet18") == "extract"
    assert pipeline._rule("roc-and-confusion") == "roc_and_confusion"


def test_a_failure_is_read_from_the_log(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("Building DAG of jobs...\nMissingInputException in rule book:\nMissing input files:\n    index.md\n")
    assert pipeline._reason(log) == "MissingInputException in rule book: Missing input files: index.md"


def test_without_a_checkout_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    with pytest.raises(Problem, match="needs the project's checkout"):
        pipeline.reproduce(runs.begin("tiny"), audience="local")
