"""Separate the foreground (the writing) from the background, under any light."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import ImageError
from mnistzoo.images.background import find_ruled_lines, find_sheet
from mnistzoo.images.components import PAGE_SIDE, Labels, no_foreground_error
from mnistzoo.images.frames import find_boxes, remove_frame
from mnistzoo.images.grayscale import SAMPLE, GrayLevels, average, quantiles, subsample

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

MIN_BOX_SIDE = 0.05
"""Least length of a box around a digit, as a share of the image's longer side. Chosen, not
measured."""

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
        cleared: Whether lines, or the surroundings of a sheet, were removed.
    """

    density: GrayLevels
    mask: NDArray[np.bool_]
    contrast: float
    cleared: bool = False

    @cached_property
    def labels(self) -> Labels:
        """The connected components of the mask."""
        return Labels.from_mask(self.mask)


def segment(levels: GrayLevels) -> Foreground:
    """Separate foreground from background.

    The light is estimated and divided out. Foreground is what differs from the background by half
    of the typical contrast. Ruled lines are background. If a sheet lies on another surface, only
    the sheet is segmented.

    Raises:
        ImageError: Nothing stands out from the background.
    """
    levels = remove_frame(levels)
    foreground = _threshold(levels)
    sheet = find_sheet(foreground.labels) if max(levels.shape) >= PAGE_SIDE else None
    if sheet is None:
        return foreground
    with suppress(ImageError):
        foreground = replace(_threshold(_extend(levels, sheet)), cleared=True)
    return foreground


def _extend(levels: GrayLevels, sheet: NDArray[np.bool_]) -> GrayLevels:
    """Return the sheet with its rim repeated up to the image's border."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~sheet).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rim = np.zeros(nearest.max() + 1, np.float32)
    rim[nearest[sheet]] = levels[sheet]
    return np.asarray(rim[nearest])


def _threshold(levels: GrayLevels) -> Foreground:
    contrast = _contrast(levels)
    background, noise = _background_statistics(subsample(contrast))
    contrast, cleared = contrast - np.float32(background), False
    while True:
        typical, threshold = _typical_contrast(contrast, MIN_SIGNAL_TO_NOISE * noise)
        mask = contrast > threshold
        lines = find_ruled_lines(mask)
        density = np.clip(contrast / typical, 0, 1)
        foreground = Foreground(density, mask, typical, cleared)
        if not lines.any():
            lines = find_boxes(mask, foreground.labels, MIN_BOX_SIDE * max(mask.shape))
        if not lines.any():
            return foreground
        blurred = cv2.dilate(lines.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
        contrast[lines | (blurred & ~mask)] = 0
        cleared = True


def _typical_contrast(contrast: GrayLevels, least: float) -> tuple[float, float]:
    """Return the contrast of typical foreground, and the threshold for foreground.

    Raises:
        ImageError: Nothing stands out from the background.
    """
    candidates = contrast[contrast > max(least, MIN_CONTRAST)]
    if not candidates.size:
        raise no_foreground_error()
    (typical,) = quantiles(candidates[:: 1 + len(candidates) // SAMPLE], 0.9)
    return typical, max(typical / 2, least)


def _contrast(levels: GrayLevels) -> GrayLevels:
    """Return how much each pixel differs from its background, as a share of its brightness."""
    if max(levels.shape) > 4 * _LIGHT_SIDE:  # smooths a photograph's noise, not thin strokes
        levels = _blur(levels, 0.8)
    sample = subsample(levels)
    low, high = quantiles(sample, 0.02, 0.98)
    even = _has_flat_background(sample, low, high) or _has_two_levels(sample, low, high)
    if max(levels.shape) <= EVEN_LIGHT_SIDE or even:
        middle = (low + high) / 2
        dark = _coverage(levels < middle) <= _coverage(levels > middle)
        background = np.float32(high if dark else 1 - low)
        return _relative_contrast(levels if dark else 1 - levels, background)
    if _skewness(levels) > 0:
        levels = 1 - levels
    return _relative_contrast(levels, _estimate_light(levels))


def _blur(levels: GrayLevels, sigma: float) -> GrayLevels:
    side = 2 * int(4 * sigma + 0.5) + 1
    return np.asarray(cv2.GaussianBlur(levels, (side, side), sigma, borderType=cv2.BORDER_REFLECT))


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
    small = average(levels, _LIGHT_SIDE)
    details = [small - _blur(small, min(small.shape) / n) for n in (5, 10, 20)]
    return float(sum(np.mean(detail**3) for detail in details))


def _estimate_light(levels: GrayLevels) -> GrayLevels:
    """Return the background's brightness at each pixel, including those under the foreground.

    A gray closing keeps slopes and the edges of shadows, and fills valleys narrower than its
    window. The border pixels are repeated outward first: otherwise a shadow at the border would be
    such a valley.
    """
    small = average(levels, _LIGHT_SIDE)
    window = max(min(small.shape) // 2, max(small.shape) // 4) | 1
    padded = np.pad(small, window, mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    smooth = _blur(np.asarray(closed, np.float32), window / 16)[window:-window, window:-window]
    return np.asarray(cv2.resize(smooth, levels.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _background_statistics(contrast: GrayLevels) -> tuple[float, float]:
    """Return the background's median and its standard deviation, the noise.

    Both come from the lower tail of all pixels, which is background: foreground differs by more.
    In a normal distribution the first quartile lies 0.674 and the first twentieth 1.645 deviations
    below the median.
    """
    low, quarter = quantiles(contrast, 0.05, 0.25)
    noise = (quarter - low) / (1.645 - 0.674)
    return quarter + 0.674 * noise, noise
