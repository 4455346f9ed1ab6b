"""Writes to a tensor, and the tensors that share its memory."""

from __future__ import annotations

from collections.abc import Callable

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, Write
from mnistzoo.analysis.operators.registry import after_write
from mnistzoo.analysis.tracing.tensors import TensorRecord, TensorRecords


def propagate_write(
    records: TensorRecords,
    target: TensorRecord,
    layouts_of: Callable[[Call], list[Layout | None]],
) -> None:
    """Update the layouts of all tensors that share memory with one that was written to.

    Args:
        records: The records of the trace.
        target: The tensor that was written to, with its new layout.
        layouts_of: Function from a call to the layouts of its results.
    """
    bases = _update_bases(records, target)
    for other in target.aliases:
        if other.view and other not in bases and _overlap(other, target):
            base, call, number = other.view
            if base.layout is not None:
                records.forget_values(other)
                other.set_layout(layouts_of(call)[number])


def _update_bases(records: TensorRecords, target: TensorRecord) -> list[TensorRecord]:
    """Update the tensor that `target` is a view of, what that is a view of, and so on."""
    bases, layout = [target], target.layout
    while (view := bases[-1].view) is not None:
        if layout is not None:
            layout = after_write(Write(view.call, view.number, layout, view.base.layout))
            records.forget_values(view.base)
            view.base.set_layout(layout)
        bases.append(view.base)
    return bases


def _overlap(one: TensorRecord, other: TensorRecord) -> bool:
    return one.extent.start < other.extent.stop and other.extent.start < one.extent.stop
