"""The paper map and the page of tests: complete or refused."""

import re
from pathlib import Path

import pytest

from deepcovid_lib import paper, papermap, provenance
from deepcovid_lib.problems import Problem
from deepcovid_lib.provenance import Case

ROOT = Path(__file__).parent.parent
EQUATIONS = {
    "eq-cross-entropy-resnet18": "notebooks/finetune-resnet18",
    "eq-sensitivity-specificity": "notebooks/thresholds",
    "eq-confidence": "notebooks/reliability",
}


@pytest.fixture(scope="module")
def tests():
    return provenance.cases(ROOT / "tests")


@pytest.fixture(scope="module")
def imprints():
    known = {}
    origins = [origin for path in (ROOT / "notebooks").glob("*.ipynb") for origin in provenance.origins(path)]
    for slug in paper.artefacts().query("kind != 'equation'")["slug"]:
        origin = next(origin for origin in origins if provenance.matches(origin.slug, slug))
        functions = list(origin.functions)
        known[slug] = {
            "page": f"notebooks/{origin.notebook}",
            "functions": functions,
            "tested": functions,
            "hidden": False,
        }
    return known


def test_every_element_of_the_paper_has_a_place_a_function_and_a_test(imprints, tests):
    page = papermap.paper_map(imprints, EQUATIONS, tests)
    rows = re.split(r"^\* - ", page, flags=re.MULTILINE)[2:]
    assert len(rows) == len(paper.artefacts())
    for row in rows:
        assert re.search(r"\{numref\}|\{eq\}", row), row
        assert "{doc}`/notebooks/" in row
        assert "{py:obj}`" in row
        assert "{ref}`" in row


def test_what_the_run_leaves_out_and_what_stays_hidden_is_said(imprints, tests):
    fewer = {slug: known for slug, known in imprints.items() if not slug.endswith("resnet50")}
    assert "not in this run" in papermap.paper_map(fewer, EQUATIONS, tests)
    hidden = imprints | {"fig-samples": imprints["fig-samples"] | {"hidden": True}}
    page = papermap.paper_map(hidden, EQUATIONS, tests)
    assert "kept out of the published book" in page
    assert "{numref}`fig-samples`" not in page


def test_a_missing_equation_or_test_stops_the_build(imprints, tests):
    with pytest.raises(Problem, match="Eq. 3"):
        papermap.paper_map(
            imprints, {label: page for label, page in EQUATIONS.items() if label != "eq-confidence"}, tests
        )
    none = [case._replace(functions=case.functions - {"figures.roc"}) for case in tests]
    with pytest.raises(Problem, match=r"nothing tests figures.roc, behind the paper's Fig. 10"):
        papermap.paper_map(imprints, EQUATIONS, none)


def test_every_test_stands_once_and_every_link_has_its_target(imprints, tests):
    page = papermap.page_of_tests(imprints, tests)
    targets = re.findall(r"^:name: (\S+)$", page, re.MULTILINE) + re.findall(r"^\((\S+)\)=$", page, re.MULTILINE)
    assert len(targets) == len(set(targets))
    links = set(re.findall(r"\{ref\}`[^<`]+ <([^>]+)>`", page + papermap.paper_map(imprints, EQUATIONS, tests)))
    assert links <= set(targets)
    assert "figures.roc" in page


def test_a_book_without_the_tests_says_so(imprints):
    assert "built without" in papermap.page_of_tests(imprints, [])
    assert "{ref}" not in papermap.paper_map(imprints, EQUATIONS, [])


def test_tests_that_name_the_function_come_first():
    calls = frozenset({"figures.roc"})
    cases = [Case("test_a.py", "test_other", "", calls), Case("test_a.py", "test_the_roc", "", calls | {"x.y"})]
    assert [case.name for case in papermap.ranked("figures.roc", cases)] == ["test_the_roc", "test_other"]
