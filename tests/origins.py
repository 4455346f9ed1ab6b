"""Images of digits as other pens, papers and scanners leave them, made from MNIST images.

Each maker takes a digit (uint8, shape `(28, 28)`, foreground 255) and a random generator, and
returns gray pixels (uint8). Tune nothing on images made from test images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[np.uint8]
Levels = NDArray[np.float64]

HEIGHT, WIDTH = 320, 480
"""Size of a piece of paper, in pixels."""


def postal(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return light on black, 16×16 without a margin, narrow digits widened, as in USPS."""
    height, width = (digit > 40).any(1).sum(), (digit > 40).any(0).sum()
    stretched = round(16 * min(1.0, (width / height) ** 0.5))
    return _in_the_middle(_resize(_crop(digit), max(4, stretched), 16), 16)


def bitmap(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return black and white pixels, 32×32 without a margin, as forms were scanned."""
    crop = _crop(digit)
    width = min(32, max(6, round(32 * crop.shape[1] / crop.shape[0])))
    return _in_the_middle(np.where(_resize(crop, width, 32) > 100, 255, 0).astype(np.uint8), 32)


def coarse(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the same bitmap in 8×8, each pixel the mean of 4×4."""
    return bitmap(digit, rng).reshape(8, 4, 8, 4).mean((1, 3)).round().astype(np.uint8)


def pencil(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return thin and faint strokes, 15 % darker than the paper."""
    return _paper(_write(digit, 1.3, rng) * 0.15, rng)


def marker(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return strokes 6 pixels wide where MNIST's box of 20 holds strokes of 2.5."""
    return _paper(_write(digit, 6.0, rng) * 0.8, rng)


def pen(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return strokes like MNIST's on plain paper."""
    return _paper(_write(digit, 2.6, rng) * 0.75, rng)


def scan(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a ballpoint's thin strokes on clean paper, at 300 dpi."""
    return _paper(_write(digit, 1.8, rng) * 0.9, rng, noise=0.002)


def ruled_paper(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return lines and a margin that take 40 % of the light; they tilt up to half a degree."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + rng.uniform(0, 34)
    lines = np.maximum(_lines(y + rng.uniform(-0.01, 0.01) * x, 34), _lines(x, 1000, 60))
    return _paper(1 - (1 - 0.4 * lines) * (1 - 0.75 * _write(digit, 2.6, rng)), rng)


def graph_paper(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return squares a third as wide as the digit is high, whose lines take 30 % of the light."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + rng.uniform(0, 24)
    slope = rng.uniform(-0.01, 0.01)
    lines = np.maximum(_lines(y + slope * x, 24), _lines(x - slope * y, 24))
    return _paper(1 - (1 - 0.3 * lines) * (1 - 0.75 * _write(digit, 2.6, rng)), rng)


def on_a_table(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a sheet on a dark table, turned by up to 8°; the table shows on all sides."""
    sheet = Image.fromarray(pen(digit, rng))
    sheet = sheet.convert("LA").rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=True)
    wood = 70 + rng.normal(0, 3, (sheet.height + 60, sheet.width + 60))
    table = Image.fromarray(np.clip(wood, 0, 255).astype(np.uint8))
    table.paste(sheet.getchannel(0), (30, 30), sheet.getchannel(1))
    return np.asarray(table)


def a4_page(digit: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a digit 6 mm high on a white A4 page, at 150 dpi."""
    crop = _crop(digit)
    height, width = 35, max(1, round(35 * crop.shape[1] / crop.shape[0]))
    page = np.full((1754, 1240), 255, np.uint8)
    top, left = rng.integers(100, 1640), rng.integers(100, 1000)
    page[top : top + height, left : left + width] -= _resize(crop, width, height)
    return page


MAKERS: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    maker.__name__.replace("_", " "): maker
    for maker in (
        *(postal, bitmap, coarse, pen, pencil, marker),
        *(scan, ruled_paper, graph_paper, on_a_table, a4_page),
    )
}


def _crop(digit: Pixels) -> Pixels:
    """Return the digit without its margin."""
    rows, columns = (np.flatnonzero((digit > 40).any(axis)) for axis in (1, 0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resize(digit: Pixels, width: int, height: int) -> Pixels:
    large = Image.fromarray(digit).resize((8 * width, 8 * height), Image.Resampling.BICUBIC)
    return np.asarray(large.resize((width, height), Image.Resampling.BOX))


def _in_the_middle(digit: Pixels, side: int) -> Pixels:
    image = np.zeros((side, side), np.uint8)
    left = (side - digit.shape[1]) // 2
    image[: digit.shape[0], left : left + digit.shape[1]] = digit
    return image


def _write(digit: Pixels, width: float, rng: np.random.Generator) -> Levels:
    """Return the digit some 80 pixels long on a sheet, its strokes `width` wide.

    The width is in pixels of the box that MNIST makes 20 long. The outline at half level moves out
    or in, by the distance from it.
    """
    crop = _crop(digit)
    scale = 80 / max(crop.shape)
    columns, rows = (round(side * scale) for side in crop.shape[::-1])
    mask = np.pad(_resize(crop, max(columns, 1), max(rows, 1)) > 127, 16)
    depth = ndimage.distance_transform_edt(mask)
    offset = (width * 4 - 4 * np.median(depth[mask])) / 2
    strokes = np.clip(depth - ndimage.distance_transform_edt(~mask) + offset + 0.5, 0, 1)
    sheet = np.zeros((HEIGHT, WIDTH))
    top, left = (
        int(rng.integers(10, b - s - 10)) for b, s in zip(sheet.shape, mask.shape, strict=True)
    )
    sheet[top : top + mask.shape[0], left : left + mask.shape[1]] = strokes
    return sheet


def _lines(place: Levels, pitch: float, first: float = 0.0) -> Levels:
    """Return lines 2 pixels wide, one every `pitch` pixels."""
    return np.clip(1.5 - np.abs((place - first + pitch / 2) % pitch - pitch / 2), 0, 1)


def _paper(foreground: Levels, rng: np.random.Generator, noise: float = 0.01) -> Pixels:
    """Return paper lit from the left, a little blurred, with noise."""
    levels = 0.9 * (1 - foreground) * np.linspace(1, 0.8, WIDTH)
    levels = ndimage.gaussian_filter(levels, 0.7) + rng.normal(0, noise, levels.shape)
    return (np.clip(levels, 0, 1) * 255).astype(np.uint8)
