"""Finding the ink: which pixels of a picture were written, whatever the light and the paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnistzoo.data.opening import GreyLevels
from mnistzoo.errors import PictureError

MIN_CONTRAST = 0.02
"""Ink differs from the paper by at least this fraction of the paper's brightness."""

NOISE_FACTOR = 5.0
"""Ink differs from the paper by at least this many standard deviations of the paper's grain."""

_BACKGROUND_SIDE = 96
"""The light is estimated on a picture shrunk to this side: its changes are slow, ink is thin."""


@dataclass(frozen=True)
class Ink:
    """The ink of a picture.

    Attributes:
        density: float32, shape `(height, width)`: 0 is paper, 1 is the typical ink.
        mask: bool, same shape: where there is ink.
    """

    density: GreyLevels
    mask: NDArray[np.bool_]


def find_ink(levels: GreyLevels) -> Ink:
    """Separate ink from paper: estimate the light, divide by it, and take half of the ink's level.

    Raises:
        PictureError: nothing stands out from the paper.
    """
    contrast = _contrast(levels)
    paper, grain = _paper(contrast)
    contrast = contrast - paper
    candidates = contrast[contrast > max(NOISE_FACTOR * grain, MIN_CONTRAST)]
    if not candidates.size:
        raise no_ink()
    level = float(np.quantile(candidates, 0.9))
    threshold = max(level / 2, NOISE_FACTOR * grain)
    density = np.clip(contrast / level, 0, 1).astype(np.float32)
    return Ink(density, contrast > threshold)


def no_ink() -> PictureError:
    """The error for a picture without a digit."""
    return PictureError(
        "no ink was found: nothing in the picture stands out from its background as pen strokes "
        "do; check that the digit is in it, sharp, and darker or lighter than the paper."
    )


def _contrast(levels: GreyLevels) -> GreyLevels:
    """How far each pixel differs from its paper, as a fraction of the paper's brightness."""
    if max(levels.shape) > 4 * _BACKGROUND_SIDE:  # the grain of a photograph, not thin strokes
        levels = ndimage.gaussian_filter(levels, 0.8)
    dark, light = (_darkness(side) for side in (levels, 1 - levels))
    return dark if _share(dark) <= _share(light) else light


def _darkness(levels: GreyLevels) -> GreyLevels:
    """How much darker than the paper each pixel is, supposing that ink is dark.

    The paper is what a grey closing leaves: the brightest level near by, with valleys filled that
    are narrower than half of the picture, while slopes and shadows' edges stay as they are.
    """
    height, width = levels.shape
    shrink = max(1, max(height, width) / _BACKGROUND_SIDE)
    small_size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = np.asarray(Image.fromarray(levels).resize(small_size, Image.Resampling.BOX))
    window = max(small.shape) // 2 | 1
    paper = ndimage.grey_closing(small, size=(window, window), mode="nearest")
    paper = ndimage.gaussian_filter(paper, window / 16, mode="nearest")
    full = Image.fromarray(paper).resize((width, height), Image.Resampling.BILINEAR)
    brightness = np.maximum(np.asarray(full), np.float32(0.05))
    return np.asarray((brightness - levels) / brightness, dtype=np.float32)


def _share(contrast: GreyLevels) -> float:
    """The share of the picture that would be ink, its border counted as much as its inside.

    A digit leaves most of its picture free, and most of the border even where it is cropped tight.
    """
    high = contrast > (contrast.min() + contrast.max()) / 2
    border = np.concatenate([high[0], high[-1], high[:, 0], high[:, -1]])
    return float(high.mean() + border.mean())


def _paper(contrast: GreyLevels) -> tuple[float, float]:
    """Median and standard deviation of the paper, from the lower tail of all pixels.

    Paper is at least a third of any picture, so its lower half is below the first sixth… of all.
    For a normal distribution the first quartile is 0.674 and the twentieth 1.645 deviations below.
    """
    low, quarter = np.quantile(contrast, [0.05, 0.25])
    grain = float(quarter - low) / (1.645 - 0.674)
    return float(quarter) + 0.674 * grain, grain
