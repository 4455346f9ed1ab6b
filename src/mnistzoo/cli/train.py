"""The command that trains a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.architectures import BUILDABLE
from mnistzoo.cli.console import print_record, print_table, progress
from mnistzoo.cli.options import (
    Data,
    Epochs,
    Format,
    FreezeOption,
    Pretrained,
    RecipeName,
    Seed,
    Settings,
    StartingWeights,
    Strict,
    StyleOption,
    Trainable,
    Validation,
    check_data_options,
    folder,
)
from mnistzoo.cli.source import check_data, check_names, is_folder, load, load_splits
from mnistzoo.tables import Table

if TYPE_CHECKING:
    from rich.progress import Progress

    from mnistzoo.training.inputs import Inputs
    from mnistzoo.training.metrics import Epoch, Result
    from mnistzoo.training.run import Run

RunFolder = Annotated[
    Path,
    typer.Option(
        *("--output", "-o"),
        parser=folder,
        metavar="FOLDER",
        help="Run folder for the checkpoint, the model and metrics.json.",
    ),
]


def train(
    model: Trainable,
    output: RunFolder,
    data: Data = None,
    style: StyleOption = None,
    strict: Strict = False,
    recipe: RecipeName = None,
    settings: Settings = None,
    pretrained: Pretrained = False,
    weights: StartingWeights = None,
    freeze: FreezeOption = None,
    validation: Validation = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    format_: Format = "table",
) -> None:
    """Train a model on MNIST or your own images, or resume a run.

    If MODEL is a folder, training starts from the model in it. Under `torchrun`, all processes
    train one model together.
    """
    check_data_options(data, style, strict)
    if not is_folder(model):
        check_names([model], BUILDABLE)
    check_data(data)
    from mnistzoo.training.train import plan

    run, inputs = plan(
        load(model) if is_folder(model) else model,
        None if data is None else load_splits(data, style, strict=strict),
        recipe=recipe,
        settings=settings or (),
        pretrained=pretrained if weights is None else weights,
        freeze=freeze,
        validation=validation,
        epochs=epochs,
        seed=seed,
    )
    result = _train(run, inputs, output)
    if result is not None:
        _print(result, output, format_)


def _train(run: Run, inputs: Inputs | None, output: Path) -> Result | None:
    """Train with progress bars; None for all processes but the first, which prints."""
    from mnistzoo.training.distributed import process_group, rank
    from mnistzoo.training.loop import train_run

    with process_group(), progress("images") as bar:
        bars = _Bars(bar, run)
        try:
            result = train_run(run, output, inputs, on_batch=bars.advance, on_epoch=bars.show)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(bars.kept(output)) from None
        return result if rank() == 0 else None


def _print(result: Result, output: Path, format_: str) -> None:
    """Print the result, and below a table that of each class of your own images."""
    from msgspec import to_builtins

    evaluated = f"{result.correct:,} of {result.total:,} {result.split} images correct"
    text = (
        f"{result.architecture}, seed {result.seed}: {evaluated}. Weights and metrics.json are in "
        f"{output}"
    )
    record = to_builtins(result)
    print_record(format_, {"model": record.pop("architecture"), **record}, text)
    if format_ == "table" and result.dataset is not None:
        headers = ("class", "correct", "images", "accuracy")
        rows = [
            (row.name, f"{row.correct:,}", f"{row.total:,}", f"{row.correct / row.total:.2%}")
            for row in result.per_class
        ]
        mean = ("mean of the classes", "", "", f"{result.balanced_accuracy:.2%}")
        print_table(Table(headers, [*rows, mean]))


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
