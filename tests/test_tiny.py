"""The whole way on the tiny edition, in an empty checkout: images to book, and again without work."""

import json
import subprocess
import sys
from pathlib import Path

import checkouts
from checkouts import reproduce

ROOT = Path(__file__).parent.parent


def test_images_to_book_and_again(tmp_path):
    checkout = checkouts.copied(tmp_path / "checkout")
    told = reproduce(checkout)
    assert told.returncode == 0, told.stderr
    assert (checkout / "_build" / "html" / "index.html").is_file()
    assert "steps" in told.stderr
    results = checkout / "results" / "tiny"
    facts = json.loads((results / "facts.json").read_text())
    assert {"curate", "dataset", "extract-resnet18", "finetune-resnet18", "roc-and-confusion", "book"} <= set(facts)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests" / "book_checks.py"),
        "--book",
        str(checkout / "_build" / "html"),
        "--run",
        str(results),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout
    checkouts.keep(checkout)

    stood = (checkout / "_build" / "html").readlink()
    again = reproduce(checkout)
    assert again.returncode == 0, again.stderr
    assert "[1/" not in again.stderr
    assert (checkout / "_build" / "html").readlink() == stood

    for spoil, restore, words in faults(checkout):
        spoil()
        refused = reproduce(checkout, "book")
        restore()
        assert refused.returncode == 1, refused.stderr
        assert words in refused.stderr.strip().splitlines()[-1]
        assert (checkout / "_build" / "html").readlink() == stood
        assert (checkout / "_build" / "html" / "index.html").is_file()

    notebook = checkout / "notebooks" / "reliability.ipynb"
    notebook.write_text(notebook.read_text().replace("from deepcovid_lib import", "1 / 0; from deepcovid_lib import"))
    broken = reproduce(checkout)
    assert broken.returncode == 1
    last = broken.stderr.strip().splitlines()[-1]
    assert "reliability.ipynb" in last
    assert "ZeroDivisionError" in last
    assert (checkout / "_build" / "html").readlink() == stood


def faults(checkout):
    """What must stop a book, each with its remedy and the words that name it."""
    results = checkout / "results" / "tiny"

    def replacing(path, old, new):
        before = path.read_text(encoding="utf-8")
        return lambda: path.write_text(before.replace(old, new, 1)), lambda: path.write_text(before)

    executed = results / "notebooks" / "scores.ipynb"
    error = '"outputs": [{"output_type": "error", "ename": "PlantedError", "evalue": "", "traceback": []}]'
    yield *replacing(executed, '"outputs": []', error), "scores.ipynb: cell"
    figure = results / "figures" / "fig-roc.json"
    aside = figure.with_suffix(".aside")
    yield lambda: figure.rename(aside), lambda: aside.rename(figure), "shows 'fig-roc', which the run does not hold"
    stray = checkout / "book" / "stray.md"
    yield lambda: stray.write_text("# Stray"), stray.unlink, "book/stray.md: is not in the table of contents"
    key = replacing(results / "values" / "roc-and-confusion.json", "auc-lowest", "auc-least")
    yield *key, "shows values 'roc-and-confusion', changed since it was made"
    cell = replacing(results / "tables" / "tab-auc.json", "0.", "1.")
    yield *cell, "shows 'tab-auc', changed since it was made"
    page = replacing(checkout / "index.md", "{value}`run-name`", "{value}`no-such-key`")
    yield *page, "the run holds no value 'no-such-key'"
