"""The algebra of windows: what one unit sees along one axis, exactly, in integers and fractions.

Unit `i` of a map sees the pixels `i·stride − padding … i·stride − padding + size − 1` of what the
map was made from. Upsampling makes the stride a fraction; the pixels are then the whole numbers
between those ends.

Source: Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks",
Distill, 2019, doi:10.23915/distill.00021 (extended by fractions and by unequal paddings).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

Number = int | Fraction


def simplest(value: Number) -> Number:
    """`value` as an `int` where it is whole, so that whole windows cost no fractions."""
    if isinstance(value, Fraction) and value.denominator == 1:
        return value.numerator
    return value


@dataclass(frozen=True, slots=True)
class Window:
    """What unit `i` of a map sees along one axis.

    Attributes:
        size: pixels from the first to the last; a fraction where an upsampling sees one pixel more
            from some units than from others.
        stride: pixels by which the window moves from one unit to the next ("jump"); 0 where every
            unit sees the same.
        padding: pixels by which the window of unit 0 starts before pixel 0.
    """

    size: Number = 1
    stride: Number = 1
    padding: Number = 0

    @classmethod
    def between(cls, low: Number, high: Number, stride: Number) -> Window:
        """The window whose unit 0 sees from `low` to `high`."""
        return cls(simplest(high - low + 1), simplest(stride), simplest(-low))

    @property
    def low(self) -> Number:
        """The first pixel that unit 0 sees."""
        return -self.padding

    @property
    def high(self) -> Number:
        """The last pixel that unit 0 sees."""
        return self.size - 1 - self.padding

    def then(self, outer: Window) -> Window:
        """The window of a layer `outer` on top of a map whose units have this window."""
        return Window(
            simplest(self.size + (outer.size - 1) * self.stride),
            simplest(self.stride * outer.stride),
            simplest(self.padding + outer.padding * self.stride),
        )

    def union(self, other: Window) -> Window:
        """The least window that holds both; both ends are kept, so nothing is assumed symmetric.

        Raises:
            ValueError: the strides differ, so no one window holds both for every unit.
        """
        if self.stride != other.stride:
            raise ValueError(f"strides {self.stride} and {other.stride} differ")
        if self == other:
            return self
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Window.between(low, high, self.stride)

    def at_stride(self, stride: Number, units: range) -> Window:
        """The least window of another stride that holds this one for some units."""
        drifts = [(self.stride - stride) * unit for unit in (units[0], units[-1])]
        return Window.between(self.low + min(drifts), self.high + max(drifts), stride)

    def interval(self, index: int) -> tuple[int, int]:
        """The first and the last pixel that unit `index` sees, the image taken as endless."""
        start = index * self.stride
        return ceil(start + self.low), floor(start + self.high)

    def center(self, index: int) -> float:
        """The middle of what unit `index` sees."""
        return float(index * self.stride + (self.low + self.high) / Fraction(2))


IDENTITY = Window()
