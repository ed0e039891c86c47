"""The same run twice, in other processes and with other thread counts."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deepcovid_lib
from deepcovid_lib import metrics, records, runs, stages
from deepcovid_lib.files import read_json

ROOT = Path(__file__).parents[2]
LIBRARY = Path(deepcovid_lib.__file__).parent
SETTINGS = {"models": ["resnet18"], "split.covid": {"train": 3, "test": 3}, "split.normal": {"train": 4, "test": 4}}
SETTINGS |= {"split.each_other": None, "recipe.epochs": 5}
TOLERANCE = 1e-4  # of a score, between thread counts; the same count gives the same bytes
RUN = """
import hashlib, json, sys
from pathlib import Path
import torch
from deepcovid_lib import images, runs, stages
torch.set_num_threads(int(sys.argv[1]))
run = runs.begin("tiny", name="same", settings=json.loads(sys.argv[2]))
films = stages.manifest(run)
pixels = hashlib.sha256()
for film in films.itertuples():
    square = images.fit(images.read(film.path), stages.preset(run))
    for copy in range(run.edition.copies):
        pixels.update(images.augment(square, copy=copy, seed=run.edition.seed, identity=film.sha256).tobytes())
stages.extract(run, "resnet18")
fit = stages.fit(run, "resnet18")
digest = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in [run.manifest, *fit.iterdir()]}
scores = stages.scores(run, "resnet18")["score"].tolist()
print(json.dumps({"augmented": pixels.hexdigest(), "split": films["split"].tolist(), "scores": scores} | digest))
"""


def begun(folder, threads):
    environment = {**os.environ, "DEEPCOVID_ROOT": str(folder), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", RUN, str(threads), json.dumps(SETTINGS)]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process):
    told = process.communicate()[0]
    assert process.returncode == 0
    return json.loads(told.splitlines()[-1])


@pytest.fixture(scope="module")
def thrice(tmp_path_factory):
    """The same run in three processes: with one thread twice, then with two. The later ones find the films drawn."""
    folders = [tmp_path_factory.mktemp(f"run-{number}") for number in range(3)]
    first = ended(begun(folders[0], 1))
    for folder in folders[1:]:
        shutil.copytree(folders[0] / "cache" / "phantoms", folder / "cache" / "phantoms")
    later = [begun(folder, threads) for folder, threads in zip(folders[1:], (1, 2), strict=True)]
    return [first, *map(ended, later)]


@pytest.mark.fault(
    "determinism",
    "the same run in another process with as many threads",
    done="manifest, split, augmented images, head, history and scores are the same bytes",
    lost="nothing",
    rerun="nothing to do",
)
def test_equal_threads_give_equal_bytes(thrice):
    first, again, _ = thrice
    assert {"manifest.csv", "head.safetensors", "history.csv", "scores.csv", "augmented", "split"} <= set(first)
    assert first == again


@pytest.mark.fault(
    "determinism",
    "the same run with another number of threads",
    done="manifest, split and augmented images are the same bytes; no score moves by more than 0.0001",
    lost="nothing",
    rerun="nothing to do",
)
def test_other_threads_give_the_same_numbers_within_a_tolerance(thrice):
    first, _, other = thrice
    for same in ("manifest.csv", "augmented", "split"):
        assert first[same] == other[same]
    apart = np.abs(np.subtract(first["scores"], other["scores"])).max()
    print(f"largest difference of a score between 1 and 2 threads: {apart:.2g}")
    assert apart <= TOLERANCE


@pytest.mark.slow_fault
@pytest.mark.fault(
    "determinism",
    "the default edition run again, in another checkout and at another time",
    done="every score, and every area under the curve, is the recorded one within 0.001; on a processor of another "
    "kind, which rounds a few grey values of the films otherwise, every area within 0.03",
    lost="nothing",
    rerun="make book",
)
def test_the_default_edition_gives_the_recorded_scores():
    run = runs.reopen("phantom") if (ROOT / "results" / "phantom" / "run.yaml").is_file() else None
    if run is None or not all((run.fit(model) / "scores.csv").is_file() for model in run.edition.models):
        pytest.skip("the default edition was not run in this checkout: make book")
    kept = records.scores("phantom")
    images = read_json(records.folder() / "phantom" / "inputs.json")["images"]
    same_films = records.inputs(run.folder)["images"] == images
    print("the films are", "the recorded ones" if same_films else "others, rounded otherwise")
    for model, made in stages.all_scores(run).items():
        own = records.opaque(made).reset_index(drop=True)
        assert own["image_id"].tolist() == kept[model]["image_id"].tolist()
        apart = np.abs(own["score"] - kept[model]["score"].to_numpy())
        print(f"{model}: largest difference from the recorded score {apart.max():.2g}")
        assert apart.max() <= 1e-3 or not same_films
        areas = [
            metrics.auc_interval(t["label"] == "covid", t["score"], method="delong").auc for t in (own, kept[model])
        ]
        assert abs(areas[0] - areas[1]) <= (1e-3 if same_films else 0.03)


GLOBAL = {
    "random": {"choice", "choices", "random", "randint", "randrange", "sample", "seed", "shuffle", "uniform", "gauss"},
    "np.random": {
        "choice",
        "normal",
        "permutation",
        "rand",
        "randint",
        "randn",
        "random",
        "seed",
        "shuffle",
        "uniform",
    },
    "torch": {"manual_seed", "rand", "randn", "randint", "randperm", "bernoulli", "normal", "multinomial", "seed"},
}


def drawn_from_global_state(source):
    """The calls in a source that draw from, or set, a random state that is nobody's argument."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("random", "numpy.random"):
            found += [f"from {node.module} import {each.name}" for each in node.names if each.name not in ARGUMENTS]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value).replace("numpy", "np"), node.func.attr
            seeded = any(word.arg == "generator" for word in node.keywords)
            if name in GLOBAL.get(owner, ()) and not seeded:
                found.append(f"{owner}.{name}")
            if name == "default_rng" and not node.args and not node.keywords:
                found.append("default_rng without a seed")
    return found


ARGUMENTS = ("default_rng", "Generator", "PCG64", "SeedSequence", "Random")


@pytest.mark.fault(
    "determinism",
    "a module draws from a random state that is not its argument",
    done="a test reads every module and refuses it",
    lost="nothing",
    rerun="pass a seed",
)
def test_seeds_enter_as_arguments_only(count_inputs):
    planted = "np.random.shuffle(x)", "random.random()", "torch.rand(3)", "np.random.default_rng()"
    assert all(map(drawn_from_global_state, planted))
    modules = sorted(LIBRARY.rglob("*.py"))
    found = {path.name: drawn_from_global_state(path.read_text(encoding="utf-8")) for path in modules}
    assert {name: calls for name, calls in found.items() if calls} == {}
    count_inputs(len(modules))
