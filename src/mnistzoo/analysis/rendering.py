"""An analysis as text: the columns of its table, and the totals below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from mnistzoo.analysis.field import times
from mnistzoo.errors import UnknownNameError
from mnistzoo.tables import Table

if TYPE_CHECKING:
    from mnistzoo.analysis.row import Row
    from mnistzoo.analysis.table import Analysis

Cell = str | int | None


def to_table(analysis: Analysis, lines: Sequence[Sequence[Row]], columns: Sequence[str]) -> Table:
    """Return some columns of an analysis, with its totals as the caption.

    Each line shows a row, or the same row of repeated blocks.

    Raises:
        UnknownNameError: There is no such column. The message suggests the nearest.
    """
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise UnknownNameError("column", unknown[0], COLUMNS)
    cells = [[_cell(column, line) for column in columns] for line in lines]
    text = len(list(takewhile(TEXT_COLUMNS.__contains__, columns)))
    if any(len(line) > 1 for line in lines):
        columns = [*columns[:text], "repeats", *columns[text:]]
        for row, line in zip(cells, lines, strict=True):
            row.insert(text, f"× {len(line)}" if len(line) > 1 else None)
    records = [row.to_dict() for line in lines for row in line]
    return Table(columns, cells, totals(analysis), text, records)


def _cell(column: str, line: Sequence[Row]) -> Cell:
    """Return the cell of a line. Receptive fields may grow from one repetition to the next."""
    first, last = COLUMNS[column](line[0]), COLUMNS[column](line[-1])
    return first if column == "layer" or first == last else f"{first} to {last}"


def totals(analysis: Analysis) -> str:
    """Return the totals: a line of numbers, and a line with the receptive fields."""
    unused = f" ({analysis.unused_params:,} unused)" if analysis.unused_params else ""
    return (
        f"input {times(analysis.input_shape)}: {analysis.num_params:,} parameters{unused}, "
        f"{analysis.macs:,} MACs\n{_fields(analysis)}"
    )


def _fields(analysis: Analysis) -> str:
    if analysis.stopped_at:
        return f"analyzed up to {analysis.stopped_at}, which needs values"
    last, output = analysis.receptive_field, analysis.output_receptive_field
    known = last or output
    if not known or not known.size:
        return "no receptive field"
    if last and output and output != last:
        return f"receptive field {last} of the last feature map, {output} of the output"
    return f"receptive field {known}"


def _output_shape(row: Row) -> str:
    if row.output_shape is None:
        return "unused" if row.unused_params else "not called"
    return times(row.output_shape)


def _receptive_field(row: Row) -> str | None:
    return str(row.receptive_field) if row.receptive_field and row.receptive_field.size else None


def _local(row: Row, name: str) -> str | None:
    """Return a number of the local field, once if all axes agree."""
    local = row.receptive_field and row.receptive_field.local
    if not local:
        return None
    numbers = getattr(local, name)
    return str(numbers[0]) if len(set(numbers)) == 1 else times(numbers)


COLUMNS: dict[str, Callable[[Row], Cell]] = {
    "layer": lambda row: row.path,
    "kind": lambda row: row.kind,
    "output shape": _output_shape,
    "parameters": lambda row: row.num_params or None,
    "MACs": lambda row: row.macs or None,
    "receptive field": _receptive_field,
    "stride": lambda row: _local(row, "stride"),
    "padding": lambda row: _local(row, "padding"),
    "output bytes": lambda row: row.output_bytes or None,
    "parameter bytes": lambda row: row.param_bytes or None,
}
TEXT_COLUMNS = ("layer", "kind", "output shape")
DEFAULT_COLUMNS = tuple(column for column in COLUMNS if not column.endswith("bytes"))
NARROW_COLUMNS = DEFAULT_COLUMNS[:-2]
"""The columns that fit a terminal: without stride and padding."""
