"""The `train` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import JSON, print_json, progress

if TYPE_CHECKING:
    from rich.progress import Progress

    from mnistzoo.training.metrics import Epoch
    from mnistzoo.training.run import Run


def train(
    network: Annotated[str, typer.Argument(help="A name from `mnistzoo list`.")],
    out: Annotated[Path, typer.Option(help="The folder for weights and metrics.json.")],
    recipe: Annotated[str, typer.Option(help="documented, record or fast.")] = "record",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="In place of the recipe's own number.")
    ] = None,
    holdout: Annotated[
        int, typer.Option(min=0, max=59_999, help="Hold out the last training images.")
    ] = 0,
    as_json: JSON = False,
) -> None:
    """Train a model, or resume its training.

    Under `torchrun`, its processes train one model together.
    """
    from msgspec import to_builtins
    from msgspec.structs import replace

    from mnistzoo.training.distributed import process_group, rank
    from mnistzoo.training.recipes import get_recipe
    from mnistzoo.training.run import Run
    from mnistzoo.training.runs import train

    chosen = get_recipe(recipe, network)
    run = Run(network, replace(chosen, epochs=epochs or chosen.epochs), seed, holdout)
    with process_group(), progress("images") as bar:
        report = _Report(bar, run)
        try:
            result = train(run, out, on_batch=report.advance, on_epoch=report.show)
        except KeyboardInterrupt:
            if rank() == 0:
                bar.stop()
                print(f"mnistzoo: {report.interrupted(out)}", file=sys.stderr)
            raise typer.Exit(130) from None
        if rank() > 0:
            return  # the first process prints
    if as_json:
        print_json(to_builtins(result))
    else:
        counts = f"{result.correct:,} of {result.total:,} {result.split} images"
        print(f"{network}, seed {seed}: {counts}; weights and metrics.json are in {out}")


class _Report:
    """A progress bar for the run and one for its teacher, and a line for each epoch."""

    def __init__(self, bar: Progress, run: Run) -> None:
        self.bar = bar
        runs = [each for each in (run.teacher, run) if each]
        self.tasks = {
            each: bar.add_task(each.architecture, total=each.recipe.epochs * each.num_images)
            for each in runs
        }
        self.run, self.epochs = runs[0], 0

    def advance(self, run: Run, count: int) -> None:
        self.bar.advance(self.tasks[run], count)

    def show(self, run: Run, row: Epoch) -> None:
        from mnistzoo.training.distributed import rank

        self.run, self.epochs = run, row.epoch
        if rank() > 0:
            return
        self.bar.update(self.tasks[run], completed=row.epoch * run.num_images)
        self.bar.console.print(
            f"{run.architecture}, epoch {row.epoch}: loss {row.loss:.4f}, "
            f"training {row.train_accuracy:.2%}, accuracy {row.accuracy:.2%}"
        )

    def interrupted(self, out: Path) -> str:
        """Say what an interrupted run has kept, and how to resume it."""
        done = f"{self.epochs} of {self.run.recipe.epochs} epochs of {self.run.architecture}"
        return f"Interrupted. {out} keeps {done}. Run the same command to resume."
