"""Tensors inside of tuples, lists, dictionaries and dataclasses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

PLAIN = frozenset([int, float, bool, str, type(None)])
"""Types without parts, which most arguments of operators have."""


def tensors_of(value: object) -> list[Tensor]:
    """Return the tensors in a value, depth first."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    _collect_tensors([value], found)
    return found


def _collect_tensors(values: Iterable[object], found: list[Tensor]) -> None:
    """Append the tensors in some values to a list."""
    for value in values:
        if type(value) in PLAIN:
            continue
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            _collect_tensors(value, found)
        elif isinstance(value, Mapping):
            _collect_tensors(value.values(), found)
        elif is_dataclass(value) and not isinstance(value, type):
            _collect_tensors([getattr(value, field.name) for field in fields(value)], found)


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return a value with `function` applied to the tensors in its lists, tuples and dictionaries.

    They are visited in order, depth first.
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)([map_tensors(function, item) for item in value])
    return value


def copy_containers(value: Any, replaced: Mapping[Tensor, Tensor] | None = None) -> Any:
    """Return a deep copy that holds the same tensors, so that a model may write to its lists.

    Args:
        value: The value.
        replaced: Other tensors for some of those in it.
    """
    others = {tensor: tensor for tensor in tensors_of(value)} | dict(replaced or {})
    return copy.deepcopy(value, {id(old): new for old, new in others.items()})
