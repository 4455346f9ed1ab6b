"""One digit drawn as MNIST draws it: the pieces of ink, their strokes, the 28×28 picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnistzoo.images.grayscale import GrayLevels
from mnistzoo.images.grouping import Part, box_of
from mnistzoo.images.segmentation import Ink

SIDE, BOX = 28, 20
"""MNIST's pictures are 28×28; the longer side of a digit's box in them is 20."""

_FINE = 8
"""Strokes are measured and drawn on a grid this many times finer than MNIST's."""

STROKE_WIDTHS = (2.25, 3.0)
"""Strokes are brought within these widths, in pixels of the 20×20 box: the middle half of MNIST's,
`python tests/benchmarks/strokes.py`."""


def draw(ink: Ink, labelled: NDArray[np.int32], pieces: list[Part]) -> NDArray[np.uint8]:
    """One digit as MNIST draws it: uint8, shape `(28, 28)`, its ink 255 on 0.

    The way is the published one: the longer side of the ink's box becomes 20 pixels, the aspect
    ratio stays, grey levels come from anti-aliasing, and the centre of mass goes to the centre.
    """
    left, top, right, bottom = box_of(pieces)
    fringe = max(1, max(right - left, bottom - top) // BOX)
    window = np.s_[max(top - fringe, 0) : bottom + fringe, max(left - fringe, 0) : right + fringe]
    own = np.isin(labelled[window], [piece.number for piece in pieces])
    near = ndimage.maximum_filter(own, 2 * fringe + 1) & ((labelled[window] == 0) | own)
    density = np.where(near, ink.density[window], np.float32(0))
    return _centred(_fit(_strokes(_enlarge(np.pad(density, 1)))))


def _enlarge(density: GrayLevels) -> GrayLevels:
    """The same ink with its longer side about `BOX` × `_FINE` pixels."""
    scale = BOX * _FINE / (max(density.shape) - 2)
    size = tuple(max(1, round(side * scale)) for side in density.shape[::-1])
    return np.asarray(Image.fromarray(density).resize(size, Image.Resampling.LANCZOS))


def _strokes(density: GrayLevels) -> GrayLevels:
    """The ink from 0 to 1, with strokes as wide as pens make them in MNIST.

    Gray levels are kept where strokes are so, and where the picture is too coarse or blurred to
    measure them: they then hold what a threshold would lose. Other strokes are drawn anew, by the
    distance from their outline, positive inside: half of the pixels of a stroke w wide lie deeper
    than w / 4, and a level of it is the outline of another pen on the same path.
    """
    density = np.pad(density, 2 * _FINE)
    strong = density[density > 0.25]
    share = density / (np.quantile(strong, 0.9) if strong.size else density.max())
    ink = share > 0.5
    inside = ndimage.distance_transform_edt(ink)
    width = 4 * float(np.median(inside[ink])) / _FINE
    wanted = float(np.clip(width, *STROKE_WIDTHS))
    blurred = np.count_nonzero((share > 0.25) & (share < 0.75)) > np.count_nonzero(ink) / 2
    if wanted == width or (blurred and wanted < width):
        return np.asarray(np.clip((share - 0.1) / 0.8, 0, 1), dtype=np.float32)
    outline = inside - ndimage.distance_transform_edt(~ink)
    thicker = (wanted - width) / 2 * _FINE
    return np.asarray(np.clip(outline + thicker + 0.5, 0, 1), dtype=np.float32)


def _fit(strokes: GrayLevels) -> GrayLevels:
    """The ink's box, shrunk so that its longer side is `BOX` pixels."""
    rows, columns = (np.flatnonzero(strokes.max(axis) > 0.5) for axis in (1, 0))
    cropped = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(cropped.shape)
    size = tuple(max(1, round(side * scale)) for side in cropped.shape[::-1])
    return np.asarray(Image.fromarray(cropped).resize(size, Image.Resampling.BOX))


def _centred(digit: GrayLevels) -> NDArray[np.uint8]:
    """The digit in 28×28, its centre of mass on the pixel whose number is 14, as in MNIST."""
    picture = np.zeros((SIDE, SIDE), np.uint8)
    offsets = []
    for length, centre in zip(digit.shape, ndimage.center_of_mass(digit), strict=True):
        offsets.append(int(np.clip(round(SIDE / 2 - centre), 0, SIDE - length)))
    (top, left), (height, width) = offsets, digit.shape
    picture[top : top + height, left : left + width] = np.rint(digit * 255)
    return picture
