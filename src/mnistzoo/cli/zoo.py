"""Commands about the networks and their weights: list, summary, verify."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import (
    JSON,
    MARKDOWN,
    at_most_one,
    print_json,
    print_rows,
    print_table,
    progress,
    table,
)

if TYPE_CHECKING:
    from mnistzoo.zoo import Row

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Names; all without any.")
]

HEADERS = ("network", "parameters", "MACs", "memory, MiB", "receptive field", "test accuracy")


def list_(
    sort: Annotated[
        str,
        typer.Option(help="A column: name, num_params, macs, memory, receptive_field, accuracy."),
    ] = "name",
    markdown: MARKDOWN = False,
    as_json: JSON = False,
) -> None:
    """List the networks with their size, receptive field and accuracy."""
    from mnistzoo.zoo import rows

    at_most_one(json=as_json, markdown=markdown)
    chosen = rows(sort=sort)
    if as_json:
        print_json([asdict(row) for row in chosen])
    else:
        print_rows(HEADERS, map(_cells, chosen), markdown=markdown)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.num_params:,}",
        f"{row.macs:,}",
        f"{row.memory:.2f}",
        f"{row.receptive_field} × {row.receptive_field}",
        "-" if row.accuracy is None else f"{row.accuracy:.2%}",
    )


def summary(
    network: Annotated[str, typer.Argument(help="A name from `mnistzoo list`.")],
    as_json: JSON = False,
) -> None:
    """Show a network layer by layer."""
    from mnistzoo.models import get_model

    analysis = get_model(network).summary()
    if as_json:
        print_json(analysis.to_dict())
    else:
        print_table(analysis)


def verify(networks: Names = None, as_json: JSON = False) -> None:
    """Recompute every figure that the manifest states."""
    from mnistzoo.models import list_models
    from mnistzoo.zoo import verify

    drifts = {}
    names = networks or list_models()
    with progress("networks") as bar:
        for name in bar.track(names, description="verify"):
            drifts[name] = verify(name)
    if as_json:
        print_json({name: [asdict(drift) for drift in found] for name, found in drifts.items()})
    else:
        made = table("network", "manifest")
        for name, found in drifts.items():
            made.add_row(name, "; ".join(map(str, found)) or "holds")
        print_table(made)
    if any(drifts.values()):
        raise typer.Exit(1)
