"""Commands about the networks and their weights: list, summary, evaluate, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.cli.console import JSON, print_json, print_table, progress, table

if TYPE_CHECKING:
    from torch import Tensor

    from mnistzoo.training.evaluate import Evaluation

Networks = Annotated[
    list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Names; all without any.")
]


def list_(
    sort: Annotated[
        str, typer.Option(help="A column: name, params, macs, memory, receptive_field, accuracy.")
    ] = "name",
    as_json: JSON = False,
) -> None:
    """List the networks with their size, receptive field and accuracy."""
    from mnistzoo.zoo import Row, rows

    chosen = rows(sort=sort)
    if as_json:
        print_json([row.to_dict() for row in chosen])
        return
    made = table(*Row.HEADERS)
    for row in chosen:
        made.add_row(*row.cells())
    print_table(made)


def summary(
    network: Annotated[str, typer.Argument(help="A name from `mnistzoo list`.")],
    as_json: JSON = False,
) -> None:
    """Show a network layer by layer: shapes, parameters, MACs, receptive fields, memory."""
    from mnistzoo.models import get_model

    analysis = get_model(network).summary()
    if as_json:
        print_json(analysis.to_dict())
    else:
        print_table(analysis)


def evaluate(
    networks: Networks = None,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Also print which digit was read as which.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Measure the pretrained networks on the 10,000 test images."""
    results = _evaluate(networks)
    if as_json:
        print_json({name: _as_dict(result, confusion) for name, result in results.items()})
        return
    made = table("network", "correct", "of", "accuracy", title="MNIST test images")
    for name, result in results.items():
        made.add_row(name, f"{result.correct:,}", f"{result.total:,}", f"{result.accuracy:.2%}")
    print_table(made)
    for name, result in results.items() if confusion else ():
        _print_confusion(name, result.confusion)


def _evaluate(networks: list[str] | None) -> dict[str, Evaluation]:
    from mnistzoo.data.mnist import mnist
    from mnistzoo.models import get_model, list_models
    from mnistzoo.training.evaluate import evaluate

    models = {
        name: get_model(name, pretrained=True) for name in dict.fromkeys(networks or list_models())
    }
    digits = mnist(train=False)
    results = {}
    with progress("images") as bar:
        for name, model in models.items():
            task = bar.add_task(name, total=len(digits.labels))
            results[name] = evaluate(
                model, digits, on_batch=lambda count, task=task: bar.advance(task, count)
            )
    return results


def _as_dict(result: Evaluation, confusion: bool) -> dict[str, Any]:
    row = {"correct": result.correct, "total": result.total, "accuracy": result.accuracy}
    return row | {"confusion": result.confusion.tolist()} if confusion else row


def _print_confusion(name: str, matrix: Tensor) -> None:
    made = table("digit", *map(str, range(len(matrix))), title=f"{name}: digit, and read as")
    for digit, row in enumerate(matrix.tolist()):
        made.add_row(str(digit), *(str(count) if count else "·" for count in row))
    print_table(made)


def verify(networks: Networks = None, as_json: JSON = False) -> None:
    """Recompute every digest, count and accuracy that the manifest states."""
    from mnistzoo.models import list_models
    from mnistzoo.zoo import verify

    drifts = {}
    names = networks or list_models()
    with progress("networks") as bar:
        for name in bar.track(names, description="verify"):
            drifts[name] = verify(name)
    if as_json:
        print_json({name: [drift.to_dict() for drift in found] for name, found in drifts.items()})
    else:
        made = table("network", "manifest")
        for name, found in drifts.items():
            made.add_row(name, "; ".join(map(str, found)) or "holds")
        print_table(made)
    if any(drifts.values()):
        raise typer.Exit(1)
