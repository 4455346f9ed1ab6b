"""The folder of a run: which run it holds, and the files of a finished one."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from mnistzoo.errors import DataError, FileReadError, TrainingError, WeightsError
from mnistzoo.files import read_bytes, remove, write_bytes
from mnistzoo.storage.model_folder import read_folder, unpack, write_folder
from mnistzoo.training.metrics import MAX_METRICS_BYTES, Result, parse_result
from mnistzoo.training.run import Run

METRICS = "metrics.json"
CHECKPOINT = "checkpoint.pt"
EPOCHS = "epochs"
"""The folder inside the run's folder that holds its stored epochs."""

LOCK = ".lock"
"""A folder inside the run's, locked during training, since readers lock the run's own folder."""


def teacher_folder(teacher: Run, folder: Path) -> Path:
    """Return the folder where the teacher of a run is trained."""
    return folder / teacher.architecture


def is_finished(folder: Path) -> bool:
    """Return whether a run has finished in a folder; it writes `metrics.json` last."""
    return (folder / METRICS).exists()


def finished_result(run: Run, folder: Path) -> Result | None:
    """Return the result of a run if it has finished in a folder, else None.

    Raises:
        TrainingError: Another run has finished there, or the files are damaged.
    """
    if not is_finished(folder):
        return None
    try:
        result = parse_result(read_bytes(folder / METRICS, limit=MAX_METRICS_BYTES), METRICS)
    except DataError as error:
        raise damaged(folder, METRICS) from error
    check_same(folder, run, result.run)
    try:
        config = unpack(read_folder(folder), str(folder)).config
    except (FileReadError, WeightsError) as error:
        raise damaged(folder, "The model") from error
    if (config.architecture, config.sha256) != (run.architecture, result.sha256):
        raise damaged(folder, "The model")
    return result


def read_run(folder: Path) -> dict[str, bytes]:
    """Return the files of a finished run by name.

    Raises:
        FileReadError: A file is missing, or larger than it may be.
    """
    return {**read_folder(folder), METRICS: read_bytes(folder / METRICS, limit=MAX_METRICS_BYTES)}


def write_run(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files that `read_run` returned into a folder, the metrics last.

    Raises:
        FileWriteError: The folder cannot be written.
    """
    write_folder(folder, files)
    write_bytes(folder / METRICS, files[METRICS])
    remove_checkpoint(folder)


def remove_stored_epochs(folder: Path) -> None:
    """Remove the stored epochs of a run, if there are any."""
    shutil.rmtree(folder / EPOCHS, ignore_errors=True)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a run that has finished, its stored epochs and its lock."""
    remove(folder / CHECKPOINT)
    remove_stored_epochs(folder)
    with suppress(OSError):
        (folder / LOCK).rmdir()


def damaged(folder: Path, what: str) -> TrainingError:
    """Return the error for files of a run that were changed."""
    return TrainingError(
        f"{what} in {folder} is not what the run wrote there. Delete the folder to train again, "
        "or choose another one."
    )


def check_same(folder: Path, run: Run, found: Run) -> None:
    """Refuse a folder of another run; the error lists the settings that differ."""
    if found == run:
        return
    ours, theirs = _settings(run), _settings(found)
    if run.dataset and found.dataset and run.dataset.digest != found.dataset.digest:
        raise TrainingError(
            f"{folder} holds a run on other images: its dataset has changed since, or is another. "
            "Restore the images to resume, or choose another folder."
        )
    differing = ", ".join(
        f"{name} {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]
    )
    raise TrainingError(f"{folder} holds another run, with {differing}. Choose another folder.")


def _settings(run: Run) -> dict[str, object]:
    """Return everything that determines a run, by name."""
    described = msgspec.to_builtins(run)
    recipe = described.pop("recipe")
    augmentation, dataset = recipe.pop("augmentation"), described.pop("dataset")
    digest = "MNIST" if dataset is None else _shortened(dataset["digest"])
    if described["initial"] is not None:
        described["initial"] = _shortened(described["initial"])
    return {
        **described,
        "dataset": digest,
        "style": None if dataset is None else dataset["style"],
        "recipe": recipe.pop("name"),
        **recipe,
        **augmentation,
    }


def _shortened(digest: str) -> str:
    return f"{digest[:8]}…"
