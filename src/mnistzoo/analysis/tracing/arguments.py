"""The arguments of a model: tensors made from the shapes and examples that a user passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.tracing.containers import copy_containers, tensors_of
from mnistzoo.analysis.tracing.inputs import (
    check_batch_size,
    check_dense,
    check_kwargs,
    check_module,
    check_shape,
    describe,
    floating_dtype,
)
from mnistzoo.errors import InputError, UnknownNameError

Inputs = Sequence[Any] | Tensor | Mapping[str, Any]
"""A shape, a tensor, a tuple of inputs, or inputs by name."""


@dataclass(frozen=True)
class Arguments:
    """The arguments that a model is called with."""

    positional: tuple[Any, ...]
    named: dict[str, Any]
    example: Tensor  # the one of them that receptive fields are computed for
    channels: int | None  # its dimension that holds channels

    @property
    def batch_size(self) -> int:
        """Number of inputs in the batch."""
        return self.example.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(self.example.shape[1:])

    @property
    def layout(self) -> Layout:
        """Layout of the tensor that receptive fields are computed for."""
        return Layout.of_input(self.example.shape, self.channels)

    def holding(self, tensor: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return both kinds of arguments, copied, with a tensor in place of the example."""
        positional, named = copy_containers((self.positional, self.named), {self.example: tensor})
        return positional, named

    def with_example(self, tensor: Tensor) -> Arguments:
        """Return arguments with another tensor in place of the example."""
        positional, named = self.holding(tensor)
        return Arguments(positional, named, tensor, self.channels)


def read_arguments(
    module: nn.Module,
    inputs: object,
    kwargs: Mapping[str, Any] | None = None,
    *,
    of: str | None = None,
    batch_size: int = 1,
    channels_last: bool = False,
) -> Arguments:
    """Return what to call a model with; the arguments are those of `mnistzoo.analyze`.

    Raises:
        InputError: The inputs are not shapes, tensors, or containers of them.
        UnknownNameError: There is no input `of`.
    """
    dtype, batch_size = floating_dtype(check_module(module)), check_batch_size(batch_size)
    positional, named = _read(_split(inputs), dtype, batch_size)
    named = check_kwargs(named)
    others = check_kwargs(kwargs)
    if twice := sorted(named.keys() & others.keys()):
        raise InputError(f"Expected each input once, got {twice[0]!r} in inputs and in kwargs.")
    if not tensors_of([positional, named]):
        raise InputError(f"Expected a shape or a tensor in inputs, got {describe(inputs)}.")
    named |= others
    example = _choose(_with_names(module, positional) | named, of)
    check_dense(example)  # others may be sparse
    return Arguments(positional, named, example, _channels(example, channels_last))


def _read(value: object, dtype: torch.dtype, batch_size: int) -> Any:
    """Return a value of `inputs` with tensors in place of shapes."""
    if _is_shape(value):
        shape = check_shape((batch_size, *check_shape(value)))
        return torch.empty(shape, dtype=dtype, device="meta")
    if isinstance(value, Mapping):
        return {name: _read(item, dtype, batch_size) for name, item in value.items()}
    if isinstance(value, PackedSequence) or (isinstance(value, Tensor) and value.is_nested):
        check_dense(value)
    if type(value) in (list, tuple):
        items = [_read(item, dtype, batch_size) for item in value]  # type: ignore[attr-defined] # a list or tuple
        return type(value)(items)  # type: ignore[call-arg] # as above
    return value


def _split(inputs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return inputs by position and by name."""
    if isinstance(inputs, Tensor | PackedSequence):
        return (inputs,), {}
    if isinstance(inputs, Mapping) and all(isinstance(name, str) for name in inputs):
        return (), dict(inputs)
    if isinstance(inputs, list | tuple) and any(map(_is_container, inputs)):
        return tuple(inputs), {}
    return (check_shape(inputs),), {}


def _is_container(value: object) -> bool:
    return isinstance(value, Tensor | Mapping | list | tuple)


def _is_shape(value: object) -> bool:
    """Return whether a value is a sequence of whole numbers."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iu"
    items = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()
    return bool(items) and all(type(x) is int or isinstance(x, np.integer) for x in items)


def _with_names(module: nn.Module, positional: tuple[Any, ...]) -> dict[str, Any]:
    """Return positional inputs by the names of the model's parameters, where it has them."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = signature(module.forward).parameters
    except ValueError:  # a function written in C
        parameters = MappingProxyType({})
    takes = [p.name for p in parameters.values() if p.kind in kinds]
    takes += [f"input {number}" for number in range(len(takes), len(positional))]
    return dict(zip(takes, positional, strict=False))


def _choose(inputs: dict[str, Any], of: str | None) -> Tensor:
    """Return the first tensor in the input of a name, by default of all."""
    if of is not None and of not in inputs:
        raise UnknownNameError("input", of, inputs)
    tensors = tensors_of(inputs if of is None else inputs[of])
    if not tensors:
        raise InputError(f"Expected a shape or a tensor for the input {of!r}, got none.")
    if tensors[0].ndim == 0 or not tensors[0].numel():
        raise InputError(
            f"Expected an example with its batch, got {describe(tensors[0])}. Pass a tensor of "
            "shape (N, channels, height, width), or name another input: of=…"
        )
    return tensors[0]


def _channels(tensor: Tensor, channels_last: bool) -> int | None:
    """Return the dimension of the channels. A batch of token IDs has none."""
    if tensor.ndim < 2 or (tensor.ndim == 2 and _holds_integers(tensor)):
        return None
    return tensor.ndim - 1 if channels_last else 1


def _holds_integers(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex())
