"""Whether images show strokes, which decides what style suits them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import Style

MAX_SAMPLES = 64
"""The most images of a dataset that are looked at."""

SIDE = 9
"""Strokes are narrower than this, in pixels of 28."""

FILLED = 0.25
"""From this mean share of the foreground on, images do not show strokes.

It was chosen between the training images of MNIST and Fashion-MNIST: `tests/test_datasets.py`.
"""

THIN = 0.05
"""Up to this mean share, images show strokes."""


def check_style(images: Iterable[NDArray[np.uint8]], style: Style) -> str | None:
    """Return what is wrong with a style, if it is plainly wrong for some images, else None.

    Args:
        images: The images in the plain style: uint8, shape `(28, 28)` each.
        style: The style of the dataset.
    """
    found = [measure for image in images if (measure := _measure(image)) is not None]
    if not found:
        return None
    backgrounds, shares = np.transpose(found)
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
    """Return the level of the background and the share of the foreground that is wide.

    That is what is left where a square of `SIDE` pixels fits in; None for a blank image.
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
