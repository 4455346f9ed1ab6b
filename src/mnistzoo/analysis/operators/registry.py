"""One call of an ATen operator, and the table of the rules for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.errors import UnknownOperatorError

Layouts = Layout | None | list[Layout | None]
"""What a rule answers: one layout, or one for each tensor that the operator returns."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operator, what it was given, and what it returned.

    Attributes:
        func: the overload, `torch.ops.aten.….….`
        args: as given, by position.
        kwargs: as given, by name.
        out: a tensor, or a sequence of tensors.
        tensors: all those among the arguments.
        layout_of: the layout of a tensor; `None` if it is not made of the input.
        now: what stands for a tensor, with the values that it has by now, or on `meta` without.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    tensors: list[Tensor]
    layout_of: Callable[[Any], Layout | None]
    now: Callable[[Tensor], Tensor]

    def __getitem__(self, name: str) -> Any:
        """The argument of that name in the operator's schema, or its default."""
        position, default = _signature(self.func)[name]
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)

    def get(self, name: str, default: Any = None) -> Any:
        """The same, with a default for operators without such an argument."""
        return self[name] if name in _signature(self.func) else default

    def whole(self, tensor: Any) -> Layout | None:
        """One unit that sees what all of a tensor sees; `None` if it is not made of the input."""
        layout = self.layout_of(tensor)
        return layout and layout.union_all()

    @property
    def source(self) -> Layout:
        """The layout of the first argument.

        Raises:
            UnknownOperatorError: only another argument is made of the input.
        """
        layout = self.layout_of(self.args[0])
        if layout is None:
            raise UnknownOperatorError(
                "expected a first argument made of the input, got one that is not, for which no "
                "window is known; analyse a part of the network, such as its backbone."
            )
        return layout

    @property
    def result(self) -> Tensor:
        """The first tensor returned."""
        first: Tensor = self.out if isinstance(self.out, Tensor) else self.out[0]
        return first

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first tensor returned."""
        return tuple(self.result.shape)


@cache
def _signature(func: Any) -> dict[str, tuple[int, Any]]:
    """By name, the position and the default of each argument; read once, as torch is slow here."""
    arguments = enumerate(func._schema.arguments)
    return {argument.name: (i, argument.default_value) for i, argument in arguments}


Rule = Callable[[Call], Layouts]

RULES: dict[str, Rule] = {}
"""By the operator's name, without its overload and without the underscore of in-place ones."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule into the table under the names of its operators."""

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return enter


def positive(dim: int, ndim: int) -> int:
    """A dimension counted from the front."""
    return dim + ndim if dim < 0 else dim


def dims_of(value: int | Sequence[int] | None, ndim: int) -> list[int]:
    """A `dim` argument as positive dimensions; none given means all."""
    if value is None or value == []:
        return list(range(ndim))
    values = [value] if isinstance(value, int) else value
    return [positive(dim, ndim) for dim in values]


def spatial(call: Call, axes: int) -> list[int]:
    """The last `axes` dimensions of what `call` reads."""
    ndim = len(call.source.dims)
    return list(range(ndim - axes, ndim))
