"""Artefacts: figures, tables and values as files with their records."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepcovid_lib import artefacts, figures, runs
from deepcovid_lib.files import sha256
from deepcovid_lib.problems import Problem


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path))
    return runs.begin("tiny")


def draw():
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.6], "accuracy": [0.5, 0.8]})
    return figures.training({"resnet18": history})


def test_a_figure_leaves_every_format_and_the_same_bytes_twice(run):
    artefacts.figure(run, "fig-training-resnet18", draw, caption="Loss.")
    folder = run.folder / "figures"
    kinds = {path.name.removeprefix("fig-training-resnet18") for path in folder.iterdir()}
    assert kinds == {".svg", "-dark.svg", ".png", ".pdf", ".csv", ".json"}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    artefacts.figure(run, "fig-training-resnet18", draw, caption="Loss.")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_papers_number_goes_with_its_artefact(run):
    artefacts.figure(run, "fig-roc", draw, caption="x")
    assert "10" in json.loads((run.folder / "figures" / "fig-roc.json").read_text())["number"]


def test_a_table_keeps_its_numbers_and_shows_them_rounded(run):
    frame = pd.DataFrame({"model": ["resnet18"], "sensitivity": [39 / 40], "auc": [float("nan")], "films": [3000]})
    headings = {"model": "model", "sensitivity": "sensitivity %", "auc": "AUC", "films": "films"}
    shown = artefacts.table(run, "tab-x", frame, caption="x", headings=headings)
    record = json.loads((run.folder / "tables" / "tab-x.json").read_text())
    assert record["headings"] == ["model", "sensitivity", "AUC", "films"]
    assert record["cells"] == [["ResNet18", "97.5%", "–", "3,000"]]
    assert pd.read_csv(run.folder / "tables" / "tab-x.csv")["sensitivity"].item() == 0.975
    told = shown._repr_mimebundle_()[1]["deepcovid"]
    artefacts.check(run, told, file="a.ipynb")
    path = run.folder / "tables" / "tab-x.csv"
    path.write_text(path.read_text().replace("0.975", "0.999"))
    with pytest.raises(Problem, match="a.ipynb: shows 'tab-x', changed since it was made"):
        artefacts.check(run, told, file="a.ipynb")
    (run.folder / "tables" / "tab-x.json").unlink()
    with pytest.raises(Problem, match="shows 'tab-x', which the run does not hold"):
        artefacts.check(run, told, file="a.ipynb")
    with pytest.raises(Problem, match="no column 'none'"):
        artefacts.table(run, "tab-x", frame, caption="x", headings={"none": "none"})


def test_values_are_quoted_and_a_key_kept_twice_is_refused(run):
    artefacts.values(run, "one", {"a": 1})
    assert artefacts.quoted(run.folder) == {"a": "1"}
    artefacts.values(run, "two", {"a": 2})
    with pytest.raises(Problem, match="'a' is kept twice"):
        artefacts.quoted(run.folder)


def test_changed_values_are_refused(run):
    artefacts.values(run, "one", {"a": 1})
    told = {"values": "one", "sha256": sha256(run.folder / "values" / "one.json")}
    artefacts.check(run, told, file="a.ipynb")
    artefacts.values(run, "one", {"a": 2})
    with pytest.raises(Problem, match="a.ipynb: shows values 'one', changed since it was made"):
        artefacts.check(run, told, file="a.ipynb")


@pytest.mark.parametrize(("heading", "told"), [("p", "0.0498"), ("p after Holm", "0.0498"), ("part", "0.050")])
def test_a_p_value_below_the_level_is_shown_below_it(heading, told):
    assert artefacts._cell(0.04975, heading) == told


def size_of(folder, slug):
    """Inches of a figure's vector file."""
    head = (folder / f"{slug}.svg").read_text()[:2000]
    return [float(re.search(rf'{side}="([\d.]+)pt"', head).group(1)) / 72 for side in ("width", "height")]


def test_a_figure_of_synthetic_films_says_so_below_and_one_without_results_does_not(run):
    artefacts.figure(run, "fig-training-resnet18", draw, caption="x")
    artefacts.figure(run, "fig-audit-roc", draw, caption="x", results="none")
    folder = run.folder / "figures"
    told, silent = (
        json.loads((folder / f"{slug}.json").read_text()) for slug in ("fig-training-resnet18", "fig-audit-roc")
    )
    assert told["nature"] == ["synthetic radiographs, untrained networks"]
    assert silent["nature"] == []
    assert told["height"] - silent["height"] == round(artefacts.MARK * 96)
    assert [round(96 * side) for side in size_of(folder, "fig-training-resnet18")] == [told["width"], told["height"]]


@pytest.mark.parametrize(
    ("nature", "words"),
    [
        (
            ["synthetic radiographs, networks pretrained on ImageNet"],
            "Synthetic radiographs, networks pretrained on ImageNet",
        ),
        (["real films, untrained networks"], "Real films, untrained networks"),
        (["real films, networks pretrained on ImageNet"], None),
        ([], None),
    ],
)
def test_the_mark_below_a_figure_is_there_where_it_is_no_evidence(nature, words):
    drawing = draw()
    height = drawing.figure.get_size_inches()[1]
    box = artefacts._marked(drawing.figure, nature)["bbox_inches"]
    assert [text.get_text() for text in drawing.figure.texts] == ([words] if words else [])
    assert (box.height > height) == bool(words)


def test_a_table_and_a_recorded_figure_keep_whose_they_are(run):
    artefacts.table(run, "tab-x", pd.DataFrame({"a": [1]}), caption="x")
    assert json.loads((run.folder / "tables" / "tab-x.json").read_text())["nature"] == [
        "synthetic radiographs, untrained networks"
    ]
    assert artefacts._nature(run, "run", "open-cxr-weights-random") == ["real films, untrained networks"]
    assert artefacts._nature(run, "run", "recipes-phantom") == ["synthetic radiographs, untrained networks"]
    for plan in ("benchmarks", "covid-xray-5k-rebuilt"):
        assert artefacts._nature(run, "run", plan) == [], "it has no scores"


def test_on_real_films_what_is_of_phantoms_says_so(run):
    real = runs.begin("covid-xray-5k")
    kinds = {
        "fig-positive-control": {"results": "phantoms"},
        "fig-recipes": {"beside": "recipes-phantom"},
        "fig-audit-roc": {"results": "none"},
        "fig-roc": {},
    }
    for slug, of in kinds.items():
        artefacts.figure(real, slug, draw, caption="x", **of)
    known = {slug: json.loads((real.folder / "figures" / f"{slug}.json").read_text()) for slug in kinds}
    own = ["real films, networks pretrained on ImageNet"]
    assert [each["nature"] for each in known.values()] == [
        ["synthetic radiographs"],
        [*own, "recorded: synthetic radiographs, untrained networks"],
        [],
        own,
    ]
    marked = [slug for slug, each in known.items() if each["height"] > known["fig-roc"]["height"]]
    assert marked == ["fig-positive-control", "fig-recipes"]
    drawing = draw()
    artefacts._marked(drawing.figure, known["fig-recipes"]["nature"])
    assert [each.get_text() for each in drawing.figure.texts] == ["Recorded: synthetic radiographs, untrained networks"]
    mixed = artefacts._nature(runs.begin("open-cxr", settings={"weights": "random"}), "run", "", "recipes-phantom")
    drawing = draw()
    artefacts._marked(drawing.figure, mixed)
    assert drawing.figure.texts[0].get_text().splitlines() == [
        "Real films, untrained networks",
        "Recorded: synthetic radiographs, untrained networks",
    ]
    artefacts.table(real, "tab-audit-auc", pd.DataFrame({"a": [1]}), caption="x", results="none")
    assert json.loads((real.folder / "tables" / "tab-audit-auc.json").read_text())["nature"] == []


def test_the_mark_leaves_everything_above_it_where_it_was():
    rng = np.random.default_rng(0)
    labels = ["covid"] * 20 + ["non_covid"] * 80
    scores = pd.DataFrame({"label": labels, "patient_id": range(100), "score": rng.uniform(size=100)})
    pictures = []
    for nature in ([], ["synthetic radiographs"]):
        drawn, picture = figures.roc({"resnet18": scores, "resnet50": scores}).figure, io.BytesIO()
        drawn.savefig(picture, dpi=artefacts.SCREEN_DPI, facecolor="white", **artefacts._marked(drawn, nature))
        pictures.append(np.asarray(Image.open(picture).convert("L")))
    plain, marked = pictures
    assert len(marked) == len(plain) + round(artefacts.SCREEN_DPI * artefacts.MARK)
    moved = np.abs(marked[: len(plain)].astype(int) - plain) > 64
    assert moved.sum() < 20, "a pixel here and there by rounding"
    assert (marked[len(plain) :] < 200).any()
