"""A study: networks × recipes × seeds in one folder, which can be cut off and goes on.

An engine carries the runs out: `local` or `on_ray`. Each trains every run on one thread, so that
its weights depend neither on the engine nor on how many runs go on at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import FileReadError, InputError, TrainingError, UnknownNameError
from mnistzoo.files import locked, make_folder, read_bytes, write_bytes
from mnistzoo.training.metrics import MAX_METRICS_BYTES, Result, read_result, result_paths
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.runs import (
    METRICS,
    finished,
    read_run,
    teacher_folder,
    write_run,
)
from mnistzoo.training.trainer import Run

Engine = Callable[[Mapping[Path, Run]], Iterator[tuple[Path, TrainingError | None]]]
"""Takes folders and what to train in each; gives each folder once, when its run is over.

The folder is then as `train` leaves it, or comes with what went wrong.
"""

RETRIES = 3
"""How often an engine starts a run again whose process, or whose machine, died without a word."""


def grid(
    networks: Iterable[str],
    recipes: Iterable[str],
    seeds: Iterable[int],
    *,
    epochs: int | None = None,
    holdout: int = 0,
) -> list[Run]:
    """The runs of a study, each once; `epochs` is in place of the recipes' own numbers.

    Raises:
        UnknownNameError: there is no such network or recipe.
        InputError: a seed, the holdout or the number of epochs is out of bounds.
    """
    runs = []
    for network, recipe, seed in product(networks, recipes, seeds):
        if network not in ARCHITECTURES:
            raise UnknownNameError("model", network, ARCHITECTURES)
        chosen = get_recipe(recipe, network)
        chosen = replace(chosen, epochs=chosen.epochs if epochs is None else epochs)
        runs.append(Run(network, chosen, seed, holdout))
    return list(dict.fromkeys(runs))


def remaining(runs: Iterable[Run], out: str | os.PathLike[str]) -> dict[Path, Run]:
    """The runs that have no result in `out` yet, each under the folder where it is trained.

    The result of a run is `out/NETWORK-RECIPE-SEED.json`, its folder `out/NETWORK-RECIPE-SEED`.

    Raises:
        InputError: two of the runs, or of their teachers, would be trained in one folder.
        TrainingError: `out` holds results that are no repetitions of these runs.
        DataError: a result there is damaged.
        FileWriteError: `out` cannot be written.
    """
    out = Path(out)
    folders = _folders(runs, out)
    _folders((run.teacher for run in folders.values() if run.teacher), out)
    kinds = {(run.network, run.recipe.name): _kind(run) for run in folders.values()}
    for path in result_paths(out):
        _check(path, path.stem, kinds)
    for folder, run in folders.items():
        if not _result_path(folder).exists() and finished(run, folder):
            _publish(folder)  # cut off between the two
    return {folder: run for folder, run in folders.items() if not _result_path(folder).exists()}


def _folders(runs: Iterable[Run], out: Path) -> dict[Path, Run]:
    """Each run under the folder where it is trained."""
    folders: dict[Path, Run] = {}
    for run in runs:
        if folders.setdefault(_place(out, run), run) != run:
            raise InputError(
                f"expected one run for each network, recipe and seed, got two for "
                f"{_place(out, run).name}; give those with other settings a folder of their own."
            )
    return folders


def carry_out(
    folders: Mapping[Path, Run], engine: Engine
) -> Iterator[tuple[Path, Result | TrainingError]]:
    """Train what `remaining` gave; give each folder with its run's result, or what went wrong.

    A result is written in one step, when its run's weights and metrics are there; it is never
    written again. A run that fails leaves none and stops no other. Teachers come first: each is
    trained once for all runs that have it, in a folder beside theirs, `teacher-RECIPE-SEED`.

    Raises:
        FileWriteError: a run's folder, or its result, cannot be written, or another study is at
            work in the same folder.
    """
    if not folders:
        return
    out = next(iter(folders)).parent
    with locked(make_folder(out), wait=False):
        failed = _train_teachers(folders, engine)
        yield from failed.items()
        left = {folder: run for folder, run in folders.items() if folder not in failed}
        for folder, error in engine(left):
            yield folder, error or _publish(folder)


def _train_teachers(folders: Mapping[Path, Run], engine: Engine) -> dict[Path, TrainingError]:
    """Put each run's teacher into its folder; give the runs whose teacher failed, and why."""
    failed, missing, untrained = {}, {}, {}
    for folder, run in folders.items():
        if run.teacher is None:
            continue
        place = _place(folder.parent, run.teacher)
        try:
            if finished(run.teacher, teacher_folder(run.teacher, folder)):
                continue
            if not finished(run.teacher, place):
                untrained[place] = run.teacher
            missing[folder] = run.teacher, place
        except TrainingError as error:
            failed[folder] = error
    errors = dict(engine(untrained)) if untrained else {}
    for folder, (teacher, place) in missing.items():
        broken = errors.get(place) or _hand_over(place, teacher_folder(teacher, folder))
        if broken:
            failed[folder] = broken
    return failed


def _hand_over(made: Path, folder: Path) -> TrainingError | None:
    """Copy a finished run to another folder, or give what is wrong with it."""
    try:
        write_run(folder, read_run(made))
    except FileReadError as error:
        return TrainingError(str(error))
    return None


def _place(out: Path, run: Run) -> Path:
    return out / f"{run.network}-{run.recipe.name}-{run.seed}"


def _publish(folder: Path) -> Result:
    metrics = read_bytes(folder / METRICS, limit=MAX_METRICS_BYTES)
    return read_result(write_bytes(_result_path(folder), metrics))


def _result_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _kind(run: Run) -> tuple[object, ...]:
    """What all runs of a network and recipe share, told from the `Run`."""
    return run.recipe, run.split, run.total


def _check(path: Path, name: str, kinds: Mapping[tuple[str, str], tuple[object, ...]]) -> None:
    result = read_result(path)
    if "-".join(map(str, result.key)) != name:
        raise TrainingError(f"{path} is the result of another run: {result.key}; take it away.")
    found = result.recipe, result.split, result.total
    if found != kinds.get((result.network, result.recipe.name), found):
        raise TrainingError(
            f"{path} is of a run with other epochs, settings or images to judge by than this "
            f"study's {result.network} under {result.recipe.name}; choose another folder."
        )
