"""The table of all operators, by qualified name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from mnistzoo.analysis.algebra.layout import Layout
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
from mnistzoo.analysis.operators.base import Call, Operator, Rule, Write
from mnistzoo.errors import InputError, UnknownOperatorError

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
def plain_name(func: Any) -> str:
    """Return the qualified name of an operator, for ATen's in-place variants that of the plain one.

    >>> plain_name(torch.ops.aten.relu_.default)
    'aten::relu'
    """
    name: str = func._schema.name
    in_place = name.startswith("aten::") and name.endswith("_") and not name.endswith("__")
    return name[:-1] if in_place else name


@cache
def find_operator(func: Any) -> Operator | None:
    """Return the record of an operator, or `None` if nothing is known about it.

    ATen's in-place and `_copy` variants share the record of the plain operator.
    """
    name = plain_name(func)
    found = OPERATORS.get(name)
    if found is None and name.startswith("aten::"):
        found = OPERATORS.get(name.removesuffix("_copy"))
    if found is None and torch.Tag.pointwise in func.tags:
        found = pointwise.UNNAMED
    return found


def after_write(write: Write) -> Layout:
    """Return the layout of a whole tensor after a write through a view.

    Raises:
        UnknownOperatorError: Writing through views of this kind is not supported.
    """
    operator = find_operator(write.view.func)
    if operator is None or operator.write is None:
        raise UnknownOperatorError(
            f"Writing through a view made by {write.view.func} is not supported. "
            "Write to the tensor itself, or to a slice."
        )
    return operator.write(write)


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
        raise InputError(f"Expected a rule that can be called, got {rule!r}.")
    if macs is not None and not callable(macs):
        raise InputError(f"Expected macs that can be called, got {macs!r}.")
    _add(name, Operator(rule, macs, listed, needs_values))
    find_operator.cache_clear()
