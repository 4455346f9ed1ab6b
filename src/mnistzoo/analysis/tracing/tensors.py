"""The records of a trace, one for each tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, Write, meta_copy
from mnistzoo.analysis.operators.registry import overload_of
from mnistzoo.analysis.tracing.constants import CPU, ConstantPolicy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.records import (
    Memory,
    TensorRecord,
    View,
    replace_in_view,
    storage_id,
)
from mnistzoo.analysis.tracing.rules import layouts_of
from mnistzoo.errors import AnalysisError, UnknownOperatorError


class TensorRecords:
    """The records of all tensors that operators have read or made.

    Args:
        policy: Decides which constants keep their values.
    """

    def __init__(self, policy: ConstantPolicy) -> None:
        self.policy = policy
        self._records: dict[int, TensorRecord] = {}
        self._alive: list[Tensor] = []  # keeps their ids from being reused
        self._memories: dict[int, Memory] = {}

    def close(self) -> None:
        """Drop all records. Their reference cycles would keep tensors alive."""
        for record in self._records.values():
            record.memory.records.clear()
        for kept in (self._records, self._memories, self._alive):
            kept.clear()

    def __contains__(self, tensor: object) -> bool:
        return id(tensor) in self._records

    def layout_of(self, tensor: Any) -> Layout | None:
        """Return the layout of a tensor. `None` if it does not depend on the input."""
        record = self._records.get(id(tensor))
        return self.refresh(record).layout if record else None

    def value_of(self, tensor: Tensor) -> Tensor:
        """Return the tensor that operators run on in place of another."""
        record = self._records.get(id(tensor))
        return self.refresh(record).value if record else tensor

    def find(self, tensor: Tensor) -> TensorRecord | None:
        """Return the record of a tensor, or `None` for one that comes from outside.

        Raises:
            AnalysisError: It shares memory with a tensor that depends on the input, and no
                operator says which part.
        """
        record = self._records.get(id(tensor))
        if record and record.is_stale:
            record.memory.records.remove(record)
            record = None
        return self.refresh(record) if record else self._recognize(tensor)

    def refresh(self, record: TensorRecord) -> TensorRecord:
        """Update a view after writes to its memory, and return it."""
        writes = record.memory.writes
        if record.seen_writes == len(writes):
            return record
        unseen, record.seen_writes = writes[record.seen_writes :], len(writes)
        if record.view:
            base = self.refresh(record.view.base)
            if base.layout is not None and record.overlaps(unseen):
                self.forget_values(record)
                record.set_layout(layouts_of(record.view.call)[record.view.number])
        return record

    def argument(self, tensor: Tensor) -> TensorRecord:
        """Return the record of a tensor that an operator reads."""
        record = self.find(tensor)
        if record is not None:
            return record
        if tensor.is_meta:
            return self.result(tensor)
        is_meta, storage = not self.policy.keeps(tensor), storage_id(tensor)
        record = TensorRecord(tensor, is_meta, Memory(), storage, 0, copy=self._copy)
        record.memory.records.append(record)
        self._records[id(tensor)] = record
        self._alive.append(tensor)
        return record

    def result(self, tensor: Tensor) -> TensorRecord:
        """Return the record of a tensor that an operator made."""
        record = self._records.get(id(tensor))
        return record if record and not record.is_stale else self._add(tensor)

    def add_views(self, call: Call) -> None:
        """Record the results of a call as views of its first argument."""
        base = self.argument(call.args[0])
        for number, tensor in enumerate(tensors_of(call.out)):
            if tensor is not base.value:  # a literal's view is itself
                self._add(tensor, View(base, call, number))

    def keep_geometry(self, record: TensorRecord) -> TensorRecord:
        """Return a record of a tensor as it is, in place of its own in the views of it."""
        views = [x for x in record.memory.records if x.view and x.view.base is record]
        alias = torch.ops.aten.alias(record.value)
        before = self._add(alias, replace_in_view(record.view, record, alias), record.layout)
        for other in views:
            self.refresh(other)
            other.view = replace_in_view(other.view, record, alias, before)
        return before

    def forget_values(self, record: TensorRecord) -> None:
        """Move a tensor to the meta device because its values are no longer known."""
        if not record.is_meta:
            record.forget_value()
            self._register(record, record.value, storage_id(record.value))

    def note_write(self, target: TensorRecord) -> None:
        """Update the layouts of the tensors that one written to is a view of.

        Other views of the same memory are updated when they are read.

        Args:
            target: The tensor that was written to, with its new layout.

        Raises:
            UnknownOperatorError: Writing through views of this kind is not supported.
        """
        if not target.tensor.numel():
            return
        updated, layout = [target], target.layout
        while (view := updated[-1].view) is not None:
            base = self.refresh(view.base)
            if layout is not None:
                operator = view.call.overload.operator
                if operator is None or operator.write is None:
                    raise UnknownOperatorError(
                        f"Writing through a view made by {view.call.overload.func} is not "
                        "supported. Write to the tensor itself, or to a slice."
                    )
                layout = operator.write(Write(view.call, view.number, layout, base.layout))
                self.forget_values(base)
                base.set_layout(layout)
            updated.append(base)
        target.memory.writes.append(target.extent)
        for record in updated:
            record.seen_writes = len(target.memory.writes)

    def _recognize(self, tensor: Tensor) -> TensorRecord | None:
        """Record a tensor that an operator did not make as a view of the one it equals.

        `as_subclass`, `nn.Parameter(x)` and `y.data = x` make such tensors.
        """
        storage = storage_id(tensor)
        memory = self._memories.get(storage)
        if memory is None:
            return None
        shared = [self.refresh(x) for x in memory.records if storage_id(x.value) == storage]
        for base in reversed(shared):
            if _geometry(base.value) == _geometry(tensor):
                args, alias = (base.tensor,), overload_of(torch.ops.aten.alias.default)
                call = Call(alias, args, {}, tensor, [*args], self.layout_of, self.value_of)
                return self._add(tensor, View(base, call, 0), base.layout)
        if any(record.layout for record in shared):
            raise AnalysisError(
                "Expected views that operators make, got a tensor with part of another's memory. "
                "Use an operator such as a slice."
            )
        return None

    def _add(
        self, tensor: Tensor, view: View | None = None, layout: Layout | None = None
    ) -> TensorRecord:
        """Record a tensor that is its own value."""
        storage = storage_id(tensor)
        memory = view.base.memory if view else self._memories.get(storage) or Memory()
        seen = len(memory.writes)
        record = TensorRecord(tensor, tensor.is_meta, memory, storage, seen, layout, view)
        memory.records.append(record)
        self._register(record, tensor, storage)
        return record

    def _copy(self, record: TensorRecord) -> Tensor:
        """Return a writable copy of a tensor that came from outside."""
        tensor = record.tensor
        copied = meta_copy(tensor) if record.is_meta else tensor.to(CPU, copy=True)
        self._register(record, copied, storage_id(copied))
        return copied

    def _register(self, record: TensorRecord, value: Tensor, storage: int) -> None:
        """Index a record by a tensor that operators run on, and by its memory."""
        self._records[id(value)] = record
        self._alive.append(value)
        self._memories[storage] = record.memory


def _geometry(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()
