"""Aliasing, as the schema of an operator declares it, read once per operator."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.operators.registry import find_operator
from mnistzoo.analysis.tracing.containers import tensors_of


@cache
def is_composite(func: Any) -> bool:
    """Return whether an operator is composed of others."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def is_view(func: Any) -> bool:
    """Return whether an operator's result shares the memory of its first argument."""
    returned = func._schema.returns
    return bool(returned and returned[0].alias_info and not returned[0].alias_info.is_write)


@cache
def is_random(func: Any) -> bool:
    """Return whether an operator draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


@cache
def changes_geometry(func: Any) -> bool:
    """Return whether an operator turns a tensor into a view of itself, as `transpose_` does."""
    operator = find_operator(func)
    return bool(torch.Tag.inplace_view in func.tags and operator and operator.write)


@cache
def written_names(func: Any) -> tuple[str, ...]:
    """Return the names of the arguments that an operator writes to."""
    arguments = func._schema.arguments
    return tuple(a.name for a in arguments if a.alias_info and a.alias_info.is_write)


@cache
def writes_unreturned(func: Any) -> bool:
    """Return whether an operator writes to arguments that it does not return."""
    returned = any(r.alias_info and r.alias_info.is_write for r in func._schema.returns)
    return bool(written_names(func)) and not returned


def written_tensors(call: Call) -> list[Tensor]:
    """Return the tensors that a call writes to."""
    return tensors_of([call[name] for name in written_names(call.func)])
