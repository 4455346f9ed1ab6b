"""Tables, and the formats that the package writes them in."""

from __future__ import annotations

import csv
import html
import io
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mnistzoo.text import display_width, escape_control

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MAX_UNWRAPPED = 30
"""In a terminal, only longer cells are wrapped. The name and title of a model fit."""

LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "µ": r"\textmu{}",
}
"""Characters that LaTeX reads as commands. It prints the others as they are, × and – included."""

R = TypeVar("R")


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of cells under named columns.

    A cell is text, a number, or `None` for an empty one. Readable formats group the digits of
    whole numbers by thousands; CSV holds data.

    Attributes:
        columns: Names of the columns.
        rows: One cell for each column.
        caption: Lines below the table, for example its totals. CSV leaves them out.
        text_columns: Number of leading columns that align left. The others hold numbers and align
            right.
        records: The rows as data, for CSV: values by names, the same in each. Lists and
            dictionaries become JSON in a cell. `None`: the cells are data.

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
    records: Sequence[Mapping[str, object]] | None = None

    def to_csv(self) -> str:
        """Return the table's data as comma-separated values, header first."""
        lines: list[Sequence[object]] = [self.columns, *self.rows]
        if self.records is not None:
            names = list(self.records[0]) if self.records else []
            lines = [names, *(list(map(csv_cell, record.values())) for record in self.records)]
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(lines)
        return file.getvalue()

    def to_markdown(self) -> str:
        """Return the table as Markdown, followed by its caption."""
        ruler = [("---:", "---")[index < self.text_columns] for index in range(len(self.columns))]
        cells = [[cell.replace("|", "\\|") for cell in row] for row in self.cells()]
        table = "".join(f"| {' | '.join(row)} |\n" for row in (self.columns, ruler, *cells))
        return f"{table}\n{self.caption}\n" if self.caption else table

    def to_latex(self) -> str:
        """Return the table as LaTeX, its caption below. It needs the package booktabs."""
        alignment = ("l" * self.text_columns).ljust(len(self.columns), "r")
        head, *body = [
            "".join([" & ".join(map(_latex, row)), r" \\", "\n"])
            for row in (self.columns, *self.cells())
        ]
        caption = f"\\caption{{{_latex(self.caption)}}}\n" if self.caption else ""
        return (
            f"\\begin{{table}}\n\\centering\n\\begin{{tabular}}{{{alignment}}}\n\\toprule\n"
            f"{head}\\midrule\n{''.join(body)}\\bottomrule\n\\end{{tabular}}\n"
            f"{caption}\\end{{table}}\n"
        )

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
            longest = max((display_width(row[index]) for row in rows), default=0)
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
        lines, _ = self._aligned([list(self.columns), *self.cells()])
        return "\n".join([*map(str.rstrip, lines), *filter(None, [self.caption])])

    def to_lines(self) -> tuple[list[str], list[str]]:
        """Return the header and the rows as lines, with a ruler between them.

        Each word of a column's name has a line of its own, which keeps the table narrow.
        """
        rows, heads = self.cells(), [column.split(" ") for column in self.columns]
        height = max(map(len, heads), default=0)
        padded = [[""] * (height - len(words)) + words for words in heads]
        header = [[words[line] for words in padded] for line in range(height)]
        lines, width = self._aligned([*header, *rows])
        return lines[:height], ["─" * width, *lines[height:]]

    def _aligned(self, rows: list[list[str]]) -> tuple[list[str], int]:
        """Return a line for each row, and their width."""
        padded: list[list[str]] = []
        for index, column in enumerate(zip(*rows, strict=True)):
            width = max(map(display_width, column))
            spaces = [" " * (width - display_width(cell)) for cell in column]
            pairs = (column, spaces) if index < self.text_columns else (spaces, column)
            padded.append(list(map(str.__add__, *pairs)))
        lines = list(map("  ".join, zip(*padded, strict=True)))
        return lines, display_width(lines[0]) if lines else 0

    __repr__ = __str__


class Tabular(Sequence[R]):
    """Sequence of rows that prints as a table in a terminal and in a notebook.

    Attributes:
        rows: The rows.
    """

    rows: tuple[R, ...]

    @abstractmethod
    def to_table(self) -> Table:
        """Return the rows as a table of text."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return rows and totals as JSON values."""

    def to_csv(self) -> str:
        """Return the rows as comma-separated values: data, header first."""
        return self.to_table().to_csv()

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table, followed by the totals."""
        return self.to_table().to_markdown()

    def to_latex(self) -> str:
        """Return the rows as a LaTeX table with the totals as its caption."""
        return self.to_table().to_latex()

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[R]: ...
    def __getitem__(self, index: int | slice) -> R | Sequence[R]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        return self.to_table()._repr_html_()

    def __rich__(self) -> RichTable:
        return self.to_table().__rich__()

    def __str__(self) -> str:
        return str(self.to_table())

    __repr__ = __str__


def csv_cell(value: object) -> object:
    """Return a value for CSV: a list or a dict as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if type(cell) is int else escape_control(str(cell))


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
