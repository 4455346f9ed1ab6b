"""What a trace knows about each tensor: one record per tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.tracing.constants import ConstantPolicy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.records import (
    Memory,
    TensorRecord,
    View,
    renamed,
    storage_id,
)
from mnistzoo.analysis.tracing.rules import layouts_of
from mnistzoo.errors import AnalysisError


class TensorRecords:
    """The records of all tensors that operators have read or made.

    Args:
        policy: Decides which constants keep their values.
    """

    def __init__(self, policy: ConstantPolicy) -> None:
        self.policy = policy
        self._records: dict[int, TensorRecord] = {}
        self._alive: list[Tensor] = []  # no other tensor may take an id of theirs
        self._memories: dict[int, Memory] = {}

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
        writes = record.memory.writes[record.seen_writes :]
        record.seen_writes += len(writes)
        if record.view and writes:
            base = self.refresh(record.view.base)
            if base.layout is not None and any(write.concerns(record) for write in writes):
                self.forget_values(record)
                record.set_layout(layouts_of(record.view.call)[record.view.number])
        return record

    def argument(self, tensor: Tensor) -> TensorRecord:
        """Return the record of a tensor that an operator reads."""
        record = self.find(tensor)
        if record is None:
            value = tensor if tensor.is_meta else self.policy.writable_copy(tensor)
            record = self._add(tensor, value)
        return record

    def result(self, tensor: Tensor) -> TensorRecord:
        """Return the record of a tensor that an operator made."""
        record = self._records.get(id(tensor))
        return record if record and not record.is_stale else self._add(tensor, tensor)

    def add_views(self, call: Call) -> None:
        """Record the results of a call as views of its first argument."""
        base = self.argument(call.args[0])
        for number, tensor in enumerate(tensors_of(call.out)):
            if tensor is not base.value:  # a literal's view is itself
                self._add(tensor, tensor, View(base, call, number))

    def keep_geometry(self, record: TensorRecord) -> TensorRecord:
        """Return a record of a tensor as it is, in place of its own in the views of it."""
        views = [x for x in record.memory.records if x.view and x.view.base is record]
        alias = torch.ops.aten.alias(record.value)
        before = self._add(alias, alias, renamed(record.view, record, alias), record.layout)
        for other in views:
            self.refresh(other)
            other.view = renamed(other.view, record, alias, before)
        return before

    def make_view(self, record: TensorRecord, view: View) -> None:
        """Make a tensor, whose geometry has changed, a view of another."""
        record.view, record._extent, record._meta = view, None, None

    def forget_values(self, record: TensorRecord) -> None:
        """Move a tensor to the meta device because its values are no longer known."""
        if not record.value.is_meta:
            record.value = record.meta
            self._register(record, storage_id(record.value))

    def _recognize(self, tensor: Tensor) -> TensorRecord | None:
        """Record a tensor that an operator did not make as a view of the one it equals.

        `as_subclass`, `nn.Parameter(x)` and `y.data = x` make such tensors.
        """
        storage = storage_id(tensor)
        records = self._memories.get(storage, Memory()).records
        shared = [self.refresh(x) for x in records if storage_id(x.value) == storage]
        for base in reversed(shared):
            if _geometry(base.value) == _geometry(tensor):
                args, alias = (base.tensor,), torch.ops.aten.alias.default
                call = Call(alias, args, {}, tensor, [*args], self.layout_of, self.value_of)
                return self._add(tensor, tensor, View(base, call, 0), base.layout)
        if any(record.layout for record in shared):
            raise AnalysisError(
                "Expected views that operators make, got a tensor with part of another's memory. "
                "Use an operator such as a slice."
            )
        return None

    def _add(
        self,
        tensor: Tensor,
        value: Tensor,
        view: View | None = None,
        layout: Layout | None = None,
    ) -> TensorRecord:
        storage = storage_id(value)
        memory = view.base.memory if view else self._memories.get(storage) or Memory()
        own = storage if value is tensor else 0
        record = TensorRecord(tensor, value, memory, layout, view, own)
        memory.records.append(record)
        self._register(record, storage)
        return record

    def _register(self, record: TensorRecord, storage: int) -> None:
        """Index a record by its tensor, by its value, and by the memory of its value."""
        self._records[id(record.tensor)] = self._records[id(record.value)] = record
        self._alive += (record.tensor, record.value)
        self._memories[storage] = record.memory


def _geometry(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()
