"""Digits as other pens, papers and scanners leave them, made from MNIST's images with a seed.

Each maker takes one digit (uint8, shape `(28, 28)`, ink 255) and a generator, and gives grey
pixels (uint8). To tune anything, hand over training images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

GrayscaleImage = NDArray[np.uint8]
Levels = NDArray[np.float64]
HEIGHT, WIDTH = 320, 480


def small(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """Light on black, 16×16 without a margin, narrow digits widened: as post offices had them."""
    height, width = (digit > 40).any(1).sum(), (digit > 40).any(0).sum()
    stretched = round(16 * min(1.0, (width / height) ** 0.5))
    return _in_the_middle(_resized(_close(digit), max(4, stretched), 16), 16)


def bitmap(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """Black and white pixels, 32×32 without a margin: as forms were scanned."""
    close = _close(digit)
    width = min(32, max(6, round(32 * close.shape[1] / close.shape[0])))
    return _in_the_middle(np.where(_resized(close, width, 32) > 100, 255, 0).astype(np.uint8), 32)


def blocks(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """The same bitmap in 8×8, each pixel the mean of 4×4."""
    return bitmap(digit, rng).reshape(8, 4, 8, 4).mean((1, 3)).round().astype(np.uint8)


def pencil(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """Thin and faint: 15 % darker than the paper."""
    return _paper(_written(digit, 1.3, rng) * 0.15, rng)


def marker(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """A pen 6 pixels wide where MNIST's box of 20 holds strokes of 2.5."""
    return _paper(_written(digit, 6.0, rng) * 0.8, rng)


def plain(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """A pen and paper like MNIST's."""
    return _paper(_written(digit, 2.6, rng) * 0.75, rng)


def scan(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """Thin strokes of a ballpoint at 300 dpi, clean paper."""
    return _paper(_written(digit, 1.8, rng) * 0.9, rng, grain=0.002)


def ruled(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """Lines and a margin at two fifths of the paper's darkness; they tilt up to half a degree."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + rng.uniform(0, 34)
    lines = np.maximum(_lines(y + rng.uniform(-0.01, 0.01) * x, 34), _lines(x, 1000, 60))
    return _paper(1 - (1 - 0.4 * lines) * (1 - 0.75 * _written(digit, 2.6, rng)), rng)


def squared(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """Squares a third as wide as the digit is high, at a third of the paper's darkness."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + rng.uniform(0, 24)
    slope = rng.uniform(-0.01, 0.01)
    lines = np.maximum(_lines(y + slope * x, 24), _lines(x - slope * y, 24))
    return _paper(1 - (1 - 0.3 * lines) * (1 - 0.75 * _written(digit, 2.6, rng)), rng)


def desk(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """A sheet on a dark desk, turned by up to 8°; the desk is in the picture on all sides."""
    sheet = Image.fromarray(plain(digit, rng))
    sheet = sheet.convert("LA").rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    wood = 70 + rng.normal(0, 3, (sheet.height + 60, sheet.width + 60))
    desk = Image.fromarray(np.clip(wood, 0, 255).astype(np.uint8))
    desk.paste(sheet.getchannel(0), (30, 30), sheet.getchannel(1))
    return np.asarray(desk)


def page(digit: GrayscaleImage, rng: np.random.Generator) -> GrayscaleImage:
    """6 mm high on a white A4 page, at 150 dpi."""
    close = _close(digit)
    height, width = 35, max(1, round(35 * close.shape[1] / close.shape[0]))
    page = np.full((1754, 1240), 255, np.uint8)
    top, left = rng.integers(100, 1640), rng.integers(100, 1000)
    page[top : top + height, left : left + width] -= _resized(close, width, height)
    return page


MAKERS: dict[str, Callable[[GrayscaleImage, np.random.Generator], GrayscaleImage]] = {
    maker.__name__: maker
    for maker in (small, bitmap, blocks, plain, pencil, marker, scan, ruled, squared, desk, page)
}


def _close(digit: GrayscaleImage) -> GrayscaleImage:
    rows, columns = (np.flatnonzero((digit > 40).any(axis)) for axis in (1, 0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resized(digit: GrayscaleImage, width: int, height: int) -> GrayscaleImage:
    large = Image.fromarray(digit).resize((8 * width, 8 * height), Image.Resampling.BICUBIC)
    return np.asarray(large.resize((width, height), Image.Resampling.BOX))


def _in_the_middle(digit: GrayscaleImage, side: int) -> GrayscaleImage:
    picture = np.zeros((side, side), np.uint8)
    left = (side - digit.shape[1]) // 2
    picture[: digit.shape[0], left : left + digit.shape[1]] = digit
    return picture


def _written(digit: GrayscaleImage, pen: float, rng: np.random.Generator) -> Levels:
    """The digit some 80 pixels long on a page, drawn along its own strokes by a pen of that width.

    The outline of its half level, moved out or in by the distance from it; `pen` is in pixels of
    the box that MNIST makes 20 long.
    """
    close = _close(digit)
    scale = 80 / max(close.shape)
    width, height = (round(side * scale) for side in close.shape[::-1])
    ink = np.pad(_resized(close, max(width, 1), max(height, 1)) > 127, 16)
    inside = ndimage.distance_transform_edt(ink)
    wider = (pen * 4 - 4 * np.median(inside[ink])) / 2
    strokes = np.clip(inside - ndimage.distance_transform_edt(~ink) + wider + 0.5, 0, 1)
    page = np.zeros((HEIGHT, WIDTH))
    top, left = (
        int(rng.integers(10, b - s - 10)) for b, s in zip(page.shape, ink.shape, strict=True)
    )
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = strokes
    return page


def _lines(place: Levels, pitch: float, first: float = 0.0) -> Levels:
    """Lines 2 pixels wide at every `pitch`."""
    return np.clip(1.5 - np.abs((place - first + pitch / 2) % pitch - pitch / 2), 0, 1)


def _paper(ink: Levels, rng: np.random.Generator, grain: float = 0.01) -> GrayscaleImage:
    """Ink on paper that the light falls on from the left, a little blurred, with grain."""
    levels = 0.9 * (1 - ink) * np.linspace(1, 0.8, WIDTH)
    levels = ndimage.gaussian_filter(levels, 0.7) + rng.normal(0, grain, levels.shape)
    return (np.clip(levels, 0, 1) * 255).astype(np.uint8)
