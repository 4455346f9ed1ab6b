"""The command that sums finished runs up, beside what the study documents."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import CSV, JSON, MARKDOWN, at_most_one, print_json, print_rows

if TYPE_CHECKING:
    from mnistzoo.architectures import Architecture
    from mnistzoo.training.metrics import Result
    from mnistzoo.training.summary import Summary

RECIPES = ("documented", "record")
"""Those that always have columns, in their order; others have them where there are runs."""


def results(
    folder: Annotated[Path, typer.Argument(help="Holds the metrics (*.json) of finished runs.")],
    markdown: MARKDOWN = False,
    as_csv: CSV = False,
    as_json: JSON = False,
) -> None:
    """Compare finished runs with what the study documents: mean ± sd over seeds.

    A cell says in brackets how many seeds it is of. The worst drop is how many percentage points
    accuracy fell at most from one epoch to the next, after the first third of a run.
    """
    from mnistzoo.training.metrics import load_results

    at_most_one(json=as_json, markdown=markdown, csv=as_csv)
    print_results(load_results(folder), markdown=markdown, as_csv=as_csv, as_json=as_json)


def print_results(found: Sequence[Result], *, markdown: bool, as_csv: bool, as_json: bool) -> None:
    """Print runs summed up: CSV has a line for each run, JSON and the tables their summaries."""
    from msgspec import to_builtins

    from mnistzoo.architectures import ARCHITECTURES
    from mnistzoo.training.summary import summarize, to_csv

    summaries = {(s.architecture, s.recipe): s for s in summarize(found)}
    if as_csv:
        sys.stdout.write(to_csv(found))
    elif as_json:
        print_json(to_builtins(list(summaries.values())))
    else:
        recipes = list(dict.fromkeys([*RECIPES, *(recipe for _, recipe in summaries)]))
        ours = [f"{name} {what}" for name in recipes for what in ("recipe", "range", "worst drop")]
        rows = [_cells(row, recipes, summaries) for row in ARCHITECTURES.values()]
        print_rows(("network", "study", "measured on", *ours), rows, markdown=markdown)


def _cells(
    row: Architecture, recipes: Sequence[str], summaries: dict[tuple[str, str], Summary]
) -> tuple[str, ...]:
    documented = row.documented_accuracy
    study = ("-", "-") if documented is None else (f"{documented:.2%}", "training images")
    ours = [cell for name in recipes for cell in _recipe_cells(summaries.get((row.name, name)))]
    return row.name, *study, *ours


def _recipe_cells(summary: Summary | None) -> tuple[str, str, str]:
    if summary is None:
        return "-", "-", "-"
    images = "" if summary.split == "test" else ", held-out images"
    spread = "" if summary.sd is None else f" ± {100 * summary.sd:.2f}"
    span = "-" if summary.sd is None else f"{100 * summary.min:.2f} to {summary.max:.2%}"
    mean = f"{summary.mean:.2%}{spread} ({summary.seeds}{images})"
    drop = "-" if summary.worst_drop is None else f"{100 * summary.worst_drop:.2f}"
    return mean, span, drop
