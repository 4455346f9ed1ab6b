"""Run a model on digits, one by one."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.errors import InputError
from mnistzoo.images.transforms import normalize

_IMPORTING_PROCESS = os.getpid()


@torch.no_grad()  # not inference mode: hooks may keep tensors and compute with them
def classify(model: nn.Module, digits: list[NDArray[np.uint8]]) -> list[list[float]]:
    """Return the probabilities of digits in MNIST format, each uint8 of shape `(28, 28)`.

    Every digit is a batch of its own, because the last bits of a convolution's output depend on
    the size of the batch. A digit's numbers therefore do not depend on the other digits.

    A forked process is set to one thread: it lacks the threads of its parent, and GNU OpenMP
    would wait for them forever.

    Raises:
        InputError: The model's parameters have several dtypes or devices, or no values.
    """
    if os.getpid() != _IMPORTING_PROCESS:
        torch.set_num_threads(1)
    device, dtype = _device_and_dtype(model)
    if any(layer.training for layer in model.modules()):  # a layer that was added may be
        model = _in_eval_mode(model, {})
    images = normalize(torch.from_numpy(np.stack(digits))).to(device, dtype)
    return [_probabilities(model(image)) for image in torch.split(images, 1)]


def _probabilities(output: Tensor) -> list[float]:
    probabilities: list[float] = output[0].double().softmax(0).tolist()
    return probabilities


def _device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a model's parameters are, and their floating-point type."""
    found = {(p.device, p.dtype) for p in model.parameters() if p.is_floating_point()}
    if len(found) != 1 or next(iter(found))[0].type == "meta":
        got = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in found)) or "none"
        raise InputError(
            f"Expected parameters of one dtype on one device that holds values, got {got}. "
            "Call model.to(device, dtype) first."
        )
    return next(iter(found))


def _in_eval_mode(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return a copy in evaluation mode that shares tensors and hooks with the original.

    The original keeps its mode, so other threads that use it see no change.
    """
    if module not in made:
        made[module] = copied = module.__new__(type(module))
        vars(copied).update(vars(module), training=False)
        vars(copied)["_modules"] = {
            name: None if child is None else _in_eval_mode(child, made)
            for name, child in module._modules.items()
        }
    return made[module]
