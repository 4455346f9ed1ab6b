"""Write a run's folder: a lock, checkpoints, then the model and metrics."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from mnistzoo._version import __version__
from mnistzoo.errors import FileReadError, FileWriteError, TrainingError
from mnistzoo.evaluation import Evaluation
from mnistzoo.files import locked, make_folder, read_bytes, sha256, write_bytes
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import to_arrays
from mnistzoo.records import to_json
from mnistzoo.storage.manifest import find_shipped_file
from mnistzoo.storage.model_folder import LIMITS, WEIGHTS
from mnistzoo.training.distributed import rank, world_size
from mnistzoo.training.folder import (
    CHECKPOINT,
    LOCK,
    METRICS,
    check_same,
    damaged,
    remove_checkpoint,
)
from mnistzoo.training.metrics import ClassResult, Epoch, Result, TeacherResult
from mnistzoo.training.run import Run
from mnistzoo.training.state import TrainingState

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


def save_checkpoint(
    folder: Path, state: TrainingState, epochs: list[Epoch], seconds: float
) -> None:
    """Write what `load_checkpoint` needs. Under `torchrun`, only rank 0 does.

    Raises:
        FileWriteError: The folder cannot be written.
    """
    if rank() > 0:
        return
    progress = {"run": state.run, "epochs": epochs, "seconds": seconds}
    buffer = io.BytesIO()
    torch.save({**msgspec.to_builtins(progress), "state": state.state_dict()}, buffer)
    write_bytes(folder / CHECKPOINT, buffer.getvalue())


def load_checkpoint(folder: Path, state: TrainingState) -> tuple[list[Epoch], float]:
    """Restore a state from the folder's checkpoint; return the epochs and seconds so far.

    Without a checkpoint the state is left as it is.

    Raises:
        TrainingError: The checkpoint is another run's, or damaged.
    """
    try:
        data = read_bytes(folder / CHECKPOINT, limit=MAX_CHECKPOINT_BYTES)
    except FileReadError:
        return [], 0.0
    try:
        checkpoint = torch.load(io.BytesIO(data), weights_only=True)
        check_same(folder, state.run, msgspec.convert(checkpoint["run"], Run))
        state.load_state_dict(checkpoint["state"])
        return msgspec.convert(checkpoint["epochs"], list[Epoch]), checkpoint["seconds"]
    except TrainingError:
        raise
    except Exception as error:  # torch may raise anything for a file that is not its own
        raise damaged(folder, CHECKPOINT) from error


def save_result(
    folder: Path,
    state: TrainingState,
    evaluation: Evaluation,
    teacher: TeacherResult | None,
    seconds: float,
    epochs: list[Epoch],
) -> None:
    """Write the trained model and the metrics of a run, and remove its checkpoint.

    Raises:
        FileWriteError: The folder cannot be written.
    """
    run = state.run
    _save_model(folder, run, state.result, evaluation.accuracy)
    result = Result(
        architecture=run.architecture,
        recipe=run.recipe,
        seed=run.seed,
        holdout=run.holdout,
        dataset=run.dataset,
        initial=run.initial,
        freeze=run.freeze,
        keep_classifier=run.keep_classifier,
        split=run.split,
        correct=evaluation.correct,
        total=evaluation.total,
        nll=evaluation.nll,
        per_class=tuple(ClassResult(**asdict(row)) for row in evaluation.per_class),
        dtype=str(state.dtype).removeprefix("torch."),
        processes=world_size(),
        threads=torch.get_num_threads(),
        versions=versions(),
        teacher=teacher,
        seconds=seconds,
        epochs=tuple(epochs),
        sha256=sha256(read_bytes(folder / WEIGHTS, limit=LIMITS[WEIGHTS])),
    )
    write_bytes(folder / METRICS, to_json(result))
    remove_checkpoint(folder)


def _save_model(folder: Path, run: Run, model: ConvNet, accuracy: float) -> None:
    """Write the trained model, with a card that states its accuracy on MNIST's test images."""
    shipped = find_shipped_file(run.architecture, to_arrays(model.state_dict())) is not None
    # a shipped model's card knows its accuracy, and the accuracy of a C header is not the model's
    known = shipped or run.recipe.bits is not None
    stated = run.split == "test" and run.dataset is None and not known
    provenance = {
        "network": run.architecture,  # part of the file, and so of the digests of all past runs
        "recipe": run.recipe.name,
        "seed": run.seed,
        "versions": versions(),
    }
    if run.dataset is not None:
        provenance["dataset"] = run.dataset.digest
    if run.initial is not None:
        provenance["initial"] = run.initial
    model.save_pretrained(folder, accuracy=accuracy if stated else None, provenance=provenance)


def versions() -> dict[str, str]:
    """Return the versions of the packages that the weights depend on."""
    return {"mnistzoo": __version__, "torch": version("torch")}
