"""Two pages that are written from the code: the paper map, and the tests behind the paper's elements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deepcovid_lib import paper, provenance
from deepcovid_lib.problems import Problem
from deepcovid_lib.provenance import Case

FUNCTIONS_OF_EQUATIONS = {
    "eq-cross-entropy": "metrics.cross_entropy",
    "eq-sensitivity-specificity": "metrics.sensitivity_specificity",
    "eq-confidence": "metrics.proportion_interval",
}
KINDS = {"table": "Table", "figure": "Fig.", "equation": "Eq."}
SHOWN_TESTS = 1
DRAWN_BY = ("figures", "tables", "verdicts", "diagrams")


def paper_map(imprints: Mapping[str, Mapping[str, Any]], equations: Mapping[str, str], tests: list[Case]) -> str:
    """Return the page that leads from every table, figure and equation of the paper to its place, code and tests.

    Parameters
    ----------
    imprints : mapping
        Of `imprints.gather`.
    equations : mapping of str to str
        Label to page, e.g. ``{"eq-confidence": "notebooks/reliability"}``.
    tests : list of provenance.Case

    Raises
    ------
    Problem
        Naming an equation without a place, or an element without a library function or, where tests are at hand,
        without a test.
    """
    rows = [_row(element, imprints, equations, tests) for element in paper.artefacts().itertuples()]
    table = [
        "````{list-table}",
        ":header-rows: 1",
        ":class: papermap",
        "",
        *_list_row("the paper's", "shows", "here", "notebook", "library", "tests"),
        *(line for row in rows for line in _list_row(*row)),
        "````",
    ]
    return "\n".join(
        [
            "# Where is everything?",
            "",
            "Every table, figure and equation of the paper, with the place where this book remakes it, the notebook "
            "that does it, the library function behind it and the tests of that function. The page is written from "
            "the notebooks and tests themselves; the build fails where one of them is missing.",
            "",
            *table,
            "",
        ]
    )


def page_of_tests(imprints: Mapping[str, Mapping[str, Any]], tests: list[Case]) -> str:
    """Return the page with the tests of every library function that an artefact or equation stands on.

    A test stands under the first function it calls; the sections of the others lead to it.
    """
    wanted = dict.fromkeys(function for imprint in imprints.values() for function in imprint["tested"])
    wanted |= dict.fromkeys(FUNCTIONS_OF_EQUATIONS.values())
    placed: dict[str, str] = {}
    lines = ["# What is tested?", ""]
    if not tests:
        return "\n".join([*lines, "The tests are in the project's checkout, which this book was built without.", ""])
    lines += [
        "The numbers and pictures of this book come from the functions below. Under each stand its tests, as they "
        "are run: against independent libraries, against the definition, and on input that must be refused.",
        "",
    ]
    for function in wanted:
        own = ranked(function, tests)
        new = [case for case in own if _label(case) not in placed]
        placed |= {_label(case): function for case in new}
        elsewhere = [case for case in own if case not in new]
        lines += [f"({section(function)})=", f"## {function}", "", f"Documented as {_function(function)}.", ""]
        if elsewhere:
            lines += ["Tested also by " + ", ".join(_test(case) for case in elsewhere) + ".", ""]
        for case in new:
            lines += [
                "````{code-block} python",
                f":name: {_label(case)}",
                f':caption: "{case.file}: {_told(case)}"',
                "",
                case.source,
                "````",
                "",
            ]
    return "\n".join(lines)


def equation_labels(text: str) -> list[str]:
    """Return the labels of the numbered equations in a page's Markdown.

    Examples
    --------
    >>> equation_labels("$$a = b$$ (eq-confidence)")
    ['eq-confidence']
    """
    return re.findall(r"^\$\$.*?\$\$ \(([\w-]+)\)\s*$", text, re.MULTILINE | re.DOTALL)


def section(function: str) -> str:
    """Return the label of a function's tests."""
    return f"tests-of-{function.replace('.', '-').replace('_', '-')}"


def ranked(function: str, tests: list[Case]) -> list[Case]:
    """Return the tests that call a function: its module's own first, those that name it before others."""
    names = {function, provenance.documented(function).removeprefix("deepcovid_lib.")}
    module, name = function.split(".")
    own = [case for case in tests if names & case.functions]
    return sorted(own, key=lambda case: (not case.file.endswith(f"test_{module}.py"), name not in case.name))


def _row(element: Any, imprints: Mapping, equations: Mapping[str, str], tests: list[Case]) -> tuple[str, ...]:
    number = f"{KINDS[element.kind]} {element.number}"
    if element.kind == "equation":
        label = next((label for label in equations if label.startswith(element.slug)), None)
        if label is None:
            raise Problem(f"no page holds the paper's {number}", remedy=f"label it ({element.slug}) in a notebook")
        functions, page = [FUNCTIONS_OF_EQUATIONS[element.slug]], equations[label]
        here = f"Eq. {{eq}}`{label}`"
    elif element.slug in imprints:
        imprint = imprints[element.slug]
        here = "kept out of the published book: patients' films" if imprint["hidden"] else f"{{numref}}`{element.slug}`"
        functions, page = imprint["functions"], imprint["page"]
    else:
        return number, element.title, "not in this run, which leaves this network out", "", "", ""
    drawn = [function for function in functions if function.partition(".")[0] in DRAWN_BY]
    first = drawn or [function for function in functions if not function.startswith("stages.")] or functions
    if not first:
        raise Problem(f"no library function stands behind the paper's {number} ('{element.slug}')")
    tested = list(dict.fromkeys(case for function in first for case in ranked(function, tests)))
    if tests and not tested:
        raise Problem(f"nothing tests {first[0]}, behind the paper's {number}", remedy="write a test that calls it")
    more = len(tested) - SHOWN_TESTS
    told = ", ".join(_test(case) for case in tested[:SHOWN_TESTS])
    if more > 0:
        known = next(function for function in first if ranked(function, tests))
        told += f" and [{more} more](#{section(known)})"
    return number, element.title, here, f"{{doc}}`/{page}`", ", ".join(map(_function, first)), told


def _list_row(*cells: str) -> list[str]:
    return [f"{'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(cells)]


def _function(name: str) -> str:
    return f"{{py:obj}}`{name} <{provenance.documented(name)}>`"


def _test(case: Case) -> str:
    return f"{{ref}}`{_told(case)} <{_label(case)}>`"


def _label(case: Case) -> str:
    return f"test-{case.file.removesuffix('.py')}-{case.name}".replace("/", "-").replace("_", "-").lower()


def _told(case: Case) -> str:
    return case.name.removeprefix("test_").replace("_", " ")
