"""The transform from any image to a model's input: the only part of `images` that needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mnistzoo.architectures import INPUT_SHAPE, MEAN, STD
from mnistzoo.errors import InputError
from mnistzoo.images.preprocessing import to_mnist

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike


@dataclass(frozen=True)
class ImageTransform:
    """A callable from an image to a model's input; see `transforms()`."""

    def __call__(self, image: ImageLike) -> Tensor:
        """Return the image as a normalized float32 tensor of shape `(1, 28, 28)`.

        Raises:
            ImageError: It cannot be decoded, is too large, or shows no digit.
            FileReadError: A path cannot be read.
            InputError: An object, shape, dtype or range is not that of an image.
        """
        return normalize(torch.from_numpy(to_mnist(image))[None])[0]


def transforms() -> ImageTransform:
    """Return a callable from an image of any kind to a model's input, for use in datasets.

    It takes a path, the bytes of a file, a PIL image of any mode, a NumPy array of shape `(H, W)`
    or `(H, W, C)`, or a tensor of shape `(H, W)` or `(C, H, W)`, with 1, 3 or 4 channels. Pixels
    are bool, or numbers from 0 to 1, 255 or 65,535: the smallest of these that no pixel exceeds.
    The digit may be darker or lighter than its background.

    The image is converted to MNIST format (28×28, white on black, centered) and normalized. MNIST's
    own images, and others in that format, are only normalized. The result is float32, shape
    `(1, 28, 28)`.

    >>> import mnistzoo
    >>> image = mnistzoo.mnist(train=False).images[0]
    >>> mnistzoo.transforms()(image).shape
    torch.Size([1, 28, 28])
    """
    return ImageTransform()


def normalize(images: Tensor) -> Tensor:
    """Convert a batch of MNIST images to a model's input.

    Args:
        images: uint8, shape `(N, 28, 28)`, as `mnistzoo.mnist` returns them.

    Returns:
        float32, shape `(N, 1, 28, 28)`: scaled to 0 to 1, minus the mean of the training pixels,
        divided by their standard deviation.

    Raises:
        InputError: The images have another dtype or shape.

    >>> import mnistzoo
    >>> images = mnistzoo.mnist(train=False).images[:2]
    >>> mnistzoo.normalize(images).shape
    torch.Size([2, 1, 28, 28])
    """
    tensor = isinstance(images, Tensor)
    if not tensor or images.dtype != torch.uint8 or images.shape[1:] != INPUT_SHAPE[1:]:
        got = f"{images.dtype} of shape {tuple(images.shape)}" if tensor else type(images).__name__
        raise InputError(
            f"Expected a uint8 tensor of shape (N, 28, 28), got {got}. "
            "Use mnistzoo.transforms() for other images."
        )
    return images.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD)
