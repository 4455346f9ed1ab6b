"""What the commands print with: results to stdout, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo import tables

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from mnistzoo.analysis import Analysis

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CSV = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
MARKDOWN = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]


def at_most_one(**formats: bool) -> None:
    """Refuse a command that is asked for two formats at once, each named as its option is."""
    if sum(formats.values()) > 1:
        raise typer.BadParameter(f"choose one of {', '.join(f'--{name}' for name in formats)}.")


def print_json(value: Any) -> None:
    """Print `value` as JSON, the only thing on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(table: Table | tables.Table | Analysis) -> None:
    """Print a table as wide as the terminal allows; as wide as it needs where there is none."""
    from rich.console import Console

    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(markup=False, width=200)
    console.print(table)


def table(*headers: str, title: str | None = None) -> Table:
    """An empty table: the first column to the left, the others, which hold numbers, right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, header in enumerate(headers):
        made.add_column(header, justify="right" if index else "left")
    return made


def print_rows(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, markdown: bool = False
) -> None:
    """Print rows of cells as a table of the terminal, or of Markdown."""
    made = tables.Table(headers, list(rows))
    if markdown:
        sys.stdout.write(made.to_markdown())
    else:
        print_table(made)


def progress(unit: str) -> Progress:
    """A progress bar on stderr, which disappears when it is done and only shows in a terminal."""
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
