"""Training a run in a folder, with a checkpoint after each epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from mnistzoo._version import __version__
from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.data.world import world
from mnistzoo.evaluation import evaluate
from mnistzoo.files import read_bytes, sha256
from mnistzoo.models import from_pretrained
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import to_arrays
from mnistzoo.storage.manifest import find_shipped_file
from mnistzoo.storage.model_folder import LIMITS, WEIGHTS
from mnistzoo.training.distributed import barrier, rank, world_size
from mnistzoo.training.metrics import Epoch, Result, TeacherResult, read_result
from mnistzoo.training.run import Run
from mnistzoo.training.run_folder import (
    METRICS,
    finished_result,
    load_checkpoint,
    save_checkpoint,
    teacher_folder,
    training_lock,
    write_result,
)
from mnistzoo.training.steps import train_epoch
from mnistzoo.training.trainer import Trainer

OnBatch = Callable[[Run, int], object]
OnEpoch = Callable[[Run, Epoch], object]


def train(
    run: Run,
    folder: str | os.PathLike[str],
    *,
    on_batch: OnBatch = lambda run, count: None,
    on_epoch: OnEpoch = lambda run, epoch: None,
) -> Result:
    """Train a run in a folder, resuming from its checkpoint, and return the result.

    A finished run leaves the model, which `from_pretrained` loads, and `metrics.json`. If the run
    has already finished there, its result is returned. A teacher is trained first, in a folder
    inside `folder`, unless it is there already.

    After each epoch the model is evaluated on the test images or the held-out ones; nothing in the
    run depends on the outcome. If several processes train together, only rank 0 writes files.

    Args:
        run: What to train.
        folder: Created if it is missing.
        on_batch: Called after each step with the run, or its teacher's, and the number of images.
        on_epoch: Called with the same run and the metrics of each epoch, including those of the
            checkpoint or the finished run.

    Raises:
        TrainingError: The loss is no longer finite, another process is training in `folder`,
            or `folder` or the teacher's holds another run or damaged files.
        FileWriteError: The folder cannot be written.
        FileReadError, WeightsError: The teacher's folder is damaged.
        DataError: The recipe makes images, and a font for them is not installed.
    """
    folder = Path(folder)
    if result := finished_result(run, folder):
        for epoch in result.epochs:
            on_epoch(run, epoch)
        return result
    with training_lock(folder):
        if not finished_result(run, folder):
            _train(run, folder, on_batch, on_epoch)
    barrier()  # only rank 0 wrote the files
    return read_result(folder / METRICS)


def _train(run: Run, folder: Path, on_batch: OnBatch, on_epoch: OnEpoch) -> None:
    training, held_out = load_split(run.holdout)
    if run.recipe.made_images:
        training = world(training, run.recipe.made_images, seed=run.seed)
    teacher, teacher_result = _teacher(run, folder, on_batch, on_epoch)
    trainer = Trainer(run, training, teacher)
    epochs, seconds = load_checkpoint(folder, trainer)
    for epoch in epochs:
        on_epoch(run, epoch)
    save_checkpoint(folder, trainer, epochs, seconds)  # fails now rather than after an epoch
    while trainer.epoch < run.recipe.epochs:
        start = time.perf_counter()
        loss, accuracy = train_epoch(trainer, partial(on_batch, run))
        seconds += time.perf_counter() - start
        held_out_accuracy = evaluate(trainer.result, held_out).accuracy
        epochs.append(Epoch(trainer.epoch, loss, accuracy, held_out_accuracy))
        save_checkpoint(folder, trainer, epochs, seconds)
        on_epoch(run, epochs[-1])
    if rank() == 0:
        result = _save_model(folder, trainer, held_out, teacher_result, seconds, epochs)
        write_result(folder, result)


def _teacher(
    run: Run, folder: Path, on_batch: OnBatch, on_epoch: OnEpoch
) -> tuple[ConvNet | None, TeacherResult | None]:
    """Return the teacher of a run and its result, if it has one."""
    if run.teacher is None:
        return None, None
    folder = teacher_folder(run.teacher, folder)
    made = train(run.teacher, folder, on_batch=on_batch, on_epoch=on_epoch)
    return from_pretrained(folder), TeacherResult(made.correct, made.nll, made.seconds, made.sha256)


def _save_model(
    folder: Path,
    trainer: Trainer,
    held_out: Digits,
    teacher: TeacherResult | None,
    seconds: float,
    epochs: list[Epoch],
) -> Result:
    """Write the trained model into the folder, and return the result of the run."""
    run, model, evaluation = trainer.run, trainer.result, evaluate(trainer.result, held_out)
    shipped = find_shipped_file(run.architecture, to_arrays(model.state_dict())) is not None
    stated = run.split == "test" and not shipped  # a shipped model's card knows its accuracy
    provenance = {
        "network": run.architecture,  # part of the file, and so of the digests of all past runs
        "recipe": run.recipe.name,
        "seed": run.seed,
        "versions": versions(),
    }
    accuracy = evaluation.accuracy if stated else None
    model.save_pretrained(folder, accuracy=accuracy, provenance=provenance)
    return Result(
        architecture=run.architecture,
        recipe=run.recipe,
        seed=run.seed,
        holdout=run.holdout,
        split=run.split,
        correct=evaluation.correct,
        total=evaluation.total,
        nll=evaluation.nll,
        dtype=str(trainer.dtype).removeprefix("torch."),
        processes=world_size(),
        threads=torch.get_num_threads(),
        versions=versions(),
        teacher=teacher,
        seconds=seconds,
        epochs=tuple(epochs),
        sha256=sha256(read_bytes(folder / WEIGHTS, limit=LIMITS[WEIGHTS])),
    )


def load_split(holdout: int) -> tuple[Digits, Digits]:
    """Return the images to train on, and those to evaluate on.

    The latter are the last `holdout` training images, or the test images if it is 0.
    """
    digits = mnist(train=True)
    if holdout == 0:
        return digits, mnist(train=False)
    return (
        Digits(digits.images[:-holdout], digits.labels[:-holdout]),
        Digits(digits.images[-holdout:], digits.labels[-holdout:]),
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that the weights depend on."""
    return {"mnistzoo": __version__, "torch": version("torch")}
