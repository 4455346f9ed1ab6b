"""Commands about the networks and their weights: list, summary, evaluate, verify."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.cli.console import JSON, print_json, print_table, progress, table, to_markdown
from mnistzoo.cli.source import HELP, METAVAR, load

if TYPE_CHECKING:
    import torch

    from mnistzoo.training.evaluate import Evaluation
    from mnistzoo.zoo import Row

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Names; all without any.")
]

HEADERS = ("network", "parameters", "MACs", "memory, MiB", "receptive field", "test accuracy")


def list_(
    sort: Annotated[
        str, typer.Option(help="A column: name, params, macs, memory, receptive_field, accuracy.")
    ] = "name",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_json: JSON = False,
) -> None:
    """List the networks with their size, receptive field and accuracy."""
    from mnistzoo.zoo import rows

    chosen = rows(sort=sort)
    if as_json:
        print_json([asdict(row) for row in chosen])
    elif markdown:
        print(to_markdown(HEADERS, map(_cells, chosen)))
    else:
        made = table(*HEADERS)
        for row in chosen:
            made.add_row(*_cells(row))
        print_table(made)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.params:,}",
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


def evaluate(
    networks: Annotated[
        list[str] | None,
        typer.Argument(metavar=f"[{METAVAR}]...", help=f"{HELP} All names without any."),
    ] = None,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Also print which digit was read as which.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Measure networks on the 10,000 test images."""
    results = _evaluate(networks)
    if as_json:
        print_json({name: _as_dict(result, confusion) for name, result in results.items()})
        return
    made = table("network", "correct", "of", "accuracy", title="MNIST test images")
    for name, result in results.items():
        made.add_row(name, f"{result.correct:,}", f"{result.total:,}", f"{result.accuracy:.2%}")
    print_table(made)
    if confusion:
        for name, result in results.items():
            _print_confusion(name, result.confusion)


def _evaluate(networks: list[str] | None) -> dict[str, Evaluation]:
    from mnistzoo.data.mnist import mnist
    from mnistzoo.models import list_models
    from mnistzoo.training.evaluate import evaluate

    models = {name: load(name) for name in dict.fromkeys(networks or list_models())}
    digits = mnist(train=False)
    results = {}
    with progress("images") as bar:
        for name, model in models.items():
            task = bar.add_task(name, total=len(digits.labels))
            results[name] = evaluate(model, digits, on_batch=partial(bar.advance, task))
    return results


def _as_dict(result: Evaluation, confusion: bool) -> dict[str, Any]:
    row = {"correct": result.correct, "total": result.total, "accuracy": result.accuracy}
    return row | {"confusion": result.confusion.tolist()} if confusion else row


def _print_confusion(name: str, matrix: torch.Tensor) -> None:
    made = table("digit", *map(str, range(len(matrix))), title=f"{name}: digit, and read as")
    for digit, row in enumerate(matrix.tolist()):
        made.add_row(str(digit), *(str(count) if count else "·" for count in row))
    print_table(made)


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
