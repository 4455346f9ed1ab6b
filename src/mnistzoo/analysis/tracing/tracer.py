"""Runs a model's operators without data, and follows the layouts of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.algebra.joins import expand
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import MOVING, RULES, Call, macs_of
from mnistzoo.analysis.operators.mixing import CONSTANT, pointwise
from mnistzoo.analysis.operators.registry import Layouts, Rule
from mnistzoo.analysis.tracing.aliasing import propagate_write
from mnistzoo.analysis.tracing.constants import (
    CPU,
    META,
    SAFE_ELEMENTS,
    ConstantPolicy,
    meta_copy,
)
from mnistzoo.analysis.tracing.modules import ModuleTracker, tensors_of
from mnistzoo.analysis.tracing.schema import (
    is_composite,
    is_random,
    is_view,
    written_names,
    written_tensors,
)
from mnistzoo.analysis.tracing.tensors import TensorRecord, TensorRecords
from mnistzoo.errors import AnalysisError, UnknownOperatorError

VALUES_NEEDED = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
    *("_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
}
"""Operators whose result, or its shape, depends on values."""

SHOWN = MOVING | {"mean"}
"""Functions that have rows, beside those with multiply-accumulates."""

SAME_SHAPE = {
    *("relu", "sigmoid", "silu", "gelu", "hardswish", "hardsigmoid", "hardtanh", "tanh"),
    *("leaky_relu", "elu", "mul", "add", "sub", "_softmax", "_log_softmax", "_safe_softmax"),
}
"""Operators whose result has the shape and the dtype of arguments that agree in both."""


class LayoutTracer(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types here
    """Runs every operator on the meta device, and gives its results their layouts.

    A model never writes to a tensor from outside: operators run on a copy of it. Constants keep
    their values as far as `policy` allows, so that control flow may read them.

    Attributes:
        tensors: What is known about each tensor.
        last_map: Layout of the last tensor with more than one unit along an axis.
    """

    def __init__(self, policy: ConstantPolicy) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.tensors = TensorRecords(policy)
        self.last_map: Layout | None = None
        self._calls: ModuleTracker | None = None

    @contextmanager
    def reporting_to(self, calls: ModuleTracker) -> Iterator[None]:
        """Inside, functions get rows among those of the modules that call them."""
        self._calls = calls
        try:
            yield
        finally:
            self._calls = None  # breaks a reference cycle

    def layout_of(self, tensor: Tensor) -> Layout | None:
        """Return the layout of a tensor. `None` if it does not depend on the input."""
        record = self.tensors.find(tensor)
        return record.layout if record else None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator, and follow what it does."""
        kwargs = kwargs or {}
        name, rule = _kind(func)
        if rule is None and is_composite(func):  # as they arrive in `torch.inference_mode`
            with self:
                return func.decompose(*args, **kwargs)
        try:
            return self._step(func, name, args, kwargs)
        except (AnalysisError, UnknownOperatorError) as error:
            raise type(error)(f"Cannot follow {func} in {self._place()}. {error}") from error

    def _step(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name == "lift_fresh":  # a literal, which nothing else holds
            self.tensors.result(args[0])
        if name in ("index", "index_put"):
            args = (args[0], self._without_masks(args[1]), *args[2:])
        tensors = tensors_of([args, kwargs])
        records = [self.tensors.argument(tensor) for tensor in tensors]
        out = self._run(func, name, args, kwargs, records)
        call = self._call(func, args, kwargs, out, tensors)
        if is_view(func):
            self.tensors.add_views(call)
        if any(record.layout is not None for record in records):
            self._follow(call)
        else:
            self._add_constants(tensors_of(out))
            self._add_row(call, None)
        return out

    def _add_constants(self, made: list[Tensor]) -> None:
        for tensor in made:
            if self.tensors.find(tensor) is None:
                self.tensors.result(tensor)

    def _call(
        self, func: Any, args: Any, kwargs: dict[str, Any], out: Any, tensors: list[Tensor]
    ) -> Call:
        tracked = self.tensors
        return Call(func, args, kwargs, out, tensors, tracked.layout_of, tracked.value_of)

    def _without_masks(self, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return indices with each mask whose values are known replaced by its positions."""
        found: list[Tensor | None] = []
        for index in indices:
            value = index if index is None else self.tensors.argument(index).value
            if value is None or value.dtype != torch.bool or value.is_meta:
                found.append(index)
            else:
                found.extend(value.nonzero(as_tuple=True))
        return found

    def _run(
        self,
        func: Any,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        records: list[TensorRecord],
    ) -> Any:
        """Return the operator's result, on the meta device if any argument is there."""
        values = [record.value for record in records]
        if is_random(func) or any(value.is_meta for value in values):
            _refuse_values(name, values)
            self._forget_written(func, args, kwargs)
            given, kwargs = [record.meta for record in records], _placed(kwargs, META)
            fast = _same_shape(func, name, given)
            return _run_on(func, args, kwargs, given) if fast is None else fast
        if "device" in kwargs or _may_outgrow(func, name, values):
            made = _on_meta(func, args, kwargs, [record.meta for record in records])
            if not all(map(self.tensors.policy.keeps, tensors_of(made))):
                return made
        return _run_on(func, args, _placed(kwargs, CPU), values)

    def _forget_written(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Forget the values of what an operator on the meta device writes to."""
        if written_names(func):
            for tensor in written_tensors(self._call(func, args, kwargs, None, [])):
                self.tensors.forget_values(self.tensors.argument(tensor))

    def _follow(self, call: Call) -> None:
        """Give the results of a call their layouts, and update what it wrote to."""
        layouts = self._layouts_of(call)
        for tensor, layout in zip(tensors_of(call.out), layouts, strict=True):
            self.tensors.result(tensor).set_layout(layout)
        first = layouts[0] if layouts else None
        if first is not None and first.axes():
            self.last_map = first
        self._add_row(call, first)
        for tensor in written_tensors(call):
            propagate_write(self.tensors, self.tensors.argument(tensor), self._layouts_of)

    def _layouts_of(self, call: Call) -> list[Layout | None]:
        """Return the layout of each result, by the operator's rule."""
        made = tensors_of(call.out)
        name, rule = _kind(call.func)
        if name in CONSTANT:
            return [None] * len(made)
        if not any(tensor.ndim for tensor in (*call.tensors, *made)):
            rule = pointwise  # on scalars, every operator is
        if rule is None:
            raise UnknownOperatorError("It has no rule. Replace it with other operators.")
        layouts: Layouts = rule(call)
        if isinstance(layouts, list):
            return layouts
        return [layouts, *(_further_result(layouts, tensor) for tensor in made[1:])]

    def _add_row(self, call: Call, layout: Layout | None) -> None:
        name, _ = _kind(call.func)
        macs = macs_of(name, call)
        if self._calls and (macs or (layout and name in SHOWN)):
            self._calls.function(name.removesuffix("_with_indices"), call.result, layout, macs)

    def _place(self) -> str:
        return str(self._calls.stack[-1]) if self._calls and self._calls.stack else "the model"


@cache
def _kind(func: Any) -> tuple[str, Rule | None]:
    """Return an operator's name, without the underscore of in-place ones, and its rule."""
    name = func._schema.name.partition("::")[2]
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    tagged = pointwise if torch.Tag.pointwise in func.tags else None
    return name, RULES.get(name) or RULES.get(name.removesuffix("_copy"), tagged)


def _refuse_values(name: str, given: Sequence[Tensor]) -> None:
    """Raise an error for an operator whose result depends on values that are unknown."""
    masked = name == "index" and any(tensor.dtype == torch.bool for tensor in given[1:])
    if masked or name in VALUES_NEEDED:
        raise AnalysisError(
            "Data-dependent control flow is not supported. "
            "Replace the `if`, `.item()` or mask that reads values there."
        )


def _may_outgrow(func: Any, name: str, values: Sequence[Tensor]) -> bool:
    """Return whether constants may result in one too large to keep its values."""
    if is_view(func) or written_names(func) or name in VALUES_NEEDED:
        return False
    return any(value.numel() > SAFE_ELEMENTS for value in values)


def _on_meta(func: Any, args: Any, kwargs: dict[str, Any], metas: Sequence[Tensor]) -> Any:
    """Return an operator's result on the meta device, or `None` if it does not run there."""
    try:
        return _run_on(func, args, _placed(kwargs, META), metas)
    except (NotImplementedError, RuntimeError):
        return None


def _same_shape(func: Any, name: str, given: Sequence[Tensor]) -> Any:
    """Return the result of a simple operator faster than torch's own rules for shapes do."""
    if not given or not given[0].is_floating_point() or not given[0].is_contiguous():
        return None
    first, *others = given
    written = written_names(func)
    alike = all(x.shape == first.shape and x.dtype == first.dtype for x in others)
    if name in SAME_SHAPE and alike and "out" not in written:
        return first if written else meta_copy(first)
    if name == "native_batch_norm" and all(x.shape == first.shape[1:2] for x in others):
        nothing = torch.empty(0, device=META)
        return meta_copy(first), nothing, nothing
    return None


def _further_result(layout: Layout | None, other: Tensor) -> Layout | None:
    """Return the layout of a second result: the first one's if it fits, else all that is read."""
    if layout is None or layout.shape == tuple(other.shape):
        return layout
    return expand(layout.union_all(), other.shape) if other.numel() else None


def _placed(kwargs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return arguments with another device, if they have one."""
    return kwargs | {"device": device} if "device" in kwargs else kwargs


def _run_on(func: Any, args: Any, kwargs: dict[str, Any], tensors: Sequence[Tensor]) -> Any:
    """Run an operator with the tensors among its arguments replaced, in their order."""
    rest = iter(tensors)
    return func(*_replaced(args, rest), **_replaced(kwargs, rest))


def _replaced(value: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {key: _replaced(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, tensors) for item in value)
    return value
