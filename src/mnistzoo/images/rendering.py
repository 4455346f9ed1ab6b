"""Render one digit in MNIST format: normalize its strokes, scale its box, center its mass."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnistzoo.images.components import Component, bounding_box
from mnistzoo.images.grayscale import GrayLevels, average, quantiles
from mnistzoo.images.segmentation import Foreground

SIDE = 28
"""Width and height of an MNIST image, in pixels."""

BOX = 20
"""Longer side of a digit's bounding box in an MNIST image, in pixels."""

MAX_SMALL = BOX // 2
"""Digits up to this length, in pixels, keep their gray levels, since strokes about a pixel wide are
too coarse to measure. `python tests/benchmarks/small.py` compares both ways."""

_LANCZOS_RADIUS = 3
"""The reach of Pillow's Lanczos filter, in pixels of the smaller image."""

_SUPERSAMPLING = 8
"""Strokes are measured and drawn on a grid this many times finer than MNIST's. Chosen, not
measured."""

STROKE_WIDTHS = (2.25, 3.0)
"""Least and greatest width of rendered strokes, in pixels of the 20×20 box: the middle half of
MNIST's, as measured on training images by `python tests/benchmarks/strokes.py`."""


def render(foreground: Foreground, components: list[Component]) -> NDArray[np.uint8]:
    """Return one digit in MNIST format: uint8, shape `(28, 28)`, foreground 255 on 0.

    The longer side of its bounding box becomes 20 pixels, the aspect ratio stays, gray levels come
    from anti-aliasing, and the center of mass moves to the center of the image.

    Args:
        foreground: The foreground of the whole image.
        components: The components of the digit. Others are left out, even inside its box.
    """
    left, top, right, bottom = bounding_box(components)
    margin = max(1, max(right - left, bottom - top) // BOX)
    window = np.s_[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    labels = foreground.labels.pixels[window]
    own = labels == components[0].label
    for component in components[1:]:
        own |= labels == component.label
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    near = (cv2.dilate(own.view(np.uint8), square) > 0) & ((labels == 0) | own)
    density = np.where(near, foreground.density[window], np.float32(0))
    if max(right - left, bottom - top) <= MAX_SMALL:
        return _center(_enlarge(density))
    return _center(_fit(_normalize_strokes(_supersample(np.pad(density, 1)))))


def _enlarge(density: GrayLevels) -> GrayLevels:
    """Return a small digit's bounding box, enlarged so that its longer side is `BOX` pixels."""
    digit = _crop(density, 0.1)
    height, width = digit.shape
    scale = BOX / max(height, width)
    around = _LANCZOS_RADIUS  # background, which the filter reads
    enlarged = Image.fromarray(np.pad(digit, around)).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))),
        Image.Resampling.LANCZOS,
        box=(around, around, around + width, around + height),
    )
    return np.asarray(enlarged).clip(0, 1)


def _supersample(density: GrayLevels) -> GrayLevels:
    """Return the digit with its longer side about `BOX` × `_SUPERSAMPLING` pixels."""
    scale = BOX * _SUPERSAMPLING / (max(density.shape) - 2)
    size = tuple(max(1, round(side * scale)) for side in density.shape[::-1])
    return np.asarray(Image.fromarray(density).resize(size, Image.Resampling.LANCZOS))


def _normalize_strokes(density: GrayLevels) -> GrayLevels:
    """Return the digit, from 0 to 1, with strokes between `STROKE_WIDTHS` wide.

    Strokes of that width keep their gray levels, and so do wide strokes too blurred to measure: a
    threshold would lose detail. Others are redrawn from the signed distance to their outline,
    positive inside. Half of the pixels of a stroke w wide lie deeper than w / 4, and each level of
    the distance is the outline of a stroke of another width along the same path.
    """
    density = np.pad(density, 2 * _SUPERSAMPLING)
    strong = density[density > 0.25]
    share = density / (quantiles(strong, 0.9)[0] if strong.size else density.max())
    mask = share > 0.5
    depth = _distance(mask)
    width = 4 * quantiles(depth[mask], 0.5)[0] / _SUPERSAMPLING
    wanted = float(np.clip(width, *STROKE_WIDTHS))
    gray = np.count_nonzero((share > 0.25) & (share < 0.75))
    blurred = gray > np.count_nonzero(mask) / 2
    if wanted == width or (blurred and wanted < width):
        return np.asarray(np.clip((share - 0.1) / 0.8, 0, 1), dtype=np.float32)
    distance = depth - _distance(~mask)
    offset = (wanted - width) / 2 * _SUPERSAMPLING
    return np.asarray(np.clip(distance + offset + 0.5, 0, 1), dtype=np.float32)


def _distance(mask: NDArray[np.bool_]) -> GrayLevels:
    """Return the distance of each pixel of the mask to the nearest one outside."""
    pixels = mask.view(np.uint8)
    return np.asarray(cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def _fit(digit: GrayLevels) -> GrayLevels:
    """Return the digit's bounding box, scaled so that its longer side is `BOX` pixels."""
    return average(_crop(digit, 0.5), BOX)


def _crop(digit: GrayLevels, level: float) -> GrayLevels:
    """Return the bounding box of the pixels above a level."""
    rows, columns = (np.flatnonzero(digit.max(axis) > level) for axis in (1, 0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _center(digit: GrayLevels) -> NDArray[np.uint8]:
    """Return a 28×28 image with the digit's center of mass at pixel 14, as in MNIST."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    offsets = []
    for axis, length in enumerate(digit.shape):
        center = np.average(np.arange(length), weights=digit.sum(1 - axis, dtype=np.float64))
        offsets.append(int(np.clip(round(SIDE / 2 - center), 0, SIDE - length)))
    (top, left), (height, width) = offsets, digit.shape
    image[top : top + height, left : left + width] = np.rint(digit * 255)
    return image
