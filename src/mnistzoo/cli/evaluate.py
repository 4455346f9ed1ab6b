"""The command that measures models on the test images, or on your own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.console import print_records, progress
from mnistzoo.cli.options import (
    Data,
    Format,
    Models,
    Strict,
    StyleName,
    StyleOption,
    Weights,
    check_data_options,
)
from mnistzoo.cli.source import (
    check,
    check_data,
    load,
    load_data,
    style_for,
    title,
    with_weights,
)

if TYPE_CHECKING:
    from mnistzoo.evaluation import Evaluation

HEADERS = (
    *("model", "correct", "accuracy", "NLL", "ECE", "disputed errors"),
    "accuracy without disputed",
)
OWN_HEADERS = ("model", "correct", "images", "accuracy", "95% interval", "NLL", "ECE")

Confusion = Annotated[bool, typer.Option("--confusion", help="Also print confusion matrices.")]
PerClass = Annotated[
    bool, typer.Option("--per-class", help="Also print the accuracy of each class.")
]
Disputed = Annotated[
    bool, typer.Option("--disputed", help="List predictions for the disputed images instead.")
]


def evaluate(
    models: Models = None,
    weights: Weights = None,
    data: Data = None,
    style: StyleOption = None,
    strict: Strict = False,
    confusion: Confusion = False,
    per_class: PerClass = False,
    disputed: Disputed = False,
    format_: Format = "table",
) -> None:
    """Measure accuracy on the test images, or on your own.

    With --data, the model is evaluated on the test split of your own images, or on all of them
    if there are no splits. Classes are matched by name; a digit's name is its number.

    NLL is the mean negative log-likelihood in nats. ECE is the expected calibration error over 15
    bins. The labels of 15 test images are disputed: errors on them count, and the last column is
    the accuracy without them.
    """
    check_data_options(data, style, strict)
    if data is not None and disputed:
        raise typer.BadParameter("--disputed applies to MNIST only. Leave out --data.")
    names = [with_weights(name, weights) for name in models or ARCHITECTURES]
    found = _evaluate(names, data, style, strict)
    if disputed:
        _print_disputed(found, format_)
        return
    make, headers, cells = (
        (_record, HEADERS, _cells) if data is None else (_own_record, OWN_HEADERS, _own_cells)
    )
    records = [
        make(name, result) | _details(result, confusion, per_class)
        for name, result in found.items()
    ]
    print_records(format_, records, headers, map(cells, records))
    for name, result in () if format_ in ("json", "csv") else found.items():
        if per_class:
            _print_per_class(name, result, format_)
        if confusion:
            _print_confusion(name, result, format_)


def _details(result: Evaluation, confusion: bool, per_class: bool) -> dict[str, Any]:
    """Return what the options add to a record."""
    matrix = {"confusion": result.confusion.tolist()} if confusion else {}
    return matrix | ({"classes": _per_class(result)} if per_class else {})


def _evaluate(
    models: list[str], data: Path | None, style: StyleName | None, strict: bool
) -> dict[str, Evaluation]:
    names = list(dict.fromkeys(models))
    for name in names:
        check(name)
    check_data(data)
    from mnistzoo.data.mnist import mnist
    from mnistzoo.evaluation import evaluate

    loaded = {name: load(name) for name in names}
    styles = {name: style_for(model, style) for name, model in loaded.items()}
    datasets = {
        style: mnist(train=False) if data is None else load_data(data, style, strict=strict)
        for style in dict.fromkeys(styles.values() if data else [None])
    }
    found = {}
    with progress("images") as bar:
        for name, model in loaded.items():
            dataset = datasets[styles[name] if data else None]
            task = bar.add_task(name, total=len(dataset.labels))
            found[name] = evaluate(model, dataset, on_batch=partial(bar.advance, task))
    return found


def _own_record(name: str, result: Evaluation) -> dict[str, Any]:
    return {
        "model": name,
        "correct": result.correct,
        "total": result.total,
        "accuracy": result.accuracy,
        "interval": list(result.interval),
        "nll": result.nll,
        "ece": result.ece,
    }


def _own_cells(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        title(record["model"]),
        f"{record['correct']:,}",
        f"{record['total']:,}",
        f"{record['accuracy']:.2%}",
        _interval(record["interval"]),
        f"{record['nll']:.4f}",
        f"{record['ece']:.2%}",
    )


def _interval(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{low:.2%} to {high:.2%}"


def _record(name: str, result: Evaluation) -> dict[str, Any]:
    from mnistzoo.data.disputed import INDICES

    return {
        "model": name,
        "correct": result.correct,
        "total": result.total,
        "accuracy": result.accuracy,
        "nll": result.nll,
        "ece": result.ece,
        "disputed_errors": len(set(result.errors.tolist()) & set(INDICES)),
        "accuracy_without_disputed": result.drop(INDICES).accuracy,
    }


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


def _per_class(result: Evaluation) -> list[dict[str, Any]]:
    return [
        asdict(row) | {"accuracy": row.accuracy, "interval": list(row.interval)}
        for row in result.per_class
    ]


def _print_per_class(name: str, result: Evaluation, format_: str) -> None:
    cells = [
        (row.name, *(f"{n:,}" for n in (row.correct, row.total)), f"{row.accuracy:.2%}")
        for row in result.per_class
    ]
    bounds = [_interval(row.interval) for row in result.per_class]
    rows = [(*row, interval) for row, interval in zip(cells, bounds, strict=True)]
    headers = ("class", "correct", "images", "accuracy", "95% interval")
    _print_below(f"{title(name)}: each class", headers, rows, format_)


def _print_confusion(name: str, result: Evaluation, format_: str) -> None:
    cells = [
        (label, *(str(count) if count else "·" for count in row))
        for label, row in zip(result.classes, result.confusion.tolist(), strict=True)
    ]
    headers = ("true label", *result.classes)
    _print_below(f"{title(name)}: predicted label", headers, cells, format_)


def _print_below(
    heading: str, headers: Sequence[str], rows: Sequence[Sequence[str]], format_: str
) -> None:
    """Print another table, which has no records, below the first."""
    comment = "% " * (format_ == "latex")
    print(f"\n{comment}{heading}" + "\n" * (format_ == "markdown"))
    print_records(format_, [], headers, rows)
