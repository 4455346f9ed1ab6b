"""The command that trains a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.architectures import BUILDABLE
from mnistzoo.cli.console import print_record, progress
from mnistzoo.cli.options import Epochs, Format, Holdout, RecipeName, Seed, Trainable
from mnistzoo.cli.source import check_names

if TYPE_CHECKING:
    from rich.progress import Progress

    from mnistzoo.training.metrics import Epoch
    from mnistzoo.training.run import Run

RunFolder = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Run folder for the checkpoint, the model and metrics.json."
    ),
]


def train(
    model: Trainable,
    output: RunFolder,
    recipe: Annotated[RecipeName, typer.Option(help="Training recipe.")] = RecipeName.record,
    seed: Seed = 0,
    epochs: Epochs = None,
    holdout: Holdout = 0,
    format_: Format = "table",
) -> None:
    """Train a model, or resume an interrupted run.

    Under `torchrun`, all processes train one model together.
    """
    check_names([model], BUILDABLE)
    from msgspec import to_builtins
    from msgspec.structs import replace

    from mnistzoo.training.distributed import process_group, rank
    from mnistzoo.training.recipes import get_recipe
    from mnistzoo.training.run import Run
    from mnistzoo.training.runs import train

    chosen = get_recipe(recipe.value, model)
    run = Run(model, replace(chosen, epochs=epochs or chosen.epochs), seed, holdout)
    with process_group(), progress("images") as bar:
        bars = _Bars(bar, run)
        try:
            result = train(run, output, on_batch=bars.advance, on_epoch=bars.show)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(bars.kept(output)) from None
        if rank() > 0:
            return  # the first process writes the files and prints
    evaluated = f"{result.correct:,} of {result.total:,} {result.split} images correct"
    text = f"{model}, seed {seed}: {evaluated}. Weights and metrics.json are in {output}"
    record = to_builtins(result)
    print_record(format_, {"model": record.pop("architecture"), **record}, text)


class _Bars:
    """A progress bar for the run and one for its teacher, and a line for each epoch."""

    def __init__(self, bar: Progress, run: Run) -> None:
        self.bar = bar
        runs = [each for each in (run.teacher, run) if each]
        self.tasks = {
            each: bar.add_task(each.architecture, total=each.recipe.epochs * each.num_images)
            for each in runs
        }
        self.done = dict.fromkeys(runs, 0)

    def advance(self, run: Run, count: int) -> None:
        self.bar.advance(self.tasks[run], count)

    def show(self, run: Run, row: Epoch) -> None:
        from mnistzoo.training.distributed import rank

        self.done[run] = row.epoch
        if rank() > 0:
            return
        self.bar.update(self.tasks[run], completed=row.epoch * run.num_images)
        self.bar.console.print(
            f"{run.architecture}, epoch {row.epoch}: loss {row.loss:.4f}, "
            f"training {row.train_accuracy:.2%}, accuracy {row.accuracy:.2%}"
        )

    def kept(self, output: Path) -> str:
        """Return what an interrupted run has kept, and how to resume it."""
        epochs = [
            f"{done} of {run.recipe.epochs} epochs of {run.architecture}"
            for run, done in self.done.items()
        ]
        return (
            f"Interrupted. {output} keeps {' and '.join(epochs)}. "
            "Run the same command again to resume."
        )
