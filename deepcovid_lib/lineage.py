"""Which files of the library a notebook's numbers hang on, read from the import statements themselves.

What a run keeps as files (its manifest, its heads and scores) is followed no further: the code that makes those has
rules and fingerprints of its own.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from deepcovid_lib.files import fingerprint

LIBRARY = Path(__file__).parent
CURATING = ("images", "forms", "leakage", "manifest", "curation", "sources", "phantoms")
TRAINING = ("images", "backbones", "engines", "features", "finetune", "scaling", "heads")
PASSING = ("torch", "torchvision", "openvino", "numpy", "pillow")  # carry an image to its feature
PACKAGES = (*PASSING, "pandas", "scikit-learn", "deepcovid-lib")  # can bear on a number
ASKED_FOR_CURATION = ("positives", "negatives", "split", "seed", "folders", "options")
GATE = "stages"
DRAWN = "figures"
SETUP = "setup"


def code(modules: Iterable[str]) -> str:
    """Return a fingerprint of modules and packages of the library and of the stages, without importing any.

    Examples
    --------
    >>> len(code(TRAINING)), code(TRAINING) == code(CURATING)
    (12, False)
    """
    return fingerprint(*(path for name in (*modules, GATE) for path in _sources(name)))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed.

    Examples
    --------
    >>> list(versions(["numpy", "no-such-package"]))
    ['numpy']
    """
    known = {}
    for package in packages:
        try:
            known[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return known


def library(*modules: str) -> list[str]:
    """List the files of modules and of all that they import, as ``deepcovid_lib/...``.

    Parameters
    ----------
    *modules : str
        E.g. ``"features"``, ``"sources.phantom"``, or a package, which stands for all its modules.

    Examples
    --------
    >>> library("paper")
    ['deepcovid_lib/paper.py', 'deepcovid_lib/paper.yaml']
    """
    found: set[Path] = set()
    waiting = [path for name in modules for path in _sources(name)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    data = {path.with_suffix(".yaml") for path in found} | {path.with_suffix(".css") for path in found}
    listed = found | {path for path in data if path.is_file()}
    return sorted(f"{LIBRARY.name}/{path.relative_to(LIBRARY).as_posix()}" for path in listed)


def notebook(path: Path) -> list[str]:
    """List the files of the library that a notebook's numbers and pictures hang on.

    Its setup cell, which looks at the machine, is left out; of the figures only those it draws are followed.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    own = [cell for cell in cells if cell["cell_type"] == "code" and SETUP not in cell["metadata"].get("tags", [])]
    text = "\n".join("".join(cell["source"]) for cell in own)
    return library(*_named(ast.parse(re.sub(r"^\s*[%!].*$", "", text, flags=re.MULTILINE))))


def _sources(name: str) -> list[Path]:
    place = LIBRARY.joinpath(*name.split("."))
    return sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


@cache
def _imported(path: Path) -> list[Path]:
    """The files that a file of the library imports, within its functions too."""
    names = _named(ast.parse(path.read_text(encoding="utf-8")))
    if path.stem == GATE:
        names = {name for name in names if name.split(".")[0] not in {*CURATING, *TRAINING}}
    if path.parent.name == DRAWN and path.stem == "__init__":
        return []
    return [source for name in names for source in _sources(name)]


def _named(tree: ast.AST) -> set[str]:
    """The modules that a tree imports; of the figures the ones that define what it draws."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == LIBRARY.name:
            package = node.module.split(".")[1:]
            for alias in node.names:
                whole = ".".join([*package, alias.name])
                names |= {_module(whole) or _module(".".join(package)), _module(".".join(package[:1]))}
    if f"{DRAWN}.__init__" in names:
        names |= {_drawing()[name] for name in _attributes(tree) & _drawing().keys()}
    return names - {""}


def _module(name: str) -> str:
    """The module that an import of this name runs, empty where it names none; a package runs its ``__init__``."""
    place = LIBRARY.joinpath(*name.split("."))
    if name and place.is_dir():
        return f"{name}.__init__"
    return name if name and place.with_suffix(".py").is_file() else ""


@cache
def _drawing() -> dict[str, str]:
    """The module that defines each figure."""
    tree = ast.parse((LIBRARY / DRAWN / "__init__.py").read_text(encoding="utf-8"))
    statements = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module.partition(".")[2] for node in statements for alias in node.names}


def _attributes(tree: ast.AST) -> set[str]:
    reads = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
    return {node.attr for node in reads if node.value.id == DRAWN}
