"""A study: architectures × recipes × seeds in one folder, resumable.

An engine trains the runs: `run_locally` or `run_on_ray`. Each run is trained on one thread, so that
its weights depend neither on the engine nor on the number of runs at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from msgspec.structs import replace

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import FileReadError, InputError, TrainingError, UnknownNameError
from mnistzoo.files import locked, make_folder, read_bytes, write_bytes
from mnistzoo.training.folder import (
    METRICS,
    finished_result,
    read_run,
    teacher_folder,
    write_run,
)
from mnistzoo.training.metrics import MAX_METRICS_BYTES, Result, read_result, result_paths
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import DatasetInfo, Freeze, Run, keeps_classifier, shipped_digest
from mnistzoo.training.settings import change_settings

Engine = Callable[[Mapping[Path, Run]], Iterator[tuple[Path, TrainingError | None]]]
"""Trains each run in its folder, and yields each folder once: when its run has finished or failed.

With None, the folder is as `train` leaves it; otherwise the error says why the run failed.
"""

RETRIES = 3
"""How often an engine restarts a run whose process or machine died."""


def grid(
    architectures: Iterable[str],
    recipes: Iterable[str],
    seeds: Iterable[int],
    *,
    epochs: int | None = None,
    settings: Sequence[str] = (),
    holdout: int = 0,
    dataset: DatasetInfo | None = None,
    pretrained: bool | str = False,
    freeze: Freeze | None = None,
) -> list[Run]:
    """Return the runs of a study, without duplicates.

    Args:
        architectures: Names that `mnistzoo.list_models()` returns.
        recipes: Names of recipes.
        seeds: The seeds of each architecture and recipe.
        epochs: Number of epochs. Default: that of the recipe.
        settings: Changes to the recipes, each `FIELD=VALUE`.
        holdout: Number of held-out training images.
        dataset: The dataset. Default: MNIST.
        pretrained: Start from shipped weights: True for those trained on MNIST, or the name of
            others, such as "world".
        freeze: "features" to train only the classifier.

    Raises:
        UnknownNameError, InputError: A name is unknown, or a setting is out of range.

    >>> [run.architecture for run in grid(["exp1", "exp5"], ["record"], [0])]
    ['exp1', 'exp5']
    """
    runs = []
    for architecture, recipe, seed in product(architectures, recipes, seeds):
        if architecture not in ARCHITECTURES:
            raise UnknownNameError("model", architecture, ARCHITECTURES)
        chosen = get_recipe(recipe, architecture)
        chosen = change_settings(chosen, settings)
        chosen = replace(chosen, epochs=chosen.epochs if epochs is None else epochs)
        initial = shipped_digest(architecture, pretrained) if pretrained is not False else None
        keep = initial is not None and keeps_classifier(dataset)
        runs.append(Run(architecture, chosen, seed, holdout, dataset, initial, freeze, keep))
    return list(dict.fromkeys(runs))


def remaining(runs: Iterable[Run], folder: str | os.PathLike[str]) -> dict[Path, Run]:
    """Return the runs that have no result in `folder` yet, by the folders they are trained in.

    A run is trained in `folder/ARCHITECTURE-RECIPE-SEED`; its result is a JSON file of that name.

    Raises:
        InputError: Two of the runs, or of their teachers, would share a folder.
        TrainingError: `folder` holds results of another study.
        DataError: A result there is damaged.
        FileWriteError: `folder` cannot be written.
    """
    study = Path(folder)
    folders = _folders(runs, study)
    _folders((run.teacher for run in folders.values() if run.teacher), study)
    repeated = {(run.architecture, run.recipe.name): run.repeated for run in folders.values()}
    for path in result_paths(study):
        _check_result(path, repeated)
    for path, run in folders.items():
        if not _result_path(path).exists() and finished_result(run, path):
            _publish(path)  # interrupted between the run's metrics and the study's result
    return {path: run for path, run in folders.items() if not _result_path(path).exists()}


def train_runs(
    folders: Mapping[Path, Run], engine: Engine
) -> Iterator[tuple[Path, Result | TrainingError]]:
    """Train the runs that `remaining` returned; yield each folder with its result or its error.

    A result is written in one step, after its run's weights and metrics, and never again. A run
    that fails leaves no result, and the others continue. Teachers are trained first, each once
    for all runs that share it, in a folder `teacher-RECIPE-SEED`.

    Raises:
        FileWriteError: A folder or result cannot be written, or another study is running in the
            same folder.
    """
    if not folders:
        return
    study = next(iter(folders)).parent
    with locked(make_folder(study), wait=False):
        failed = _train_teachers(folders, engine)
        yield from failed.items()
        left = {folder: run for folder, run in folders.items() if folder not in failed}
        for folder, error in engine(left):
            yield folder, error or _publish(folder)


def _train_teachers(folders: Mapping[Path, Run], engine: Engine) -> dict[Path, TrainingError]:
    """Put a teacher into the folder of each run that needs one, and return what failed.

    Each teacher is trained once, in a folder of the study, and copied.
    """
    failed: dict[Path, TrainingError] = {}
    copies: dict[Path, Path] = {}
    untrained: dict[Path, Run] = {}
    for folder, run in folders.items():
        if run.teacher is None:
            continue
        source = _run_folder(folder.parent, run.teacher)
        target = teacher_folder(run.teacher, folder)
        try:
            if finished_result(run.teacher, target):
                continue
            if not finished_result(run.teacher, source):
                untrained[source] = run.teacher
            copies[folder] = source
        except TrainingError as error:
            failed[folder] = error
    errors = dict(engine(untrained)) if untrained else {}
    for folder, source in copies.items():
        if reason := errors.get(source) or _copy_teacher(source, folders[folder], folder):
            failed[folder] = reason
    return failed


def _copy_teacher(source: Path, run: Run, folder: Path) -> TrainingError | None:
    """Copy a finished teacher into a run's folder, or return why it cannot be read."""
    assert run.teacher is not None
    try:
        write_run(teacher_folder(run.teacher, folder), read_run(source))
    except FileReadError as error:
        return TrainingError(str(error))
    return None


def _folders(runs: Iterable[Run], study: Path) -> dict[Path, Run]:
    """Return the runs by the folders they are trained in."""
    folders: dict[Path, Run] = {}
    for run in runs:
        folder = _run_folder(study, run)
        if folders.setdefault(folder, run) != run:
            raise InputError(
                f"Expected one run for each architecture, recipe and seed, got two for "
                f"{folder.name}. Train runs with other settings in a folder of their own."
            )
    return folders


def _run_folder(study: Path, run: Run) -> Path:
    return study / f"{run.architecture}-{run.recipe.name}-{run.seed}"


def _result_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _publish(folder: Path) -> Result:
    """Copy the metrics of a finished run to the study's result."""
    metrics = read_bytes(folder / METRICS, limit=MAX_METRICS_BYTES)
    return read_result(write_bytes(_result_path(folder), metrics))


def _check_result(path: Path, repeated: Mapping[tuple[str, str], Run]) -> None:
    """Refuse a result that does not belong to the study.

    Args:
        path: The file of the result.
        repeated: `Run.repeated` of the study's runs, by architecture and recipe.
    """
    result = read_result(path)
    architecture, recipe, seed = result.key
    if path.stem != f"{architecture}-{recipe}-{seed}":
        raise TrainingError(
            f"{path} is the result of another run: {architecture}-{recipe}-{seed}. Remove it."
        )
    found = result.run.repeated
    if found != repeated.get((architecture, recipe), found):
        raise TrainingError(
            f"{path} has other settings or evaluation images than this study's runs of "
            f"{architecture} with recipe {recipe}. Choose another folder."
        )
