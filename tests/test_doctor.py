"""The verdict of a machine, and the first cell of every notebook that prints it."""

import builtins
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from deepcovid_lib import backbones, doctor, runs

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
BLOCKED = """
import importlib.abc, importlib.metadata, importlib.util, json, subprocess, sys
from pathlib import Path

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "deepcovid_lib":
            raise ModuleNotFoundError(name)

find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "deepcovid_lib" else find(name)
subprocess.run = lambda command, check: Path(sys.argv[2]).write_text(json.dumps([command, check]))
sys.meta_path.insert(0, Blocker())
sys.modules.pop("deepcovid_lib", None)
exec(Path(sys.argv[1]).read_text())
"""


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """An empty folder as the project's root: nothing is known of the machine."""
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path / "project"))


def setup_of(path):
    return nbformat.read(path, as_version=4).cells[1]


def where_it_is_missing(tmp_path, source):
    (tmp_path / "cell.py").write_text(source)
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "cell.py"), str(tmp_path / "asked.json")]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_same_setup(path):
    setup = setup_of(path)
    assert setup.id == f"{path.stem}-setup"
    assert setup.metadata["tags"] == ["setup"]
    assert setup.source == setup_of(NOTEBOOKS[0]).source
    assert re.fullmatch(r'ADDRESS = "\S*"  # the project\'s one address', setup.source.splitlines()[0])
    tags = [cell.metadata.get("tags", []) for cell in nbformat.read(path, as_version=4).cells]
    assert tags[2] == ["parameters"]


def test_the_setup_installs_the_library_and_holds_torch(tmp_path):
    lines = setup_of(NOTEBOOKS[0]).source.splitlines()
    source = "\n".join(['ADDRESS = "https://host.invalid/owner/name"', *lines[1:]])
    told = where_it_is_missing(tmp_path, source)
    assert "No module named 'deepcovid_lib'" in told.stderr or "ModuleNotFoundError" in told.stderr
    command, check = json.loads((tmp_path / "asked.json").read_text())
    assert check
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert "deepcovid-lib @ git+https://host.invalid/owner/name" in command
    held = {word.partition("==")[0]: word.partition("==")[2] for word in command if "==" in word}
    assert set(held) == {"torch", "torchvision", "numpy"}
    assert held == {package: importlib.metadata.version(package) for package in held}


def test_the_setup_without_an_address_says_what_to_do(tmp_path):
    lines = setup_of(NOTEBOOKS[0]).source.splitlines()
    told = where_it_is_missing(tmp_path, "\n".join(['ADDRESS = ""', *lines[1:]]))
    assert told.returncode == 1
    assert told.stderr.strip().splitlines()[-1].startswith("deepcovid_lib is not installed. In a clone")
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "asked.json").exists()


@pytest.mark.parametrize(
    ("memory", "disk", "start"),
    [
        (8.0, 50.0, "Ready: "),
        (3.0, 50.0, "Ready, but only 3.0 GB of memory free (close"),
        (8.0, 2.5, "Ready, but only 2.5 GB of disk free (make room"),
        (1.5, 50.0, "Not ready: 1.5 GB of memory free (close"),
        (1.5, 0.1, "Not ready: 1.5 GB of memory free (close other programs or kernels) and 0.1 GB of disk free"),
        (None, None, "Ready: "),
    ],
)
def test_the_verdict_follows_memory_and_disk(monkeypatch, memory, disk, start):
    monkeypatch.setattr(doctor, "memory_free", lambda: memory)
    monkeypatch.setattr(doctor, "disk_free", lambda: disk)
    told = doctor.verdict()
    assert told.startswith(start)
    assert "\n" not in told
    assert f"torch {torch.__version__}" in told
    assert str(Path.home()) not in told


def test_the_verdict_names_the_gpu_or_its_lack(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    assert "GPU Tesla T4;" in doctor.verdict()
    (doctor.runs.root() / "cache" / "machine.json").unlink()

    def broken():
        raise RuntimeError("driver too old")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert "no GPU," in doctor.verdict()


def test_what_torch_told_is_asked_once_and_anew_in_other_surroundings(monkeypatch, tmp_path):
    weights = tmp_path / "resnet18.pth"
    monkeypatch.setattr(backbones, "weights_path", lambda model: weights)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    assert "GPU Tesla T4; " in doctor.verdict()
    assert "no ImageNet weights" in doctor.verdict()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    weights.touch()
    assert "GPU Tesla T4; " in doctor.verdict()
    assert "ImageNet weights of resnet18" in doctor.verdict()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "none")
    assert "no GPU," in doctor.verdict()
    note = doctor.runs.root() / "cache" / "machine.json"
    for spoilt in ("[", "[]", note.read_text().replace('"torchvision": "0', '"formerly": "0')):
        note.write_text(spoilt)
        assert "no GPU," in doctor.verdict()


def test_a_broken_torch_is_a_verdict(monkeypatch):
    real = builtins.__import__

    def broken(name, *rest, **more):
        if name == "torch":
            raise OSError("libtorch.so:\nundefined symbol")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    told = doctor.verdict()
    assert told.startswith("Not ready: torch or torchvision cannot be loaded, OSError: libtorch.so: undefined symbol")


def test_a_folder_that_cannot_be_written_is_not_ready(monkeypatch):
    monkeypatch.setattr(os, "access", lambda folder, mode: mode != os.W_OK)
    assert doctor.verdict().startswith(
        "Not ready: this folder cannot be written to (start the notebook in one of yours)"
    )


def test_a_root_that_is_not_there_yet_is_measured_above(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPCOVID_ROOT", str(tmp_path / "a" / "b"))
    assert doctor.disk_free() > 0
    assert not (tmp_path / "a").exists()


def test_the_report_ends_with_the_verdict(monkeypatch):
    monkeypatch.setattr(doctor, "verdict", lambda: "Ready: so it is")
    assert doctor.report()[-1] == "Ready: so it is"


@pytest.mark.parametrize("name", ["covid-xray-5k", "open-cxr"])
def test_an_empty_folder_is_no_data(tmp_path, name):
    run = runs.resolve(name)
    sources = dict.fromkeys((run.edition.positives, run.edition.negatives))
    run = runs.resolve(
        name, settings={f"folders.{source}": str(tmp_path) for source in sources} | {"weights": "random"}
    )
    assert len(doctor._needs(run)) == len(sources)
    assert all(str(tmp_path) in need for need in doctor._needs(run))


def test_damaged_weights_are_named(monkeypatch, tmp_path):
    path = tmp_path / "resnet18.pth"
    path.write_bytes(b"junk")
    monkeypatch.setattr(backbones, "weights_path", lambda *_, **__: path)
    needs = doctor._needs(runs.resolve("tiny", settings={"weights": "imagenet", "models": ["resnet18"]}))
    assert len(needs) == 1
    assert "not the weights of ResNet18" in needs[0]
