"""The runner: a notebook is executed whole and sound, or not put in place."""

from pathlib import Path

import nbformat
import pytest

from deepcovid_lib import runner
from deepcovid_lib.problems import Misuse, Problem


def notebook(path: Path, *code: str) -> Path:
    cells = [nbformat.v4.new_code_cell("number: int = 1  # a number", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(text) for text in code]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_sound_notebook_is_put_in_place_with_its_parameters(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "open('made.txt', 'w').write(str(number))")
    target = tmp_path / "out" / "a.ipynb"
    runner.execute(source, target, {"number": 7}, expect=[tmp_path / "made.txt"], root=tmp_path)
    assert (tmp_path / "made.txt").read_text() == "7"
    runner.check(target)


def test_an_error_is_told_in_a_line_and_the_old_copy_stays(tmp_path):
    target = tmp_path / "a.ipynb"
    target.write_text("the last good one")
    source = notebook(tmp_path / "source.ipynb", "1 / 0")
    with pytest.raises(Problem, match=r"source.ipynb: cell \d: ZeroDivisionError") as caught:
        runner.execute(source, target, {}, expect=[], root=tmp_path)
    assert "\n" not in str(caught.value)
    assert target.read_text() == "the last good one"
    assert (tmp_path / "a.failed.ipynb").is_file()


def test_a_missing_file_and_an_unknown_parameter_are_refused(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "pass")
    with pytest.raises(Problem, match=r"did not write .*wanted.csv"):
        runner.execute(source, tmp_path / "b.ipynb", {}, expect=[tmp_path / "wanted.csv"], root=tmp_path)
    assert not (tmp_path / "b.ipynb").exists()
    with pytest.raises(Misuse, match="no parameter 'numbr'"):
        runner.execute(source, tmp_path / "b.ipynb", {"numbr": 1}, expect=[], root=tmp_path)


def test_a_killed_kernel_is_told_and_leaves_nothing(tmp_path):
    source = notebook(tmp_path / "a.ipynb", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(Problem, match="kernel ended"):
        runner.execute(source, tmp_path / "b.ipynb", {}, expect=[], root=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb"]
