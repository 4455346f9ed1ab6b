"""A module left as it was found, whatever its own `forward` does to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
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


def checked(module: nn.Module) -> nn.Module:
    """The module, if it is one that can be traced.

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
    return module


def needs_copy(module: nn.Module) -> bool:
    """Whether only a copy can be traced: of a lazy module, which its first call changes."""
    return any(is_lazy(tensor) for tensor in _tensors(module))


def without_data(module: nn.Module, kwargs: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """Copies of a module and its arguments whose floats lie on `meta`, all else as it is.

    Where some of a network's tensors are there and some are not, its own casts and comparisons of
    devices fail, as those of recurrent layers do, before an operator can be seen.
    """
    tensors = [*_tensors(module), *tensors_of(kwargs)]
    stand_ins = {id(tensor): _on_meta(tensor) for tensor in tensors}
    return copy.deepcopy(module, stand_ins), copy.deepcopy(kwargs, stand_ins)


def own_containers(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A copy of the lists and dictionaries among arguments, which a network may write to.

    Tensors are neither copied nor written to.
    """
    return copy.deepcopy(kwargs, {id(tensor): tensor for tensor in tensors_of(kwargs)})


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _on_meta(tensor: Tensor) -> Tensor:
    if isinstance(tensor, UninitializedParameter):
        return UninitializedParameter(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # torch leaves its arguments out of its stubs
    if isinstance(tensor, UninitializedBuffer):
        return UninitializedBuffer(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # as above
    if not tensor.is_floating_point():
        return tensor  # control flow may read it
    data = torch.empty_like(tensor, device="meta")
    return nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
