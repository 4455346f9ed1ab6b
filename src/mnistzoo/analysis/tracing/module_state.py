"""A module left as it was found, whatever its own `forward` does to it."""

from __future__ import annotations

import copy
import operator
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from mnistzoo.analysis.tracing.modules import tensors_of
from mnistzoo.errors import AnalysisError, InputError

_CONTAINERS = frozenset([dict, OrderedDict, defaultdict, list, set, deque])
_Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]


@contextmanager
def preserve_module_state(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every attribute of every submodule is what it was.

    So is what containers of Python's among the attributes hold, and containers in those, and what
    parameters and buffers have for data. What other objects keep is theirs. Random numbers drawn
    inside are given back.
    """
    parts = list(module.modules())
    kinds, attributes = [type(part) for part in parts], [part.__dict__ for part in parts]
    saved = _Saved(attributes)
    tensors = filter(_has_storage, chain(module.parameters(), module.buffers()))
    held = [(tensor, tensor.data, tensor.requires_grad) for tensor in tensors]
    with torch.random.fork_rng(devices=[]):
        try:
            for own in attributes:
                own["training"] = False
            yield
        finally:
            for part, kind in zip(parts, kinds, strict=True):
                if type(part) is not kind:
                    part.__class__ = kind  # a lazy module becomes another
            saved.restore()
            for tensor, data, requires_grad in held:
                if tensor.untyped_storage()._cdata != data.untyped_storage()._cdata:
                    tensor.data = data
                if tensor.requires_grad != requires_grad:
                    tensor.requires_grad_(requires_grad)


def _has_storage(tensor: Tensor) -> bool:
    """Whether it is a plain tensor, not one of another kind, or of a lazy module."""
    return type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided


class _Saved:
    """What containers hold, and the containers in them."""

    def __init__(self, containers: Iterable[_Container]) -> None:
        self.contents: list[tuple[_Container, _Container | None]] = []
        seen: set[int] = set()
        waiting = list(containers)
        while waiting:
            container = waiting.pop()
            if id(container) in seen:
                continue
            seen.add(id(container))
            self.contents.append((container, container.copy() if container else None))
            if container:  # few are: a module has a dozen dictionaries for hooks
                items = container.values() if isinstance(container, dict) else container
                waiting += [item for item in items if type(item) in _CONTAINERS]

    def restore(self) -> None:
        """Give each the objects that it had, in their order, and leave alone what is as it was."""
        for container, contents in self.contents:
            if contents is None:
                if container:
                    container.clear()
            elif not _same(container, contents):
                container.clear()
                if isinstance(container, dict | set):
                    container.update(contents)
                else:
                    container.extend(contents)


def _same(one: _Container, other: _Container) -> bool:
    """Whether two containers of one kind hold the same objects in the same order."""
    if len(one) != len(other):
        return False
    if isinstance(one, set):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        values = all(map(operator.is_, one.values(), other.values()))
        return values and all(map(operator.is_, one, other))
    return all(map(operator.is_, one, other))


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Inside, torch's transformer layers run their own parts, not one operator for all of them."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


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


def needs_stand_ins(module: nn.Module) -> bool:
    """Whether a module is lazy, so that its first call fills its parameters."""
    return any(isinstance(part, LazyModuleMixin) for part in module.modules())


class StandIns:
    """Tensors without data in place of others, each time the same for the same one."""

    def __init__(self) -> None:
        self.made: dict[int, tuple[Tensor, Tensor]] = {}

    def take_over(self, module: nn.Module) -> None:
        """Exchange the floats of a module, inside `preserve_module_state`, which restores them."""
        for part in module.modules():
            own = part.__dict__
            for attributes in (own, own["_parameters"], own["_buffers"]):
                for name, value in attributes.items():
                    if isinstance(value, Tensor | list | tuple):
                        attributes[name] = self.replaced(value)

    def replaced(self, value: Any) -> Any:
        """A value with its floats, and those in its containers, exchanged."""
        if isinstance(value, Tensor):
            _, stand_in = self.made.setdefault(id(value), (value, _on_meta(value)))
            return stand_in
        if isinstance(value, dict):
            return {key: self.replaced(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self.replaced, value))
        return value


def own_containers(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A copy of the lists and dictionaries among arguments, which a network may write to.

    Tensors are neither copied nor written to.
    """
    return copy.deepcopy(kwargs, {id(tensor): tensor for tensor in tensors_of(kwargs)})


def _on_meta(tensor: Tensor) -> Tensor:
    if isinstance(tensor, UninitializedParameter):
        return UninitializedParameter(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # torch leaves its arguments out of its stubs
    if isinstance(tensor, UninitializedBuffer):
        return UninitializedBuffer(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # as above
    if not tensor.is_floating_point():
        return tensor  # control flow may read it
    data = torch.empty_like(tensor, device="meta")
    return nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
