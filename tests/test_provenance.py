"""Origins of artefacts and the tests behind functions, read from notebooks and tests."""

from pathlib import Path

import nbformat
import pytest

from deepcovid_lib import provenance

ROOT = Path(__file__).parent.parent


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source, id=f"c{number}") for number, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_functions_behind_variables_are_found_after_those_the_call_names(tmp_path):
    path = notebook(
        tmp_path / "roc.ipynb",
        "from deepcovid_lib import artefacts, figures, stages, tables",
        "scores = stages.all_scores(run)\nareas = tables.auc(scores)",
        "artefacts.figure(run, 'fig-roc', lambda: figures.roc(scores), caption='x')\n"
        "artefacts.table(run, 'tab-auc', areas, caption=f'{figures.scores}')",
    )
    roc, auc = provenance.origins(path)
    assert roc == ("fig-roc", "roc", "c2", ("figures.roc", "stages.all_scores"))
    assert auc == ("tab-auc", "roc", "c2", ("tables.auc", "stages.all_scores"))


def test_a_loop_gives_a_pattern_and_its_variable_what_it_runs_over(tmp_path):
    path = notebook(
        tmp_path / "a.ipynb",
        "from deepcovid_lib import artefacts, figures, stages",
        "for model, frame in stages.all_scores(run).items():\n"
        "    artefacts.figure(run, f'fig-scores-{model}', lambda: figures.scores(frame, model), caption='x')",
    )
    (origin,) = provenance.origins(path)
    assert origin.slug == "fig-scores-{}"
    assert origin.functions == ("figures.scores", "stages.all_scores")
    assert provenance.matches(origin.slug, "fig-scores-squeezenet1_1")
    assert not provenance.matches(origin.slug, "fig-scores-")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_artefact_of_every_notebook_stands_on_a_documented_function(path):
    library = (ROOT / "book" / "library.md").read_text(encoding="utf-8")
    for origin in provenance.origins(path):
        assert origin.functions, origin.slug
        for function in origin.functions:
            module = provenance.documented(function).rpartition(".")[0]
            assert f".. automodule:: {module}\n" in library, function


def test_a_test_calls_what_it_names_itself_or_through_its_files_own_helpers(tmp_path):
    (tmp_path / "test_x.py").write_text(
        "from deepcovid_lib import metrics, tables\n"
        "from deepcovid_lib.areas import compare_aucs\n"
        "TABLE = {'a': lambda: tables.auc({})}\n"
        "def helper():\n    return metrics.confusion()\n"
        "def test_one(helper):\n    compare_aucs()\n"
        "def test_two():\n    assert TABLE['a']()\n"
    )
    one, two = provenance.cases(tmp_path)
    assert {"areas.compare_aucs", "metrics.confusion"} <= one.functions
    assert "tables.auc" not in one.functions
    assert "tables.auc" in two.functions
    assert one.source == "def test_one(helper):\n    compare_aucs()"
    assert provenance.cases(tmp_path / "none") == []
