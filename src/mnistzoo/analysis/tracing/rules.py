"""The layouts of an operator's results, by its rule."""

from __future__ import annotations

from torch import Tensor

from mnistzoo.analysis.algebra.joins import expand
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, Layouts, Rule, constant, elementwise
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.errors import AnalysisError, MnistZooError, UnknownOperatorError


def layouts_of(call: Call) -> list[Layout | None]:
    """Return the layout of each result, by the operator's rule."""
    made, operator = tensors_of(call.out), call.overload.operator
    if not made:
        return []
    rule = operator.rule if operator else None
    if rule is not constant and not any(x.ndim for x in (*call.tensors, *made)):
        rule = elementwise  # on scalars, every operator is
    if rule is None:
        raise UnknownOperatorError(
            "It has no rule. Register one: mnistzoo.analysis.register_operator."
        )
    layouts = _apply(rule, call)
    if not isinstance(layouts, list):
        return [layouts, *(_further_result(layouts, made[0], tensor) for tensor in made[1:])]
    if len(layouts) != len(made):
        raise AnalysisError(f"Expected its rule to return {len(made)} layouts, got {len(layouts)}.")
    return layouts


def _apply(rule: Rule, call: Call) -> Layouts:
    """Return what a rule returns for a call.

    Raises:
        AnalysisError: The rule fails, or does not return layouts.
    """
    try:
        layouts = rule(call)
    except (MnistZooError, RecursionError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise AnalysisError(f"Its rule failed ({reason}). Fix the rule.") from error
    found = layouts if isinstance(layouts, list) else [layouts]
    kinds = sorted({type(x).__name__ for x in found if not isinstance(x, Layout | None)})
    if kinds:
        raise AnalysisError(f"Expected its rule to return a Layout, got {', '.join(kinds)}.")
    return layouts


def _further_result(layout: Layout | None, first: Tensor, other: Tensor) -> Layout | None:
    """Return the layout of a second result: the first one's if it fits, else all that is read."""
    if layout is None or first.shape == other.shape:
        return layout
    return expand(layout.union_all(), other.shape) if other.numel() else None
