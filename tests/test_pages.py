"""The Sphinx extension: artefacts, values and mathematics, escaped; what is missing fails the build."""

import io
import json

import pytest
from sphinx.application import Sphinx

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
        return (tmp_path / "out" / "index.html").read_text(), warnings.getvalue()

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


def test_mathematics_becomes_mathml(build):
    page, _ = build("# T\n\n$$r = z \\sqrt{p}$$\n")
    assert "<math" in page
    assert "<msqrt>" in page


@pytest.mark.parametrize("text", ["```{artefact} tab-none\n```", "{value}`none`"])
def test_what_the_run_does_not_hold_is_a_warning_and_so_fails_the_build(build, text):
    assert "none" in build(f"# T\n\n{text}\n")[1]
