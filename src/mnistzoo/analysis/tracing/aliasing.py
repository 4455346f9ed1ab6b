"""What a write to a tensor does to the tensors that share its memory."""

from __future__ import annotations

from mnistzoo.analysis.operators.base import Write
from mnistzoo.analysis.operators.registry import after_write
from mnistzoo.analysis.tracing.records import MemoryWrite, TensorRecord
from mnistzoo.analysis.tracing.tensors import TensorRecords


def propagate_write(records: TensorRecords, target: TensorRecord) -> None:
    """Update the layouts of the tensors that one written to is a view of.

    Other views of the same memory are updated when they are read.

    Args:
        records: The records of the trace.
        target: The tensor that was written to, with its new layout.
    """
    updated, layout = [target], target.layout
    while (view := updated[-1].view) is not None:
        records.refresh(view.base)
        if layout is not None:
            layout = after_write(Write(view.call, view.number, layout, view.base.layout))
            records.forget_values(view.base)
            view.base.set_layout(layout)
        updated.append(view.base)
    writes = target.memory.writes
    writes.append(MemoryWrite(target.extent, frozenset(map(id, updated))))
