"""The layouts of an operator's results, by its rule."""

from __future__ import annotations

from torch import Tensor

from mnistzoo.analysis.algebra.joins import expand
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, apply_rule, constant, elementwise
from mnistzoo.analysis.operators.registry import find_operator
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.errors import UnknownOperatorError


def layouts_of(call: Call) -> list[Layout | None]:
    """Return the layout of each result, by the operator's rule."""
    made, operator = tensors_of(call.out), find_operator(call.func)
    if not made:
        return []
    rule = operator.rule if operator else None
    if rule is not constant and not any(x.ndim for x in (*call.tensors, *made)):
        rule = elementwise  # on scalars, every operator is
    if rule is None:
        raise UnknownOperatorError(
            "It has no rule. Register one: mnistzoo.analysis.register_operator."
        )
    layouts = apply_rule(rule, call, len(made))
    if isinstance(layouts, list):
        return layouts
    return [layouts, *(_further_result(layouts, made[0], tensor) for tensor in made[1:])]


def _further_result(layout: Layout | None, first: Tensor, other: Tensor) -> Layout | None:
    """Return the layout of a second result: the first one's if it fits, else all that is read."""
    if layout is None or first.shape == other.shape:
        return layout
    return expand(layout.union_all(), other.shape) if other.numel() else None
