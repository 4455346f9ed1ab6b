"""The foundation of every rule: one call of an operator, and the record of an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.algebra.joins import expand, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.errors import AnalysisError, UnknownOperatorError

Layouts = Layout | None | list[Layout | None]
"""What a rule returns: the layout of the first result, or a list with one for each result."""


@dataclass(frozen=True, eq=False, slots=True)
class Overload:
    """What the schema of an operator declares, and its record."""

    func: Any  # such as `torch.ops.aten.relu.default`
    name: str  # qualified; ATen's in-place variants have the plain operator's name
    operator: Operator | None  # `None` if nothing is known about it
    arguments: Mapping[str, tuple[int, Any]]  # position and default of each
    written: tuple[str, ...]  # names of the arguments that it writes to
    writes_unreturned: bool  # it writes to arguments that it does not return
    is_view: bool  # its result shares the memory of its first argument
    is_random: bool  # it draws random numbers
    is_composite: bool  # it has no record, but decomposes into other operators
    in_place_view: bool  # it turns a tensor into a view of itself, as `transpose_` does


@dataclass(eq=False, slots=True)
class Call:
    """One call of an operator: its arguments and what it returned.

    `call["name"]` is the argument of that name in the operator's schema, or its default.

    Attributes:
        overload: What is called.
        args: Positional arguments.
        kwargs: Keyword arguments.
        out: A tensor, or a sequence: tensors returned, then those written to but not returned.
        tensors: All tensors among the arguments.
        layout_of: Function from a tensor to its layout; `None` if the tensor does not depend on
            the input.
        now: Function from a tensor to a copy with its current values, or one on the meta device.
    """

    overload: Overload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    tensors: list[Tensor]
    layout_of: Callable[[Any], Layout | None]
    now: Callable[[Tensor], Tensor]

    def __getitem__(self, name: str) -> Any:
        position, default = self.overload.arguments[name]
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or `default` if the operator has none of that name."""
        return self[name] if name in self.overload.arguments else default

    def union_of(self, tensor: Any) -> Layout | None:
        """Return the layout of one number that reads what all of a tensor reads."""
        layout = self.layout_of(tensor)
        return layout and layout.union_all()

    @property
    def name(self) -> str:
        """The operator's name without its namespace and overload, such as `"relu"`."""
        return self.overload.name.partition("::")[2]

    @property
    def source(self) -> Layout:
        """The layout of the first argument.

        Raises:
            UnknownOperatorError: Only another argument depends on the input.
        """
        layout = self.layout_of(self.args[0])
        if layout is None:
            raise UnknownOperatorError(
                "Expected the first argument to depend on the input, got only others that do. "
                "Analyze a part of the model, such as its backbone."
            )
        return layout

    @property
    def result(self) -> Tensor:
        """The first result."""
        first: Tensor = self.out if isinstance(self.out, Tensor) else self.out[0]
        return first

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first result."""
        return tuple(self.result.shape)


Rule = Callable[[Call], Layouts]


@dataclass(eq=False, slots=True)
class Write:
    """A write to a tensor through a view of it, as in `out[:, 2:] = x`."""

    view: Call  # the call that made the view
    number: int  # of the view, among those that the call made
    layout: Layout  # of the view after the write
    old: Layout | None  # of the whole tensor before; `None` if it did not depend on the input

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole tensor."""
        return tuple(self.view.args[0].shape)


@dataclass(frozen=True, slots=True)
class Operator:
    """The rules of an operator.

    Attributes:
        rule: Function from a call to the layouts of its results.
        macs: Function from a call to its multiply-accumulates, without biases. Default: 0.
        listed: Whether calls outside of a layer get a row in the table, as do those with MACs.
        needs_values: Whether the result, or its shape, depends on values.
        write: For an operator that returns views, function from a `Write` to the layout of the
            whole tensor after it; `None` if writes are not supported.
        fake: Function from the operator's own arguments to its result on the meta device, faster
            than torch's. It returns `None` for arguments that it does not cover.
    """

    rule: Rule
    macs: Callable[[Call], int] | None = None
    listed: bool = False
    needs_values: bool = False
    write: Callable[[Write], Layout] | None = None
    fake: Callable[..., Any] | None = None

    def count_macs(self, call: Call) -> int:
        """Return the multiply-accumulates of a call.

        Raises:
            AnalysisError: `macs` fails, or does not return an integer of at least 0.
        """
        try:
            count = index(self.macs(call)) if self.macs else 0
        except RecursionError:  # the model's, not the function's
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise AnalysisError(f"Its macs function failed ({reason}). Fix it.") from error
        if count < 0:
            raise AnalysisError(f"Expected its macs function to return 0 or more, got {count}.")
        return count


def elementwise(call: Call) -> Layout | None:
    """Return the layout where each unit reads the same unit of every argument, broadcast.

    >>> from mnistzoo.analysis import register_operator
    >>> register_operator("mylib::gamma", elementwise)
    """
    return union([call.layout_of(tensor) for tensor in call.tensors], call.shape)


def constant(_: Call) -> None:
    """Return `None`: only shapes of the arguments matter."""


def read_all(call: Call) -> Layout | None:
    """Return the layout where each unit reads everything: always valid, but never tight.

    >>> from mnistzoo.analysis import register_operator
    >>> register_operator("mylib::equalize", read_all)
    """
    return union([call.union_of(tensor) for tensor in call.tensors], call.shape)


def write_anywhere(write: Write) -> Layout:
    """Return the layout in which any entry may be any of those written: valid, but never tight."""
    layout = expand(write.layout.union_all(), write.shape)
    return union([layout, write.old], write.shape) or layout


def meta_copy(tensor: Tensor) -> Tensor:
    """Return an empty tensor of the same geometry and dtype on the meta device."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def positive(dim: int, ndim: int) -> int:
    """Return a dimension counted from the front."""
    return dim + ndim if dim < 0 else dim


def dims_of(value: int | Sequence[int] | None, ndim: int) -> list[int]:
    """Return a `dim` argument as positive dimensions; `None` and `[]` mean all."""
    if value is None or value == []:
        return list(range(ndim))
    values = [value] if isinstance(value, int) else value
    return [positive(dim, ndim) for dim in values]


def last_dims(call: Call, count: int) -> list[int]:
    """Return the last `count` dimensions of the first argument."""
    ndim = len(call.source.dims)
    return list(range(ndim - count, ndim))
