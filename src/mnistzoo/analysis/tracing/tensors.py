"""What a trace knows about each tensor: one record per tensor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, meta_copy
from mnistzoo.analysis.tracing.constants import ConstantPolicy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.rules import layouts_of
from mnistzoo.errors import AnalysisError


@dataclass(slots=True, eq=False)
class TensorRecord:
    """What a trace knows about one tensor.

    Attributes:
        tensor: The tensor that the model holds.
        value: The tensor that operators run on in its place: itself if an operator made it, or a
            writable copy if it came from outside. On the meta device once its values are unknown.
        aliases: Records of all tensors that share its memory, oldest first, in one shared list.
        layout: Its layout. `None` if it does not depend on the input.
        view: The call that made it a view of another tensor.
        seen_writes: How many of the writes to its memory its layout accounts for.
    """

    tensor: Tensor
    value: Tensor
    memory: Memory
    layout: Layout | None = None
    view: View | None = None
    seen_writes: int = 0
    _storage: int = 0
    _meta: Tensor | None = None
    _extent: range | None = None

    def __post_init__(self) -> None:
        self._storage = storage_id(self.tensor)
        self.seen_writes = len(self.memory.writes)

    @property
    def meta(self) -> Tensor:
        """Its value on the meta device, always the same tensor."""
        if self.value.is_meta:
            return self.value
        if self._meta is None:
            self._meta = meta_copy(self.value)
        return self._meta

    @property
    def is_stale(self) -> bool:
        """Whether the model gave the tensor other memory, as `y.data = x` does."""
        return storage_id(self.tensor) != self._storage

    @property
    def extent(self) -> range:
        """Where in its storage the tensor begins and ends, in elements."""
        if self._extent is None:
            start = self.tensor.storage_offset()
            steps = zip(self.tensor.shape, self.tensor.stride(), strict=True)
            self._extent = range(start, start + sum((n - 1) * step for n, step in steps) + 1)
        return self._extent

    def set_layout(self, layout: Layout | None) -> None:
        """Set the layout.

        Raises:
            AnalysisError: A rule returned a layout that does not fit the tensor.
        """
        shape = tuple(self.value.shape)
        if layout is not None and (layout.shape != shape or not layout.is_valid()):
            raise AnalysisError(f"Expected a layout of shape {shape}, got {layout.dims}.")
        self.layout = layout


@dataclass(slots=True, eq=False)
class Memory:
    """The memory of a tensor and of its views.

    Attributes:
        records: The records of all tensors in it, oldest first.
        writes: All writes to it, oldest first.
    """

    records: list[TensorRecord] = field(default_factory=list)
    writes: list[MemoryWrite] = field(default_factory=list)


class MemoryWrite(NamedTuple):
    """A write to memory.

    Attributes:
        extent: Where it begins and ends, in elements.
        updated: Ids of the records that account for it already.
    """

    extent: range
    updated: frozenset[int]

    def concerns(self, record: TensorRecord) -> bool:
        """Return whether it may have changed what a tensor reads."""
        one, other = self.extent, record.extent
        overlaps = one.start < other.stop and other.start < one.stop
        return overlaps and id(record) not in self.updated


class View(NamedTuple):
    """How a view was made.

    Attributes:
        base: The record of the tensor that it is a view of.
        call: The call that made it.
        number: Its number among the results of the call.
    """

    base: TensorRecord
    call: Call
    number: int


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
        before = self._add(alias, alias, _renamed(record.view, record, alias), record.layout)
        for other in views:
            self.refresh(other)
            other.view = _renamed(other.view, record, alias, before)
        return before

    def make_view(self, record: TensorRecord, view: View) -> None:
        """Make a tensor, whose geometry has changed, a view of another."""
        record.view, record._extent, record._meta = view, None, None

    def forget_values(self, record: TensorRecord) -> None:
        """Move a tensor to the meta device because its values are no longer known."""
        if not record.value.is_meta:
            record.value = record.meta
            self._register(record)

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
        known = self._memories.get(storage_id(value)) or Memory()
        record = TensorRecord(tensor, value, view.base.memory if view else known, layout, view)
        record.memory.records.append(record)
        self._register(record)
        return record

    def _register(self, record: TensorRecord) -> None:
        """Index a record by its tensor, by its value, and by the memory of its value."""
        self._records[id(record.tensor)] = self._records[id(record.value)] = record
        self._alive += (record.tensor, record.value)
        self._memories[storage_id(record.value)] = record.memory


def storage_id(tensor: Tensor) -> int:
    """Return a number that only tensors with the same memory share, on the meta device too."""
    if is_lazy(tensor) or tensor.layout != torch.strided:
        return -id(tensor)
    storage: int = tensor.untyped_storage()._cdata
    return storage


def _renamed(
    view: View | None, old: TensorRecord, new: Tensor, base: TensorRecord | None = None
) -> View | None:
    """Return how a view was made, with one tensor in the call replaced by another."""
    if view is None:
        return None

    def swap(tensors: list[Tensor]) -> list[Tensor]:
        return [new if x is old.tensor else x for x in tensors]

    call, out = view.call, swap(tensors_of(view.call.out))
    args = (*swap([call.args[0]]), *call.args[1:])
    made = out[0] if isinstance(call.out, Tensor) else out
    call = replace(call, args=args, out=made, tensors=swap(call.tensors))
    return View(base or view.base, call, view.number)


def _geometry(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()
