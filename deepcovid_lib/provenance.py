"""Where each figure and table comes from: its notebook cell, the library functions behind it, and their tests.

Read from the notebooks and the tests themselves, so that the paper map cannot fall behind the code.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat

LIBRARY = "deepcovid_lib"
SHOWN_BY = ("figure", "table")
LEFT_OUT = ("artefacts", "runs", "style", "doctor")


class Origin(NamedTuple):
    """Where an artefact is made.

    Attributes
    ----------
    slug : str
        With ``{}`` for what a loop fills in, e.g. ``"fig-confusion-{}"``.
    notebook, cell : str
        The notebook's name and the cell's identity.
    functions : tuple of str
        The library functions that its numbers and lines come from, e.g. ``("figures.roc", "stages.all_scores")``:
        first those the call itself names, then those behind the variables it uses.
    """

    slug: str
    notebook: str
    cell: str
    functions: tuple[str, ...]


class Case(NamedTuple):
    """A test: its file, name and source, and the library functions it calls."""

    file: str
    name: str
    source: str
    functions: frozenset[str]


def origins(path: Path) -> list[Origin]:
    """Return the origin of every artefact that a notebook publishes.

    Parameters
    ----------
    path : Path
        A notebook, executed or not.

    Examples
    --------
    >>> import tempfile
    >>> cell = "from deepcovid_lib import artefacts, figures\\nartefacts.figure(run, 'fig-x', lambda: figures.roc(s))"
    >>> notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id="c")])
    >>> place = Path(tempfile.mkdtemp()) / "roc.ipynb"
    >>> nbformat.write(notebook, place)
    >>> origins(place)
    [Origin(slug='fig-x', notebook='roc', cell='c', functions=('figures.roc',))]
    """
    modules: set[str] = set()
    behind: dict[str, tuple[str, ...]] = {}
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE))
        modules |= {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == LIBRARY
            for alias in node.names
        }
        for node in ast.walk(tree):
            for names, value in _bindings(node):
                called = _called(value, modules, behind)
                behind |= {name: _merged(behind.get(name, ()), called) for name in names}
        found += [
            Origin(_pattern(call.args[1]), path.stem, cell.id, _of_call(call, modules, behind))
            for call in ast.walk(tree)
            if _publishes(call)
        ]
    return found


def matches(pattern: str, slug: str) -> bool:
    """Say whether a slug is one of a pattern's.

    Examples
    --------
    >>> matches("fig-confusion-{}", "fig-confusion-resnet18"), matches("fig-roc", "fig-roc-x")
    (True, False)
    """
    return re.fullmatch(re.escape(pattern).replace(re.escape("{}"), r"[a-z0-9_]+"), slug) is not None


def cases(folder: Path) -> list[Case]:
    """Return every test of a folder with the library functions it calls, itself or through a helper of its file.

    Where the folder is not there, as beside an installed package, there are none.
    """
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imported = {
            alias.asname or alias.name: f"{node.module.removeprefix(LIBRARY + '.')}.{alias.name}"
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{LIBRARY}.")
            for alias in node.names
        }
        direct = {name: _mentions(node, imported) for node in tree.body for name in _defines(node)}
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            helpers = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            helpers |= {argument.arg for argument in node.args.args}
            functions = direct[node.name].union(*(direct[name] for name in helpers & direct.keys()))
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
            found.append(Case(path.relative_to(folder).as_posix(), node.name, source, frozenset(functions)))
    return found


@cache
def documented(function: str) -> str:
    """Return the full name under which a library function is documented.

    Examples
    --------
    >>> documented("metrics.auc_interval")
    'deepcovid_lib.areas.auc_interval'
    """
    module, _, name = function.rpartition(".")
    for node in _statements(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{LIBRARY}."):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return documented(f"{node.module.removeprefix(LIBRARY + '.')}.{alias.name}")
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return f"{LIBRARY}.{function}"
    raise AttributeError(f"{LIBRARY}.{module} defines no function or class '{name}'")


def _publishes(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "artefacts"
        and node.func.attr in SHOWN_BY
        and len(node.args) > 1
    )


def _pattern(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) else "{}"


def _of_call(call: ast.Call, modules: set[str], behind: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    shown = [*call.args[2:], *(keyword.value for keyword in call.keywords if keyword.arg not in ("caption", "films"))]
    found: tuple[str, ...] = ()
    for node in shown:
        found = _merged(found, _called(node, modules, behind))
    return tuple(sorted(found, key=lambda name: name.startswith("stages.")))


def _called(node: ast.AST, modules: set[str], behind: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The library functions a piece of code names, then those behind the variables it uses."""
    direct, indirect = [], []
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in modules:
            if part.value.id not in LEFT_OUT and part.attr in _functions(part.value.id):
                direct.append(f"{part.value.id}.{part.attr}")
        elif isinstance(part, ast.Name):
            indirect += behind.get(part.id, ())
    return tuple(dict.fromkeys(direct + indirect))


@cache
def _functions(module: str) -> set[str]:
    """The functions and classes of a library module."""
    statements = _statements(module)
    own = {part.name for part in statements if isinstance(part, ast.FunctionDef | ast.ClassDef)}
    return own | {each.name for part in statements if isinstance(part, ast.ImportFrom) for each in part.names}


@cache
def _statements(module: str) -> list[ast.stmt]:
    """The statements of a library module, read and not imported: torch is slow to import."""
    path = Path(importlib.util.find_spec(f"{LIBRARY}.{module}").origin)
    return ast.parse(path.read_text(encoding="utf-8")).body


def _bindings(node: ast.AST) -> list[tuple[set[str], ast.AST]]:
    """The names a statement binds, with what they are bound to."""
    if isinstance(node, ast.Assign):
        return [(_names(target), node.value) for target in node.targets]
    if isinstance(node, ast.For | ast.comprehension):
        return [(_names(node.target), node.iter)]
    if isinstance(node, ast.FunctionDef):
        return [({node.name}, node)]
    return []


def _names(target: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _merged(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*one, *other]))


def _defines(node: ast.AST) -> set[str]:
    """The names of a file's own functions and tables, through which its tests may reach the library."""
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    return set().union(*map(_names, node.targets)) if isinstance(node, ast.Assign) else set()


def _mentions(node: ast.AST, imported: dict[str, str]) -> set[str]:
    parts = list(ast.walk(node))
    dotted = {
        f"{part.value.id}.{part.attr}"
        for part in parts
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name)
    }
    return dotted | {imported[part.id] for part in parts if isinstance(part, ast.Name) and part.id in imported}
