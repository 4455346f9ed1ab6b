"""Labeled images as tensors, arrays or lists: checked, and brought to one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mnistzoo.architectures import INPUT_SHAPE, MEAN, STD
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import InputError
from mnistzoo.images.grayscale import WHITES

Dataset = tuple[ArrayLike, ArrayLike]
"""A pair (images, labels) of tensors, arrays or lists."""

NORMALIZED = (-MEAN / STD, (1 - MEAN) / STD)
"""Black and white, normalized."""

ROUNDING = 0.02
"""How far half-precision pixels may lie outside `NORMALIZED`."""


def labeled_images(dataset: Dataset | list[Any] | tuple[Any, ...]) -> Digits:
    """Return a dataset's images and labels as tensors, checked.

    Args:
        dataset: A pair (images, labels). Images have the shape `(N, 28, 28)` or
            `(N, 1, 28, 28)` and show light digits on a dark background. Their pixels lie between 0
            and 1, 255 or 65,535 (the smallest range that holds all of them), or are normalized as
            by `mnistzoo.transforms()`. Labels are N whole numbers from 0.

    Returns:
        Images as uint8 of shape `(N, 28, 28)` or as normalized float32 of shape
        `(N, 1, 28, 28)`, and labels as int64.

    Raises:
        InputError: The dataset is anything else.
    """
    if not isinstance(dataset, tuple | list) or len(dataset) != 2:
        raise InputError(
            f"Expected a pair (images, labels), got {_described(dataset)}. "
            "Use mnistzoo.mnist(train=False), or a tuple of two tensors or arrays."
        )
    images, labels = _images(dataset[0]), to_labels(dataset[1])
    if len(images) != len(labels):
        raise InputError(
            f"Expected a label for each image, got {len(images):,} images and "
            f"{len(labels):,} labels. Drop the surplus ones."
        )
    _check_background(images)
    return Digits(images, labels)


def _images(values: ArrayLike) -> Tensor:
    images = to_tensor(values, "images")
    height, width = INPUT_SHAPE[1:]
    if images.ndim == 4 and images.shape[1] == 1:
        images = images.squeeze(1)
    if images.shape[1:] != (height, width) or not len(images):
        raise InputError(
            f"Expected one or more images of shape (N, {height}, {width}) or "
            f"(N, 1, {height}, {width}), got {tuple(images.shape)}. "
            "Convert each image with mnistzoo.transforms()."
        )
    if images.dtype == torch.uint8 and images.max() > 1:
        return images
    return _normalized(images).unsqueeze(1)


def _normalized(images: Tensor) -> Tensor:
    """Return pixels of any range as normalized float32."""
    pixels = images.float()
    low, high = (float(bound) for bound in pixels.aminmax())
    white = next((value for value in WHITES if high <= value), None)
    if low >= 0 and white is not None and (white == 1 or high > white / 2):
        return (pixels / white - MEAN) / STD
    black, white = NORMALIZED
    if abs(low - black) <= ROUNDING and high <= white + ROUNDING:
        return pixels
    raise InputError(
        f"Expected pixels between 0 and 1, 255 or 65,535, or normalized ones between {black:.2f} "
        f"and {white:.2f}, got pixels between {low:g} and {high:g}. "
        "Convert each image with mnistzoo.transforms()."
    )


def _check_background(images: Tensor) -> None:
    """Refuse a dataset if most of its images have a light border."""
    sides = images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]
    border = torch.cat([side.flatten(1) for side in sides], dim=1)
    gray = 127.5 if images.dtype == torch.uint8 else sum(NORMALIZED) / 2
    light = border.float().median(dim=1).values > gray
    if 2 * int(light.sum()) > len(images):
        raise InputError(
            f"Expected light digits on a dark background, got {int(light.sum()):,} of "
            f"{len(images):,} images with a light one. Invert them, such as 255 - images."
        )


def to_labels(values: ArrayLike) -> Tensor:
    """Return labels as int64 of shape `(N,)`, checked."""
    labels = to_tensor(values, "labels").cpu()
    if labels.ndim != 1:
        raise InputError(
            f"Expected labels of shape (N,), got {tuple(labels.shape)}. "
            "Give each image the number of its class; for one-hot labels that is labels.argmax(1)."
        )
    numbers = labels.long()
    wrong = numbers < 0
    if labels.is_floating_point():
        wrong |= numbers.to(labels.dtype) != labels
    if wrong.any():
        first = labels[int(wrong.nonzero()[0])].item()
        raise InputError(
            f"Expected labels that are whole numbers from 0, got {first}. "
            "Number the classes from 0."
        )
    return numbers


def to_tensor(values: Any, name: str) -> Tensor:
    """Return the numbers of a tensor, an array or a list as a tensor."""
    try:
        if isinstance(values, Tensor):
            made = values.detach()
        elif isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
            made = torch.stack(list(values)).detach()
        else:
            array = np.array(values, order="C")
            made = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected {name} as numbers in a tensor, an array or a list of equal shapes, got "
            f"{_described(values)}. Convert them to numbers."
        ) from error
    if made.is_meta or made.layout != torch.strided:
        raise InputError(
            f"Expected {name} with a value for each element, got "
            f"{'the meta device' if made.is_meta else made.layout}. Convert them."
        )
    if made.is_complex():
        raise InputError(f"Expected {name} that are real numbers, got {made.dtype}. Convert them.")
    return made


def _described(value: object) -> str:
    if isinstance(value, tuple | list) and len(value) != 2:
        return f"a {type(value).__name__} of length {len(value)}"
    return f"a {type(value).__name__}"
