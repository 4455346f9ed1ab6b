"""The pixels that each unit of one finite map reads along one axis, borders included.

A window describes a unit on an infinite image. A pixel range holds the first and last pixel of
this image, with every layer's padding left out. Both are tracked: only ranges are exact at
borders, after a crop, and where windows are unevenly spaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections, Ints

NO_FIRST, NO_LAST = np.array([np.iinfo(np.int64).max]), np.array([-1])
"""The first and the last pixel of a unit that reads none."""


@dataclass(eq=False, slots=True)
class PixelRanges:
    """The first and last pixel that each unit reads, each of shape `(units,)`."""

    first: Ints
    last: Ints

    @classmethod
    def identity(cls, units: int) -> PixelRanges:
        """Return the ranges of the input: each unit is one pixel."""
        pixels = np.arange(units)
        return cls(pixels, pixels)

    def __len__(self) -> int:
        return len(self.first)

    def take(self, entries: range) -> PixelRanges:
        """Return the ranges of some of the units."""
        kept = slice(entries.start, entries.stop, entries.step)
        return PixelRanges(self.first[kept], self.last[kept])

    def place(self, entries: range, units: int) -> PixelRanges:
        """Return the ranges of a longer map: these at some entries, and nothing at the others."""
        first, last = np.repeat(NO_FIRST, units), np.repeat(NO_LAST, units)
        placed = slice(entries.start, entries.stop, entries.step)
        first[placed], last[placed] = self.first, self.last
        return PixelRanges(first, last)

    def without(self, entries: range) -> PixelRanges:
        """Return the ranges of the same map after some entries were cleared and read nothing."""
        first, last = self.first.copy(), self.last.copy()
        removed = slice(entries.start, entries.stop, entries.step)
        first[removed], last[removed] = NO_FIRST, NO_LAST
        return PixelRanges(first, last)

    def apply(self, connections: Connections) -> PixelRanges:
        """Return the ranges of a layer whose inputs have these ranges."""
        first = np.concatenate((self.first, NO_FIRST))
        last = np.concatenate((self.last, NO_LAST))
        inputs = connections.inputs
        if connections.every and not self._is_monotone():
            inputs = connections.every()
        if inputs.shape[1] == 1:
            return PixelRanges(first[inputs[:, 0]], last[inputs[:, 0]])
        return PixelRanges(first[inputs].min(axis=1), last[inputs].max(axis=1))

    def _is_monotone(self) -> bool:
        """Return whether the first and last unit of any group read its first and last pixel."""
        return all(bool((ends[1:] >= ends[:-1]).all()) for ends in (self.first, self.last))

    def union(self, other: PixelRanges) -> PixelRanges:
        """Return the unions unit by unit; a single range is joined to every unit's."""
        if self is other:
            return self
        return PixelRanges(np.minimum(self.first, other.first), np.maximum(self.last, other.last))

    def union_all(self) -> PixelRanges:
        """Return the range of one unit that reads what all units read."""
        if len(self) == 1:
            return self
        first, last = np.append(self.first, NO_FIRST), np.append(self.last, NO_LAST)
        return PixelRanges(first.min(keepdims=True), last.max(keepdims=True))

    def spread(self, size: int, stride: int) -> PixelRanges:
        """Return ranges in which each unit reads what its whole group reads.

        A group is `size` units, each `stride` after the last; see `Factor`.

        >>> PixelRanges.identity(6).spread(size=3, stride=1).last
        array([2, 2, 2, 5, 5, 5])
        """
        shape = (-1, size, stride)
        first = self.first.reshape(shape).min(axis=1, keepdims=True)
        last = self.last.reshape(shape).max(axis=1, keepdims=True)
        return PixelRanges(
            *(np.broadcast_to(a, (a.shape[0], size, stride)).ravel() for a in (first, last))
        )
