"""The command that summarizes finished runs beside what the study documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.console import print_records
from mnistzoo.cli.options import Format, Results

if TYPE_CHECKING:
    from mnistzoo.training.metrics import Result
    from mnistzoo.training.summary import Summary

HEADERS = ("model", "recipe", "seeds", "split", "accuracy", "range", "worst drop", "documented")
RUN_HEADERS = ("model", "recipe", "seed", "split", "accuracy", "NLL", "epochs", "worst drop")


def results(
    folder: Results,
    runs: Annotated[
        bool, typer.Option("--runs", help="One row per run, not per model and recipe.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Summarize finished runs over their seeds.

    Accuracies are means ± standard deviations. The worst drop is the largest drop in accuracy from
    one epoch to the next after the first third of a run, in percentage points. The last column,
    "documented", is the accuracy that the models' original study reports, on the training images.
    """
    from mnistzoo.training.metrics import load_results

    print_results(load_results(folder), format_, runs=runs)


def print_results(found: Sequence[Result], format_: str, *, runs: bool = False) -> None:
    """Print a row for each model and recipe, or for each run."""
    from msgspec import to_builtins

    from mnistzoo.training.summary import records, summarize

    if runs:
        rows = records(found)
        print_records(format_, rows, RUN_HEADERS, map(_run_cells, rows), text_columns=2)
    else:
        summaries = summarize(found)
        print_records(
            format_, to_builtins(summaries), HEADERS, map(_cells, summaries), text_columns=2
        )


def _cells(summary: Summary) -> tuple[str, ...]:
    architecture = ARCHITECTURES.get(summary.model)
    on_mnist = architecture if summary.dataset is None else None
    documented = on_mnist and on_mnist.documented_accuracy
    spread = "" if summary.sd is None else f" ± {100 * summary.sd:.2f}"
    return (
        summary.model,
        summary.recipe,
        f"{summary.seeds}",
        summary.split,
        f"{summary.mean:.2%}{spread}",
        "-" if summary.sd is None else f"{100 * summary.min:.2f}–{summary.max:.2%}",
        _drop(summary.worst_drop),
        f"{documented:.2%}" if documented else "-",
    )


def _run_cells(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        record["model"],
        record["recipe"],
        f"{record['seed']}",
        record["split"],
        f"{record['accuracy']:.2%}",
        f"{record['nll']:.4f}",
        f"{record['epochs']}",
        _drop(record["worst_drop"]),
    )


def _drop(drop: float | None) -> str:
    return "-" if drop is None else f"{100 * drop:.2f}"
