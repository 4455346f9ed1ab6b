"""The command that measures networks on the official test set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

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
from mnistzoo.cli.source import HELP, METAVAR, load

if TYPE_CHECKING:
    import torch

    from mnistzoo.evaluation import Evaluation

HEADERS = (
    *("network", "correct", "of", "accuracy", "NLL, nats", "ECE"),
    *("errors", "disputed", "accuracy without those"),
)


def evaluate(
    networks: Annotated[
        list[str] | None,
        typer.Argument(metavar=f"[{METAVAR}]...", help=f"{HELP} All names without any."),
    ] = None,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Also print which digit was read as which.")
    ] = False,
    disputed: Annotated[
        bool, typer.Option("--disputed", help="List the images whose label people dispute.")
    ] = False,
    markdown: MARKDOWN = False,
    as_json: JSON = False,
) -> None:
    """Measure networks on the 10,000 test images.

    NLL is the mean negative log-likelihood, ECE the expected calibration error in 15 bins. Of the
    errors, some are on the 15 images whose label most people dispute; they count all the same, and
    the last column says what accuracy is without those images.
    """
    at_most_one(json=as_json, markdown=markdown)
    results = _evaluate(networks)
    if disputed:
        _print_disputed(results, markdown=markdown, as_json=as_json)
    elif as_json:
        print_json({name: _as_dict(result, confusion) for name, result in results.items()})
    else:
        rows = [_cells(name, result) for name, result in results.items()]
        print_rows(HEADERS, rows, markdown=markdown)
        for name, result in results.items() if confusion else ():
            _print_confusion(name, result.confusion)


def _evaluate(networks: list[str] | None) -> dict[str, Evaluation]:
    from mnistzoo.data.mnist import mnist
    from mnistzoo.evaluation import evaluate
    from mnistzoo.models import list_models

    models = {name: load(name) for name in dict.fromkeys(networks or list_models())}
    digits = mnist(train=False)
    results = {}
    with progress("images") as bar:
        for name, model in models.items():
            task = bar.add_task(name, total=len(digits.labels))
            results[name] = evaluate(model, digits, on_batch=partial(bar.advance, task))
    return results


def _cells(name: str, result: Evaluation) -> tuple[str, ...]:
    found = _as_dict(result, confusion=False)
    return (
        name,
        f"{found['correct']:,}",
        f"{found['total']:,}",
        f"{found['accuracy']:.2%}",
        f"{found['nll']:.4f}",
        f"{found['ece']:.2%}",
        f"{found['total'] - found['correct']:,}",
        f"{found['disputed_errors']}",
        f"{found['accuracy_without_disputed']:.2%}",
    )


def _as_dict(result: Evaluation, confusion: bool) -> dict[str, Any]:
    from mnistzoo.data.disputed import INDICES

    row = {
        "correct": result.correct,
        "total": result.total,
        "accuracy": result.accuracy,
        "nll": result.nll,
        "ece": result.ece,
        "disputed_errors": len(set(result.errors.tolist()) & set(INDICES)),
        "accuracy_without_disputed": result.without(INDICES).accuracy,
    }
    return row | {"confusion": result.confusion.tolist()} if confusion else row


def _print_disputed(results: Mapping[str, Evaluation], *, markdown: bool, as_json: bool) -> None:
    """The disputed images, one by one: label, votes, and what each network answers."""
    from dataclasses import asdict

    from mnistzoo.data.disputed import DISPUTED

    answers = [
        {name: int(result.predictions[image.index]) for name, result in results.items()}
        for image in DISPUTED
    ]
    if as_json:
        listed = zip(DISPUTED, answers, strict=True)
        print_json([asdict(image) | {"answers": answer} for image, answer in listed])
        return
    rows = [
        (*map(str, asdict(image).values()), *map(str, answer.values()))
        for image, answer in zip(DISPUTED, answers, strict=True)
    ]
    votes = ("for the label", "for the guess", "for neither")
    print_rows(("image", "label", "guess", *votes, *results), rows, markdown=markdown)


def _print_confusion(name: str, matrix: torch.Tensor) -> None:
    made = table("digit", *map(str, range(len(matrix))), title=f"{name}: digit, and read as")
    for digit, row in enumerate(matrix.tolist()):
        made.add_row(str(digit), *(str(count) if count else "·" for count in row))
    print_table(made)
