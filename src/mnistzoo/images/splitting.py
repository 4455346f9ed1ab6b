"""Split touching digits if the pieces read better than the whole.

Seams from top to bottom are proposed as cuts. How well each piece reads as a digit decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mnistzoo.images.components import Box, Component, bounding_box
from mnistzoo.images.rendering import BOX, render
from mnistzoo.images.seams import Seam, find_seams
from mnistzoo.images.segmentation import Foreground

Score = Callable[[NDArray[np.uint8]], float]
"""Takes an image in MNIST format, uint8 of shape `(28, 28)`, and returns how surely it shows a
single digit that the model predicts correctly: a log-probability, 0 if that is certain."""

WIDTHS = (0.12, 1.4)
"""Least and greatest width of a piece, as a share of the height."""

TEMPERATURE = 1.5
"""The detector's log-odds are divided by this. Otherwise two digits that resemble one, often with
log-odds of about 4, would score like a single digit, most of which have 8 or more. This and the
constants below were chosen on lines made from training images:
`python tests/benchmarks/reading.py --tune`."""

NARROW = 0.9
"""Narrower parts, as a share of their height, are seldom several digits. Most letters are."""

UNREAD = 3.0
"""Narrow parts do not read as a digit if their score, negated, is more than this times the aspect
that they lack. Chosen on those lines and on a printed number."""

WIDE = 1.0
"""Digits wider than this share of the height are rare: the excess is subtracted from the score."""

LOW = 0.7
"""Pieces shorter than this share of the whole part's height are rare: half the shortfall is
subtracted from their score."""

CUT_COST = 0.01
"""Amount by which each cut has to raise the score."""

MARGIN = 0.1
"""A part stays whole, but is marked as touching, if its pieces score lower by less than this."""

READS = -0.28
"""Parts with at least this score read as digits. Chosen, not measured."""

MIN_SCORE = -1.2
"""Lowest score of a piece. Strokes of a letter score lower. Chosen on printed words as well."""

MAX_CROSSING = 0.02
"""The seams on both sides of a piece may cross, but at most this share of a digit may lie between
them where they do."""

MAX_PIECES = 3_000
"""Maximum number of pieces tried on a page. Noise would need many more, at about a millisecond
each. Parts that come after them stay whole."""

MIN_AREA = 0.03
"""Components of a piece that are smaller than this share of its largest one are dropped."""


@dataclass(frozen=True)
class Part:
    """One digit, or several that could not be separated.

    Attributes:
        foreground: The foreground that it was found in, perhaps cropped.
        components: Its components there.
        offset: Where the foreground's left and top are in the whole image.
        touching: Whether it may be several digits.
        cut: Whether it was cut from a larger part.
    """

    foreground: Foreground
    components: list[Component]
    offset: tuple[int, int] = (0, 0)
    touching: bool = False
    cut: bool = False

    @property
    def box(self) -> Box:
        """Where it is in the whole image."""
        left, top, right, bottom = bounding_box(self.components)
        x, y = self.offset
        return left + x, top + y, right + x, bottom + y

    @property
    def aspect(self) -> float:
        """Its width as a share of its height."""
        left, top, right, bottom = self.box
        return (right - left) / (bottom - top)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The part in MNIST format."""
        return render(self.foreground, self.components)


def digit_score(
    probabilities: Callable[[NDArray[np.uint8]], list[float]],
    log_odds: Callable[[NDArray[np.uint8]], float],
) -> Score:
    """Return the score made from a model's probabilities and the detector's log-odds."""

    def score(pixels: NDArray[np.uint8]) -> float:
        is_digit = -float(np.logaddexp(0, -log_odds(pixels) / TEMPERATURE))
        if is_digit < MIN_SCORE:  # too low already, and the model can only lower it
            return is_digit
        return is_digit + float(np.log(np.max(probabilities(pixels))))

    return score


def split_line(parts: list[Part], score: Score, tries: Iterator[int]) -> list[Part]:
    """Return the digits of a line, from left to right.

    A narrow part is split only if it does not read as a digit, but at least half of the other parts
    do or are split. Otherwise the line may be text, whose letters would be split into strokes.

    Args:
        parts: The connected parts of the line, from left to right.
        score: How well an image reads as one digit.
        tries: Yields a value for each piece that may still be tried: `range(MAX_PIECES)`, shared
            by all lines of a page.
    """
    scores = [score(part.pixels) for part in parts]
    lists = [
        [part] if part.aspect < NARROW else split(part, own, score, tries)
        for part, own in zip(parts, scores, strict=True)
    ]
    reads = [own >= READS or len(pieces) > 1 for own, pieces in zip(scores, lists, strict=True)]
    total = sum(reads)
    for index, (part, own) in enumerate(zip(parts, scores, strict=True)):
        agree = 2 * (total - reads[index]) >= len(parts) - 1 > 0
        if part.aspect < NARROW and -own > UNREAD * (NARROW - part.aspect) and agree:
            lists[index] = split(part, own, score, tries)
    return list(chain.from_iterable(lists))


def split(whole: Part, own: float, score: Score, tries: Iterator[int]) -> list[Part]:
    """Return the touching digits of a part whose score is `own`, or the part itself."""
    unsplit = own - _size_penalty(whole, whole)
    if unsplit >= -CUT_COST:
        return [whole]
    pieces, total = _best_split(_crop(whole), score, MARGIN - unsplit, tries)
    if not pieces:
        return [whole]
    return pieces if total < -unsplit else [replace(whole, touching=True)]


def _size_penalty(piece: Part, whole: Part) -> float:
    """Return what a piece of a part loses from its score for being unusually wide or short."""
    left, top, right, bottom = piece.box
    height = whole.box[3] - whole.box[1]
    return max(0, (right - left) / height - WIDE) + max(0, LOW - (bottom - top) / height) / 2


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


def _best_split(
    alone: Part, score: Score, limit: float, tries: Iterator[int]
) -> tuple[list[Part], float]:
    """Return the pieces with the least total cost below a limit, and that cost.

    This is Dijkstra's algorithm from the left edge over the seams to the right edge. Most pieces
    are never rendered, because those before them read badly.
    """
    seams = _edges_and_seams(alone)
    last, reached = len(seams) - 1, set[int]()
    queue: list[tuple[float, int, int, list[Part]]] = [(0.0, 0, 0, [])]
    pushed = 0
    while queue:
        total, _, start, before = heappop(queue)
        if start == last:
            return before, total
        if start in reached:
            continue
        reached.add(start)
        for (stop, piece), _ in zip(_pieces_from(alone, seams, start), tries, strict=False):
            least = total + _size_penalty(piece, alone) + (CUT_COST if stop < last else 0.0)
            if stop in reached or least >= limit:
                continue
            own = score(piece.pixels)
            if own >= MIN_SCORE and least - own < limit:
                pushed += 1  # breaks ties, since pieces cannot be compared
                heappush(queue, (least - own, pushed, stop, [*before, piece]))
    return [], np.inf


def _edges_and_seams(alone: Part) -> list[Seam]:
    """Return the left edge, the seams in the rows of the part, and the right edge."""
    height, width = alone.foreground.mask.shape
    _, top, _, bottom = bounding_box(alone.components)
    seams = find_seams(alone.foreground.mask[top:bottom])
    inner = [np.pad(seam, (top, height - bottom), mode="edge") for seam in seams]
    return [np.full(height, 0), *inner, np.full(height, width)]


def _pieces_from(alone: Part, seams: list[Seam], start: int) -> Iterator[tuple[int, Part]]:
    """Yield the pieces between one seam and each of those on its right."""
    mask = alone.foreground.mask
    left, top, right, bottom = bounding_box(alone.components)
    digit = np.count_nonzero(mask) * min(1, (bottom - top) / (right - left))
    columns = np.arange(mask.shape[1])
    after = columns >= seams[start][:, None]
    for stop in range(start + 1, len(seams)):
        before = columns < seams[stop][:, None]
        crossing = np.count_nonzero(mask & ~after & ~before)
        whole = stop - start == len(seams) - 1
        if not whole and crossing <= MAX_CROSSING * digit:
            piece = _piece(alone, after & before)
            if piece is not None:
                yield stop, piece


def _piece(alone: Part, chosen: NDArray[np.bool_]) -> Part | None:
    """Return the part inside the chosen pixels, or `None` if it is too narrow or too wide."""
    mask = alone.foreground.mask & chosen
    _, top, _, bottom = bounding_box(alone.components)
    columns = np.flatnonzero(mask.any(0))
    width = (np.ptp(columns) + 1) / (bottom - top) if columns.size else 0
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        return None
    density = np.where(chosen, alone.foreground.density, np.float32(0))
    foreground = Foreground(density, mask, alone.foreground.contrast)
    components = foreground.labels.components()
    parts = [part for part in components if part.area >= MIN_AREA * components[0].area]
    return Part(foreground, parts, alone.offset, cut=True)
