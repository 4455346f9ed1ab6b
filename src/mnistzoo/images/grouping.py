"""Which pieces of ink make one digit, and in which order digits are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom; the last two are outside."""


@dataclass(frozen=True)
class Part:
    """A connected piece of ink.

    Attributes:
        number: what it has in the labelled picture.
        box: what it fits into.
        area: pixels.
        edge: pixels of it on the outermost rows and columns of the picture.
    """

    number: int
    box: Box
    area: int
    edge: int = 0

    @property
    def height(self) -> int:
        """Rows from top to bottom."""
        return self.box[3] - self.box[1]

    @property
    def length(self) -> int:
        """Its longer side."""
        return max(self.box[2] - self.box[0], self.height)


def box_of(pieces: list[Part]) -> Box:
    """The box around all of them."""
    lefts, tops, rights, bottoms = zip(*(piece.box for piece in pieces), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def inside(found: list[Part], least: float) -> list[Part]:
    """The pieces without those that run all along the edge of the picture: a desk, a shadow.

    All of them, if no other is `least` long: a digit cropped close may do so, too.
    """
    within = [part for part in found if part.edge < part.length]
    return within if any(part.length >= least for part in within) else found


def main_digit(found: list[Part]) -> list[Part]:
    """The largest piece of ink, and what belongs to it: near, and not too small."""
    main = max(found, key=lambda part: part.area)
    reach = 0.25 * main.length
    return [p for p in found if p.area >= 0.03 * main.area and _gap(p.box, main.box) <= reach]


def digits(found: list[Part]) -> list[list[Part]]:
    """The pieces of each digit: one of nearly full height, and the low ones that belong to it."""
    usual = _usual_height(found)
    groups = [[part] for part in found if part.height >= 0.6 * usual]
    for low in (part for part in found if part.height < 0.6 * usual):
        nearest = min(groups, key=lambda group: _gap(low.box, group[0].box))
        if _belongs(low.box, nearest[0].box, usual):
            nearest.append(low)
        elif low.height >= 0.4 * usual:
            groups.append([low])
    return groups


def _usual_height(found: list[Part]) -> float:
    """The height of which as much ink is taller as is lower: specks weigh little."""
    ordered = sorted(found, key=lambda part: part.height)
    ink = np.cumsum([part.area for part in ordered])
    return ordered[int(np.searchsorted(ink, ink[-1] / 2))].height


def _belongs(low: Box, full: Box, usual: float) -> bool:
    """Whether a low piece is part of a digit: above or below it, or all but touching it."""
    overlap = min(low[2], full[2]) - max(low[0], full[0])
    stacked = overlap >= 0.3 * min(low[2] - low[0], full[2] - full[0])
    return _gap(low, full) <= (0.35 if stacked else 0.1) * usual


def _gap(a: Box, b: Box) -> float:
    """The distance between two boxes, 0 where they overlap."""
    across = max(a[0], b[0]) - min(a[2], b[2])
    down = max(a[1], b[1]) - min(a[3], b[3])
    return float(np.hypot(max(across, 0), max(down, 0)))


def in_reading_order(groups: list[list[Part]]) -> list[list[Part]]:
    """Digits line by line from the top, each line from left to right.

    From the left, a digit continues the line whose last digit stands beside it, so that lines may
    climb or fall across the page.
    """
    lines: list[list[list[Part]]] = []
    for group in sorted(groups, key=lambda group: box_of(group)[0]):
        box = box_of(group)
        beside = [line for line in lines if _share_beside(box, box_of(line[-1])) >= 0.4]
        if beside:
            max(beside, key=lambda line: _share_beside(box, box_of(line[-1]))).append(group)
        else:
            lines.append([group])
    lines.sort(key=lambda line: float(np.mean([sum(box_of(group)[1::2]) for group in line])))
    return [group for line in lines for group in line]


def _share_beside(a: Box, b: Box) -> float:
    """How much of the lower box's height is beside the other."""
    return (min(a[3], b[3]) - max(a[1], b[1])) / min(a[3] - a[1], b[3] - b[1])
