"""The folder of a run: its lock, its checkpoint, and its final files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import torch

from mnistzoo.errors import DataError, FileReadError, FileWriteError, TrainingError, WeightsError
from mnistzoo.files import locked, make_folder, read_bytes, remove, write_bytes
from mnistzoo.records import to_json
from mnistzoo.storage.model_folder import read_folder, unpack, write_folder
from mnistzoo.training.distributed import rank
from mnistzoo.training.metrics import MAX_METRICS_BYTES, Epoch, Result, parse_result
from mnistzoo.training.run import Run
from mnistzoo.training.trainer import Trainer

METRICS = "metrics.json"
CHECKPOINT = "checkpoint.pt"
LOCK = ".lock"
"""A folder inside the run's, locked during training, since readers lock the run's own folder."""

MAX_CHECKPOINT_BYTES = 2**28
"""Larger checkpoints are not read."""


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder. Under `torchrun`, rank 0 locks it.

    Raises:
        TrainingError: Another process is training there.
        FileWriteError: The folder cannot be written.
    """
    if rank() > 0:
        yield
        return
    with ExitStack() as stack:
        lock = make_folder(make_folder(folder) / LOCK)
        try:
            stack.enter_context(locked(lock, wait=False))
        except FileWriteError as error:
            raise TrainingError(
                f"Another process is training in {folder}. Wait until it ends, or choose another "
                "folder."
            ) from error
        yield


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
        raise _damaged(folder, METRICS) from error
    _check_same(folder, run, result.run)
    try:
        config = unpack(read_folder(folder), str(folder)).config
    except (FileReadError, WeightsError) as error:
        raise _damaged(folder, "The model") from error
    if (config.architecture, config.sha256) != (run.architecture, result.sha256):
        raise _damaged(folder, "The model")
    return result


def write_result(folder: Path, result: Result) -> None:
    """Write the metrics of a run whose model is in the folder, and remove its checkpoint.

    Raises:
        FileWriteError: The folder cannot be written.
    """
    write_bytes(folder / METRICS, to_json(result))
    _remove_checkpoint(folder)


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
    _remove_checkpoint(folder)


def save_checkpoint(folder: Path, trainer: Trainer, epochs: list[Epoch], seconds: float) -> None:
    """Write what `load_checkpoint` needs. Under `torchrun`, only rank 0 does.

    Raises:
        FileWriteError: The folder cannot be written.
    """
    if rank() > 0:
        return
    progress = {"run": trainer.run, "epochs": epochs, "seconds": seconds}
    buffer = io.BytesIO()
    torch.save({**msgspec.to_builtins(progress), "trainer": trainer.state_dict()}, buffer)
    write_bytes(folder / CHECKPOINT, buffer.getvalue())


def load_checkpoint(folder: Path, trainer: Trainer) -> tuple[list[Epoch], float]:
    """Restore a trainer from the folder's checkpoint; return the epochs and seconds so far.

    Without a checkpoint the trainer is left as it is.

    Raises:
        TrainingError: The checkpoint is another run's, or damaged.
    """
    try:
        data = read_bytes(folder / CHECKPOINT, limit=MAX_CHECKPOINT_BYTES)
    except FileReadError:
        return [], 0.0
    try:
        checkpoint = torch.load(io.BytesIO(data), weights_only=True)
        _check_same(folder, trainer.run, msgspec.convert(checkpoint["run"], Run))
        trainer.load_state_dict(checkpoint["trainer"])
        return msgspec.convert(checkpoint["epochs"], list[Epoch]), checkpoint["seconds"]
    except TrainingError:
        raise
    except Exception as error:  # torch may raise anything for a file that is not its own
        raise _damaged(folder, CHECKPOINT) from error


def _remove_checkpoint(folder: Path) -> None:
    remove(folder / CHECKPOINT)
    with suppress(OSError):
        (folder / LOCK).rmdir()


def _damaged(folder: Path, what: str) -> TrainingError:
    return TrainingError(
        f"{what} in {folder} is not what the run wrote there. Delete the folder to train again, "
        "or choose another one."
    )


def _check_same(folder: Path, run: Run, found: Run) -> None:
    """Refuse a folder of another run; the error lists the settings that differ."""
    if found == run:
        return
    ours, theirs = _settings(run), _settings(found)
    differing = ", ".join(
        f"{name} {theirs[name]}, not {ours[name]}" for name in ours if ours[name] != theirs[name]
    )
    raise TrainingError(f"{folder} holds another run, with {differing}. Choose another folder.")


def _settings(run: Run) -> dict[str, object]:
    """Return everything that determines a run, by name."""
    described = msgspec.to_builtins(run)
    recipe = described.pop("recipe")
    augmentation = recipe.pop("augmentation")
    return {**described, "recipe": recipe.pop("name"), **recipe, **augmentation}
