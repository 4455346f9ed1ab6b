"""Separate the foreground (the writing) from the background, under any light."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnistzoo.errors import ImageError
from mnistzoo.images.background import find_ruled_lines, find_sheet
from mnistzoo.images.grayscale import GrayLevels

MIN_CONTRAST = 0.02
"""Least contrast of foreground, as a share of the background's brightness. Chosen, not measured."""

MIN_SIGNAL_TO_NOISE = 5.0
"""Least contrast of foreground, in standard deviations of the background's noise. Chosen, not
measured."""

MAX_BETWEEN = 1.0
"""Two levels are clean if fewer pixels lie between them than this many times the foreground's.
Chosen, not measured."""

MIN_MODE_SHARE = 0.15
"""A flat background has more than this share of all pixels at one level, the mode. This and the two
below were tuned on scikit-learn's digits, enlarged (the half called seen in
`tests/benchmarks/origins.py`), and on photographs made from training images."""

MIN_MODE_SHARPNESS = 0.7
"""In a flat background, more than this share of the pixels within 4 levels of the mode (of 255) are
at the mode. With noise that is clipped at black, fewer are."""

MAX_SECOND_MODE = 0.25
"""A flat background has no other level, such as a shadow's, with this many times the mode's
pixels."""

EVEN_LIGHT_SIDE = 40
"""Images up to this longer side, in pixels, count as lit evenly: light hardly changes across them,
and strokes would be mistaken for shadows. Chosen, not measured."""

PAGE_SIDE = 128
"""Images from this longer side on, in pixels, may show more than a digit: a sheet on a table, or
dark surroundings along the border. Chosen, not measured."""

_LIGHT_SIDE = 96
"""The light is estimated at this longer side, in pixels, since it changes slowly across an image.
Chosen, not measured."""


@dataclass(frozen=True)
class Foreground:
    """The foreground of an image.

    Attributes:
        density: float32, shape `(height, width)`: 0 is background, 1 is typical foreground.
        mask: bool, same shape: which pixels are foreground.
        contrast: How much typical foreground differs from the background, as a share of the
            background's brightness.
    """

    density: GrayLevels
    mask: NDArray[np.bool_]
    contrast: float


def segment(levels: GrayLevels) -> Foreground:
    """Separate foreground from background.

    The light is estimated and divided out. Foreground is what differs from the background by half
    of the typical contrast. Ruled lines are background. If a sheet lies on another surface, only
    the sheet is segmented.

    Raises:
        ImageError: Nothing stands out from the background.
    """
    foreground = _threshold(levels)
    sheet = find_sheet(foreground.mask) if max(levels.shape) >= PAGE_SIDE else None
    if sheet is None:
        return foreground
    nearest = ndimage.distance_transform_edt(~sheet, return_distances=False, return_indices=True)
    with suppress(ImageError):  # the sheet, its rim repeated up to the image's border
        foreground = _threshold(levels[tuple(nearest)])
    return foreground


def _threshold(levels: GrayLevels) -> Foreground:
    contrast = _contrast(levels)
    background, noise = _background_statistics(contrast)
    contrast = contrast - background
    while True:
        typical, threshold = _typical_contrast(contrast, MIN_SIGNAL_TO_NOISE * noise)
        mask = contrast > threshold
        lines = find_ruled_lines(mask)
        if not lines.any():
            density = np.clip(contrast / typical, 0, 1).astype(np.float32)
            return Foreground(density, mask, typical)
        blurred = ndimage.binary_dilation(lines, np.ones((3, 3)), 2)
        contrast[lines | (blurred & ~mask)] = 0


def _typical_contrast(contrast: GrayLevels, least: float) -> tuple[float, float]:
    """Return the contrast of typical foreground, and the threshold for foreground.

    Raises:
        ImageError: Nothing stands out from the background.
    """
    candidates = contrast[contrast > max(least, MIN_CONTRAST)]
    if not candidates.size:
        raise no_foreground_error()
    typical = float(np.quantile(candidates, 0.9))
    return typical, max(typical / 2, least)


def no_foreground_error() -> ImageError:
    """Return the error for an image that shows no digit."""
    return ImageError(
        "No digit was found: nothing stands out from the background as pen strokes do. Check that "
        "the digit is in the image, sharp, and darker or lighter than the background."
    )


def _contrast(levels: GrayLevels) -> GrayLevels:
    """Return how much each pixel differs from its background, as a share of its brightness."""
    if max(levels.shape) > 4 * _LIGHT_SIDE:  # smooths a photograph's noise, not thin strokes
        levels = ndimage.gaussian_filter(levels, 0.8)
    low, high = np.quantile(levels, [0.02, 0.98])
    even = _has_flat_background(levels, low, high) or _has_two_levels(levels, low, high)
    if max(levels.shape) <= EVEN_LIGHT_SIDE or even:
        middle = (low + high) / 2
        dark = _coverage(levels < middle) <= _coverage(levels > middle)
        background = np.float32(high if dark else 1 - low)
        return _relative_contrast(levels if dark else 1 - levels, background)
    if _skewness(levels) > 0:
        levels = 1 - levels
    return _relative_contrast(levels, _estimate_light(levels))


def _relative_contrast(levels: GrayLevels, background: GrayLevels | np.float32) -> GrayLevels:
    brightness = np.maximum(background, np.float32(0.2))  # the dark exaggerates noise
    return np.asarray((background - levels) / brightness, dtype=np.float32)


def _has_flat_background(levels: GrayLevels, low: float, high: float) -> bool:
    """Return whether the background has neither noise nor shade, as in enlarged line art."""
    counts = np.bincount(np.rint(levels * 255).astype(np.uint8).ravel(), minlength=256)
    away, mode = np.abs(np.arange(256) - counts.argmax()), counts.max()
    frequent = mode > MIN_MODE_SHARE * levels.size
    sharp = mode > MIN_MODE_SHARPNESS * counts[away <= 4].sum()
    alone = counts[away > 25].max() < MAX_SECOND_MODE * mode
    return bool(high - low > MIN_CONTRAST and frequent and sharp and alone)


def _has_two_levels(levels: GrayLevels, low: float, high: float) -> bool:
    """Return whether few pixels lie between two levels, as in a scan or line art."""
    share = (levels - low) / max(high - low, MIN_CONTRAST)
    between = np.count_nonzero((share > 0.25) & (share < 0.75))
    fewer = min(np.count_nonzero(share <= 0.25), np.count_nonzero(share >= 0.75))
    return bool(high - low > 0.5 * high and between < MAX_BETWEEN * fewer)


def _coverage(mask: NDArray[np.bool_]) -> float:
    """Return the share of the image that the mask covers, plus its share of the border.

    A digit covers little of either, even where it is cropped tightly.
    """
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(mask.mean() + border.mean())


def _skewness(levels: GrayLevels) -> float:
    """Return a negative number for dark strokes on a light background, a positive one for light.

    This is the third moment of the image minus its blur at three scales. Slopes and the edges of
    shadows lie above zero as much as below, strokes far to one side.
    """
    small = _shrink_for_light(levels)
    details = [small - ndimage.gaussian_filter(small, min(small.shape) / n) for n in (5, 10, 20)]
    return float(sum(np.mean(detail**3) for detail in details))


def _estimate_light(levels: GrayLevels) -> GrayLevels:
    """Return the background's brightness at each pixel, including those under the foreground.

    A gray closing keeps slopes and the edges of shadows, and fills valleys narrower than its
    window. The border pixels are repeated outward first: otherwise a shadow at the border would be
    such a valley.
    """
    small = _shrink_for_light(levels)
    window = max(min(small.shape) // 2, max(small.shape) // 4) | 1
    padded = np.pad(small, window, mode="edge")
    closed = ndimage.grey_closing(padded, size=(window, window))
    smooth = ndimage.gaussian_filter(closed, window / 16)[window:-window, window:-window]
    light = Image.fromarray(np.ascontiguousarray(smooth))
    return np.asarray(light.resize(levels.shape[::-1], Image.Resampling.BILINEAR))


def _shrink_for_light(levels: GrayLevels) -> GrayLevels:
    height, width = levels.shape
    factor = max(1, max(height, width) / _LIGHT_SIDE)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BOX))


def _background_statistics(contrast: GrayLevels) -> tuple[float, float]:
    """Return the background's median and its standard deviation, the noise.

    Both come from the lower tail of all pixels, which is background: foreground differs by more.
    In a normal distribution the first quartile lies 0.674 and the first twentieth 1.645 deviations
    below the median.
    """
    low, quarter = np.quantile(contrast, [0.05, 0.25])
    noise = float(quarter - low) / (1.645 - 0.674)
    return float(quarter) + 0.674 * noise, noise
