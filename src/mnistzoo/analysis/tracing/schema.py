"""What the schema of an operator declares, read once per operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.operators.registry import find_operator, plain_name
from mnistzoo.analysis.tracing.containers import tensors_of


@dataclass(frozen=True, slots=True)
class Schema:
    """The effects of an operator on its arguments.

    Attributes:
        name: Qualified name, for in-place variants that of the plain operator.
        written: Names of the arguments that it writes to.
        writes_unreturned: Whether it writes to arguments that it does not return.
        is_view: Whether its result shares the memory of its first argument.
        is_random: Whether it draws random numbers.
        in_place_view: Whether it turns a tensor into a view of itself, as `transpose_` does.
    """

    name: str
    written: tuple[str, ...]
    writes_unreturned: bool
    is_view: bool
    is_random: bool
    in_place_view: bool


@cache
def schema_of(func: Any) -> Schema:
    """Return the schema of an operator."""
    arguments, returned = func._schema.arguments, func._schema.returns
    written = tuple(a.name for a in arguments if a.alias_info and a.alias_info.is_write)
    shared = [r.alias_info for r in returned if r.alias_info]
    return Schema(
        name=plain_name(func),
        written=written,
        writes_unreturned=bool(written) and not any(alias.is_write for alias in shared),
        is_view=bool(returned and returned[0].alias_info and not returned[0].alias_info.is_write),
        is_random=torch.Tag.nondeterministic_seeded in func.tags,
        in_place_view=torch.Tag.inplace_view in func.tags,
    )


@cache
def is_composite(func: Any) -> bool:
    """Return whether an operator is composed of others."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def changes_geometry(func: Any) -> bool:
    """Return whether an operator turns a tensor into a view of itself, with a rule for writes."""
    operator = find_operator(func) if schema_of(func).in_place_view else None
    return bool(operator and operator.write)


def written_tensors(call: Call) -> list[Tensor]:
    """Return the tensors that a call writes to."""
    written = schema_of(call.func).written
    return tensors_of([call[name] for name in written]) if written else []
