"""The command that trains models × recipes × seeds and summarizes them."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.console import print_error, progress
from mnistzoo.cli.options import (
    Data,
    Epochs,
    Format,
    FreezeOption,
    Names,
    Pretrained,
    RayAddress,
    RecipeNames,
    Settings,
    StartingWeights,
    Strict,
    StyleOption,
    Validation,
    check_data_options,
    folder,
)
from mnistzoo.cli.results import print_results
from mnistzoo.cli.source import check_data, check_names, load_splits
from mnistzoo.training.recipes import MAX_SEED

if TYPE_CHECKING:
    from mnistzoo.training.inputs import Inputs
    from mnistzoo.training.metrics import Result
    from mnistzoo.training.run import Run
    from mnistzoo.training.study import Engine


StudyFolder = Annotated[
    Path,
    typer.Option(
        *("--output", "-o"),
        parser=folder,
        metavar="FOLDER",
        help="Folder of the study, new or unfinished.",
    ),
]
Seeds = Annotated[
    list[int], typer.Option("--seed", min=0, max=MAX_SEED, help="Seed of a run. Can be repeated.")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Parallel runs on this machine.", show_default="1")
]


def study(
    output: StudyFolder,
    models: Names = None,
    data: Data = None,
    style: StyleOption = None,
    strict: Strict = False,
    recipes: RecipeNames = None,
    settings: Settings = None,
    pretrained: Pretrained = False,
    weights: StartingWeights = None,
    freeze: FreezeOption = None,
    validation: Validation = None,
    seeds: Seeds = [0, 1, 2],  # noqa: B006 - typer copies it
    epochs: Epochs = None,
    jobs: Jobs = None,
    ray: RayAddress = None,
    format_: Format = "table",
) -> None:
    """Train models × recipes × seeds, or resume an interrupted study.

    Each run trains on one thread, and writes a result and a run folder. At the end, study.csv and
    the figures summarize all runs.
    """
    if jobs is not None and ray is not None:
        raise typer.BadParameter("Choose one of --jobs and --ray.")
    check_data_options(data, style, strict)
    names = models or list(ARCHITECTURES)
    check_names(names)
    check_data(data)
    from mnistzoo.training.inputs import prepare
    from mnistzoo.training.run import default_recipe, keeps_classifier
    from mnistzoo.training.study import grid, remaining

    splits = None if data is None else load_splits(data, style, strict=strict)
    holdout, dataset, inputs = prepare(splits, validation)
    runs = grid(
        names,
        recipes or [default_recipe(bool(weights or pretrained), keeps_classifier(dataset))],
        seeds,
        epochs=epochs,
        settings=settings or (),
        holdout=holdout,
        dataset=dataset,
        pretrained=pretrained if weights is None else weights,
        freeze=freeze,
    )
    todo = remaining(runs, output)
    whole = not todo or _train_runs(todo, _engine(jobs or 1, ray, inputs), len(runs), output)
    _summarize(output, format_)
    if not whole:
        raise typer.Exit(1)


def _engine(jobs: int, ray: str | None, inputs: Inputs | None) -> Engine:
    from mnistzoo.training.local_engine import run_locally
    from mnistzoo.training.ray_engine import run_on_ray

    if ray is None:
        return partial(run_locally, jobs=jobs, inputs=inputs)
    return partial(run_on_ray, address=ray, inputs=inputs)


def _train_runs(todo: dict[Path, Run], engine: Engine, total: int, output: Path) -> bool:
    """Train what is left, and return whether every run has a result."""
    from mnistzoo.errors import TrainingError
    from mnistzoo.training.study import train_runs

    failed = 0
    # Ray reports lost nodes on stdout, where only results belong.
    with redirect_stdout(sys.stderr), progress("runs") as bar:
        task = bar.add_task("study", total=total, completed=total - len(todo))
        try:
            for folder, outcome in train_runs(todo, engine):
                if isinstance(outcome, TrainingError):
                    failed += 1
                    line = f"{folder.name}: {outcome}"
                else:
                    line = f"{folder.name}: {outcome.accuracy:.2%}, {outcome.seconds:.0f} s"
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
                bar.advance(task)
        except KeyboardInterrupt:
            left = sum(not folder.with_suffix(".json").exists() for folder in todo)
            raise KeyboardInterrupt(
                f"Interrupted. {output} keeps {total - left} of {total} results and "
                f"{len(list(output.glob('*/checkpoint.pt')))} checkpoints. "
                "Run the same command again to resume."
            ) from None
    return failed == 0


def _summarize(output: Path, format_: str) -> None:
    """Print the results of a study, and write them as study.csv and figures."""
    from mnistzoo.errors import MissingExtraError
    from mnistzoo.files import write_bytes
    from mnistzoo.training.metrics import load_results
    from mnistzoo.training.summary import to_csv

    results = load_results(output) if any(output.glob("*.json")) else []
    print_results(results, format_)
    if not results:
        return  # every run failed
    write_bytes(output / "study.csv", to_csv(results).encode())
    try:
        _draw(results, output)
    except MissingExtraError as error:
        print_error(f"No figures. {error}")


def _draw(results: list[Result], output: Path) -> None:
    """Draw the figures of a study, named as `mnistzoo plot` names them."""
    from mnistzoo import plots

    plots.save(plots.curves(results), output / "curves.png", plots.facts_of_runs(results))
    points, facts = output / "accuracy-vs-parameters.png", plots.facts_of_summaries(results)
    plots.save(plots.accuracy_vs_parameters(results), points, facts)
