"""The result of an analysis: rows of numbers, their totals, and the ways to print them."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, overload

from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.table import Table

MIB = 2**20
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes:
        path: of the module, as in `named_modules`; of the module that called it for a function.
        kind: the module's class, or the function's name.
        output_shape: of the first tensor returned, without the batch; `None` if it was not called.
        num_params: its own parameters, each counted in the first row that has it.
        macs: multiply-accumulates for one image, the bias not counted.
        receptive_field: of the output; `None` if that is not made of the input.
        has_params: whether it has parameters of its own, counted here or in an earlier row.
        unused_params: those of its parameters that nothing read.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...] | None
    num_params: int
    macs: int
    receptive_field: ReceptiveField | None
    has_params: bool = False
    unused_params: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The row in types that JSON has."""
        field = self.receptive_field
        return {
            "path": self.path,
            "kind": self.kind,
            "output_shape": self.output_shape and list(self.output_shape),
            "num_params": self.num_params,
            "unused_params": self.unused_params,
            "macs": self.macs,
            "receptive_field": field and field_to_dict(field),
        }


def field_to_dict(field: ReceptiveField) -> dict[str, Any]:
    """A receptive field in types that JSON has; fractions become floating point."""
    record: dict[str, Any] = {
        name: [int(x) if x == int(x) else float(x) for x in getattr(field, name)]
        for name in ("size", "stride", "padding")
    }
    record["is_global"] = field.is_global
    if field.is_global:
        record["local"] = field.local and field_to_dict(field.local)
    return record


def _output_shape(row: Row) -> str:
    if row.output_shape is None:
        return "unused" if row.unused_params else "not called"
    return times(row.output_shape)


def _receptive_field(row: Row) -> str:
    return str(row.receptive_field) if row.receptive_field and row.receptive_field.size else ""


def _moving(row: Row, name: str) -> str:
    """What the part of the field has that moves with the unit; one number where all axes agree."""
    local = row.receptive_field and row.receptive_field.local
    if not local:
        return ""
    numbers = getattr(local, name)
    return str(numbers[0]) if len(set(numbers)) == 1 else times(numbers)


_CELLS: dict[str, Callable[[Row], str]] = {
    "layer": lambda row: row.path,
    "kind": lambda row: row.kind,
    "output shape": _output_shape,
    "parameters": lambda row: f"{row.num_params:,}" if row.num_params else "",
    "MACs": lambda row: f"{row.macs:,}" if row.macs else "",
    "receptive field": _receptive_field,
    "stride": lambda row: _moving(row, "stride"),
    "padding": lambda row: _moving(row, "padding"),
}
"""What a table can print of each row, by the name of the column."""


@dataclass(frozen=True, repr=False)
class Analysis(Sequence[Row]):
    """Layers, shapes, parameters, MACs and receptive fields of a network, one row a call.

    Attributes:
        rows: in the order of the calls; layers that were not called come last.
        input_shape: of one image, without the batch.
        receptive_field: of the last feature map with more than one unit; `None` without axes.
        output_receptive_field: of what the network returns; `None` if not made of the input.
        columns: which of the columns are printed.
    """

    rows: tuple[Row, ...]
    input_shape: tuple[int, ...]
    receptive_field: ReceptiveField | None
    output_receptive_field: ReceptiveField | None
    columns: tuple[str, ...] = tuple(_CELLS)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_params(self) -> int:
        """All parameters, shared ones once."""
        return sum(row.num_params for row in self.rows)

    @property
    def unused_params(self) -> int:
        """Parameters that the network has and that one image never meets."""
        return sum(row.unused_params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, biases not counted."""
        return sum(row.macs for row in self.rows)

    @property
    def memory(self) -> float:
        """MiB in float32 for one image.

        The input, the parameters, and twice what layers with parameters put out: once for the
        values, once for their gradients.
        """
        outputs = sum(prod(row.output_shape or (0,)) for row in self.rows if row.has_params)
        numbers = prod(self.input_shape) + 2 * outputs + self.num_params
        return numbers * FLOAT32_BYTES / MIB

    def select(self, *columns: str) -> Analysis:
        """The same, printing only these columns.

        Raises:
            UnknownNameError: there is no such column; the message names the nearest.
        """
        if unknown := [column for column in columns if column not in _CELLS]:
            raise UnknownNameError("column", unknown[0], _CELLS)
        return replace(self, columns=columns)

    def cells(self) -> list[list[str]]:
        """The columns of each row as text, in the order of `columns`."""
        return [[_CELLS[column](row) for column in self.columns] for row in self.rows]

    def caption(self) -> str:
        """The totals in one line."""
        unused = f" ({self.unused_params:,} unused)" if self.unused_params else ""
        last, output = self.receptive_field, self.output_receptive_field
        known = last or output
        fields = f"receptive field {known}" if known and known.size else "no receptive field"
        if last and output and output != last:
            fields += f" of the last map, {output} of the output"
        return (
            f"input {times(self.input_shape)}: {self.num_params:,} parameters{unused}, "
            f"{self.macs:,} MACs, {self.memory:.2f} MiB, {fields}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything in types that JSON has."""
        field, output = self.receptive_field, self.output_receptive_field
        return {
            "input_shape": list(self.input_shape),
            "num_params": self.num_params,
            "unused_params": self.unused_params,
            "macs": self.macs,
            "memory_mib": self.memory,
            "receptive_field": field and field_to_dict(field),
            "output_receptive_field": output and field_to_dict(output),
            "layers": [row.to_dict() for row in self.rows],
        }

    def to_csv(self) -> str:
        """The columns as comma-separated values, a header first."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([cell.replace(",", "") for cell in row] for row in self.cells())
        return file.getvalue()

    def to_markdown(self) -> str:
        """The columns as a Markdown table, and the totals below it."""
        lines = [self.columns, [_ALIGNED.get(column, "---") for column in self.columns]]
        escaped = ([cell.replace("|", "\\|") for cell in row] for row in self.cells())
        table = "\n".join(f"| {' | '.join(line)} |" for line in (*lines, *escaped))
        return f"{table}\n\n{self.caption()}\n"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.cells()
        )
        caption = html.escape(self.caption())
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(caption=self.caption(), caption_justify="left")
        for column in self.columns:
            table.add_column(column, justify="right" if column in _ALIGNED else "left")
        for row in self.cells():
            table.add_row(*row)
        return table

    def __str__(self) -> str:
        cells = [list(self.columns), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for row in cells:
            padded = (
                cell.rjust(width) if column in _ALIGNED else cell.ljust(width)
                for cell, width, column in zip(row, widths, self.columns, strict=True)
            )
            lines.append("  ".join(padded).rstrip())
        return "\n".join([*lines, self.caption()])

    __repr__ = __str__


_ALIGNED = dict.fromkeys(("parameters", "MACs", "receptive field", "stride", "padding"), "---:")
"""Columns of numbers, and how Markdown aligns them to the right."""


def times(numbers: Sequence[object]) -> str:
    """`(16, 9, 9)` as `16×9×9`."""
    return "×".join(map(str, numbers))
