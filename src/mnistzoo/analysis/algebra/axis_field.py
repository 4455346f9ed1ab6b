"""What the units of one tensor see along one axis of the input."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mnistzoo.analysis.algebra.pixel_ranges import PixelRanges, Step
from mnistzoo.analysis.algebra.window import IDENTITY, Number, Window
from mnistzoo.errors import AnalysisError


@dataclass(frozen=True, eq=False, slots=True)
class AxisField:
    """What the units of a tensor see along one axis, by the number of the unit along it.

    Attributes:
        window: of all that moves with the unit; `None` where nothing does.
        local: the spans of that part; `None` with `window`.
        whole: the spans of everything seen. It is `local` itself until something is joined that
            does not move with the unit.
        is_global: whether part of what is seen does not move with the unit, as with a global pool,
            a flatten, attention, or a norm over the whole map.
    """

    window: Window | None
    local: PixelRanges | None
    whole: PixelRanges
    is_global: bool = False

    @classmethod
    def identity(cls, units: int) -> AxisField:
        """Every unit sees the input pixel of its own number."""
        spans = PixelRanges.identity(units)
        return cls(IDENTITY, spans, spans)

    @property
    def units(self) -> int:
        """Units along the axis; 1 where all see the same."""
        return len(self.whole)

    def step(self, step: Step) -> AxisField:
        """After one more layer."""
        whole = self.whole.through(step)
        window = self.window and self.window.then(step.window)
        if self.local is None or self.local is self.whole:
            return AxisField(window, None if self.local is None else whole, whole, self.is_global)
        return AxisField(window, self.local.through(step), whole, self.is_global)

    def collapsed(self) -> AxisField:
        """One unit that sees what all see: the grid is gone."""
        return self if self.units == 1 else self.constant()

    def constant(self) -> AxisField:
        """The same to all units: nothing moves."""
        return AxisField(None, None, self.whole.everything(), is_global=True)

    def mixed(self) -> AxisField:
        """Every unit keeps its place and also sees what all the others see, as after a norm."""
        if self.units == 1:
            return self
        everything = self.whole.everything()
        return replace(self, whole=self.whole.union(everything), is_global=True)

    def smeared(self, size: int, weight: int) -> AxisField:
        """Every unit also sees what units see that differ in one digit; see `PixelRanges`."""
        whole = self.whole.smeared(size, weight)
        if self.window is None or self.local is None:
            return replace(self, whole=whole)
        reach = (size - 1) * weight * self.window.stride
        window = Window.between(
            self.window.low - reach, self.window.high + reach, self.window.stride
        )
        local = whole if self.local is self.whole else self.local.smeared(size, weight)
        return AxisField(window, local, whole, self.is_global)

    def union(self, other: AxisField) -> AxisField:
        """What units see that read one unit of each.

        Raises:
            AnalysisError: the two grids do not line up.
        """
        if self is other:
            return self
        if other.units != self.units:
            if self.units == 1:
                return other._with_constant(self)
            return self._with_constant(other.collapsed())
        whole = self.whole.union(other.whole)
        is_global = self.is_global or other.is_global
        if self.local is None or self.window is None:
            return AxisField(other.window, other.local, whole, is_global)
        if other.local is None or other.window is None:
            return AxisField(self.window, self.local, whole, is_global)
        window = _lined_up(self.window, other.window, self.units)
        same = self.local is self.whole and other.local is other.whole
        local = whole if same else self.local.union(other.local)
        return AxisField(window, local, whole, is_global)

    def at_stride(self, stride: Number, units: range) -> AxisField:
        """The same with a window that moves by so many pixels and holds what some units see."""
        if self.window is None:
            return self
        return replace(self, window=self.window.at_stride(stride, units))

    def _with_constant(self, constant: AxisField) -> AxisField:
        return replace(self, whole=self.whole.union(constant.whole), is_global=True)


def _lined_up(one: Window, other: Window, units: int) -> Window:
    """The union of two windows of one grid.

    A map resized back to an odd size has a stride a little off that of the map it meets (33 units
    spread over 65 move by 16·33/65, not by 8). Such a drift is taken into the window, as long as
    it stays below what one unit sees anyway.

    Raises:
        AnalysisError: the strides are not those of one grid.
    """
    if one.stride == other.stride:
        return one.union(other)
    difference = max(one.stride, other.stride) - min(one.stride, other.stride)
    drift = difference * (units - 1)
    close = 2 * difference < max(one.stride, other.stride)
    if drift and not (close and drift < max(one.size, other.size)):
        raise AnalysisError(
            "expected the branches that join to move by the same number of pixels a unit, "
            f"got {one.stride} and {other.stride}; check the strides of the branches."
        )
    whole_first = sorted((one.stride, other.stride), key=lambda stride: stride.denominator)
    target = whole_first[0]
    return one.at_stride(target, range(units)).union(other.at_stride(target, range(units)))
