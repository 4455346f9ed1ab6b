"""Running an operator on other tensors than those that the model passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.tracing.constants import META
from mnistzoo.analysis.tracing.containers import PLAIN


def run_on_meta(func: Any, args: Any, kwargs: dict[str, Any], metas: Sequence[Tensor]) -> Any:
    """Return an operator's result on the meta device, or `None` if it does not run there."""
    try:
        return run_on(func, args, placed(kwargs, META), metas)
    except (NotImplementedError, RuntimeError):
        return None


def placed(kwargs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return arguments with another device, if they have one."""
    return kwargs | {"device": device} if "device" in kwargs else kwargs


def run_on(func: Any, args: Any, kwargs: dict[str, Any], tensors: Sequence[Tensor]) -> Any:
    """Run an operator with the tensors among its arguments replaced, in their order."""
    args, kwargs = replaced(args, kwargs, tensors)
    return func(*args, **kwargs)


def replaced(args: Any, kwargs: dict[str, Any], tensors: Sequence[Tensor]) -> Any:
    """Return arguments with the tensors among them replaced, in their order."""
    rest = iter(tensors)
    return _replaced(args, rest), _replaced(kwargs, rest)


def _replaced(value: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return next(tensors)
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {key: _replaced(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_replaced(item, tensors) for item in value])
    return value
