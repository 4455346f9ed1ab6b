"""Print results to stdout in one of several formats, and progress and errors to stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from typing import TYPE_CHECKING, Any

from mnistzoo.tables import Table, csv_cell
from mnistzoo.text import display_width, escape_control

if TYPE_CHECKING:
    from rich.progress import Progress

MIN_WIDTH = 80
"""The width of tables that are printed to a file or a pipe."""

Record = Mapping[str, Any]


def print_records(
    format_: str,
    records: Sequence[Record],
    headers: Sequence[str],
    cells: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
) -> None:
    """Print one row per record.

    JSON and CSV hold the records as they are. Readable formats hold `cells`, of which the first
    `text_columns` align left.
    """
    table = Table(headers, list(cells), text_columns=text_columns, records=records)
    print_formatted(format_, table, records)


def print_formatted(format_: str, table: Table, value: object) -> None:
    """Print a table, or `value` as JSON."""
    if format_ == "json":
        print_json(value)
    elif format_ == "csv":
        sys.stdout.write(table.to_csv())
    elif format_ == "markdown":
        sys.stdout.write(table.to_markdown())
    elif format_ == "latex":
        sys.stdout.write(table.to_latex())
    else:
        print_table(table)


def _is_nested(value: object) -> bool:
    """Return whether a value is more than one cell holds: more than a list of numbers."""
    parts = value if isinstance(value, list | tuple) else ()
    return isinstance(value, dict) or any(isinstance(part, list | tuple | dict) for part in parts)


def print_record(format_: str, record: Record, text: str) -> None:
    """Print a single result: `text` in the table format, otherwise the record.

    Markdown and LaTeX have a row for each value, and leave out nested ones.
    """
    if format_ == "table":
        print(text)
    elif format_ == "json":
        print_json(record)
    else:
        nested = () if format_ == "csv" else [key for key in record if _is_nested(record[key])]
        flat = {key: value for key, value in record.items() if key not in nested}
        rows = [(name, csv_cell(value)) for name, value in flat.items()]
        print_formatted(format_, Table(("name", "value"), rows, records=[flat]), flat)


def model_output_to_stderr() -> AbstractContextManager[Any]:
    """Send what a model prints to stderr, as it is not part of the result."""
    return redirect_stdout(sys.stderr)


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(table: Table) -> None:
    """Print a table at the width of the terminal, or wider to avoid breaking words and numbers."""
    if not _print_simple(table):
        _print_rich(table)


def _print_simple(table: Table) -> bool:
    """Print a table as it is and return True, unless it needs more than padding to fit.

    This prints what rich would, without importing it.
    """
    terminal = sys.stdout.isatty()
    if table.caption or (terminal and os.name != "posix"):
        return False
    header, body = table.to_lines()
    width = shutil.get_terminal_size().columns if terminal else MIN_WIDTH
    lines = [*header, *body]
    if any(display_width(line) > width for line in lines):
        return False
    if terminal:
        header = [f"\x1b[1m{line}\x1b[0m" for line in header]
    print("\n".join(map(str.rstrip, (*header, *body))))
    return True


def _print_rich(table: Table) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    needed = Console(markup=False, width=sys.maxsize).measure(table).minimum
    console.width = max(console.width if console.is_terminal else MIN_WIDTH, needed)
    console.print(table)


def print_error(text: object) -> None:
    """Print an error on stderr, on one line even if a file name holds a newline."""
    print(f"mnistzoo: {escape_control(str(text))}", file=sys.stderr)


def progress(unit: str) -> Progress:
    """Return a progress bar on stderr that shows only in a terminal and disappears when done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        Remaining(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
