"""Epochs of augmented images with the teacher's logits, stored on disk and repeated.

The teacher's forward pass costs nearly as much as the student's step. Long runs save it by
repeating their first epochs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mnistzoo.architectures import INPUT_SHAPE, MEAN, STD
from mnistzoo.errors import FileReadError
from mnistzoo.files import read_bytes, write_bytes
from mnistzoo.images.transforms import normalize
from mnistzoo.training.augmentation import affine_maps, warp
from mnistzoo.training.distributed import rank
from mnistzoo.training.folder import EPOCHS, damaged
from mnistzoo.training.state import TrainingState

TEACHER_BATCH_SIZE = 250

MAX_BYTES = 2**32
"""Larger files are not read."""


class StoredEpoch(NamedTuple):
    """One pass over the training images, in the order of the dataset.

    Attributes:
        images: Augmented, uint8, shape `(N, 28, 28)`.
        teacher_logits: The teachers' logits for these images, float32, shape `(N, classes)`.
    """

    images: Tensor
    teacher_logits: Tensor


def load_epoch(folder: Path, state: TrainingState) -> StoredEpoch:
    """Return the stored epoch for a run's current epoch. Make and store it if it is missing.

    Args:
        folder: The run's folder. Under `torchrun`, rank 0 writes into it.
        state: The run's state. Its recipe has at least one stored epoch.

    Raises:
        TrainingError: The stored file is damaged.
        FileWriteError: The folder cannot be written.
    """
    number = state.epoch % state.recipe.stored_epochs
    path = folder / EPOCHS / f"{number}.safetensors"
    try:
        data = read_bytes(path, limit=MAX_BYTES)
    except FileReadError:
        made = _make_epoch(state, number)
        if rank() == 0:
            write_bytes(path, save(made._asdict()))
        return made
    try:
        epoch = StoredEpoch(**load(data))
    except (SafetensorError, TypeError) as error:
        raise damaged(folder, f"{EPOCHS}/{path.name}") from error
    images, logits = epoch
    fits = images.shape == state.images.shape and images.dtype == torch.uint8
    if not fits or logits.ndim != 2 or len(logits) != len(images):
        raise damaged(folder, f"{EPOCHS}/{path.name}")
    return StoredEpoch(*(tensor.to(state.device) for tensor in epoch))


@torch.no_grad()
def _make_epoch(state: TrainingState, number: int) -> StoredEpoch:
    """Augment all training images, round them to 8 bits, and run the teachers on the result."""
    generator = state.epoch_generator(number)
    images: list[Tensor] = []
    logits: list[Tensor] = []
    distilled = torch.arange(len(state.images), device=state.device) < state.num_distilled
    blocks = (torch.split(part, TEACHER_BATCH_SIZE) for part in (state.images, distilled))
    for block, block_distilled in zip(*blocks, strict=True):
        maps = affine_maps(len(block), INPUT_SHAPE[-1], state.recipe.augmentation, generator)
        warped = warp(normalize(block), maps.to(state.device)).squeeze(1)
        rounded = warped.mul_(STD).add_(MEAN).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        images.append(rounded)
        logits.append(state.teacher_logits(normalize(rounded), block_distilled))
    return StoredEpoch(torch.cat(images), torch.cat(logits))
