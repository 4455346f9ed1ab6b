"""Photographs of handwritten digits, made from MNIST images.

Each shows a digit on shaded, textured paper. Its size, place, tilt, contrast, blur and JPEG quality
are random, and so is whether it is dark on light or light on dark. Tune nothing on photographs made
from test images.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage


def photograph(digit: NDArray[np.uint8], rng: np.random.Generator) -> bytes:
    """Return a JPEG file that shows `digit` (uint8, shape `(28, 28)`, foreground 255)."""
    height, width = (int(side) for side in rng.integers(140, 480, 2))
    strokes = _write(digit, height, width, rng) * rng.uniform(0.35, 0.95)
    reflectance = rng.uniform(0.6, 0.95) * (1 - strokes)
    if rng.random() < 0.3:
        board = rng.uniform(0.05, 0.25)
        reflectance = board + (rng.uniform(0.7, 0.95) - board) * strokes
    levels = reflectance * _light(height, width, rng) * _texture(height, width, rng)
    levels = ndimage.gaussian_filter(levels, rng.uniform(0, 1.5))
    levels = levels + rng.normal(0, rng.uniform(0.005, 0.03), levels.shape)
    tint = rng.uniform(0.9, 1.0, 3)
    pixels = np.clip(levels[..., None] * tint * 255, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(30, 96)))
    return file.getvalue()


def _write(
    digit: NDArray[np.uint8], height: int, width: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the digit enlarged, tilted and placed at random, from 0 to 1."""
    side = int(rng.uniform(0.35, 1.0) * min(height, width))
    enlarged = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    tilted = enlarged.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC)
    sheet = Image.new("L", (width, height))
    place = (int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1)))
    sheet.paste(tilted, place)
    return np.asarray(sheet, dtype=np.float32) / 255


def _light(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return light that falls off in some direction, crossed by a shadow with a soft edge."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle, edge = rng.uniform(0, 2 * np.pi, 2)
    slope = 1 - rng.uniform(0, 0.3) * (1 + x * np.cos(angle) + y * np.sin(angle)) / 2
    distance = x * np.cos(edge) + y * np.sin(edge) - rng.uniform(-1, 1)
    shadow = 1 - rng.uniform(0, 0.3) / (1 + np.exp(-distance / rng.uniform(0.05, 0.4)))
    return slope * shadow


def _texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the texture of paper: blotches of a few pixels that take up to 2 % of the light."""
    blotches = ndimage.gaussian_filter(rng.normal(size=(height, width)), rng.uniform(1, 4))
    return 1 + rng.uniform(0, 0.02) * blotches / blotches.std()
