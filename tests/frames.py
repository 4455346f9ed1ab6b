"""Digits in frames, boxes and rings, made from MNIST images.

Each maker takes a digit (uint8, shape `(28, 28)`, foreground 255) and a random generator, and
returns gray pixels (uint8). Tune nothing on images made from test images.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def edge_frame(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a drawing with a frame along all four edges, of any size and polarity."""
    page = _drawing(digit, int(rng.choice([28, 40, 64, 140, 280, 600])), 0.75, rng)
    width = max(1, round(len(page) * rng.uniform(0.003, 0.06)))
    cv2.rectangle(page, (0, 0), (len(page) - 1, len(page) - 1), int(rng.integers(0, 120)), width)
    return 255 - page if rng.random() < 0.3 else page


def photographed_frame(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a form's box cut out along its line: uneven light, blur and noise."""
    page = _drawing(digit, 240, 0.7, rng)
    cv2.rectangle(page, (0, 0), (239, 239), 60, int(rng.integers(3, 12)))
    light = np.linspace(1, rng.uniform(0.6, 1), 240)
    levels = cv2.GaussianBlur(page * light, None, 1.2) * 0.85
    return np.asarray(np.clip(levels + rng.normal(0, 4, page.shape), 0, 255), dtype=np.uint8)


def box(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a digit in a printed box that may tilt by two degrees."""
    return _boxed(digit, 0.7, rng)


def crossed_box(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a digit that crosses the line of its box."""
    return _boxed(digit, 1.15, rng)


def ring(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a digit with a circle around it, drawn by hand: it may not close."""
    page = _drawing(digit, 280, 0.5, rng)
    axes = tuple(int(n) for n in rng.integers(105, 125, 2))
    start = int(rng.integers(0, 360))
    cv2.ellipse(page, (140, 140), axes, 0, start, start + int(rng.integers(335, 375)), 0, 8)
    return page


def page_with_a_box(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a page of 1000×800 pixels with a digit in a printed box at any place."""
    page = np.full((1000, 800), 255, np.uint8)
    top, left = int(rng.integers(20, 700)), int(rng.integers(20, 500))
    boxed = _boxed(digit, rng.uniform(0.6, 1.15), rng)
    page[top : top + 260, left : left + 260] = boxed[10:270, 10:270]
    return page


MAKERS: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    maker.__name__.replace("_", " "): maker
    for maker in (edge_frame, photographed_frame, box, crossed_box, ring, page_with_a_box)
}


def _drawing(digit: Pixels, side: int, share: float, rng: np.random.Generator) -> Pixels:
    """Return a digit, black on white, in an image `side` high and wide.

    Its box of 20 pixels becomes `share` of the image.
    """
    scaled = round(28 / 20 * share * side)
    large = np.asarray(Image.fromarray(digit).resize((scaled, scaled), Image.Resampling.BICUBIC))
    page = np.full((2 * side, 2 * side), 255, np.uint8)
    top, left = side - scaled // 2 + rng.integers(-side, side + 1, 2) // 40
    page[top : top + scaled, left : left + scaled] -= large
    start = side // 2
    return np.ascontiguousarray(page[start : start + side, start : start + side])


def _boxed(digit: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Return a digit in a box of 200 pixels, whose longer side it fills by `share`."""
    page = np.full((280, 280), 255, np.uint8)
    sides = [int(n) for n in rng.integers(170, 220, 2)]
    rectangle = cv2.boxPoints(((140, 140), sides, rng.uniform(-2, 2)))
    level, width = int(rng.integers(0, 100)), int(rng.integers(2, 7))
    cv2.polylines(page, [np.int32(rectangle)], True, level, width)
    return np.minimum(page, _drawing(digit, 280, share * min(sides) / 280, rng))
