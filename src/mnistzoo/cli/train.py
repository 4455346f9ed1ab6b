"""The command that trains a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.cli.console import JSON, print_json, progress


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
    from mnistzoo.training.recipe import get_recipe
    from mnistzoo.training.runs import train
    from mnistzoo.training.trainer import Run

    chosen = get_recipe(recipe, network)
    chosen = replace(chosen, epochs=epochs or chosen.epochs)
    run = Run(network, chosen, seed, holdout)
    with processes(), progress("images") as bar:
        parts = [each for each in (run.teacher, run) if each]
        images = {each: min(60_000 - holdout, each.recipe.images or 60_000) for each in parts}
        tasks = {
            each: bar.add_task(each.network, total=each.recipe.epochs * images[each])
            for each in parts
        }

        def advance(trained: Run, count: int) -> None:
            bar.advance(tasks[trained], count)

        def show(trained: Run, row: dict[str, float]) -> None:
            if rank() > 0:
                return
            bar.update(tasks[trained], completed=row["epoch"] * images[trained])
            bar.console.print(
                f"{trained.network}, epoch {row['epoch']:.0f}: loss {row['loss']:.4f}, "
                f"training {row['train_accuracy']:.2%}, accuracy {row['accuracy']:.2%}"
            )

        metrics = train(run, out, on_batch=advance, on_epoch=show)
    if "sha256" not in metrics:
        return  # another process wrote the files, and prints
    if as_json:
        print_json(metrics)
    else:
        judged = f"{metrics['correct']:,} of {metrics['total']:,} {metrics['judged_on']} images"
        print(f"{network}, seed {seed}: {judged}; weights and metrics.json are in {out}")
