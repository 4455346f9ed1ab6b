"""Checks of a model and of the input that it is traced with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import prod
from operator import index
from reprlib import repr as short_repr
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.rnn import PackedSequence

from mnistzoo.analysis.tracing.containers import copy_containers
from mnistzoo.errors import AnalysisError, InputError

MAX_SIZE = 2**24
"""Largest size along an axis. A trace allocates a few numbers per unit."""

MAX_ELEMENTS = 2**48
"""Largest number of elements. PyTorch counts bytes in 63 bits."""


def check_module(module: object) -> nn.Module:
    """Return the module.

    Raises:
        InputError: It is not a module.
    """
    if not isinstance(module, nn.Module):
        found = f"the class {module.__name__}" if isinstance(module, type) else describe(module)
        raise InputError(f"Expected a torch.nn.Module, got {found}. Pass an instance of a model.")
    return module


def check_traceable(module: nn.Module, parts: Iterable[nn.Module]) -> None:
    """Check that a module runs in Python, given it and all modules in it.

    Raises:
        InputError: It has no forward method, such as `nn.ModuleList`.
        AnalysisError: Part of it is compiled by TorchScript, which calls its parts unseen.
    """
    called = type(module).__call__ is nn.Module.__call__
    if called and getattr(module.forward, "__func__", None) is nn.Module.forward:
        raise InputError(
            f"Expected a model with a forward method, got {type(module).__name__}. Pass the model "
            "that calls its parts, or make it an nn.Sequential."
        )
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        raise AnalysisError(
            f"Expected modules that run in Python, got TorchScript in {type(module).__name__}. "
            "Analyze the model that it was compiled from."
        )


def check_shape(input_shape: object) -> tuple[int, ...]:
    """Return the shape of one input as a tuple.

    Raises:
        InputError: It does not consist of positive integers, or is too large.
    """
    try:
        shape = tuple(map(index, input_shape)) if _is_sequence(input_shape) else ()  # type: ignore[call-overload] # checked at run time
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        hint = " Pass torch.from_numpy(images)." if isinstance(input_shape, np.ndarray) else ""
        raise InputError(
            "Expected a tensor, or a shape of positive integers without the batch, such as "
            f"(channels, height, width), got {describe(input_shape)}.{hint}"
        )
    if max(shape) > MAX_SIZE or prod(shape) > MAX_ELEMENTS:
        raise InputError(
            f"Expected sizes of at most {MAX_SIZE:,}, and {MAX_ELEMENTS:,} elements in all, got "
            f"the shape {describe(shape)}. Analyze a smaller input."
        )
    return shape


def check_batch_size(batch_size: object) -> int:
    """Return the number of inputs in a batch.

    Raises:
        InputError: It is not a positive integer, or is too large.
    """
    if type(batch_size) is not int or not 1 <= batch_size <= MAX_SIZE:
        raise InputError(
            f"Expected batch_size as a positive integer of at most {MAX_SIZE:,}, got "
            f"{describe(batch_size)}. Pass the number of inputs in a batch."
        )
    return batch_size


def check_dense(value: Tensor | PackedSequence) -> None:
    """Check that an input is an ordinary tensor.

    Raises:
        InputError: It is a packed sequence, or a nested or sparse tensor.
    """
    if isinstance(value, PackedSequence) or value.is_nested or value.layout is not torch.strided:
        raise InputError(
            "Expected dense tensors in inputs, got a packed sequence or a nested or sparse tensor. "
            "Pad the sequences, or call to_dense() on a sparse tensor."
        )


def check_kwargs(kwargs: object) -> dict[str, Any]:
    """Return a copy of keyword arguments for a model to write to.

    Raises:
        InputError: They are not a mapping with names for keys, or cannot be copied.
    """
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise InputError(
            "Expected kwargs as a mapping from argument names to values, got "
            f"{describe(kwargs)}. Pass a dictionary such as {{'timestep': tensor}}."
        )
    try:
        copied: dict[str, Any] = copy_containers(dict(kwargs))
        return copied
    except Exception as error:
        raise InputError(
            f"Expected kwargs that can be copied, got {type(error).__name__} ({error}). "
            "Pass tensors, numbers, and containers of them."
        ) from error


def floating_dtype(module: nn.Module) -> torch.dtype:
    """Return the dtype that a module computes in."""
    tensors = chain(module.parameters(), module.buffers())
    return next((x.dtype for x in tensors if x.is_floating_point()), torch.float32)


def is_lazy_module(parts: Iterable[nn.Module]) -> bool:
    """Return whether the first call of a module creates parameters, given all modules in it."""
    return any(isinstance(part, LazyModuleMixin) for part in parts)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def describe(value: object) -> str:
    """Return a short text for a value, for an array its shape instead of its entries."""
    if isinstance(value, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        return f"{kind} of shape {tuple(value.shape)} and dtype {value.dtype}"
    return short_repr(value)
