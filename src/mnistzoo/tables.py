"""Tables, and the formats that the package writes them in."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MAX_UNWRAPPED = 30
"""In a terminal, only longer cells are wrapped. The name and title of a model fit."""


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of cells under named columns.

    A cell is text, a number, or `None` for an empty one. Readable formats group the digits of
    whole numbers by thousands; CSV does not.

    Attributes:
        columns: Names of the columns.
        rows: One cell for each column.
        caption: A line below the table, for example its totals. CSV leaves it out.
        text_columns: Number of leading columns that align left. The others hold numbers and align
            right.

    >>> table = Table(("model", "parameters"), [("exp4", 17054), ("exp5", 17302)])
    >>> table
    model  parameters
    exp4       17,054
    exp5       17,302
    >>> print(table.to_csv(), end="")
    model,parameters
    exp4,17054
    exp5,17302
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    text_columns: int = 1

    def to_csv(self) -> str:
        """Return the table as comma-separated values, header first."""
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([self.columns, *self.rows])
        return file.getvalue()

    def to_markdown(self) -> str:
        """Return the table as Markdown, followed by its caption."""
        ruler = [("---:", "---")[index < self.text_columns] for index in range(len(self.columns))]
        cells = [[cell.replace("|", "\\|") for cell in row] for row in self.cells()]
        table = "".join(f"| {' | '.join(row)} |\n" for row in (self.columns, ruler, *cells))
        return f"{table}\n{self.caption}\n" if self.caption else table

    def cells(self) -> list[list[str]]:
        """Return the rows as readable text."""
        return [[_text(cell) for cell in row] for row in self.rows]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.cells()
        )
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __rich__(self) -> RichTable:
        from rich import box
        from rich.table import Table as RichTable

        table = RichTable(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            caption=self.caption or None,
            caption_justify="left",
        )
        rows = self.cells()
        for index, column in enumerate(self.columns):
            longest = max((len(row[index]) for row in rows), default=0)
            table.add_column(
                column.replace(" ", "\n"),  # keeps the table narrow
                justify="left" if index < self.text_columns else "right",
                no_wrap=longest <= MAX_UNWRAPPED,
                min_width=min(longest, MAX_UNWRAPPED),
                overflow="fold",
            )
        for row in rows:
            table.add_row(*row)
        return table

    def __str__(self) -> str:
        cells = [list(self.columns), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(self._aligned, row, widths, range(len(row)))) for row in cells]
        return "\n".join([*map(str.rstrip, lines), *filter(None, [self.caption])])

    def _aligned(self, cell: str, width: int, index: int) -> str:
        return cell.ljust(width) if index < self.text_columns else cell.rjust(width)

    __repr__ = __str__


def records_to_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Return records with the same keys as CSV, header first. Lists and dicts become JSON.

    >>> print(records_to_csv([{"layer": "conv1", "size": [3, 3]}]), end="")
    layer,size
    conv1,"[3, 3]"
    """
    rows = [[csv_cell(value) for value in record.values()] for record in records]
    return Table(list(records[0]) if records else [], rows).to_csv()


def csv_cell(value: object) -> object:
    """Return a value for CSV: a list or a dict as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if type(cell) is int else str(cell)
