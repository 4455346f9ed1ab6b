"""One epoch of training, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.errors import TrainingError
from mnistzoo.images.transforms import normalize
from mnistzoo.training import optim
from mnistzoo.training.augmentation import affine_maps, warp
from mnistzoo.training.distributed import all_sum, rank, world_size
from mnistzoo.training.trainer import Trainer

SEED_STRIDE = 10_000
"""Distance between the seeds of two runs. Each epoch has its own generator, so none is saved."""


def train_epoch(
    trainer: Trainer, on_batch: Callable[[int], object] = lambda _: None
) -> tuple[float, float]:
    """Train for one epoch and return the mean loss and accuracy on the augmented images.

    Args:
        trainer: The state, which is advanced.
        on_batch: Called after each step with the number of images in the batch.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    run, recipe = trainer.run, trainer.recipe
    trainer.model.train()
    generator = Generator().manual_seed(run.seed * SEED_STRIDE + trainer.epoch)
    order = torch.randperm(len(trainer.digits.labels), generator=generator)[: trainer.num_images]
    mine = slice(rank(), None, world_size())
    loss_sum, correct = 0.0, 0.0
    for step, batch in enumerate(torch.split(order, recipe.batch_size)):
        maps = affine_maps(len(batch), INPUT_SHAPE[-1], trainer.recipe.augmentation, generator)
        trainer.freeze_convs(trainer.epoch * trainer.steps + step)
        loss, right = train_step(trainer, batch[mine], maps[mine], len(batch))
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss of {run.architecture} is {loss} in epoch {trainer.epoch + 1}, step "
                f"{step + 1} of {trainer.steps}. Lower the recipe's learning rate."
            )
        loss_sum += loss * len(batch[mine])
        correct += right
        on_batch(len(batch))
    trainer.epoch += 1
    if not recipe.one_cycle:
        trainer.scheduler.step()
    loss_sum, correct = all_sum(loss_sum, correct)
    return loss_sum / len(order), correct / len(order)


def train_step(trainer: Trainer, indices: Tensor, maps: Tensor, batch: int) -> tuple[float, int]:
    """Train on some images and return their mean loss and the number classified correctly.

    Args:
        trainer: The state, which is advanced.
        indices: This process's share of the batch, shape `(N,)`.
        maps: An affine map for each of these images, shape `(N, 2, 3)`.
        batch: The number of images in the whole batch.
    """
    recipe, device = trainer.recipe, trainer.device

    # data
    indices = indices.to(device)
    images = warp(normalize(trainer.digits.images[indices]), maps.to(device))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = trainer.digits.labels[indices]

    # forward
    teacher_logits = None
    with torch.autocast(device.type, trainer.dtype, enabled=trainer.dtype != torch.float32):
        logits = trainer.forward(images)
        if trainer.teacher is not None:
            with torch.no_grad():
                teacher_logits = trainer.teacher(images)
    loss = optim.loss(recipe, logits.float(), labels, teacher_logits)

    # backward; the processes' gradients are averaged, so a larger share needs a larger weight
    trainer.optimizer.zero_grad()
    weight = len(indices) * world_size() / batch
    (loss * weight).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    trainer.optimizer.step()

    # schedule and EMA
    if recipe.one_cycle:
        trainer.scheduler.step()
    if trainer.ema is not None:
        trainer.ema.update()
    return loss.item(), int((logits.argmax(1) == labels).sum())
