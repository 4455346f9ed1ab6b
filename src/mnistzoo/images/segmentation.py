"""Finding the ink: which pixels of a picture were written, whatever the light and the paper."""

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
"""Ink differs from the paper by at least this fraction of the paper's brightness."""

NOISE_FACTOR = 5.0
"""Ink differs from the paper by at least this many standard deviations of the paper's grain."""

CLEAN = 1.0
"""Where light is even, fewer pixels than this times the ink's are between ink and paper."""

FLAT, SHARP, RIVAL = 0.15, 0.7, 0.25
"""Paper without grain or shade: more than the first share of the pixels has one level, and of those
within 4 levels of it more than the second, where grain that is cut off at black has fewer; no level
apart from it, as a shadow's might be, has the third share of its number. Chosen on scikit-learn's
digits, enlarged (those called seen in `tests/benchmarks/origins.py`), and on photographs made from
training images."""

SMALL = 40
"""No light is uneven across a picture of so few pixels; strokes in it would be taken for shade."""

PAGE = 128
"""Smaller pictures show a digit alone, perhaps cropped close: no desk, and all at the edge is ink
of its own."""

_BACKGROUND_SIDE = 96
"""The light is estimated on a picture shrunk to this side: its changes are slow, ink is thin."""


@dataclass(frozen=True)
class Ink:
    """The ink of a picture.

    Attributes:
        density: float32, shape `(height, width)`: 0 is paper, 1 is the typical ink.
        mask: bool, same shape: where there is ink.
        contrast: how far the typical ink differs from the paper, as a share of its brightness.
    """

    density: GrayLevels
    mask: NDArray[np.bool_]
    contrast: float


def segment(levels: GrayLevels) -> Ink:
    """Separate ink from paper: estimate the light, divide by it, and take half of the ink's level.

    Lines of ruled paper are paper. Where a sheet lies on a desk, it is continued beyond
    its rim.

    Raises:
        ImageError: nothing stands out from the paper.
    """
    ink = _separated(levels)
    sheet = find_sheet(ink.mask) if max(levels.shape) >= PAGE else None
    if sheet is None:
        return ink
    nearest = ndimage.distance_transform_edt(~sheet, return_distances=False, return_indices=True)
    with suppress(ImageError):
        ink = _separated(levels[tuple(nearest)])
    return ink


def _separated(levels: GrayLevels) -> Ink:
    contrast = _contrast(levels)
    paper, grain = _paper(contrast)
    contrast = contrast - paper
    while True:
        level, threshold = _level(contrast, NOISE_FACTOR * grain)
        mask = contrast > threshold
        rules = find_ruled_lines(mask)
        if not rules.any():
            return Ink(np.clip(contrast / level, 0, 1).astype(np.float32), mask, level)
        blur = ndimage.binary_dilation(rules, np.ones((3, 3)), 2)
        contrast[rules | (blur & ~mask)] = 0


def _level(contrast: GrayLevels, noise: float) -> tuple[float, float]:
    """How dark the typical ink is, and from where on a pixel is ink.

    Raises:
        ImageError: nothing stands out from the paper.
    """
    candidates = contrast[contrast > max(noise, MIN_CONTRAST)]
    if not candidates.size:
        raise no_foreground()
    level = float(np.quantile(candidates, 0.9))
    return level, max(level / 2, noise)


def no_foreground() -> ImageError:
    """The error for a picture without a digit."""
    return ImageError(
        "no ink was found: nothing in the picture stands out from its background as pen strokes "
        "do; check that the digit is in it, sharp, and darker or lighter than the paper."
    )


def _contrast(levels: GrayLevels) -> GrayLevels:
    """How far each pixel differs from its paper, as a fraction of the paper's brightness."""
    if max(levels.shape) > 4 * _BACKGROUND_SIDE:  # the grain of a photograph, not thin strokes
        levels = ndimage.gaussian_filter(levels, 0.8)
    low, high = np.quantile(levels, [0.02, 0.98])
    even = _is_flat(levels, low, high) or _is_clean(levels, low, high)
    if max(levels.shape) <= SMALL or even:
        dark = _share(levels < (low + high) / 2) <= _share(levels > (low + high) / 2)
        paper = np.float32(high if dark else 1 - low)
        return _against(levels if dark else 1 - levels, paper)
    if _skewness(levels) > 0:
        levels = 1 - levels
    return _against(levels, _paper_levels(levels))


def _against(levels: GrayLevels, paper: GrayLevels | np.float32) -> GrayLevels:
    fraction = (paper - levels) / np.maximum(paper, np.float32(0.2))  # the dark exaggerates grain
    return np.asarray(fraction, dtype=np.float32)


def _is_flat(levels: GrayLevels, low: float, high: float) -> bool:
    """Whether the paper has no grain and no shade, as in a digit that was drawn or enlarged."""
    counts = np.bincount(np.rint(levels * 255).astype(np.uint8).ravel(), minlength=256)
    away, most = np.abs(np.arange(256) - counts.argmax()), counts.max()
    sharp = most > FLAT * levels.size and most > SHARP * counts[away <= 4].sum()
    return bool(high - low > MIN_CONTRAST and sharp and counts[away > 25].max() < RIVAL * most)


def _is_clean(levels: GrayLevels, low: float, high: float) -> bool:
    """Whether there are two levels with little between them, as in a scan or a drawing."""
    share = (levels - low) / max(high - low, MIN_CONTRAST)
    between = np.count_nonzero((share > 0.25) & (share < 0.75))
    fewer = min(np.count_nonzero(share <= 0.25), np.count_nonzero(share >= 0.75))
    return bool(high - low > 0.5 * high and between < CLEAN * fewer)


def _share(ink: NDArray[np.bool_]) -> float:
    """The share of the picture that would be ink, its border counted as much as its inside.

    A digit leaves most of its picture free, and most of the border even where it is cropped tight.
    """
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    return float(ink.mean() + border.mean())


def _skewness(levels: GrayLevels) -> float:
    """Negative where thin things are darker than what is around them, positive where lighter.

    The third moment of the picture less its own blur: slopes and shadows' edges are in it as much
    above zero as below, and strokes far on one side.
    """
    small = _shrunk(levels)
    detail = [small - ndimage.gaussian_filter(small, min(small.shape) / n) for n in (5, 10, 20)]
    return float(sum(np.mean(part**3) for part in detail))


def _paper_levels(levels: GrayLevels) -> GrayLevels:
    """The brightness that paper has, or would have under the ink, where the light is uneven.

    A grey closing keeps slopes and shadows' edges, and fills valleys narrower than its window. The
    picture is continued beyond its border, lest a shadow at the border be such a valley.
    """
    small = _shrunk(levels)
    window = max(min(small.shape) // 2, max(small.shape) // 4) | 1
    padded = np.pad(small, window, mode="edge")
    paper = ndimage.grey_closing(padded, size=(window, window))
    paper = ndimage.gaussian_filter(paper, window / 16)[window:-window, window:-window]
    full = Image.fromarray(np.ascontiguousarray(paper))
    return np.asarray(full.resize(levels.shape[::-1], Image.Resampling.BILINEAR))


def _shrunk(levels: GrayLevels) -> GrayLevels:
    height, width = levels.shape
    shrink = max(1, max(height, width) / _BACKGROUND_SIDE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BOX))


def _paper(contrast: GrayLevels) -> tuple[float, float]:
    """Median and standard deviation of the paper, from the lower tail of all pixels.

    Paper is at least a third of any picture, so its lower half is below the first sixth… of all.
    For a normal distribution the first quartile is 0.674 and the twentieth 1.645 deviations below.
    """
    low, quarter = np.quantile(contrast, [0.05, 0.25])
    grain = float(quarter - low) / (1.645 - 0.674)
    return float(quarter) + 0.674 * grain, grain
