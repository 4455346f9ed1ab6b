"""Summaries of finished runs over their seeds, and runs as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from statistics import mean, stdev
from typing import Any

from msgspec import Struct

from mnistzoo.errors import InputError
from mnistzoo.tables import Table
from mnistzoo.training.metrics import Result

COLUMNS = (
    *("model", "recipe", "seed", "split", "correct", "total", "accuracy", "nll"),
    *("epochs", "worst_drop", "seconds"),
)
"""The columns of the CSV: the model, and attributes of `Result`; `epochs` is their number."""


class Summary(Struct, frozen=True):
    """The results of one model and recipe, summarized over the seeds.

    Attributes:
        model: The name that `get_model` takes.
        recipe: The recipe's name.
        split: "test" or "validation".
        seeds: Number of runs.
        mean: Mean accuracy, a fraction.
        sd: Sample standard deviation of accuracy; None for one run.
        min: Lowest accuracy.
        max: Highest accuracy.
        worst_drop: The largest `Result.worst_drop`; None if no run has one.
        nll: Mean of the negative log-likelihoods, in nats.
        dataset: SHA-256 of the dataset; None for MNIST.
    """

    model: str
    recipe: str
    split: str
    seeds: int
    mean: float
    sd: float | None
    min: float
    max: float
    worst_drop: float | None
    nll: float
    dataset: str | None


def summarize(results: Iterable[Result]) -> list[Summary]:
    """Return a summary for each model and recipe, sorted by both.

    Raises:
        InputError: Runs of one model and recipe differ in settings or in the images that
            they were evaluated on, or a seed occurs twice.
    """
    groups = groupby(sorted(results, key=attrgetter("key")), key=lambda result: result.key[:2])
    return [_summary(list(runs)) for _, runs in groups]


def records(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return the `COLUMNS` of each run, sorted by model, recipe and seed."""
    return [
        {"model": result.architecture}
        | {column: getattr(result, column) for column in COLUMNS[1:]}
        | {"recipe": result.recipe.name, "epochs": len(result.epochs)}
        for result in sorted(results, key=attrgetter("key"))
    ]


def to_csv(results: Iterable[Result]) -> str:
    """Return runs as CSV, sorted by model, recipe and seed, below a line of `COLUMNS`."""
    return Table(COLUMNS, [list(record.values()) for record in records(results)]).to_csv()


def _summary(runs: Sequence[Result]) -> Summary:
    first, accuracies = runs[0], [run.accuracy for run in runs]
    drops = [run.worst_drop for run in runs if run.worst_drop is not None]
    _check_repetitions(runs)
    return Summary(
        model=first.architecture,
        recipe=first.recipe.name,
        split=first.split,
        seeds=len(runs),
        mean=mean(accuracies),
        sd=stdev(accuracies) if len(runs) > 1 else None,
        min=min(accuracies),
        max=max(accuracies),
        worst_drop=max(drops, default=None),
        nll=mean(run.nll for run in runs),
        dataset=None if first.dataset is None else first.dataset.digest,
    )


def _check_repetitions(runs: Sequence[Result]) -> None:
    first, seeds = runs[0], [run.seed for run in runs]
    name = f"{first.architecture} with recipe {first.recipe.name}"
    if len(set(seeds)) < len(seeds):
        raise InputError(f"Expected each seed of {name} once, got {seeds}. Remove one of the runs.")
    if any((run.run.repeated, run.total) != (first.run.repeated, first.total) for run in runs):
        raise InputError(
            f"Expected the runs of {name} to differ in their seed only, got runs with other "
            "settings or evaluation images. Keep those in folders of their own."
        )
