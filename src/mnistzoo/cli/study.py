"""The command that trains networks × recipes × seeds and sums them up."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import JSON, print_json, print_table, progress, table

if TYPE_CHECKING:
    from mnistzoo.training.results import Summary
    from mnistzoo.training.study import Engine
    from mnistzoo.training.trainer import Run


def study(
    out: Annotated[Path, typer.Argument(help="The folder of the study; it can hold a part of it.")],
    networks: Annotated[
        str, typer.Option(metavar="NAME,...", help="Names from `mnistzoo list`.")
    ] = "exp1,exp2,exp3,exp4,exp5",
    recipes: Annotated[
        str, typer.Option(metavar="NAME,...", help="documented, record, or both.")
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
    failed = _carry_out(todo, _engine(jobs or 1, ray), len(runs)) if todo else {}
    summaries, files = _sum_up(out)
    if as_json:
        print_json(
            {
                "summaries": [asdict(summary) for summary in summaries],
                "files": [str(file) for file in files],
                "failed": failed,
            }
        )
    else:
        _print(summaries, files)
    if failed:
        raise typer.Exit(1)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _seeds(text: str) -> list[int]:
    if not all(name.isdecimal() for name in _names(text)):
        raise typer.BadParameter(
            f"expected whole numbers such as 0,1,2, got {text!r}.", param_hint="--seeds"
        )
    return [int(name) for name in _names(text)]


def _engine(jobs: int, ray: str | None) -> Engine:
    from mnistzoo.training.cluster import on_ray
    from mnistzoo.training.local import local

    return partial(local, jobs=jobs) if ray is None else partial(on_ray, address=ray)


def _carry_out(todo: dict[Path, Run], engine: Engine, total: int) -> dict[str, str]:
    """Train what is left to do; gives what went wrong, by the name of the run."""
    from mnistzoo.errors import TrainingError
    from mnistzoo.training.study import carry_out

    failed = {}
    # Ray tells of lost nodes on stdout, where only our results belong
    with redirect_stdout(sys.stderr), progress("runs") as bar:
        task = bar.add_task("study", total=total, completed=total - len(todo))
        for folder, outcome in carry_out(todo, engine):
            if isinstance(outcome, TrainingError):
                failed[folder.name] = str(outcome)
                line = f"{folder.name}: {outcome}"
            else:
                line = f"{folder.name}: {outcome.accuracy:.2%}, {outcome.seconds:.0f} s"
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            bar.advance(task)
    return failed


def _sum_up(out: Path) -> tuple[list[Summary], list[Path]]:
    """The summaries of all results in `out`, and the files written of them."""
    from mnistzoo.files import write_bytes
    from mnistzoo.training.results import load_results, summarize, to_csv

    if not any(out.glob("*.json")):
        return [], []
    results = load_results(out)
    csv = write_bytes(out / "study.csv", to_csv(results).encode())
    return summarize(results), [csv]


def _print(summaries: list[Summary], files: list[Path]) -> None:
    made = table("network", "recipe", "seeds", "accuracy, %", "lowest", "highest", "worst drop")
    for row in summaries:
        spread = "" if row.sd is None else f" ± {row.sd:.2%}".removesuffix("%")
        made.add_row(
            *(row.network, row.recipe, f"{row.seeds}"),
            f"{row.mean:.2%}".removesuffix("%") + spread,
            *(f"{value:.2%}".removesuffix("%") for value in (row.min, row.max, row.worst_drop)),
        )
    print_table(made)
    for file in files:
        print(file)
