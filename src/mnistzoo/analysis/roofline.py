"""Lower bounds on the time that a model takes, from its arithmetic and the bytes it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from mnistzoo.analysis.devices import Device
from mnistzoo.tables import Table, Tabular

Bound = Literal["compute", "memory"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of an operator."""

    path: str  # of the module that called it
    kind: str  # class of that module
    caller: object  # identifies the call of the module
    macs: int  # biases not counted
    bytes_moved: int  # lower bound on what it reads and writes: everything is moved once
    dtype: str  # what it computes in, such as "float32"


@dataclass(frozen=True)
class RooflineRow:
    """One call of a module, without its inner modules.

    Attributes:
        path: The module's path, as in `named_modules`.
        kind: Class of the module.
        macs: Multiply-accumulates, biases not counted.
        bytes_moved: Lower bound on the bytes that its operators read and write.
        seconds: Lower bound on its time.
        bound_by: "compute" or "memory", whichever takes most of `seconds`.
    """

    path: str
    kind: str
    macs: int
    bytes_moved: int
    seconds: float
    bound_by: Bound

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: multiply-accumulates per byte moved."""
        return self.macs / self.bytes_moved if self.bytes_moved else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "path": self.path,
            "kind": self.kind,
            "macs": self.macs,
            "bytes_moved": self.bytes_moved,
            "intensity": self.intensity,
            "lower_bound_seconds": self.seconds,
            "bound_by": self.bound_by,
        }


@dataclass(frozen=True, repr=False)
class Roofline(Tabular[RooflineRow]):
    """Lower bounds on a model's time on a device. It prints as a table.

    Attributes:
        rows: In the order of the calls.
        device: The device.
        batch_size: Number of inputs in the batch.
    """

    rows: tuple[RooflineRow, ...]
    device: Device
    batch_size: int = 1

    @classmethod
    def of(cls, operations: Iterable[Operation], device: Device, batch_size: int) -> Roofline:
        """Return the lower bounds of operators that run one after another."""
        calls = groupby(operations, key=lambda operation: id(operation.caller))
        rows = [_row(list(part), device) for _, part in calls]
        return cls(tuple(rows), device, batch_size)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all rows."""
        return sum(row.macs for row in self.rows)

    @property
    def bytes_moved(self) -> int:
        """Bytes moved by all rows."""
        return sum(row.bytes_moved for row in self.rows)

    @property
    def seconds(self) -> float:
        """Lower bound on the time of the whole model: the sum of its rows."""
        return sum(row.seconds for row in self.rows)

    @property
    def bound_by(self) -> Bound:
        """What takes most of `seconds`: "compute" or "memory"."""
        compute = sum(row.seconds for row in self.rows if row.bound_by == "compute")
        return "compute" if 2 * compute >= self.seconds else "memory"

    def to_dict(self) -> dict[str, Any]:
        """Return rows and totals as JSON values."""
        return {
            "device": self.device.name,
            "source": self.device.source,
            "batch_size": self.batch_size,
            "macs": self.macs,
            "bytes_moved": self.bytes_moved,
            "lower_bound_seconds": self.seconds,
            "bound_by": self.bound_by,
            "layers": [row.to_dict() for row in self.rows],
        }

    def to_table(self) -> Table:
        """Return the rows as a table of text, with the totals as its caption."""
        cells = [[cell(row) for cell in COLUMNS.values()] for row in self.rows]
        records = [row.to_dict() for row in self.rows]
        return Table(tuple(COLUMNS), cells, self._totals(), 2, records)

    def _totals(self) -> str:
        return (
            f"{self.device.name} ({self.device.source}), batch of {self.batch_size}: "
            f"lower bound {self.seconds * 1e6:.3g} µs, mostly {self.bound_by}; "
            f"{self.macs:,} MACs, {self.bytes_moved:,} bytes moved"
        )


COLUMNS: dict[str, Callable[[RooflineRow], str | int | None]] = {
    "layer": lambda row: row.path,
    "kind": lambda row: row.kind,
    "MACs": lambda row: row.macs or None,
    "bytes moved": lambda row: row.bytes_moved,
    "MACs per byte": lambda row: f"{row.intensity:.1f}" if row.macs else None,
    "lower bound (µs)": lambda row: f"{row.seconds * 1e6:.3g}",
    "bound by": lambda row: row.bound_by,
}


def _row(operations: Sequence[Operation], device: Device) -> RooflineRow:
    """Return the row of operators that one call of a module runs one after another."""
    seconds = {"compute": 0.0, "memory": 0.0}
    for each in operations:
        compute = each.macs / device.peak(each.dtype) if each.macs else 0.0
        memory = each.bytes_moved / device.bandwidth(each.bytes_moved)
        seconds["compute" if compute >= memory else "memory"] += max(compute, memory)
    macs, moved = (
        sum(each.macs for each in operations),
        sum(each.bytes_moved for each in operations),
    )
    bound: Bound = "compute" if seconds["compute"] >= seconds["memory"] else "memory"
    path, kind = operations[0].path, operations[0].kind
    return RooflineRow(path, kind, macs, moved, sum(seconds.values()), bound)
