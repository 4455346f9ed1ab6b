"""Convert any image to MNIST format: the one digit in it, or each of several."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import INPUT_SHAPE, Style
from mnistzoo.errors import ImageError, InputError
from mnistzoo.images.grayscale import GrayLevels
from mnistzoo.images.loading import is_tensor, load_grayscale

if TYPE_CHECKING:
    from mnistzoo.images.components import Box, Component
    from mnistzoo.images.grouping import Group
    from mnistzoo.images.loading import ImageLike
    from mnistzoo.images.segmentation import Foreground
    from mnistzoo.images.splitting import Part, Score

COARSE_SIDE = 128
"""For speed, the one digit of an image is first searched for in a version shrunk by a whole number,
whose longer side has at least this many pixels."""

MIN_DIGIT_LENGTH = 40
"""A digit found at this length or longer, in pixels, is rendered from the smaller image: two of its
pixels become one of MNIST's. If lines have to be removed, the full image is used: in the smaller
one they merge with the strokes that they cross."""

Conversion: TypeAlias = Callable[[Any], NDArray[np.uint8]]
"""A function from an image of any kind to uint8 of shape `(28, 28)`."""

_MAX_OFF_CENTER = 0.53
"""Greatest distance of an MNIST image's center of mass from pixel 14, along each axis, in pixels.
Measured on all 70,000 images."""


@dataclass(frozen=True)
class DigitImage:
    """One digit of an image.

    Attributes:
        pixels: uint8, shape `(28, 28)`, in MNIST format.
        box: Where its foreground is: left, top, right and bottom in pixels of the upright image;
            right and bottom are exclusive.
        touching: Whether it may be several digits that touch.
        cut: Whether it was cut out of digits that touch.
    """

    pixels: NDArray[np.uint8]
    box: Box
    touching: bool = False
    cut: bool = False


def to_mnist(image: ImageLike) -> NDArray[np.uint8]:
    """Convert an image of one digit to MNIST format: uint8, shape `(28, 28)`, foreground 255 on 0.

    This follows the published procedure (LeCun et al., <http://yann.lecun.com/exdb/mnist/>): the
    digit's bounding box is scaled to 20 pixels on its longer side, with anti-aliasing, and its
    center of mass moves to the center of 28×28. First, uneven light is removed, the foreground is
    segmented, and strokes much thinner or thicker than MNIST's are redrawn. Images that are in
    MNIST format already are returned unchanged.

    Raises:
        ImageError, FileReadError, InputError: As `mnistzoo.transforms()`.
    """
    from mnistzoo.images.grayscale import average
    from mnistzoo.images.rendering import render

    _check_single(image)
    levels = load_grayscale(image).levels
    unchanged = _as_mnist(levels)
    if unchanged is not None:
        return unchanged
    side = max(levels.shape)
    coarse = average(levels, side / max(1, side // COARSE_SIDE))
    if coarse is not levels:
        with suppress(ImageError):
            foreground, digit = _find_main_digit(coarse)
            if digit[0].length >= MIN_DIGIT_LENGTH and not foreground.cleared:
                return render(foreground, digit)
    return render(*_find_main_digit(levels))


def _find_main_digit(levels: GrayLevels) -> tuple[Foreground, Group]:
    """Return the foreground of an image, and the components of its largest digit."""
    from mnistzoo.images.grouping import main_digit

    foreground, components = _find_foreground(levels)
    return foreground, main_digit(components)


def _find_foreground(levels: GrayLevels) -> tuple[Foreground, list[Component]]:
    """Return the foreground of an image, and its components that may be parts of digits."""
    from mnistzoo.images.components import find_components
    from mnistzoo.images.frames import drop_rings
    from mnistzoo.images.segmentation import segment

    foreground = segment(levels)
    return foreground, drop_rings(find_components(foreground), foreground.labels.pixels)


def to_gray(image: ImageLike) -> NDArray[np.uint8]:
    """Convert an image to gray levels at 28×28 pixels: uint8, 0 is black, 255 is white.

    Nothing is segmented, centered or inverted. A 28×28 image keeps its gray levels. Another is
    scaled to 28 pixels on its longer side, with anti-aliasing, and centered between bars of the
    median level of its border.

    >>> to_gray(np.eye(7, dtype=np.uint8))[:4, :8].max(axis=0)
    array([255, 255, 255, 255,   0,   0,   0,   0], dtype=uint8)

    Raises:
        ImageError, FileReadError, InputError: As `mnistzoo.transforms()`, except that a blank image
            is an image.
    """
    from PIL import Image

    side = INPUT_SHAPE[-1]
    levels = load_grayscale(image).levels
    height, width = levels.shape
    if height == width and side % height == 0:  # enlarged by repeating pixels, or not at all
        scaled = levels.repeat(side // height, axis=0).repeat(side // height, axis=1)
    else:
        size = [max(1, round(length * side / max(height, width))) for length in (width, height)]
        scaled = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BILINEAR))
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    canvas = np.full((side, side), np.median(border), dtype=np.float32)
    top, left = ((side - length) // 2 for length in scaled.shape)
    canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    pixels: NDArray[np.uint8] = np.rint(canvas.clip(0, 1) * 255).astype(np.uint8)
    return pixels


CONVERSIONS: dict[Style, Conversion] = {"mnist": to_mnist, "plain": to_gray}
"""How an image becomes 28×28 pixels, by style."""


def find_digits(image: ImageLike, score: Score | None = None) -> list[list[DigitImage]]:
    """Return the digits of an image in MNIST format: lines from the top, each from left to right.

    Args:
        image: An image of any kind that `mnistzoo.transforms()` takes.
        score: Judges the pieces of digits that touch; without it, nothing is split.

    Raises:
        ImageError, FileReadError, InputError: As `mnistzoo.transforms()`.
    """
    from mnistzoo.images.grouping import group_digits, reading_lines
    from mnistzoo.images.splitting import MAX_PIECES, Part, split_line

    loaded = load_grayscale(image)
    foreground, components = _find_foreground(loaded.levels)
    scale = np.divide(loaded.size, foreground.mask.shape[::-1])
    lines, tries = [], iter(range(MAX_PIECES))
    for line in reading_lines(group_digits(components)):
        parts = [Part(foreground, group) for group in line]
        if score is not None:
            parts = split_line(parts, score, tries)
        lines.append([_digit_image(part, scale) for part in parts])
    return lines


def _digit_image(part: Part, scale: NDArray[np.float64]) -> DigitImage:
    return DigitImage(part.pixels, _scale_box(part.box, scale), part.touching, part.cut)


def _scale_box(box: Box, scale: NDArray[np.float64]) -> Box:
    left, top, right, bottom = (round(edge) for edge in np.multiply(box, np.tile(scale, 2)))
    return left, top, right, bottom


def _check_single(image: ImageLike) -> None:
    """Refuse several MNIST images in one tensor: they would be mistaken for color channels."""
    if not is_tensor(image) or image.shape[1:] != (28, 28) or len(image) < 2:
        return
    planes = [_as_mnist(load_grayscale(plane).levels) for plane in image]
    found = [plane for plane in planes if plane is not None]
    if len(found) < len(planes) or np.array_equal(found[0], found[1]):
        return
    raise InputError(
        f"Expected one image, got {len(found)} MNIST images in a tensor of shape "
        f"{tuple(image.shape)}. Pass several images as a list: list(images)."
    )


def _as_mnist(levels: GrayLevels) -> NDArray[np.uint8] | None:
    """Return the pixels of an image that is in MNIST format already, else None.

    It is 28×28, black with a white foreground, 19 or 20 pixels long and centered by mass, as all
    70,000 MNIST images are.
    """
    if levels.shape != (28, 28):
        return None
    pixels = np.rint(levels * 255).astype(np.uint8)
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    if pixels.max() < 254 or max(np.ptp(rows), np.ptp(columns)) not in (18, 19):
        return None
    mass = pixels.astype(float)
    centers = [np.average(np.arange(28), weights=mass.sum(axis)) for axis in (1, 0)]
    return pixels if np.allclose(centers, 14, rtol=0, atol=_MAX_OFF_CENTER) else None
