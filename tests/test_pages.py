"""The Sphinx extension: artefacts, values and mathematics, escaped; what is missing fails the build."""

import io
import json

import pytest
from sphinx.application import Sphinx

from deepcovid_lib import pages

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def build(tmp_path):
    results = tmp_path / "results"
    (results / "tables").mkdir(parents=True)
    (results / "values").mkdir()
    (results / "figures").mkdir()
    table = {
        "slug": "tab-x",
        "kind": "table",
        "caption": f"Names {NASTY}",
        "number": "Table I",
        "headings": ["name", "n"],
        "cells": [[NASTY, "3"]],
    }
    (results / "tables" / "tab-x.json").write_text(json.dumps(table))
    figure = {
        "slug": "fig-x",
        "kind": "figure",
        "caption": "A curve",
        "number": "",
        "alt": f'"{NASTY}',
        "width": 10,
        "height": 10,
        "films": True,
    }
    (results / "figures" / "fig-x.json").write_text(json.dumps(figure))
    (results / "values" / "n.json").write_text(json.dumps({"auc": NASTY}))

    imprint = {
        "page": "other",
        "cell": "c-1",
        "functions": ["tables.auc", "stages.all_scores"],
        "tested": ["tables.auc"],
        "about": [["Run", NASTY], ["Seed", "7"]],
        "bibtex": f'@misc{{x, title = "{NASTY}"}}',
    }
    (tmp_path / "imprints.json").write_text(json.dumps({"tab-x": imprint, "fig-x": imprint}))

    def run(text, films=True):
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / "index.md").write_text(text)
        warnings = io.StringIO()
        settings = {
            "extensions": ["myst_parser", "deepcovid_lib.pages"],
            "myst_enable_extensions": ["dollarmath"],
            "html_math_renderer": "mathml",
            "numfig": True,
            "deepcovid_results": str(results),
            "deepcovid_films": films,
            "deepcovid_imprints": str(tmp_path / "imprints.json"),
        }
        app = Sphinx(
            source,
            None,
            tmp_path / "out",
            tmp_path / "trees",
            "html",
            settings,
            status=None,
            warning=warnings,
            freshenv=True,
        )
        app.build()
        told = [line for line in warnings.getvalue().splitlines() if "is already registered" not in line]
        return (tmp_path / "out" / "index.html").read_text(), "\n".join(told)

    return run


def test_tables_and_figures_are_numbered_and_text_from_data_stays_text(build):
    page, warnings = build(
        "# T\n\n```{artefact} tab-x\n```\n\n```{artefact} fig-x\n```\n\n"
        "{numref}`tab-x` and {numref}`fig-x`; {value}`auc`\n"
    )
    assert not warnings
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "(Paper Table I)" in page
    assert 'href="files/tab-x.csv"' in page
    assert "Table 1" in page
    assert "Fig. 1" in page


def test_films_are_left_out_of_a_public_page(build):
    page, _ = build("# T\n\n```{artefact} fig-x\n```\n", films=False)
    assert "fig-x.svg" not in page
    assert "stay out of the published book" in page


def test_an_imprint_stands_under_its_artefact_and_leads_to_code_tests_and_citation(build):
    page, warnings = build("# T\n\n```{artefact} tab-x\n```\n")
    assert not warnings
    assert '<a class="code" href="other.html#code-c-1">' in page
    assert '<a class="test" href="book/tests.html#tests-of-tables-auc">' in page
    assert 'href="book/library.html#deepcovid_lib.tables.auc"' in page
    assert 'data-text="at/tab-x.html"' in page
    assert "@misc{x, title = &quot;&lt;script&gt;" in page
    assert "<dt>Seed</dt><dd>7</dd>" in page
    assert "<script>alert" not in page


def test_a_figure_shown_again_leads_to_its_place(build):
    page, warnings = build("# T\n\n```{artefact} fig-x\n:again:\n```\n")
    assert not warnings
    assert 'href="other.html#fig-x"' in page
    assert 'id="fig-x"' not in page
    assert "numbered where it stands" in build("# T\n\n```{artefact} tab-x\n:again:\n```\n")[1]


def test_mathematics_becomes_mathml(build):
    page, _ = build("# T\n\n$$r = z \\sqrt{p}$$\n")
    assert "<math" in page
    assert "<msqrt>" in page


@pytest.mark.parametrize("text", ["```{artefact} tab-none\n```", "{value}`none`"])
def test_what_the_run_does_not_hold_is_a_warning_and_so_fails_the_build(build, text):
    assert "none" in build(f"# T\n\n{text}\n")[1]


def test_launch_and_edit_links_lead_to_the_source_notebook_and_the_download_stays():
    page, source = "notebooks/finetune-resnet18.ipynb", "notebooks/finetune.ipynb"
    colab = "https://colab.research.google.com/github/owner/name/blob/main/"
    buttons = [{"buttons": [{"url": colab + page}, {"url": f"_sources/{page}"}]}, {"url": "#", "buttons": []}]
    pages._relink(buttons, page, source)
    assert buttons[0]["buttons"] == [{"url": colab + source}, {"url": f"_sources/{page}"}]
