"""The command that measures models on the test images."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.console import print_records, print_table, progress
from mnistzoo.cli.options import Format, Models
from mnistzoo.cli.source import check, load, title
from mnistzoo.tables import Table

if TYPE_CHECKING:
    from mnistzoo.evaluation import Evaluation

HEADERS = (
    *("model", "correct", "accuracy", "NLL", "ECE", "disputed errors"),
    "accuracy without disputed",
)


def evaluate(
    models: Models = None,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Also print confusion matrices.")
    ] = False,
    disputed: Annotated[
        bool, typer.Option("--disputed", help="List predictions for the disputed images instead.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Measure accuracy and calibration on the 10,000 test images.

    NLL is the mean negative log-likelihood in nats. ECE is the expected calibration error over 15
    bins. The labels of 15 test images are disputed: errors on them count, and the last column is
    the accuracy without them.
    """
    found = _evaluate(models)
    if disputed:
        _print_disputed(found, format_)
        return
    records = [_record(name, result, confusion) for name, result in found.items()]
    print_records(format_, records, HEADERS, map(_cells, records))
    for name, result in found.items() if confusion and format_ == "table" else ():
        _print_confusion(name, result.confusion.tolist())


def _evaluate(models: list[str] | None) -> dict[str, Evaluation]:
    names = list(dict.fromkeys(models or ARCHITECTURES))
    for name in names:
        check(name)
    from mnistzoo.data.mnist import mnist
    from mnistzoo.evaluation import evaluate

    loaded = {name: load(name) for name in names}
    digits = mnist(train=False)
    found = {}
    with progress("images") as bar:
        for name, model in loaded.items():
            task = bar.add_task(name, total=len(digits.labels))
            found[name] = evaluate(model, digits, on_batch=partial(bar.advance, task))
    return found


def _record(name: str, result: Evaluation, confusion: bool) -> dict[str, Any]:
    from mnistzoo.data.disputed import INDICES

    record = {
        "model": name,
        "correct": result.correct,
        "total": result.total,
        "accuracy": result.accuracy,
        "nll": result.nll,
        "ece": result.ece,
        "disputed_errors": len(set(result.errors.tolist()) & set(INDICES)),
        "accuracy_without_disputed": result.without(INDICES).accuracy,
    }
    return record | {"confusion": result.confusion.tolist()} if confusion else record


def _cells(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        title(record["model"]),
        f"{record['correct']:,}",
        f"{record['accuracy']:.2%}",
        f"{record['nll']:.4f}",
        f"{record['ece']:.2%}",
        f"{record['disputed_errors']}",
        f"{record['accuracy_without_disputed']:.2%}",
    )


def _print_disputed(found: dict[str, Evaluation], format_: str) -> None:
    """Print each disputed image: its label, the votes, and what each model predicts."""
    from mnistzoo.data.disputed import DISPUTED

    records = [
        asdict(image)
        | {"predictions": {name: int(r.predictions[image.index]) for name, r in found.items()}}
        for image in DISPUTED
    ]
    *facts, _ = headers = list(records[0])
    cells = [
        (*(str(record[fact]) for fact in facts), *map(str, record["predictions"].values()))
        for record in records
    ]
    headers = [*(fact.replace("_", " ") for fact in facts), *found]
    print_records(format_, records, headers, cells)


def _print_confusion(name: str, matrix: list[list[int]]) -> None:
    cells = [
        (str(digit), *(str(count) if count else "·" for count in row))
        for digit, row in enumerate(matrix)
    ]
    headers = ("true label", *map(str, range(len(matrix))))
    print(f"\n{title(name)}: predicted label")
    print_table(Table(headers, cells))
