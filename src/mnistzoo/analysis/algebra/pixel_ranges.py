"""Which pixels each unit of one finite map sees along one axis, borders included.

A window tells what a unit would see of an endless image; a span tells what it sees of this one:
its first and last pixel after every layer's padding has been cut off. Both are carried along,
since only spans hold at borders, after a crop, or where windows are not evenly spaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mnistzoo.analysis.algebra.window import Number, Window

Ints = npt.NDArray[np.int64]

NOTHING = np.iinfo(np.int64).max
"""The first pixel of a unit that sees none; its last is −1."""


@dataclass(frozen=True, eq=False, slots=True)
class PixelRanges:
    """The first and last pixel that each unit sees, each of shape `(units,)`."""

    first: Ints
    last: Ints

    @classmethod
    def identity(cls, units: int) -> PixelRanges:
        """Every unit sees the pixel of its own number."""
        pixels = np.arange(units)
        return cls(pixels, pixels)

    def __len__(self) -> int:
        return len(self.first)

    def through(self, step: Step) -> PixelRanges:
        """The spans of a map whose units read the units `step.taps` of this one."""
        first, last = np.append(self.first, NOTHING), np.append(self.last, -1)
        taps = step.taps
        if taps.shape[1] == 1:
            return PixelRanges(first[taps[:, 0]], last[taps[:, 0]])
        return PixelRanges(first[taps].min(axis=1), last[taps].max(axis=1))

    def union(self, other: PixelRanges) -> PixelRanges:
        """What both see together; spans of one unit hold for every unit."""
        if self is other:
            return self
        return PixelRanges(np.minimum(self.first, other.first), np.maximum(self.last, other.last))

    def smeared(self, size: int, weight: int) -> PixelRanges:
        """Every unit also sees what the units see that differ from it in one digit only.

        The unit's number is read as digits; the digit meant has `size` values and counts `weight`.
        """
        shape = (-1, size, weight)
        first = self.first.reshape(shape).min(axis=1, keepdims=True)
        last = self.last.reshape(shape).max(axis=1, keepdims=True)
        return PixelRanges(
            *(np.broadcast_to(a, (a.shape[0], size, weight)).ravel() for a in (first, last))
        )

    def everything(self) -> PixelRanges:
        """One unit that sees what all see together."""
        return PixelRanges(self.first.min(keepdims=True), self.last.max(keepdims=True))


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One layer along one axis: its window, and the units it reads for each unit it makes.

    Attributes:
        window: for an endless map.
        taps: units read, shape `(units, taps)`; −1 where it reads padding.
    """

    window: Window
    taps: Ints

    @classmethod
    def read(cls, taps: Ints, stride: Number, unclipped: Ints | None = None) -> Step:
        """A step given by what it reads; its window is the least of this `stride` that holds it.

        Args:
            taps: as in `Step`.
            stride: of the window.
            unclipped: the units that would be read of an endless map; without it `taps`.
        """
        exact = Fraction(stride)
        reads = taps if unclipped is None else unclipped
        if not reads.size:
            return cls(Window(1, stride), taps)
        start = np.arange(len(reads)) * exact.numerator
        low = (reads.min(axis=1) * exact.denominator - start).min()
        high = (reads.max(axis=1) * exact.denominator - start).max()
        window = Window.between(
            Fraction(int(low), exact.denominator), Fraction(int(high), exact.denominator), stride
        )
        return cls(window, taps)


def inside(taps: Ints, units: int) -> Ints:
    """`taps` with −1 for every one that lies outside `0 … units − 1`."""
    return np.where((taps >= 0) & (taps < units), taps, -1)


class Slide(NamedTuple):
    """The numbers of a convolution or a pool along one axis, as torch names them."""

    kernel: int
    stride: int
    padding: int = 0
    dilation: int = 1


@lru_cache(maxsize=1024)
def sliding(units_in: int, units_out: int, slide: Slide) -> Step:
    """A convolution or a pool."""
    kernel, stride, padding, dilation = slide
    window = Window(dilation * (kernel - 1) + 1, stride, padding)
    starts = np.arange(units_out) * stride - padding
    return Step(window, inside(starts[:, None] + np.arange(kernel) * dilation, units_in))


@lru_cache(maxsize=1024)
def transposed(units_in: int, units_out: int, slide: Slide) -> Step:
    """A transposed convolution: unit `o` reads `i` where `o = i·stride − padding + dilation·t`."""
    kernel, stride, padding, dilation = slide
    reach = dilation * (kernel - 1)
    low, high = Fraction(padding - reach, stride), Fraction(padding, stride)
    window = Window.between(low, high, Fraction(1, stride))
    scaled = np.arange(units_out)[:, None] + padding - np.arange(kernel) * dilation
    taps = np.where(scaled % stride == 0, scaled // stride, -1)
    return Step(window, inside(taps, units_in))
