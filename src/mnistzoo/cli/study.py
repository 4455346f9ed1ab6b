"""The command that trains networks × recipes × seeds and sums them up."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.console import JSON, progress
from mnistzoo.cli.plot import points_shown, runs_shown, write_figure
from mnistzoo.cli.results import print_results

if TYPE_CHECKING:
    from mnistzoo.training.metrics import Result
    from mnistzoo.training.run import Run
    from mnistzoo.training.study import Engine

MAX_DIGITS = 10
"""No seed has more."""


def study(
    out: Annotated[Path, typer.Argument(help="The folder of the study; it can hold a part of it.")],
    networks: Annotated[
        str, typer.Option(metavar="NAME,...", help="Names from `mnistzoo list`.")
    ] = ",".join(ARCHITECTURES),
    recipes: Annotated[
        str, typer.Option(metavar="NAME,...", help="Of documented, record and fast.")
    ] = "record",
    seeds: Annotated[
        str, typer.Option(metavar="NUMBER,...", help="One run for each of them.")
    ] = "0,1,2",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="In place of the recipes' own numbers.")
    ] = None,
    holdout: Annotated[
        int, typer.Option(min=0, max=59_999, help="Keep the last training images to judge by.")
    ] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time, here.  [default: 1]")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="On a Ray cluster: auto or HOST:PORT."),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Train networks × recipes × seeds, or go on where that was stopped.

    Each run trains on one thread. OUT then holds a result and a folder for each, study.csv and
    the figures.
    """
    from mnistzoo.training.study import grid, remaining

    if jobs is not None and ray is not None:
        raise typer.BadParameter("choose one of --jobs and --ray.")
    grid_ = _names(networks), _names(recipes), _seeds(seeds)
    runs = grid(*grid_, epochs=epochs, holdout=holdout)
    todo = remaining(runs, out)
    whole = not todo or _train_runs(todo, _engine(jobs or 1, ray), len(runs))
    _sum_up(out, as_json=as_json)
    if not whole:
        raise typer.Exit(1)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _seeds(text: str) -> list[int]:
    names = _names(text)
    if not all(name.isdecimal() and len(name) <= MAX_DIGITS for name in names):
        raise typer.BadParameter(
            f"expected whole numbers such as 0,1,2, got {text!r}.", param_hint="--seeds"
        )
    return list(map(int, names))


def _engine(jobs: int, ray: str | None) -> Engine:
    from mnistzoo.training.local_engine import run_locally
    from mnistzoo.training.ray_engine import run_on_ray

    return partial(run_locally, jobs=jobs) if ray is None else partial(run_on_ray, address=ray)


def _train_runs(todo: dict[Path, Run], engine: Engine, total: int) -> bool:
    """Train the runs that are left, and return whether all of them have a result."""
    from mnistzoo.errors import TrainingError
    from mnistzoo.training.study import train_runs

    done, failed = total - len(todo), 0
    # Ray reports lost nodes on stdout, where only our results belong
    with redirect_stdout(sys.stderr), progress("runs") as bar:
        task = bar.add_task("study", total=total, completed=done)
        try:
            for folder, outcome in train_runs(todo, engine):
                if isinstance(outcome, TrainingError):
                    failed += 1
                    line = f"{folder.name}: {outcome}"
                else:
                    done += 1
                    line = f"{folder.name}: {outcome.accuracy:.2%}, {outcome.seconds:.0f} s"
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
                bar.advance(task)
        except KeyboardInterrupt:
            bar.stop()
            kept = f"{next(iter(todo)).parent} keeps {done} of {total} results"
            print(
                f"mnistzoo: Interrupted. {kept}. Run the same command to resume.", file=sys.stderr
            )
            raise typer.Exit(130) from None
    return not failed


def _sum_up(out: Path, *, as_json: bool) -> None:
    """Print all results in `out` summed up, and write them as study.csv and figures."""
    from mnistzoo.errors import MissingExtraError
    from mnistzoo.files import write_bytes
    from mnistzoo.training.metrics import load_results
    from mnistzoo.training.summary import to_csv

    results = load_results(out) if any(out.glob("*.json")) else []
    print_results(results, markdown=False, as_csv=False, as_json=as_json)
    if not results:
        return  # every run failed
    write_bytes(out / "study.csv", to_csv(results).encode())
    try:
        _draw(results, out)
    except MissingExtraError as error:
        print(f"mnistzoo: no figures: {error}", file=sys.stderr)


def _draw(results: list[Result], out: Path) -> None:
    """Draw the figures of a study, under the names that `mnistzoo plot` gives them."""
    from mnistzoo import plots

    write_figure(plots.curves(results), out / "curves.png", runs_shown(results))
    points = out / "accuracy-vs-parameters.png"
    write_figure(plots.accuracy_vs_params(results), points, points_shown(results))
