"""An image of any kind in MNIST format: the transform that models take their inputs from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzoo.data.mnist import normalize
from mnistzoo.errors import InputError
from mnistzoo.images.grayscale import GrayLevels
from mnistzoo.images.loading import load_grayscale

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike


@dataclass(frozen=True)
class ImageTransform:
    """A callable from a picture to what a network takes; made by `transforms()`."""

    def __call__(self, picture: ImageLike) -> Tensor:
        """The picture as a normalised float32 tensor of shape `(1, 28, 28)`.

        Raises:
            ImageError: it is no picture, is damaged or too large, or has no ink.
            FileReadError: a path that cannot be read.
            InputError: an object, shape, dtype or range that is not a picture's.
        """
        return normalize(to_mnist(picture).unsqueeze(0)).squeeze(0)


def transforms() -> ImageTransform:
    """A callable from a picture of any kind to a normalised tensor, as `torchvision` uses them.

    It takes a path, the bytes of a file, a PIL image of any mode, a NumPy array (`(H, W)` or
    `(H, W, C)`) or a tensor (`(H, W)` or `(C, H, W)`) with 1, 3 or 4 channels. Pixels are bool,
    or from 0 to 1, 255 or 65,535, the least of these that holds them all. Ink may be darker or
    lighter than its paper.

    The picture is brought into MNIST's style (see `to_mnist`); what is in it already, as are
    all 70,000 images of MNIST, is only normalised. The result is float32, of shape `(1, 28, 28)`.
    """
    return ImageTransform()


def to_mnist(picture: ImageLike) -> Tensor:
    """A picture as MNIST would show it: uint8, shape `(28, 28)`, ink 255 on 0.

    The published way (LeCun et al., <http://yann.lecun.com/exdb/mnist/>): the ink's box is scaled
    to 20 pixels on its longer side, anti-aliased, and centred by mass in 28×28. Before that, the
    light is evened out, ink is told from paper, and strokes much thinner or thicker than MNIST's
    are drawn with a pen of its width. A picture in that style already is returned unchanged.

    Raises:
        ImageError, FileReadError, InputError: as `transforms()`.
    """
    from mnistzoo.images import components, grouping, rendering
    from mnistzoo.images.segmentation import segment

    _check_single(picture)
    levels = load_grayscale(picture).levels
    ready = _already_mnist(levels)
    if ready is None:
        ink = segment(levels)
        labelled, found = components.parts(ink)
        ready = rendering.draw(ink, labelled, grouping.main_digit(found))
    return torch.from_numpy(ready)


def _check_single(picture: ImageLike) -> None:
    """Refuse three or four images of MNIST in one tensor; they would pass for colours of one."""
    if not isinstance(picture, Tensor) or picture.shape[1:] != (28, 28) or len(picture) < 2:
        return
    images = [_already_mnist(load_grayscale(plane).levels) for plane in picture]
    if all(image is not None for image in images) and not torch.equal(picture[0], picture[1]):
        raise InputError(
            f"expected one picture, got {len(images)} images of MNIST in a tensor of shape "
            f"{tuple(picture.shape)}; hand several pictures over as a list: list(images)."
        )


def _already_mnist(levels: GrayLevels) -> NDArray[np.uint8] | None:
    """The pixels, if they are as MNIST's are: 28×28, ink up to white on a black ground.

    All 70,000 have a box 19 or 20 long, and their centre of mass within 0.53 of pixel 14.
    """
    if levels.shape != (28, 28):
        return None
    pixels = np.rint(levels * 255).astype(np.uint8)
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    if pixels.max() < 254 or max(np.ptp(rows), np.ptp(columns)) not in (18, 19):
        return None
    mass = pixels.astype(float)
    centres = [np.average(np.arange(28), weights=mass.sum(axis)) for axis in (1, 0)]
    return pixels if np.allclose(centres, 14, rtol=0, atol=0.53) else None
