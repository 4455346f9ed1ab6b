"""Split touching digits if the pieces read clearly better than the whole.

Seams from top to bottom that cross as little foreground as possible are proposed as cuts. A score
of how well each piece reads as one digit decides which of them are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.images.components import Box, Component, bounding_box
from mnistzoo.images.grayscale import GrayLevels
from mnistzoo.images.rendering import BOX, render
from mnistzoo.images.segmentation import Foreground

Score = Callable[[NDArray[np.uint8]], float]
"""Takes an image in MNIST format, uint8 of shape `(28, 28)`, and returns the log-probability that
it shows one digit, and that the digit is the one that the model predicts."""

MIN_WIDTH = 0.9
"""Least width of digits that may touch, as a share of their height. Most letters are narrower."""

MIN_PIECE = 0.12
"""Least width of a piece, as a share of the height: a slim 1."""

MAX_PIECE = 1.4
"""Greatest width of a piece, as a share of the height."""

SURE = -0.02
"""Components with at least this score that are not wider than high are not split."""

MARGIN = 0.1
"""How much better the pieces of a split have to score than the whole. This and the bounds above
were chosen on lines made from training images: `python tests/benchmarks/reading.py --tune`."""

MIN_SCORE = -1.2
"""Least score of each piece. The strokes of a printed letter score less when they are cut apart.
This and the cost of a sidestep were chosen on lines made from other training images, and on printed
words."""

_ROWS = 48
"""Seams are searched for at this height, in pixels. Chosen, not measured."""

_SIDESTEP = 0.8
"""Cost of a seam's step to the side, where crossing a pixel of foreground costs 1."""


@dataclass(frozen=True)
class Part:
    """One digit, or several that could not be separated.

    Attributes:
        foreground: The foreground that it was found in, perhaps cropped.
        components: Its components there.
        offset: Where the foreground's left and top are in the whole image.
        touching: Whether it may be several digits.
    """

    foreground: Foreground
    components: list[Component]
    offset: tuple[int, int] = (0, 0)
    touching: bool = False

    @property
    def box(self) -> Box:
        """Where it is in the whole image."""
        left, top, right, bottom = bounding_box(self.components)
        x, y = self.offset
        return left + x, top + y, right + x, bottom + y

    def render(self) -> NDArray[np.uint8]:
        """Return it in MNIST format."""
        return render(self.foreground, self.components)


def split(whole: Part, score: Score) -> list[Part]:
    """Return the digits that touch in a part, from left to right, or the part itself."""
    left, top, right, bottom = whole.box
    height, width = bottom - top, right - left
    unsplit = score(whole.render())
    if width < MIN_WIDTH * height or (unsplit >= SURE and width <= height):
        return [whole]
    alone = _crop(whole)
    pieces, best = _best_split(alone, score)
    if len(pieces) < 2 or best <= unsplit:
        return [whole]
    return pieces if best > unsplit + MARGIN else [replace(whole, touching=True)]


def _crop(whole: Part) -> Part:
    """Return the part without other components, on a background just large enough."""
    left, top, right, bottom = whole.box
    margin = 1 + max(right - left, bottom - top) // BOX
    x, y = max(left - margin, 0), max(top - margin, 0)
    window = np.s_[y : bottom + margin, x : right + margin]
    labels = whole.foreground.labels.pixels[window]
    own = np.isin(labels, [component.label for component in whole.components])
    density = np.where((labels > 0) & ~own, np.float32(0), whole.foreground.density[window])
    foreground = Foreground(density, own, whole.foreground.contrast)
    return Part(foreground, foreground.labels.components(), (x, y))


def _best_split(alone: Part, score: Score) -> tuple[list[Part], float]:
    """Return the pieces with the greatest total score, by dynamic programming over the seams."""
    mask = alone.foreground.mask
    seams, regions = find_seams(mask), np.zeros(mask.shape, np.int64)
    for seam in seams:
        regions += np.arange(mask.shape[1]) >= seam[:, None]
    best: list[tuple[float, list[Part]]] = [(0.0, [])]
    for stop in range(1, len(seams) + 2):
        options: list[tuple[float, list[Part]]] = [(-np.inf, [])]
        for start, (total, before) in enumerate(best):
            piece = _piece(alone, (regions >= start) & (regions < stop))
            if piece is None or total == -np.inf:
                continue
            if (own := score(piece.render())) >= MIN_SCORE:
                options.append((total + own, [*before, piece]))
        best.append(max(options, key=lambda option: option[0]))
    return best[-1][1], best[-1][0]


def _piece(alone: Part, chosen: NDArray[np.bool_]) -> Part | None:
    """Return the part inside the chosen pixels, or None if it is too narrow or too wide."""
    mask = alone.foreground.mask & chosen
    columns, height = np.flatnonzero(mask.any(0)), bounding_box(alone.components)
    share = (np.ptp(columns) + 1) / (height[3] - height[1]) if columns.size else 0
    if not MIN_PIECE <= share <= MAX_PIECE:
        return None
    density = np.where(chosen, alone.foreground.density, np.float32(0))
    foreground = Foreground(density, mask, alone.foreground.contrast)
    components = foreground.labels.components()
    parts = [part for part in components if part.area >= 0.03 * components[0].area]
    return Part(foreground, parts, alone.offset)


def find_seams(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return seams that cross little foreground, from left to right: a column for each row.

    The cost of the cheapest seam to each column of the last row has local minima; these seams are
    followed upward. A seam may move by one column from row to row.
    """
    height, width = mask.shape
    columns = max(4, round(width * _ROWS / height))
    small = cv2.resize(mask.astype(np.float32), (columns, _ROWS), interpolation=cv2.INTER_AREA)
    total, steps = _cheapest_seams(np.asarray(small, np.float32))
    least = max(1, round(MIN_PIECE * _ROWS))
    seams: list[NDArray[np.int64]] = []
    for end in np.argsort(total, kind="stable").tolist():
        seam = [end]
        for row in steps[:0:-1]:
            seam.append(seam[-1] + int(row[seam[-1]]))
        path = np.array(seam[::-1])
        middle = path.mean()
        if not least <= middle <= columns - least:
            continue
        if all(abs(middle - other.mean()) >= least for other in seams):
            seams.append(path)
        if len(seams) == 8:
            break
    rows = np.minimum(np.arange(height) * _ROWS // height, _ROWS - 1)
    scaled = [np.rint((path[rows] + 0.5) * width / columns).astype(np.int64) for path in seams]
    return sorted(scaled, key=lambda path: float(path.mean()))


def _cheapest_seams(cost: GrayLevels) -> tuple[GrayLevels, NDArray[np.int64]]:
    """Return the cost of the cheapest seam to each column of the last row, and its last steps."""
    total, steps = cost[0], np.zeros(cost.shape, np.int64)
    for row in range(1, len(cost)):
        beside = np.pad(total, 1, constant_values=np.inf)
        options = np.stack([total, beside[:-2] + _SIDESTEP, beside[2:] + _SIDESTEP])
        steps[row] = np.array([0, -1, 1])[options.argmin(0)]
        total = options.min(0) + cost[row]
    return total, steps
