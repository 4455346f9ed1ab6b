"""A module left as it was found, whatever its own `forward` does to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from mnistzoo.analysis.calls import tensors_of
from mnistzoo.errors import AnalysisError, InputError

_MISSING = object()

_CONTAINERS = (dict, list, set)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every attribute of every submodule is what it was.

    Random numbers drawn inside are given back too.
    """
    states = [(part.__dict__, _Saved(part.__dict__)) for part in module.modules()]
    with torch.random.fork_rng(devices=[]):
        try:
            for attributes, _ in states:
                attributes["training"] = False
            yield
        finally:
            for attributes, saved in states:
                saved.restore(attributes)


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Inside, torch's transformer layers run their own parts, not one operator for all of them."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


class _Saved:
    """The attributes of one module, and what is in the containers among them."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = dict(attributes)
        self.containers = [
            (value, value.copy()) for value in attributes.values() if isinstance(value, _CONTAINERS)
        ]

    def restore(self, attributes: dict[str, Any]) -> None:
        _restore(attributes, self.attributes)
        for container, contents in self.containers:
            if not container and not contents:
                continue  # nearly all of them: a module has a dozen dictionaries for hooks
            if isinstance(container, dict) and isinstance(contents, dict):
                _restore(container, contents)
            elif isinstance(container, list):
                container[:] = contents
            elif isinstance(container, set):
                container &= set(contents)
                container |= set(contents)


def _restore(current: dict[Any, Any], saved: dict[Any, Any]) -> None:
    """Give a dictionary back the objects that it had."""
    for key in [key for key in current if key not in saved]:
        del current[key]
    for key, value in saved.items():
        if current.get(key, _MISSING) is not value:
            current[key] = value


def traceable(
    module: nn.Module, kwargs: Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """The module itself, or a copy without data of one that is lazy or recurrent; and arguments.

    A lazy one is changed by its first call. torch compares the devices of a recurrent one's input,
    parameters and initial state before they can be replaced. Of the arguments the containers, which
    the network may write to, are copied; tensors are not, nor written to.

    Raises:
        InputError: it is no module.
        AnalysisError: it is compiled by TorchScript, whose parts call each other unseen.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"expected a torch.nn.Module, got {type(module).__name__}.")
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise AnalysisError(
            f"expected modules that run in Python, got one of TorchScript in "
            f"{type(module).__name__}; analyse the network that it was made from."
        )
    tensors = [*module.parameters(), *module.buffers()]
    recurrent = any(isinstance(part, nn.RNNBase | nn.RNNCellBase) for part in module.modules())
    given = dict(kwargs or {})
    same = {id(tensor): tensor for tensor in tensors_of(given)}
    if not recurrent and not any(is_lazy(tensor) for tensor in tensors):
        return module, copy.deepcopy(given, same)
    states = [tensor for tensor in same.values() if tensor.is_floating_point()]
    stand_ins = same | {id(tensor): _on_meta(tensor) for tensor in (*tensors, *states)}
    return copy.deepcopy(module, stand_ins), copy.deepcopy(given, stand_ins)


def _on_meta(tensor: Tensor) -> Tensor:
    if isinstance(tensor, UninitializedParameter):
        return UninitializedParameter(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # torch leaves its arguments out of its stubs
    if isinstance(tensor, UninitializedBuffer):
        return UninitializedBuffer(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # as above
    if not tensor.is_floating_point():
        return tensor  # control flow may read it
    data = torch.empty_like(tensor, device="meta")
    return nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
