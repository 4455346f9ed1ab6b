"""Restoring a module after a call, whatever its `forward` does to it."""

from __future__ import annotations

import operator
import os
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, filterfalse
from threading import RLock
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

_CONTAINERS = frozenset([dict, OrderedDict, defaultdict, list, set, deque])
_Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]

_ONE_AT_A_TIME = RLock()
"""Held while a module is changed: models of two threads may share parts."""

if hasattr(os, "register_at_fork"):  # a process made in the meantime would wait forever
    os.register_at_fork(
        before=_ONE_AT_A_TIME.acquire,
        after_in_parent=_ONE_AT_A_TIME.release,
        after_in_child=_ONE_AT_A_TIME.release,
    )


@contextmanager
def preserve_module_state(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, and restore it afterward.

    This restores the attributes of every submodule, including the contents of Python containers,
    the data of parameters and buffers, and the state of PyTorch's random number generator. It does
    not restore the state of other objects. Other threads wait here.
    """
    with _ONE_AT_A_TIME, _restored(module):
        yield


@contextmanager
def _restored(module: nn.Module) -> Iterator[None]:
    parts = list(module.modules())
    kinds, attributes = [type(part) for part in parts], [part.__dict__ for part in parts]
    saved, tensors = _SavedContainers(attributes), _SavedTensors(attributes)
    with torch.random.fork_rng(devices=[]):
        try:
            for own in attributes:
                own["training"] = False
            yield
        finally:
            for part, kind in zip(parts, kinds, strict=True):
                if type(part) is not kind:
                    part.__class__ = kind  # a lazy module changes its class
            saved.restore()
            tensors.restore()


class _SavedTensors:
    """The data of a module's tensors, and whether they require gradients."""

    def __init__(self, attributes: Iterable[dict[str, Any]]) -> None:
        owned = chain.from_iterable((own["_parameters"], own["_buffers"]) for own in attributes)
        found = {id(tensor): tensor for part in owned for tensor in part.values()}
        tensors = filter(_has_storage, found.values())
        self._saved = [(tensor, tensor.data, tensor.requires_grad) for tensor in tensors]

    def restore(self) -> None:
        for tensor, data, requires_grad in self._saved:
            if tensor.untyped_storage()._cdata != data.untyped_storage()._cdata:
                tensor.data = data
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)


def _has_storage(tensor: Tensor | None) -> TypeGuard[Tensor]:
    if tensor is None or type(tensor) not in (Tensor, nn.Parameter):
        return False
    return tensor.layout == torch.strided


class _SavedContainers:
    """The contents of containers, and of the containers in them."""

    def __init__(self, containers: Iterable[_Container]) -> None:
        self._saved: dict[int, tuple[_Container, _Container]] = {}
        self._empty: list[_Container] = []  # most are: a module has a dozen dictionaries for hooks
        waiting = list(containers)
        while waiting:
            container = waiting.pop()
            if id(container) not in self._saved:
                self._saved[id(container)] = container, container.copy()
                items = container.values() if isinstance(container, dict) else container
                inner = [item for item in items if type(item) in _CONTAINERS]
                waiting += filter(None, inner)
                self._empty += filterfalse(None, inner)

    def restore(self) -> None:
        """Put back the same objects in the same order, where that has changed."""
        for container in self._empty:
            if container:
                container.clear()
        for container, contents in self._saved.values():
            if not _hold_the_same(container, contents):
                container.clear()
                if isinstance(container, dict | set):
                    container.update(contents)
                else:
                    container.extend(contents)


def _hold_the_same(one: _Container, other: _Container) -> bool:
    """Return whether two containers of one kind hold the same objects in the same order."""
    if len(one) != len(other):
        return False
    if isinstance(one, set):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        values = all(map(operator.is_, one.values(), other.values()))
        return values and all(map(operator.is_, one, other))
    return all(map(operator.is_, one, other))
