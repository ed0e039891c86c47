"""The project as a whole: what it declares, in which direction it imports, what its notebooks promise."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from deepcovid_lib import editions, paper

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ORDER = """
    problems files lineage progress style paper editions images phantoms sources downloads forms leakage manifest fits
    curation engines backbones features finetune scaling heads checks areas metrics ranges tables resolution audit
    counterparts verdicts pairs calibration precision figures diagrams runs owners records sides comparison markup
    comparison_page stages pools repeats thresholds findings claims films people thumbnails rungs ladders floors
    controls frozen saliency attributions variations training sweeps speeds artefacts predict doctor provenance
    address cards tripod citations papermap imprints explorer licences coverage mutants faults runner replays
    pages staging site archive pipeline cli
""".split()


def test_the_modules_import_in_one_direction():
    for path in sorted((ROOT / "deepcovid_lib").rglob("*.py")):
        own = path.relative_to(ROOT / "deepcovid_lib").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("deepcovid_lib"):
                continue
            below = node.module.split(".")[1:2] or [alias.name for alias in node.names if alias.name in ORDER]
            for name in below:
                assert ORDER.index(name) <= ORDER.index(own), f"{own} imports {name}"


def test_conda_and_pyproject_name_the_same_packages_and_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["optional-dependencies"]
    asked = {*project["dependencies"], *groups["book"], *groups["notebook"], "python" + project["requires-python"]}
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    named = [line for line in conda if isinstance(line, str) and line != "pip"]
    named += next(line["pip"] for line in conda if isinstance(line, dict))
    assert {line.replace(" ", "") for line in named} == {line.replace(" ", "") for line in asked}


def test_what_the_project_is_made_with_is_declared():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    for package in (
        "jupyter",
        "jupyter-book",
        "torch",
        "torchvision",
        "pandas",
        "seaborn",
        "scikit-learn",
        "papermill",
    ):
        assert re.search(rf"- {package} ", text), package


def test_the_lock_holds_every_declared_package_with_hashes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    groups = project["optional-dependencies"]
    for line in [*project["dependencies"], *groups["book"], *groups["test"]]:
        name = re.match(r"[A-Za-z0-9_.-]+", line)[0].lower()
        assert re.search(rf"^{re.escape(name)}==\S+.*\\\n    --hash=sha256:", lock, re.MULTILINE), name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_and_says_its_parameters(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    parameters = papermill.inspect_notebook(str(path))
    assert {"edition", "run_name", "settings"} <= set(parameters)
    assert all(known["help"] and known["inferred_type_name"] != "None" for known in parameters.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_calls_what_the_library_has(path):
    notebook = nbformat.read(path, as_version=4)
    tree = ast.parse("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    modules = {
        alias.asname or alias.name: importlib.import_module(f"deepcovid_lib.{alias.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "deepcovid_lib"
        for alias in node.names
    }
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    called = [node for node in used if getattr(node.value, "id", None) in modules]
    assert called
    for node in called:
        assert hasattr(modules[node.value.id], node.attr), f"{path.name}: {node.value.id}.{node.attr}"


def test_every_artefact_of_the_paper_is_made_by_a_notebook():
    sources = " ".join(cell.source for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells)
    models = editions.resolve("phantom").models
    for slug in paper.artefacts().query("kind != 'equation'")["slug"]:
        general = re.sub(rf"-({'|'.join(models)})$", "-{model}", slug)
        assert f'"{slug}"' in sources or f'f"{general}"' in sources, slug


def test_no_file_speaks_of_registries_or_home_folders():
    for path in ROOT.rglob("*"):
        inside = path.relative_to(ROOT).parts
        if (
            not path.is_file()
            or inside[0].startswith((".git", ".venv", ".pytest_cache", "_build", "cache", "results", "data"))
            or path.suffix == ".lock"
        ):
            continue
        if path.suffix in (".py", ".md", ".yml", ".yaml", ".toml", ".ipynb", ".json", ".csv", ".bib", ".css", ".js"):
            text = path.read_text(encoding="utf-8")
            assert not re.search("(py" + r"pi|python" + r"hosted|npm" + r"js)\.org|/ro" + "ot/|/ho" + "me/", text), path
