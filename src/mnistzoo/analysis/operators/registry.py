"""The table of all operators, by qualified name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from mnistzoo.analysis.operators import (
    indexing,
    linalg,
    pointwise,
    reductions,
    resizing,
    shapes,
    slicing,
    sliding,
)
from mnistzoo.analysis.operators.base import Call, Operator, Overload, Rule
from mnistzoo.errors import InputError

OPERATORS: dict[str, Operator] = {}
"""By qualified name without the overload, such as `"aten::relu"`."""

_FAMILIES = (pointwise, reductions, linalg, shapes, slicing, indexing, sliding, resizing)


def _add(name: str, operator: Operator) -> None:
    if name in OPERATORS:
        raise InputError(f"Expected an operator without a rule, got {name!r}. Register it once.")
    OPERATORS[name] = operator


for _family in _FAMILIES:
    for _names, _operator in _family.OPERATORS.items():
        for _name in _names.split():
            _add(_name if "::" in _name else f"aten::{_name}", _operator)


@cache
def overload_of(func: Any) -> Overload:
    """Return what is known about an overload.

    ATen's in-place and `_copy` variants share the operator of the plain one.

    >>> overload_of(torch.ops.aten.relu_.default).name
    'aten::relu'
    """
    schema, name = func._schema, func._schema.name
    if name.startswith("aten::") and name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    plain = name.removesuffix("_copy") if name.startswith("aten::") else name
    unnamed = pointwise.UNNAMED if torch.Tag.pointwise in func.tags else None
    shared = [returned.alias_info for returned in schema.returns]
    written = [x.name for x in schema.arguments if x.alias_info and x.alias_info.is_write]
    operator = OPERATORS.get(name, OPERATORS.get(plain, unnamed))
    return Overload(
        func,
        name,
        operator=operator,
        arguments={x.name: (i, x.default_value) for i, x in enumerate(schema.arguments)},
        written=tuple(written),
        writes_unreturned=bool(written) and not any(x and x.is_write for x in shared),
        is_view=bool(shared and shared[0] and not shared[0].is_write),
        is_random=torch.Tag.nondeterministic_seeded in func.tags,
        is_composite=operator is None and _is_composite(func),
        in_place_view=torch.Tag.inplace_view in func.tags,
    )


def _is_composite(func: Any) -> bool:
    if func.namespace == "prim":  # the dispatcher does not have prim::device
        return False
    key = "CompositeImplicitAutograd"
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)


def register_operator(
    name: str,
    rule: Rule,
    *,
    macs: Callable[[Call], int] | None = None,
    listed: bool = False,
    needs_values: bool = False,
) -> None:
    """Register a custom operator, so that models that call it can be analyzed.

    Args:
        name: Qualified name, such as `"mylib::blur"`. It covers all overloads.
        rule: Function from a `Call` to the `Layout` of the first result, or to a list with one for
            each. `mnistzoo.analysis.operators` has `elementwise`, `slide(…)`, and `read_all`,
            which is right for every operator.
        macs: Function from a `Call` to its multiply-accumulates; default: 0.
        listed: Whether calls outside of a layer get a row in the table, as do those with MACs.
        needs_values: Whether the result, or its shape, depends on values.

    Raises:
        InputError: The name is not qualified, the rule is not a function, or the operator is
            registered already.

    >>> from mnistzoo.analysis.operators import Kernel, register_operator, slide
    >>> register_operator("mylib::sharpen", slide(Kernel(3, padding=1), Kernel(3, padding=1)))
    """
    if not isinstance(name, str) or not all(name.partition("::")) or "." in name:
        raise InputError(
            f"Expected a qualified name without an overload, such as 'mylib::blur', got {name!r}."
        )
    if not callable(rule):
        raise InputError(f"Expected the rule to be a function, got {rule!r}.")
    if macs is not None and not callable(macs):
        raise InputError(f"Expected macs to be a function, got {macs!r}.")
    _add(name, Operator(rule, macs, listed, needs_values))
    overload_of.cache_clear()
