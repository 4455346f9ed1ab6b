"""Check whether a style suits images: pen strokes need "mnist", filled shapes "plain"."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import Style

MAX_SAMPLES = 64
"""The maximum number of images of a dataset that are checked."""

SIDE = 9
"""Strokes are narrower than this, in pixels of a 28×28 image."""

FILLED = 0.25
"""Mean share of wide foreground at which images count as filled shapes.

It separates the training images of MNIST from those of Fashion-MNIST:
`pytest tests/test_datasets.py -k handwriting`.
"""

THIN = 0.05
"""Mean share of wide foreground below which images count as strokes."""


def sampling_step(total: int) -> int:
    """Return the step between the images whose style is checked."""
    return max(1, total // MAX_SAMPLES)


def check_style(images: Iterable[NDArray[np.uint8]], style: Style) -> str | None:
    """Return a warning if a style is clearly wrong for images, else None.

    Args:
        images: The images in the plain style: uint8, shape `(28, 28)` each.
        style: The style of the dataset.
    """
    measures = [measure for image in images if (measure := _measure(image)) is not None]
    if not measures:
        return None
    backgrounds, shares = np.transpose(measures)
    wide = float(shares.mean())
    if style == "mnist" and wide >= FILLED:
        return (
            "Most images show filled shapes, which the style mnist redraws as pen strokes. Use the "
            "style plain."
        )
    if style == "plain" and wide < THIN and np.median(backgrounds) > 127:
        return (
            "Most images show dark strokes on a light background, which the style plain does not "
            "invert. Use the style mnist for handwriting."
        )
    return None


def _measure(image: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Return the gray level of the background and the share of the foreground that is wide.

    Wide foreground is what a morphological opening by a square of `SIDE` pixels leaves. A blank
    image has none: the result is None.
    """
    import cv2

    levels = image.astype(np.float32)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    background = float(np.median(border))
    contrast = np.abs(levels - background)
    if contrast.max() < 255 / 8:
        return None
    foreground = (contrast > contrast.max() / 2).astype(np.uint8)
    square = np.ones((SIDE, SIDE), np.uint8)
    wide = cv2.morphologyEx(foreground, cv2.MORPH_OPEN, square, borderValue=0)
    return background, float(wide.sum() / foreground.sum())
