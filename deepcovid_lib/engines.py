"""Engines: what carries images through frozen layers, and on which device."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import nn

from deepcovid_lib.problems import Misuse

NAMES = ("pytorch", "openvino")
DEVICE = "DEEPCOVID_DEVICE"

Pass = Callable[[np.ndarray], np.ndarray]


def device(asked: str | None = None) -> str:
    """Return the device to compute on, in torch's words.

    Parameters
    ----------
    asked : str, optional
        E.g. ``"cpu"`` or ``"cuda"``; by default what the variable ``DEEPCOVID_DEVICE`` says, else ``"cuda"`` where
        there is one, else ``"cpu"``.

    Raises
    ------
    Misuse
        If this machine does not offer it.

    Examples
    --------
    >>> device("cpu")
    'cpu'
    """
    asked = asked or os.environ.get(DEVICE)
    if not asked:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError) as fault:
        raise Misuse(
            f"this machine offers no device '{asked}'", remedy="use --device cpu, or leave --device out"
        ) from fault
    return asked


def at_hand(asked: str) -> str:
    """Return the engine asked for, or PyTorch where that one is missing; one line says so if no GPU does the work.

    Parameters
    ----------
    asked : {"pytorch", "openvino"}
        OpenVINO is the optional extra ``fast``.

    Examples
    --------
    >>> at_hand("pytorch")
    'pytorch'
    """
    if asked not in NAMES:
        raise Misuse(f"no engine is named '{asked}'", remedy=f"choose {' or '.join(NAMES)}")
    if asked == "openvino" and importlib.util.find_spec("openvino") is None:
        _tell()
        return "pytorch"
    return asked


@cache
def _tell() -> None:
    if not torch.cuda.is_available():
        sys.stderr.write("note: OpenVINO is not installed (extra 'fast'); PyTorch does its work, more slowly\n")


def passer(module: nn.Module, *, engine: str, device: str, shape: tuple[int, ...]) -> Pass:
    """Return a function that carries one batch through a module without gradients.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode; PyTorch moves it to the device.
    engine : {"pytorch", "openvino"}
        From `at_hand`. Both compute in single precision; their results agree to rounding, not to the bit. OpenVINO
        works on processors; elsewhere PyTorch does the work.
    device : str
        From `device`.
    shape : tuple of int
        The shape of every batch, (n, 3, height, width).

    Returns
    -------
    callable
        Takes normalised images as float32 of that shape, gives the module's output as float32, both numpy arrays.

    Examples
    --------
    >>> carry = passer(nn.Flatten(), engine="pytorch", device="cpu", shape=(2, 3, 4, 4))
    >>> carry(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 48)
    """
    return _openvino(module, shape) if engine == "openvino" and device == "cpu" else _pytorch(module, device)


def _pytorch(module: nn.Module, device: str) -> Pass:
    module = module.to(device=device, memory_format=torch.channels_last)

    def carry(batch: np.ndarray) -> np.ndarray:
        full_precision = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), full_precision:
            images = torch.from_numpy(batch).to(device=device, memory_format=torch.channels_last)
            return module(images).float().cpu().numpy()

    return carry


def _openvino(module: nn.Module, shape: tuple[int, ...]) -> Pass:
    sys.modules.setdefault("openvino_telemetry", None)  # it would tell its makers of every import
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino

        model = openvino.convert_model(module, example_input=torch.zeros(1, *shape[1:]), input=list(shape))
    full_precision = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = openvino.Core().compile_model(model, "CPU", full_precision).create_infer_request()

    def carry(batch: np.ndarray) -> np.ndarray:
        request.infer([batch])
        return request.get_output_tensor(0).data.copy()

    return carry
