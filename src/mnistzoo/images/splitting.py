"""Split digits that touch, where a split is plainly better than none.

Seams from top to bottom that cross as little foreground as possible are proposed as cuts. A score
of how well each piece reads as one digit decides which of them are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.images.components import Component, bounding_box
from mnistzoo.images.grayscale import GrayLevels
from mnistzoo.images.rendering import render
from mnistzoo.images.segmentation import Foreground

Score = Callable[[NDArray[np.uint8]], float]
"""Takes an image in MNIST format, uint8 of shape `(28, 28)`, and returns the log-probability that
it shows one digit, and that this is the digit which the model reads."""

MIN_WIDTH = 0.45
"""Least width of digits that may touch, as a share of their height."""

MIN_PIECE = 0.12
"""Least width of a piece, as a share of the height: a slim 1."""

MAX_PIECE = 1.4
"""Greatest width of a piece, as a share of the height."""

SURE = -0.1
"""Components that read as one digit with this score or more, and are not wider than high, stay."""

MARGIN = 1.0
"""How much better the pieces of a split have to score than the whole. This and the bounds above
were chosen on lines made from training images: `python tests/benchmarks/reading.py --tune`."""

_ROWS = 48
"""Seams are sought at this height, in pixels. Chosen, not measured."""

_SIDESTEP = 0.15
"""Cost of a seam's step to the side, where crossing a pixel of foreground costs 1."""


@dataclass(frozen=True)
class Part:
    """One digit, or several that could not be told apart.

    Attributes:
        foreground: The foreground that it was found in.
        components: Its components there.
        touching: Whether it may be several digits.
    """

    foreground: Foreground
    components: list[Component]
    touching: bool = False


def split(whole: Part, score: Score) -> list[Part]:
    """Return the digits that touch in a part, from left to right, or the part itself."""
    left, top, right, bottom = bounding_box(whole.components)
    height, width = bottom - top, right - left
    unsplit = score(_pixels(whole))
    if width < MIN_WIDTH * height or (unsplit >= SURE and width <= height):
        return [whole]
    own = np.isin(whole.foreground.labels.pixels, [part.label for part in whole.components])
    seams = find_seams(own[top:bottom, left:right])
    columns = np.arange(left, right)
    regions = sum((columns >= left + seam[:, None]).astype(int) for seam in seams)
    found, best = _best_split(whole, own, (left, top, right, bottom), regions, len(seams), score)
    if len(found) < 2 or best <= unsplit:
        return [whole]
    return found if best > unsplit + MARGIN else [Part(whole.foreground, whole.components, True)]


def _best_split(
    whole: Part,
    own: NDArray[np.bool_],
    box: tuple[int, int, int, int],
    regions: NDArray[np.int_] | int,
    count: int,
    score: Score,
) -> tuple[list[Part], float]:
    """Return the pieces with the greatest total score, by dynamic programming over the seams."""
    best: list[tuple[float, list[Part]]] = [(0.0, [])]
    for stop in range(1, count + 2):
        options: list[tuple[float, list[Part]]] = [(-np.inf, [])]
        for start in range(stop):
            piece = _piece(whole, own, box, (regions >= start) & (regions < stop))
            if piece is not None and np.isfinite(best[start][0]):
                total, before = best[start]
                options.append((total + score(_pixels(piece)), [*before, piece]))
        best.append(max(options, key=lambda option: option[0]))
    return best[-1][1], best[-1][0]


def _pixels(part: Part) -> NDArray[np.uint8]:
    return render(part.foreground, part.components)


def _piece(
    whole: Part,
    own: NDArray[np.bool_],
    box: tuple[int, int, int, int],
    chosen: NDArray[np.bool_],
) -> Part | None:
    """Return the part of the whole inside the chosen pixels of its box, or None if too narrow."""
    left, top, right, bottom = box
    mask, others = np.zeros_like(own), whole.foreground.mask.copy()
    mask[top:bottom, left:right] = own[top:bottom, left:right] & chosen
    others[mask] = False
    width = np.flatnonzero(mask.any(0))
    height = bottom - top
    if not width.size or not MIN_PIECE <= (np.ptp(width) + 1) / height <= MAX_PIECE:
        return None
    density = np.where(others, np.float32(0), whole.foreground.density)
    foreground = Foreground(density, mask, whole.foreground.contrast)
    components = foreground.labels.components()
    largest = components[0].area
    return Part(foreground, [part for part in components if part.area >= 0.03 * largest])


def find_seams(mask: NDArray[np.bool_]) -> list[NDArray[np.int_]]:
    """Return seams that cross little foreground, from left to right: a column for each row.

    The cost of the cheapest seam to each column of the last row has local minima; these seams are
    followed upward. A seam may move by one column from row to row.
    """
    height, width = mask.shape
    columns = max(4, round(width * _ROWS / height))
    small = cv2.resize(mask.astype(np.float32), (columns, _ROWS), interpolation=cv2.INTER_AREA)
    total, steps = _cheapest_seams(small)
    least = max(1, round(MIN_PIECE * _ROWS))
    seams: list[NDArray[np.int_]] = []
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
    scaled = [np.rint((path[rows] + 0.5) * width / columns).astype(int) for path in seams]
    return sorted(scaled, key=lambda path: float(path.mean()))


def _cheapest_seams(cost: GrayLevels) -> tuple[GrayLevels, NDArray[np.int_]]:
    """Return the cost of the cheapest seam to each column of the last row, and its last steps."""
    total, steps = cost[0], np.zeros(cost.shape, int)
    for row in range(1, len(cost)):
        beside = np.pad(total, 1, constant_values=np.inf)
        options = np.stack([total, beside[:-2] + _SIDESTEP, beside[2:] + _SIDESTEP])
        steps[row] = np.array([0, -1, 1])[options.argmin(0)]
        total = options.min(0) + cost[row]
    return total, steps
