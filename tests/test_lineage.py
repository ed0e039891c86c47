"""Lineage: which files of the library a notebook's numbers hang on."""

import json
import re
from pathlib import Path

import pytest

from deepcovid_lib import lineage

ROOT = Path(__file__).parent.parent
RULES = dict(re.findall(r"^rule (\w+):\n(.*?)^ +output:", (ROOT / "Snakefile").read_text(), re.MULTILINE | re.DOTALL))


def names(files):
    return {Path(file).relative_to("deepcovid_lib").with_suffix("").as_posix().replace("/", ".") for file in files}


def write_notebook(path, source, **metadata):
    cell = {"cell_type": "code", "metadata": metadata, "source": source.splitlines(keepends=True)}
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "metadata": {}, "source": ["import x"]}, cell]}))
    return path


def test_imports_are_followed_to_their_end_within_functions_too():
    found = names(lineage.library("features"))
    assert {"features", "backbones", "engines", "images", "problems"} <= found
    assert not {"stages", "runs", "figures.__init__"} & found


def test_what_a_run_keeps_as_files_is_followed_no_further():
    found = names(lineage.library("stages"))
    assert {"stages", "records", "tables", "metrics", "fits", "runs"} <= found
    assert not {"features", "finetune", "curation", "sources.chexpert", "phantoms.anatomy"} & found


def test_a_package_is_run_by_what_imports_from_it():
    assert {"sources.__init__", "sources.cohen"} <= names(lineage.library("sources.cohen"))
    assert "sources.chexpert" not in names(lineage.library("sources.cohen"))
    assert {"phantoms.anatomy", "phantoms.__init__"} <= names(lineage.library("phantoms"))


def test_of_the_figures_only_the_drawn_are_followed(tmp_path):
    drawn = write_notebook(
        tmp_path / "a.ipynb", "%matplotlib\nfrom deepcovid_lib import figures\nfigures.net_benefit(x)"
    )
    found = names(lineage.notebook(drawn))
    assert {"figures.__init__", "figures.calibration", "style"} <= found
    assert not {"figures.films", "figures.saliency"} & found


def test_the_look_at_the_machine_counts_for_nothing(tmp_path):
    setup = write_notebook(tmp_path / "a.ipynb", "from deepcovid_lib import doctor", tags=["setup"])
    assert lineage.notebook(setup) == []


def test_code_is_told_apart_by_its_bytes(tmp_path, monkeypatch):
    (tmp_path / "stages.py").write_text("")
    (tmp_path / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(lineage, "LIBRARY", tmp_path)
    before = lineage.code(["one"])
    (tmp_path / "one.py").write_text("x = 2\n")
    assert lineage.code(["one"]) != before


@pytest.mark.parametrize("rule", [rule for rule, text in RULES.items() if "notebook(" in text])
def test_a_rule_names_the_recorded_runs_that_its_notebook_shows(rule):
    (name,) = re.findall(r'notebook\("([\w-]+)"\)', RULES[rule])
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    shown = "recorded=" in code or "records.table(" in code
    assert not shown or 'Path("recorded")' in RULES[rule]
