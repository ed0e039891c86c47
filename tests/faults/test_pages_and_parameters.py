"""Text from data stays text, parameters are known ones, and nothing of the machine or of patients gets out."""

import base64
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from html import unescape

import checkouts
import nbformat
import numpy as np
import pytest
import yaml

from deepcovid_lib import cli, editions, figures, heads, manifest, runner, runs, stages, staging, style
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Misuse, Problem

SCRIPT = "<script>alert(1)</script>"
HOSTILE = SCRIPT + "{value}`none` </table> **bold** $x^{$ \"q\" 'q' [a](javascript:alert(1))"
SECRET = "planted-secret-4711"
USER = "planteduser"


def run_in(folder, *command, home, **more):
    """Run a command of the library in a checkout, as a user whose name and secrets must not get out."""
    environment = {**os.environ, "DEEPCOVID_ROOT": str(folder), "PYTHONPATH": str(folder)}
    environment |= {"HOME": str(home), "USER": USER, "LOGNAME": USER, "SECRET_TOKEN": SECRET, **more}
    told = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=folder, env=environment)
    assert told.returncode == 0, told.stderr
    return told


@pytest.fixture(scope="session")
def hostile(undisturbed, tmp_path_factory):
    """A public book of a run whose names are hostile and whose films must stay in: (checkout, run folder, book)."""
    home = tmp_path_factory.mktemp("home") / USER
    home.mkdir()
    folder = checkouts.copied(tmp_path_factory.mktemp("hostile") / "checkout")
    shutil.rmtree(folder / "tests")  # a page shows their code, this file's planted words with it
    results = folder / "results" / "hostile"
    shutil.copytree(undisturbed / "results" / "tiny", results)
    shutil.copytree(undisturbed / "cache", folder / "cache")
    settings = {"about": HOSTILE, "publish_films": False, "title": HOSTILE}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCOVID_ROOT", str(folder))
        (results / "run.yaml").unlink()
        runs.begin("tiny", name="hostile", settings=settings)
    rows = manifest.read(results / "manifest.csv")
    other = (rows["label"] != "covid") & (rows["finding"] != "No Finding")
    rows.loc[other, "finding"] = HOSTILE
    rows["patient_id"] += HOSTILE
    rows["image_id"] += HOSTILE
    manifest.write(rows, results / "manifest.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPCOVID_ROOT", str(folder))
        stages._note_curated(runs.reopen("hostile"), results / "manifest.csv")
    for path in results.glob("fits/*/*/*/head.safetensors"):
        head, told = heads.load(path, expect={})
        heads.save(path, head, told | {"manifest": sha256(results / "manifest.csv")})
    for path in (results / "notebooks").glob("*.ipynb"):
        known = nbformat.read(path, as_version=4)
        known.metadata["papermill"]["parameters"].update(run_name="hostile", settings=settings)
        nbformat.write(known, path)
        runner.seal(path, {}, {})
    for notebook in ("dataset", "augmentation"):
        run_in(folder, "deepcovid_lib.runner", notebook, "hostile", home=home)
    told = run_in(folder, "deepcovid_lib.cli", "book", "--run", "hostile", "--audience", "public", home=home)
    assert not told.stderr.count("Traceback")
    book = folder / (results / "book-public.txt").read_text().split()[0]
    return folder, results, book


@pytest.mark.fault(
    "pages",
    "a finding holds dollar signs and what would be broken mathematics",
    done="figures draw it as the text that it is",
    lost="nothing",
    rerun="nothing to do",
)
def test_figures_draw_text_from_data_as_text(tmp_path):
    film = np.full((8, 8), 90, np.uint8)
    with style.theme("light"):
        drawing = figures.samples([[(film, HOSTILE)]], ["Other disease"])
        drawing.figure.savefig(tmp_path / "a.svg")
        titles = [axes.get_title(loc="center") for axes in drawing.figure.axes]
    assert any("$x^{$" in title for title in titles)
    assert SCRIPT not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def texts(*folders):
    """The text of every file that is read as one, by its path."""
    kinds = (".html", ".svg", ".json", ".csv", ".ipynb", ".js", ".txt", ".md", ".yaml")
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds and path.is_file()]
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in found}


@pytest.mark.slow_fault
@pytest.mark.fault(
    "pages",
    "finding, patient_id, image_id, title and about hold a script, a role, the end of a table, a link and mathematics",
    done="every page and picture shows them as the text that they are",
    lost="nothing",
    rerun="nothing to do",
)
def test_text_from_data_stays_text_on_every_page(hostile):
    _, _, book = hostile
    pages = {path: text for path, text in texts(book).items() if path.suffix in (".html", ".svg")}
    assert len(pages) > 10
    for path, text in pages.items():
        assert SCRIPT not in text, path
        assert not re.search(r'href="javascript:', text), path
        assert "<strong>bold</strong>" not in text, path
    dataset = (book / "notebooks" / "dataset.html").read_text(encoding="utf-8")
    assert SCRIPT in unescape(dataset), "the hostile text was not on the page at all"
    assert dataset.count("<table") == dataset.count("</table")
    assert all(HOSTILE in unescape(text) for path, text in pages.items() if path.parent.name == "notebooks")


@pytest.mark.slow_fault
@pytest.mark.fault(
    "privacy",
    "the user's name, home folder, the machine's name, the checkout's place and a secret are in the environment",
    done="none of them is in an executed notebook, a figure, its metadata, a CSV, a record or a page",
    lost="nothing",
    rerun="nothing to do",
)
def test_nothing_of_the_machine_gets_out(hostile, count_inputs):
    folder, results, book = hostile
    words = [USER, SECRET, str(folder)] + [name for name in [platform.node()] if len(name) > 6]
    made = [book, *(results / name for name in ("notebooks", "figures", "tables", "values", "features", "fits"))]
    files = [path for place in made for path in place.rglob("*") if path.is_file()]
    files += [results / "facts.json", results / "manifest.csv"]
    for path in files:
        content = path.read_bytes()
        for word in words:
            assert word.encode() not in content, f"{word} in {path}"
    count_inputs(len(files))


def pictures(text):
    """The pictures within a text, as their bytes."""
    found = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=\s]+)", text)
    found += re.findall(r'"image/png": "([A-Za-z0-9+/=\\n]+)"', text)
    return {base64.b64decode(re.sub(r"\\n|\s", "", data)) for data in found}


@pytest.mark.slow_fault
@pytest.mark.fault(
    "privacy",
    "a book is published of a run whose films must not appear",
    done="no figure with films, and no copy of one in a page, a download, a source or another picture, is in the book",
    lost="nothing",
    rerun="nothing to do",
)
def test_no_film_is_in_a_public_book(hostile, count_inputs):
    _, results, book = hostile
    records = [json.loads(path.read_text()) for path in results.glob("figures/*.json")]
    shown = [record["slug"] for record in records if record["films"]]
    assert {"fig-samples", "fig-marked-areas", "fig-augmentation"} <= set(shown)
    kept_in = [path for slug in shown for path in results.glob(f"figures/{slug}*") if path.suffix != ".json"]
    films = {path.read_bytes() for path in kept_in if path.suffix in (".png", ".svg", ".pdf")}
    films |= {picture for path in kept_in if path.suffix == ".svg" for picture in pictures(path.read_text())}
    films |= {picture for path in results.glob("notebooks/dataset.ipynb") for picture in pictures(path.read_text())}
    others = [path for path in results.glob("figures/*.svg") if not path.name.startswith(tuple(shown))]
    films -= {picture for path in others for picture in pictures(path.read_text())}
    assert len(films) > 10
    published = [path for path in book.rglob("*") if path.is_file()]
    for path in published:
        content = path.read_bytes()
        assert content not in films, path
        if path.suffix in (".html", ".svg", ".ipynb", ".json", ".js", ".txt"):
            assert not pictures(content.decode(errors="replace")) & films, path
        if path.parent.name != "at":  # where a permalink leads on
            assert not path.name.startswith(tuple(shown)), path
    count_inputs(len(published))


LOOSE = {
    "png": {"image/png": "iVBORw0KGgo="},
    "svg": {"image/svg+xml": "<svg/>"},
    "within html": {"text/html": '<img src="data:image/png;base64,iVBORw0KGgo=">'},
    "within markdown": {"text/markdown": "![film](data:image/png;base64,iVBORw0KGgo=)"},
    "within an svg within html": {"text/html": '<svg><image href="data:image/png;base64,iVBORw0KGgo="/></svg>'},
}


@pytest.mark.parametrize("kind", LOOSE)
@pytest.mark.fault(
    "privacy",
    "a notebook shows a picture that is no declared figure, also within HTML, Markdown or SVG",
    done="a public book of films that must stay in is refused; the line names the notebook",
    lost="nothing",
    rerun="publish the picture through artefacts.figure, which knows whether it shows films",
)
def test_a_loose_picture_stops_a_public_book(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    run = runs.begin("tiny")
    shown = nbformat.v4.new_output("display_data", data=LOOSE[kind])
    cell = nbformat.v4.new_code_cell("show()", outputs=[shown], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), run.folder / "a.ipynb")
    with pytest.raises(Problem, match=r"a\.ipynb: holds a picture that is no artefact; publish it"):
        staging._stage_notebook(run, "a", tmp_path / "page.ipynb", films=False)
    assert not (tmp_path / "page.ipynb").exists()


WRONG = [
    ("sed", 7, r"no key 'sed'.*nearest: seed"),
    ("recipe.epoch", 7, r"no key 'recipe.epoch'.*nearest: recipe.epochs"),
    ("split.covid.trian", 7, r"no key 'split.*trian'"),
    ("seed", "seven", r"key 'seed'.*it was 'seven'"),
    ("copies", 0, r"key 'copies'.*it was 0"),
    ("weights", "pretrained", r"key 'weights'.*it was 'pretrained'"),
    ("models", ["resnet19"], r"unknown model 'resnet19'.*nearest: resnet"),
    ("models", "resnet18", r"key 'models'.*it was 'resnet18'"),
    ("recipe", "fast", r"key 'recipe'.*it was 'fast'"),
    ("seed.more", 1, r"'seed' is not a group"),
]


@pytest.mark.parametrize(("key", "value", "told"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
@pytest.mark.fault(
    "parameters",
    "a setting has an unknown key, an unknown value or another type",
    done="one line with the key, the value or the nearest known key, before anything is made",
    lost="nothing",
    rerun="correct the setting",
)
def test_a_wrong_setting_is_told_with_the_nearest_known_one(tmp_path, monkeypatch, key, value, told):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    with pytest.raises(Misuse, match=told) as caught:
        runs.begin("tiny", settings={key: value})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.fault(
    "parameters",
    "a setting or a run's record holds YAML that would build an object",
    done="it is refused in one line; nothing is run",
    lost="nothing",
    rerun="write plain YAML",
)
def test_yaml_builds_no_objects(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    active = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{tmp_path}/made']]"
    assert cli.main(["curate", "--edition", "tiny", "--set", f"seed={active}"]) == 1
    record = tmp_path / "results" / "tiny" / "run.yaml"
    record.parent.mkdir(parents=True)
    record.write_text(f"edition: tiny\nsettings: {active}\nasked: {{}}\n")
    assert cli.main(["curate", "--run", "tiny"]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 2
    assert "cannot be read" in told[0]
    assert "not a run's record" in told[1]
    assert not (tmp_path / "made").exists()
    for path in editions.folder().glob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


PARAMETERS = [
    ({"setings": {}}, r"no parameter 'setings'; it takes edition, settings, count, rate \(nearest: settings\)"),
    ({"settings": "seed=7"}, r"parameter 'settings' is 'seed=7'; give a value of the type dict"),
    ({"edition": 7}, r"parameter 'edition' is 7; give a value of the type str"),
    ({"count": 1.5}, r"parameter 'count' is 1.5; give a value of the type int"),
    ({"rate": "much"}, r"parameter 'rate' is 'much'; give a value of the type float"),
]


@pytest.mark.parametrize(("parameters", "told"), PARAMETERS, ids=[next(iter(each)) for each, _ in PARAMETERS])
@pytest.mark.fault(
    "parameters",
    "a notebook is given an unknown parameter, or one of another type",
    done="one line with the nearest known name or the type that is wanted; the notebook is not run",
    lost="nothing",
    rerun="correct the parameter",
)
def test_a_wrong_parameter_of_a_notebook_is_refused(tmp_path, parameters, told):
    text = 'edition: str = "tiny"\nsettings: dict = {}\ncount: int = 1\nrate: float = 1.0'
    cells = [nbformat.v4.new_code_cell(text, metadata={"tags": ["parameters"]})]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "a.ipynb")
    with pytest.raises(Misuse, match=rf"a\.ipynb: {told}"):
        runner.execute(tmp_path / "a.ipynb", tmp_path / "b.ipynb", parameters, expect=[], root=tmp_path)
    assert not (tmp_path / "b.ipynb").exists()
    runner._accept({"edition": "open-cxr", "settings": {"seed": 7}, "count": 2, "rate": 2}, tmp_path / "a.ipynb")
