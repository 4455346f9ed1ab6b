"""Gray levels of pixels, whatever their dtype, channels and number."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import InputError

GrayLevels: TypeAlias = NDArray[np.float32]

WORKING_SIDE = 1600
"""Pictures with a longer side are shrunk by averaging: pen strokes keep at least half a pixel."""

_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in luminance: ITU-R Recommendation BT.601."""


def gray_levels(pixels: NDArray[Any]) -> GrayLevels:
    """Luminance from 0 to 1, whatever the dtype and the channels."""
    full = _full_scale(pixels)
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
    scaled: list[GrayLevels] = [np.divide(plane, full, dtype=np.float32) for plane in planes]
    if len(scaled) < 3:
        return scaled[0]
    shares = np.array(_LUMA, np.float32)
    grey: GrayLevels = np.tensordot(shares, np.stack(scaled[:3]), axes=1)
    return _on_paper(grey, scaled[3]) if len(scaled) == 4 else grey


def _full_scale(pixels: NDArray[Any]) -> float:
    """What white is among these pixels: 1, 255 or 65,535."""
    if pixels.dtype.kind not in "buif":
        raise InputError(f"expected pixels that are numbers, got dtype {pixels.dtype}.")
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise InputError("expected finite pixels, got NaN or infinity; repair the array.")
    scales = (1.0,) if pixels.dtype.kind == "b" else (1.0, 255.0, 65535.0)
    if low < 0 or high > scales[-1]:
        raise InputError(
            "expected pixels from 0 to 1, 255 or 65,535, "
            f"got {low:g} to {high:g}; hand pictures over before they are normalised."
        )
    return next(scale for scale in scales if high <= scale)


def _on_paper(grey: GrayLevels, alpha: GrayLevels) -> GrayLevels:
    """What is drawn, on a ground that shows it where the picture is transparent.

    A drawing on nothing is put on white, or on black if it is light; a picture that is mostly
    opaque, a photograph with clear corners perhaps, is continued in its own median level.
    """
    total = float(alpha.sum())
    ground = 1.0 if total == 0 or float((grey * alpha).sum()) < 0.5 * total else 0.0
    if 2 * total > alpha.size:
        ground = float(np.median(grey[alpha > 0.5]))
    return grey * alpha + np.float32(ground) * (1 - alpha)


def _without_copies(levels: GrayLevels) -> GrayLevels:
    """A picture enlarged by repeating its pixels, as it was before: steps are no edges of ink."""
    steps = [np.flatnonzero((np.diff(levels, axis=axis) != 0).any(1 - axis)) + 1 for axis in (0, 1)]
    factor = math.gcd(*levels.shape, *(int(np.gcd.reduce(step)) for step in steps if step.size))
    return levels[::factor, ::factor]


def shrink_factor(width: int, height: int) -> int:
    """By how much a picture is shrunk along each side."""
    return -(-max(width, height) // WORKING_SIDE)


def shrink(levels: GrayLevels) -> GrayLevels:
    """The same picture with no side above `WORKING_SIDE`, and no pixel that is only a copy."""
    from PIL import Image

    factor = shrink_factor(levels.shape[1], levels.shape[0])
    if factor > 1:
        levels = np.asarray(Image.fromarray(levels).reduce(factor))
    return np.ascontiguousarray(_without_copies(levels))
