"""Training, from top to bottom: a run in its folder, an epoch, a step."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.errors import InputError, TrainingError
from mnistzoo.evaluation import evaluate
from mnistzoo.images.transforms import normalize
from mnistzoo.models import from_pretrained
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training import optim
from mnistzoo.training.augmentation import affine_maps, warp
from mnistzoo.training.distributed import all_sum, barrier, rank, world_size
from mnistzoo.training.folder import (
    METRICS,
    finished_result,
    remove_stored_epochs,
    teacher_folder,
)
from mnistzoo.training.inputs import Inputs, add_synthetic_images, mnist_inputs
from mnistzoo.training.metrics import Epoch, Result, TeacherResult, read_result
from mnistzoo.training.run import Run
from mnistzoo.training.saving import (
    load_checkpoint,
    save_checkpoint,
    save_result,
    training_lock,
)
from mnistzoo.training.state import TrainingState
from mnistzoo.training.stored_epochs import StoredEpoch, load_epoch

OnBatch = Callable[[Run, int], object]
OnEpoch = Callable[[Run, Epoch], object]


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Use float32 as torch's default dtype, in which weights and augmentation are drawn."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@float32_by_default()
def train_run(
    run: Run,
    folder: str | os.PathLike[str],
    inputs: Inputs | None = None,
    *,
    on_batch: OnBatch = lambda run, count: None,
    on_epoch: OnEpoch = lambda run, epoch: None,
) -> Result:
    """Train a run in a folder, resuming from its checkpoint, and return the result.

    A finished run leaves the model, which `from_pretrained` loads, and `metrics.json`. If the run
    has already finished there, its result is returned. A teacher is trained first, in a folder
    inside `folder`, unless it is there already.

    After each epoch the model is evaluated; nothing in the run depends on the outcome. If several
    processes train together, only rank 0 writes files.

    Args:
        run: What to train.
        folder: Created if it is missing.
        inputs: The images of `run.dataset`, and the weights with the digest `run.initial`.
            Default: MNIST, and shipped weights.
        on_batch: Called after each step with the run, or its teacher's, and the number of images.
        on_epoch: Called with the same run and the metrics of each epoch, including past ones.

    Raises:
        TrainingError: The loss is no longer finite, another process is training in `folder`,
            or `folder` or the teacher's holds another run or damaged files.
        FileWriteError: The folder cannot be written.
        FileReadError, WeightsError: The teacher's folder is damaged.
    """
    folder = Path(folder)
    if result := finished_result(run, folder):
        for epoch in result.epochs:
            on_epoch(run, epoch)
        return result
    with training_lock(folder):
        if not finished_result(run, folder):
            _train(run, folder, inputs or mnist_inputs(run.holdout), on_batch, on_epoch)
    barrier()  # only rank 0 wrote the files
    return read_result(folder / METRICS)


def _train(run: Run, folder: Path, inputs: Inputs, on_batch: OnBatch, on_epoch: OnEpoch) -> None:
    inputs = add_synthetic_images(inputs, run.recipe.synthetic_images, run.seed)
    teacher, teacher_result = _teacher(run, folder, inputs, on_batch, on_epoch)
    state = TrainingState(run, inputs.training, teacher, inputs.initial)
    epochs, seconds = load_checkpoint(folder, state)
    if not epochs and rank() == 0:
        remove_stored_epochs(folder)  # another run's
    for epoch in epochs:
        on_epoch(run, epoch)
    save_checkpoint(folder, state, epochs, seconds)  # fails now rather than after an epoch
    while state.epoch < run.recipe.epochs:
        start = time.perf_counter()
        stored = load_epoch(folder, state) if run.recipe.stored_epochs else None
        loss, accuracy = train_epoch(state, partial(on_batch, run), stored)
        seconds += time.perf_counter() - start
        try:
            evaluated = evaluate(state.evaluated, inputs.evaluation).accuracy
        except InputError as error:  # no loss shows that the last step diverged
            raise TrainingError(
                f"{run.architecture} returns values that are not numbers after epoch "
                f"{state.epoch}. Lower the recipe's learning rate."
            ) from error
        epochs.append(Epoch(state.epoch, loss, accuracy, evaluated))
        save_checkpoint(folder, state, epochs, seconds)
        on_epoch(run, epochs[-1])
    if rank() == 0:
        evaluation = evaluate(state.evaluated, inputs.evaluation)
        save_result(folder, state, evaluation, teacher_result, seconds, epochs)


def _teacher(
    run: Run, folder: Path, inputs: Inputs, on_batch: OnBatch, on_epoch: OnEpoch
) -> tuple[ConvNet | None, TeacherResult | None]:
    """Return the teacher of a run and its result, if it has one."""
    if run.teacher is None:
        return None, None
    folder = teacher_folder(run.teacher, folder)
    made = train_run(run.teacher, folder, inputs, on_batch=on_batch, on_epoch=on_epoch)
    return from_pretrained(folder), TeacherResult(made.correct, made.nll, made.seconds, made.sha256)


def train_epoch(
    state: TrainingState,
    on_batch: Callable[[int], object] = lambda _: None,
    stored: StoredEpoch | None = None,
) -> tuple[float, float]:
    """Train for one epoch and return the mean loss and accuracy on the augmented images.

    Args:
        state: The state, which is advanced.
        on_batch: Called after each step with the number of images in the batch.
        stored: The augmented images of this epoch. Default: each step augments its own.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    run, recipe = state.run, state.recipe
    state.start_epoch()
    generator = state.epoch_generator(state.epoch)
    order = torch.randperm(len(state.labels), generator=generator)[: state.num_images]
    mine = slice(rank(), None, world_size())
    loss_sum, correct = 0.0, 0.0
    for step, batch in enumerate(torch.split(order, recipe.batch_size)):
        maps = affine_maps(len(batch), INPUT_SHAPE[-1], state.recipe.augmentation, generator)
        state.freeze_convs(state.epoch * state.steps + step)
        loss, right = train_step(state, batch[mine], maps[mine], len(batch), stored)
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss of {run.architecture} is {loss} in epoch {state.epoch + 1}, step "
                f"{step + 1} of {state.steps}. Lower the recipe's learning rate."
            )
        loss_sum += loss * len(batch[mine])
        correct += right
        on_batch(len(batch))
    state.epoch += 1
    if not recipe.one_cycle:
        state.scheduler.step()
    loss_sum, correct = all_sum(loss_sum, correct)
    return loss_sum / len(order), correct / len(order)


def train_step(
    state: TrainingState,
    indices: Tensor,
    maps: Tensor,
    batch: int,
    stored: StoredEpoch | None = None,
) -> tuple[float, int]:
    """Train on some images and return their mean loss and the number classified correctly.

    Args:
        state: The state, which is advanced.
        indices: This process's share of the batch, shape `(N,)`.
        maps: An affine map for each of these images, shape `(N, 2, 3)`; unused with `stored`.
        batch: The number of images in the whole batch.
        stored: The augmented images of the epoch, and the teachers' logits.
    """
    recipe, device = state.recipe, state.device

    # data
    indices = indices.to(device)
    distilled = indices < state.num_distilled
    whole, teacher_logits = _augmented(state, indices, distilled, maps, stored)
    images = whole[..., : state.side, : state.side]
    images = images.contiguous(memory_format=torch.channels_last)
    labels = state.labels[indices]

    # forward
    with state.autocast():
        logits = state.forward(images)
    loss = optim.loss(recipe, logits.float(), labels, teacher_logits, distilled)

    # backward; the processes' gradients are averaged, so a larger share needs a larger weight
    state.optimizer.zero_grad()
    weight = len(indices) * world_size() / batch
    (loss * weight).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    state.optimizer.step()

    # schedule and EMA
    if recipe.one_cycle:
        state.scheduler.step()
    if state.ema is not None:
        state.ema.update()
    return loss.item(), int((logits.argmax(1) == labels).sum())


def _augmented(
    state: TrainingState,
    indices: Tensor,
    distilled: Tensor,
    maps: Tensor,
    stored: StoredEpoch | None,
) -> tuple[Tensor, Tensor | None]:
    """Return the augmented images of a step, and the teachers' logits."""
    if stored is not None:
        return normalize(stored.images[indices]), stored.teacher_logits[indices]
    images = warp(normalize(state.images[indices]), maps.to(state.device))
    if state.teacher is None:
        return images, None
    return images, state.teacher_logits(images, distilled)
