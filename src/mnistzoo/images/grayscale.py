"""Gray levels of an image, whatever its dtype, channels and size."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import InputError

GrayLevels: TypeAlias = NDArray[np.float32]
"""Luminance of each pixel, shape `(height, width)`: 0 is black, 1 is white."""

WORKING_SIDE = 1600
"""Longest side that is processed, in pixels; larger images are averaged down to it. A pixel of an
A4 page is then 0.19 mm wide, about half the width of a thin pen stroke."""

SAMPLE = 2**16
"""Statistics of larger images are taken from about this many pixels, evenly spaced."""

WHITES = (1.0, 255.0, 65_535.0)
"""Possible values of white: the smallest that no pixel exceeds is used."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance, from ITU-R Recommendation BT.601."""


def gray_levels(pixels: NDArray[Any]) -> GrayLevels:
    """Return the luminance of pixels, from 0 to 1.

    Args:
        pixels: Shape `(height, width)` or `(height, width, channels)` with 1, 3 or 4 channels;
            the fourth is alpha. White is the smallest of 1, 255 and 65,535 that no pixel exceeds.

    Raises:
        InputError: The pixels are not numbers, not finite, or out of range.
    """
    white = _white_level(pixels)
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
    scaled: list[GrayLevels] = [np.divide(plane, white, dtype=np.float32) for plane in planes]
    if len(scaled) < 3:
        return scaled[0]
    gray: GrayLevels = np.tensordot(np.array(_LUMA, np.float32), np.stack(scaled[:3]), axes=1)
    return _composite(gray, scaled[3]) if len(scaled) == 4 else gray


def _white_level(pixels: NDArray[Any]) -> float:
    if pixels.dtype.kind not in "buif":
        raise InputError(
            f"Expected numeric pixels, got dtype {pixels.dtype}. Pass uint8 or float32 pixels."
        )
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise InputError("Expected finite pixels, got NaN or infinity. Fix the array.")
    scales = WHITES[:1] if pixels.dtype.kind == "b" else WHITES
    if low < 0 or high > scales[-1]:
        raise InputError(
            f"Expected pixels from 0 to 1, 255 or 65,535, got {low:g} to {high:g}. "
            "Pass the image before it is normalized."
        )
    return next(scale for scale in scales if high <= scale)


def _composite(gray: GrayLevels, alpha: GrayLevels) -> GrayLevels:
    """Return the image on an opaque background that contrasts with its opaque pixels.

    A mostly transparent image is put on white, or on black if it is light. A mostly opaque one may
    be a photograph with transparent corners, so its background is its median level.
    """
    total = float(alpha.sum())
    background = 1.0 if total == 0 or float((gray * alpha).sum()) < 0.5 * total else 0.0
    if 2 * total > alpha.size:
        background = float(np.median(gray[alpha > 0.5]))
    return gray * alpha + np.float32(background) * (1 - alpha)


def subsample(levels: GrayLevels) -> GrayLevels:
    """Return evenly spaced pixels, at most `SAMPLE` of them or nearly so.

    >>> subsample(np.zeros((1000, 600), np.float32)).shape
    (250, 150)
    """
    step = math.ceil(math.sqrt(levels.size / SAMPLE))
    return levels[::step, ::step]


def quantiles(levels: GrayLevels, *shares: float) -> list[float]:
    """Return the levels below which at most these shares of the pixels lie.

    This is many times as fast as `np.quantile` on small images, and does not interpolate.

    >>> quantiles(np.arange(11, dtype=np.float32), 0.5, 0.98)
    [5.0, 9.0]
    """
    places = [int(share * (levels.size - 1)) for share in shares]
    return [float(level) for level in np.partition(levels.ravel(), places)[places]]


def average(levels: GrayLevels, side: float) -> GrayLevels:
    """Return the image with its longer side at most `side` pixels, by averaging over areas."""
    import cv2

    factor = max(levels.shape) / side
    if factor <= 1:
        return levels
    size = [max(1, round(length / factor)) for length in levels.shape[::-1]]
    return np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA))


def shrink_factor(width: int, height: int) -> int:
    """Return the whole number that brings the longer side to at most `WORKING_SIDE`."""
    return -(-max(width, height) // WORKING_SIDE)


def shrink(levels: GrayLevels) -> GrayLevels:
    """Return the image with no side above `WORKING_SIDE`, and without repeated pixels."""
    from PIL import Image

    factor = shrink_factor(levels.shape[1], levels.shape[0])
    if factor > 1:
        levels = np.asarray(Image.fromarray(levels).reduce(factor))
    return np.ascontiguousarray(_undo_repetition(levels))


def _undo_repetition(levels: GrayLevels) -> GrayLevels:
    """Return an image that was enlarged by repeating pixels at its original size.

    Otherwise, the steps between repeated pixels would be mistaken for the edges of strokes.
    """
    steps = [np.flatnonzero((np.diff(levels, axis=axis) != 0).any(1 - axis)) + 1 for axis in (0, 1)]
    factor = math.gcd(*levels.shape, *(int(np.gcd.reduce(step)) for step in steps if step.size))
    return levels[::factor, ::factor]
