"""Model files: no pickle is loaded, and a head that is damaged, changed or another's is refused by what differs."""

import hashlib
import json
import pickle
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from deepcovid_lib import backbones, heads, predict
from deepcovid_lib.problems import Problem

TRAIN = "train the head again, or take the one that the run left"
SHAPES = backbones.get("resnet18").head_shapes


class Harm:
    """A pickle that leaves a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def zeros(**changes):
    return {name: torch.zeros(shape) for name, shape in SHAPES.items()} | changes


KNOWN = {"backbone": "resnet18", "weights": "random", "seed": 0, "preset": "224-squash", "weights_id": "0" * 16}
IMAGENET = backbones.get("resnet18").file_name


@pytest.mark.fault(
    "models",
    "a pickle with code in it under the name of the ImageNet weights",
    done="refused by its hash before it is opened; with a forged hash, by torch's reader of weights alone",
    lost="nothing; the code does not run",
    rerun="delete the file; the right one is fetched, or place it by hand",
)
@pytest.mark.parametrize("forged", ["hash of its own", "right hash"])
@pytest.mark.parametrize("wrapped", ["plain pickle", "torch archive"])
def test_a_pickle_under_the_name_of_the_weights_does_not_run(tmp_path, monkeypatch, forged, wrapped):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / IMAGENET
    path.parent.mkdir(parents=True)
    mark = tmp_path / "the code ran"
    if wrapped == "plain pickle":
        path.write_bytes(pickle.dumps(Harm(mark)))
    else:
        torch.save({"conv1.weight": Harm(mark)}, path)
    if forged == "right hash":
        name = f"resnet18-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
        path = path.rename(path.with_name(name))
        known = backbones.get("resnet18")
        monkeypatch.setitem(backbones.CATALOGUE, "resnet18", replace(known, url=f"http://127.0.0.1:9/{name}"))
    words = "not the weights of ResNet18" if forged != "right hash" else "not a file of network weights"
    with pytest.raises(Problem, match=words) as caught:
        backbones.load("resnet18", weights="imagenet")
    assert str(caught.value).startswith(f"{path}: ")
    assert not mark.exists()


@pytest.mark.fault(
    "models",
    "weights files cut or changed at random, their hash forged",
    done="refused by name, or loaded where what was changed bears on no weight's place; never a crash",
    lost="nothing",
    rerun="delete the file and fetch it again",
)
def test_changed_weights_files_meet_nothing_but_a_problem(tmp_path, count_inputs):
    path = tmp_path / "small-00000000.pth"
    torch.save({"conv.weight": torch.zeros(2, 3), "conv.bias": torch.zeros(2)}, path)
    content, tried = path.read_bytes(), []

    @settings(deadline=None, database=None, max_examples=150, suppress_health_check=list(HealthCheck))
    @given(share=st.floats(0, 1, exclude_max=True), length=st.integers(0, 40), noise=st.binary(max_size=40))
    def follow(share, length, noise):
        at = int(share * len(content))
        path.write_bytes(content[:at] + noise + content[at + length :])
        tried.append(at)
        with suppress(Problem):
            state = backbones._imagenet_state(backbones.get("resnet18"), path)
            assert all(isinstance(value, torch.Tensor) for value in state.values())

    follow()
    count_inputs(len(tried))


OTHER = {
    "another class order": (zeros(), {"classes": ["covid", "non_covid"]}, r"classes is \['covid', 'non_covid'\]"),
    "an unknown network": (zeros(), {"backbone": "resnet19"}, "no model is named 'resnet19'"),
    "no network": (zeros(), {"backbone": None}, "no model is named None"),
    "another network": (zeros(), {"backbone": "squeezenet"}, r"weight is \(2, 512\), not \(2, 512, 1, 1\)"),
    "another width": (zeros(weight=torch.zeros(2, 2048)), {}, r"weight is \(2, 2048\), not \(2, 512\)"),
    "three classes": (zeros(bias=torch.zeros(3)), {}, r"bias is \(3,\), not \(2,\)"),
    "a missing tensor": ({"weight": torch.zeros(2, 512)}, {}, r"tensors is \['weight'\]"),
    "an extra tensor": (zeros(more=torch.zeros(1)), {}, r"tensors is \['bias', 'more', 'weight'\]"),
    "a weight that is NaN": (zeros(bias=torch.tensor([0.0, torch.nan])), {}, "bias holds what is no finite"),
    "a weight that is infinite": (zeros(bias=torch.tensor([torch.inf, 0.0])), {}, "bias holds what is no finite"),
    "whole numbers": (zeros(bias=torch.zeros(2, dtype=torch.int64)), {}, "bias holds what is no finite"),
    "half precision": (zeros(weight=torch.zeros(2, 512, dtype=torch.float16)), {}, "weight holds what is no finite"),
    "another preset": (zeros(), {"preset": "224-stretch"}, "its preset is '224-stretch'"),
    "no preset": (zeros(), {"preset": None}, "its preset is None"),
    "a preset of a million pixels a side": (zeros(), {"preset": "1000000-squash"}, "its preset is '1000000-squash'"),
    "a seed that is none": (zeros(), {"seed": "x"}, "its seed is 'x'"),
    "other weights": (zeros(), {}, "was trained on weights 0000000000000000, these are"),
    "weights of no known kind": (zeros(), {"weights": ["a"]}, "no weights are named"),
}


@pytest.mark.fault(
    "models",
    "a whole head of other classes, network, shape, weights or preset, with NaN or with tensors too many or too few",
    done="refused in one line that says what differs; nothing is scored",
    lost="nothing",
    rerun=TRAIN,
)
@pytest.mark.parametrize("how", OTHER)
def test_another_head_is_refused_by_what_differs(tmp_path, monkeypatch, how):
    tensors, changes, words = OTHER[how]
    if "classes" in changes:
        monkeypatch.setattr(heads, "CLASSES", changes["classes"])
    heads.save(tmp_path / "head.safetensors", tensors, KNOWN | changes)
    monkeypatch.undo()
    Image.new("L", (40, 40)).save(tmp_path / "film.png")
    with pytest.raises(Problem, match=words) as caught:
        predict.score_files([tmp_path / "film.png"], tmp_path / "head.safetensors")
    assert "; " in str(caught.value)


@pytest.fixture
def head(tmp_path):
    heads.save(tmp_path / "head.safetensors", zeros(), KNOWN)
    return tmp_path / "head.safetensors"


def stamped(path, stamp):
    save_file(zeros(), path, {"head": stamp} if stamp is not None else None)


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a header of 2^63 bytes": lambda path: path.write_bytes(b"\xff" * 7 + b"\x7f" + b"{}"),
    "a pickle": lambda path: torch.save(zeros(), path),
    "safetensors of others": lambda path: stamped(path, None),
    "metadata that is no JSON": lambda path: stamped(path, "{"),
    "metadata that is a list": lambda path: stamped(path, "[1, 2]"),
    "metadata without a checksum": lambda path: stamped(path, json.dumps(KNOWN)),
    "a checksum of other weights": lambda path: stamped(path, json.dumps({**KNOWN, "checksum": "0" * 64})),
    "metadata nested without end": lambda path: stamped(path, "[" * 100_000),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "absent": lambda path: path.unlink(),
}


@pytest.mark.fault(
    "models",
    "a head file that is cut, longer, empty, a pickle, foreign, or whose metadata is changed or no JSON",
    done="refused in one line with its name",
    lost="nothing",
    rerun=TRAIN,
)
@pytest.mark.parametrize("how", FOREIGN)
def test_what_is_no_head_of_a_run_is_refused(head, how):
    FOREIGN[how](head)
    with pytest.raises(Problem) as caught:
        heads.load(head, expect={})
    assert str(caught.value).startswith(f"{head}: ")
    assert "; train" in str(caught.value)


@pytest.mark.fault(
    "models",
    "a head file whose bytes are changed at random: overwritten, cut out, put in",
    done="every change is noticed and refused",
    lost="nothing",
    rerun=TRAIN,
)
def test_no_change_of_a_head_goes_unnoticed(head, count_inputs):
    content, tried = head.read_bytes(), []

    @settings(deadline=None, database=None, max_examples=200, suppress_health_check=list(HealthCheck))
    @given(share=st.floats(0, 1, exclude_max=True), length=st.integers(0, 9), noise=st.binary(max_size=9))
    def follow(share, length, noise):
        at = int(share * len(content))
        changed = content[:at] + noise + content[at + length :]
        if changed == content:
            return
        tried.append(at)
        head.write_bytes(changed)
        with pytest.raises(Problem):
            heads.load(head, expect={})

    follow()
    head.write_bytes(content)
    heads.load(head, expect={"backbone": "resnet18"})
    count_inputs(len(tried))
