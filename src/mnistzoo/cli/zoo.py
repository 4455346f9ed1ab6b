"""Commands about the zoo as a whole: list, verify."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mnistzoo.cli.console import print_records, progress
from mnistzoo.cli.options import Format, Names
from mnistzoo.cli.source import check_names, known_names, title

if TYPE_CHECKING:
    from mnistzoo.zoo import Row

Column = Literal["model", "num_params", "macs", "footprint_mib", "receptive_field", "accuracy"]

HEADERS = ("model", "parameters", "MACs", "memory (MiB)", "receptive field", "test accuracy")


def list_(
    sort: Annotated[
        Column, typer.Option(help="Column to sort by: accuracy descending, others ascending.")
    ] = "model",
    format_: Format = "table",
) -> None:
    """List the models with their size, cost and accuracy."""
    from mnistzoo.zoo import rows

    chosen = rows(sort=sort)
    print_records(format_, [asdict(row) for row in chosen], HEADERS, map(_cells, chosen))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        title(row.model),
        f"{row.num_params:,}",
        f"{row.macs:,}",
        f"{row.footprint_mib:.2f}",
        f"{row.receptive_field}×{row.receptive_field}",
        "-" if row.accuracy is None else f"{row.accuracy:.2%}",
    )


def verify(models: Names = None, format_: Format = "table") -> None:
    """Recompute the published figures of the shipped weights.

    These are the digest, size, cost and accuracy of each file. The exit status is 1 if any differs.
    """
    names = models or known_names()
    check_names(names, known_names())
    from mnistzoo.zoo import verify

    with progress("models") as bar:
        found = {name: verify(name) for name in bar.track(names, description="verify")}
    records = [
        {"model": name, "mismatches": [asdict(mismatch) for mismatch in mismatches]}
        for name, mismatches in found.items()
    ]
    cells = [
        (title(name), "; ".join(map(str, mismatches)) or "ok") for name, mismatches in found.items()
    ]
    print_records(format_, records, ("model", "manifest"), cells, text_columns=2)
    if any(found.values()):
        raise typer.Exit(1)
