"""Runs a model's operators without data, and follows the layouts of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, Operator, Overload
from mnistzoo.analysis.operators.fakes import is_filled_float
from mnistzoo.analysis.operators.registry import overload_of
from mnistzoo.analysis.tracing.constants import CPU, META, SAFE_ELEMENTS, ConstantPolicy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.modules import ModuleTracker
from mnistzoo.analysis.tracing.records import TensorRecord, View
from mnistzoo.analysis.tracing.rules import layouts_of
from mnistzoo.analysis.tracing.running import run_on, run_on_meta, written_tensors
from mnistzoo.analysis.tracing.tensors import TensorRecords
from mnistzoo.errors import AnalysisError, UnknownOperatorError, ValuesNeededError


class LayoutTracer(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types here
    """Runs every operator on the meta device, and gives its results their layouts.

    A model never writes to a tensor from outside: operators run on a copy of it. Constants keep
    their values as far as `policy` allows, so that control flow may read them.

    Attributes:
        tensors: What is known about each tensor.
        last_map: Layout of the last tensor with more than one unit along an axis.
        stopped_at: The operator that needed values, and the layer that called it.
    """

    def __init__(self, policy: ConstantPolicy) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.tensors = TensorRecords(policy)
        self.last_map: Layout | None = None
        self.stopped_at: str | None = None
        self._calls: ModuleTracker | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return `False`: torch would import its compiler, to keep it from compiling the tracer."""
        return False

    @contextmanager
    def reporting_to(self, calls: ModuleTracker) -> Iterator[None]:
        """Add rows for functions to those of the modules that call them."""
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
        kwargs, overload = kwargs or {}, overload_of(func)
        if overload.is_composite:
            with self:  # in `torch.inference_mode` only
                return func.decompose(*args, **kwargs)
        try:
            return self._step(overload, args, kwargs)
        except (AnalysisError, UnknownOperatorError) as error:
            place = f"{func} in {self._place()}"
            if isinstance(error, ValuesNeededError):
                self.stopped_at = place
            raise type(error)(f"Cannot follow {place}. {error}") from error

    def _step(self, overload: Overload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if overload.name == "aten::lift_fresh":  # a literal, which nothing else holds
            self.tensors.result(args[0])
        if overload.name in ("aten::index", "aten::index_put"):
            args = (args[0], self._without_masks(args[1]), *args[2:])
        call = self._call(overload, args, kwargs, tensors_of([*args, *kwargs.values()]))
        records = [self.tensors.argument(tensor) for tensor in call.tensors]
        if overload.in_place_view and overload.operator and overload.operator.write:
            return self._change_geometry(call)
        out = call.out = self._run(call, records)
        if overload.writes_unreturned:
            call.out = [*tensors_of(out), *written_tensors(call)]
        if overload.is_view:
            self.tensors.add_views(call)
        if [record for record in records if record.layout is not None]:
            self._follow(call)
        else:
            self._add_constants(call)
        return out

    def _change_geometry(self, call: Call) -> Tensor:
        """Run an operator such as `transpose_`: the tensor becomes a view of what it was."""
        record = self.tensors.argument(call.args[0])
        before = self.tensors.keep_geometry(record)
        for tensor in {id(x): x for x in (record.tensor, record.value)}.values():
            call.overload.func(tensor, *call.args[1:], **call.kwargs)
        args, out = (before.tensor, *call.args[1:]), record.tensor
        call = self._call(call.overload, args, call.kwargs, [before.tensor], out)
        record.become_view(View(before, call, 0))
        if record.layout is not None:
            record.set_layout(layouts_of(call)[0])
        return out

    def _call(
        self, overload: Overload, args: Any, kwargs: Any, tensors: list[Tensor], out: Any = None
    ) -> Call:
        known = self.tensors
        return Call(overload, args, kwargs, out, tensors, known.layout_of, known.value_of)

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

    def _run(self, call: Call, records: list[TensorRecord]) -> Any:
        """Return the operator's result, on the meta device if any argument is there."""
        operator = call.overload.operator
        if call.overload.is_random or [record for record in records if record.is_meta]:
            _refuse_values(call.overload.name, operator, records)
            for tensor in written_tensors(call):
                self.tensors.forget_values(self.tensors.argument(tensor))
            made = _run_fake(call, operator, records)
            return run_on(call, [x.meta for x in records], META) if made is None else made
        if self._may_outgrow(call, operator):
            made = run_on_meta(call, [record.meta for record in records])
            if not all(map(self.tensors.policy.keeps, tensors_of(made))):
                return made
        return run_on(call, [record.value for record in records], CPU)

    def _may_outgrow(self, call: Call, operator: Operator | None) -> bool:
        """Return whether the result may be a constant too large to keep its values."""
        if "device" in call.kwargs:
            size = call.args[0] if call.args else None
            is_small = isinstance(size, list) and prod(size) <= SAFE_ELEMENTS
            return self.tensors.policy.floats_on_meta or not is_small
        overload = call.overload
        if overload.is_view or overload.written or (operator and operator.needs_values):
            return False
        return any(tensor.numel() > SAFE_ELEMENTS for tensor in call.tensors)

    def _follow(self, call: Call) -> None:
        """Give the results of a call their layouts, and update what it wrote to."""
        layouts = layouts_of(call)
        for tensor, layout in zip(tensors_of(call.out), layouts, strict=True):
            self.tensors.result(tensor).set_layout(layout)
        first = layouts[0] if layouts else None
        if first is not None and first is not self.last_map and first.axes():
            self.last_map = first
        self._add_row(call, first)
        for tensor in written_tensors(call):
            self.tensors.note_write(self.tensors.argument(tensor))

    def _add_constants(self, call: Call) -> None:
        """Record results that do not depend on the input."""
        for tensor in tensors_of(call.out):
            if self.tensors.find(tensor) is None:
                self.tensors.result(tensor)
        self._add_row(call, None)

    def _add_row(self, call: Call, layout: Layout | None) -> None:
        """Add a row for a function that is listed or multiplies."""
        operator = call.overload.operator
        if operator is None or self._calls is None or not (operator.macs or operator.listed):
            return
        macs = operator.count_macs(call)
        if macs or (layout and operator.listed):
            name = call.name.removesuffix("_with_indices")
            self._calls.add_function(name, call.result, layout, macs)

    def _place(self) -> str:
        return str(self._calls.stack[-1]) if self._calls and self._calls.stack else "the model"


def _refuse_values(name: str, operator: Operator | None, records: list[TensorRecord]) -> None:
    """Raise an error for an operator whose result depends on values that are unknown."""
    masked = name == "aten::index" and any(x.tensor.dtype == torch.bool for x in records[1:])
    if masked or (operator and operator.needs_values):
        raise ValuesNeededError(
            "Data-dependent control flow is not supported. "
            "Replace the `if`, `.item()` or mask that reads values there."
        )


def _run_fake(call: Call, operator: Operator | None, records: list[TensorRecord]) -> Any:
    """Return an operator's result by its own fake, or `None` if that does not cover the call."""
    if operator is None or operator.fake is None or not is_filled_float(call.args):
        return None
    written = call.overload.written
    made = None if "out" in written else operator.fake(*call.args, **call.kwargs)
    if made is None or not written:
        return made
    return records[0].meta if made.shape == call.args[0].shape else None
