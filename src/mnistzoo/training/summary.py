"""Finished runs summed up over their seeds, and as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from statistics import mean, stdev

from mnistzoo.errors import InputError
from mnistzoo.tables import Table
from mnistzoo.training.metrics import Result

COLUMNS = (
    *("network", "recipe", "seed", "split", "correct", "total", "accuracy", "nll"),
    *("epochs", "worst_drop", "seconds"),
)
"""Of the CSV: attributes of `Result`, but `recipe` is its name and `epochs` their number."""


@dataclass(frozen=True)
class Summary:
    """What the runs of one network under one recipe came to, over their seeds.

    Attributes:
        network: what `get_model` calls it.
        recipe: its name.
        split: "test" or "validation".
        seeds: how many runs there are.
        mean: of their accuracies, a fraction.
        sd: the sample's standard deviation of their accuracies; None for one run.
        min: the lowest accuracy.
        max: the highest accuracy.
        worst_drop: the largest `Result.worst_drop` of them; None where none has one.
        nll: mean of theirs, in nats.
    """

    network: str
    recipe: str
    split: str
    seeds: int
    mean: float
    sd: float | None
    min: float
    max: float
    worst_drop: float | None
    nll: float


def summarize(results: Iterable[Result]) -> list[Summary]:
    """One summary for each network and recipe, in that order.

    Raises:
        InputError: runs under one name are not repetitions of each other: the recipe's settings or
            the images judged on differ, or a seed is there twice.
    """
    groups = groupby(sorted(results, key=attrgetter("key")), key=lambda result: result.key[:2])
    return [_summary(list(runs)) for _, runs in groups]


def to_csv(results: Iterable[Result]) -> str:
    """A line for each run, by network, recipe and seed, below a line of `COLUMNS`."""
    rows = []
    for result in sorted(results, key=attrgetter("key")):
        own = {"recipe": result.recipe.name, "epochs": len(result.epochs)}
        rows.append([own.get(column, getattr(result, column)) for column in COLUMNS])
    return Table(COLUMNS, rows).to_csv()


def _summary(runs: Sequence[Result]) -> Summary:
    first, accuracies = runs[0], [run.accuracy for run in runs]
    drops = [run.worst_drop for run in runs if run.worst_drop is not None]
    _check_repetitions(runs)
    return Summary(
        network=first.network,
        recipe=first.recipe.name,
        split=first.split,
        seeds=len(runs),
        mean=mean(accuracies),
        sd=stdev(accuracies) if len(runs) > 1 else None,
        min=min(accuracies),
        max=max(accuracies),
        worst_drop=max(drops, default=None),
        nll=mean(run.nll for run in runs),
    )


def _check_repetitions(runs: Sequence[Result]) -> None:
    first, seeds = runs[0], [run.seed for run in runs]
    name = f"{first.network} under {first.recipe.name}"
    if len(set(seeds)) < len(seeds):
        raise InputError(f"expected each seed of {name} once, got {seeds}; remove one of the runs.")
    same = (first.recipe, first.split, first.total)
    if any((run.recipe, run.split, run.total) != same for run in runs):
        raise InputError(
            f"expected the runs of {name} to differ in their seed only; the recipe's settings or "
            "the images judged on differ too: keep such runs in folders of their own."
        )
