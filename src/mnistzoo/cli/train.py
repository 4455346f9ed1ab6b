"""The command that trains a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import JSON, print_json, progress

if TYPE_CHECKING:
    from rich.progress import Progress

    from mnistzoo.training.trainer import Run


def train(
    network: Annotated[str, typer.Argument(help="A name from `mnistzoo list`.")],
    out: Annotated[Path, typer.Option(help="The folder for weights and metrics.json.")],
    recipe: Annotated[str, typer.Option(help="documented, record or fast.")] = "record",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="In place of the recipe's own number.")
    ] = None,
    holdout: Annotated[
        int, typer.Option(min=0, max=59_999, help="Keep the last training images to judge by.")
    ] = 0,
    as_json: JSON = False,
) -> None:
    """Train a network, or go on where it was stopped.

    Under `torchrun`, its processes train one network together.
    """
    from mnistzoo.training.distributed import processes, rank
    from mnistzoo.training.recipes import get_recipe
    from mnistzoo.training.runs import train
    from mnistzoo.training.trainer import Run

    chosen = get_recipe(recipe, network)
    chosen = replace(chosen, epochs=epochs or chosen.epochs)
    run = Run(network, chosen, seed, holdout)
    with processes(), progress("images") as bar:
        bars = _Bars(bar, run)
        metrics = train(run, out, on_batch=bars.advance, on_epoch=bars.show)
        if rank() > 0:
            return  # the first process wrote the files, and prints
    if as_json:
        print_json(metrics)
    else:
        judged = f"{metrics['correct']:,} of {metrics['total']:,} {metrics['split']} images"
        print(f"{network}, seed {seed}: {judged}; weights and metrics.json are in {out}")


class _Bars:
    """A bar for the run and one for its teacher, and a line for each epoch."""

    def __init__(self, bar: Progress, run: Run) -> None:
        self.bar = bar
        runs = [each for each in (run.teacher, run) if each]
        self.tasks = {
            each: bar.add_task(each.network, total=each.recipe.epochs * each.images)
            for each in runs
        }

    def advance(self, run: Run, count: int) -> None:
        self.bar.advance(self.tasks[run], count)

    def show(self, run: Run, row: dict[str, float]) -> None:
        from mnistzoo.training.distributed import rank

        if rank() > 0:
            return
        self.bar.update(self.tasks[run], completed=row["epoch"] * run.images)
        self.bar.console.print(
            f"{run.network}, epoch {row['epoch']:.0f}: loss {row['loss']:.4f}, "
            f"training {row['train_accuracy']:.2%}, accuracy {row['accuracy']:.2%}"
        )
