"""The pixels that the units of one tensor read along one axis of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.pixel_ranges import PixelRanges
from mnistzoo.analysis.algebra.window import IDENTITY, Number, Window
from mnistzoo.errors import AnalysisError


@dataclass(eq=False, slots=True)
class AxisField:
    """The receptive field of every unit of a tensor along one axis.

    Attributes:
        ranges: All pixels that each unit reads.
        window: The part that moves with the unit; `None` if nothing moves.
        local_ranges: The pixels of that part; `None` with `window`. The same object as `ranges`
            until a part that does not move is joined.
        is_global: Whether part of the field is the same for all units, as after a global pool, a
            flatten, attention, or a norm over the whole map.
    """

    window: Window | None
    local_ranges: PixelRanges | None
    ranges: PixelRanges
    is_global: bool = False

    @classmethod
    def identity(cls, units: int) -> AxisField:
        """Return the field of the input: each unit is one pixel."""
        ranges = PixelRanges.identity(units)
        return cls(IDENTITY, ranges, ranges)

    @classmethod
    def constant(cls, ranges: PixelRanges) -> AxisField:
        """Return a field in which nothing moves with the unit."""
        return cls(None, None, ranges, is_global=True)

    @property
    def units(self) -> int:
        """The number of units along the axis; 1 if all read the same."""
        return len(self.ranges.first)

    def take(self, entries: range) -> AxisField:
        """Return the field of some of the units, renumbered from 0."""
        start = -entries.start if entries else 0
        window = self.window and self.window.then(Window(1, entries.step, start))
        return self._each(lambda ranges: ranges.take(entries), window)

    def place(self, entries: range, units: int) -> AxisField:
        """Return the field of a longer map: these at some entries, and nothing at the others."""
        step = Window(1, Fraction(1, entries.step), Fraction(entries.start, entries.step))
        window = self.window and self.window.then(step)
        return self._each(lambda ranges: ranges.place(entries, units), window)

    def without(self, entries: range) -> AxisField:
        """Return the field of the same map after some entries were cleared and read nothing."""
        return self._each(lambda ranges: ranges.without(entries), self.window)

    def apply(self, connections: Connections) -> AxisField:
        """Return the field of a layer whose inputs have this field."""
        window = self.window and self.window.then(connections.window)
        return self._each(lambda ranges: ranges.apply(connections), window)

    def _each(
        self, change: Callable[[PixelRanges], PixelRanges], window: Window | None
    ) -> AxisField:
        """Return a field with another window, and both ranges changed alike."""
        ranges, local = change(self.ranges), self.local_ranges
        if local is not None:
            local = ranges if local is self.ranges else change(local)
        return AxisField(window, local, ranges, self.is_global)

    def union_all(self) -> AxisField:
        """Return the field of one unit that reads what all units read."""
        return self if self.units == 1 else self.to_global()

    def to_global(self) -> AxisField:
        """Return `union_all` marked as global, even for a single unit."""
        return AxisField.constant(self.ranges.union_all())

    def spread_over_all(self) -> AxisField:
        """Return the field after a norm over the axis: each unit also reads what all read."""
        if self.units == 1:
            return self
        ranges = self.ranges.union(self.ranges.union_all())
        return replace(self, ranges=ranges, is_global=True)

    def spread(self, size: int, stride: int) -> AxisField:
        """Return the field in which each unit reads what its group reads (`PixelRanges.spread`)."""
        window = self.window
        if window is not None:
            distance = (size - 1) * stride * window.stride
            window = Window.between(window.low - distance, window.high + distance, window.stride)
        return self._each(lambda ranges: ranges.spread(size, stride), window)

    def union(self, other: AxisField) -> AxisField:
        """Return the field of units that read one unit of each.

        Raises:
            AnalysisError: The two windows move at different strides.
        """
        if self is other:
            return self
        if other.units != self.units:
            if self.units == 1:
                return other._with_constant(self)
            return self._with_constant(other.union_all())
        ranges = self.ranges.union(other.ranges)
        is_global = self.is_global or other.is_global
        if self.local_ranges is None or self.window is None:
            return AxisField(other.window, other.local_ranges, ranges, is_global)
        if other.local_ranges is None or other.window is None:
            return AxisField(self.window, self.local_ranges, ranges, is_global)
        window = _union_of_windows(self.window, other.window, self.units)
        same = self.local_ranges is self.ranges and other.local_ranges is other.ranges
        local = ranges if same else self.local_ranges.union(other.local_ranges)
        return AxisField(window, local, ranges, is_global)

    def with_stride(self, stride: Number, units: range) -> AxisField:
        """Return the field with `Window.with_stride` applied to its window."""
        if self.window is None:
            return self
        return replace(self, window=self.window.with_stride(stride, units))

    def _with_constant(self, constant: AxisField) -> AxisField:
        return replace(self, ranges=self.ranges.union(constant.ranges), is_global=True)


def _union_of_windows(one: Window, other: Window, units: int) -> Window:
    """Return the union of two windows on one grid, whose strides may differ slightly.

    A map resized back to an odd size drifts against the map that it meets: 33 units resized to 65
    move by 16·33/65 pixels each, not by 8. The window is widened by the drift, provided that the
    drift stays below the size of a window.

    Raises:
        AnalysisError: The strides differ too much for one grid.
    """
    if one.stride == other.stride:
        return one.union(other)
    difference = max(one.stride, other.stride) - min(one.stride, other.stride)
    drift = difference * (units - 1)
    close = 2 * difference < max(one.stride, other.stride)
    if drift and not (close and drift < max(one.size, other.size)):
        raise AnalysisError(
            "Expected joining branches to move by the same number of pixels per unit, "
            f"got {one.stride} and {other.stride}. Check the strides of the branches."
        )
    stride = sorted((one.stride, other.stride), key=lambda stride: stride.denominator)[0]
    return one.with_stride(stride, range(units)).union(other.with_stride(stride, range(units)))
