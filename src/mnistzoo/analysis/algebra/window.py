"""Windows: the pixels that one unit reads along one axis, in exact integers and fractions.

Unit `i` of a map reads the pixels `i·stride − padding … i·stride − padding + size − 1` of the
map below. After upsampling the stride is a fraction, and a unit reads the whole numbers between
those ends.

Source: Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks",
Distill, 2019, doi:10.23915/distill.00021 (extended by fractions and unequal paddings).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

Number = int | Fraction


def simplest(value: Number) -> Number:
    """Return a whole `value` as an `int`, which computes faster than a fraction."""
    if isinstance(value, Fraction) and value.denominator == 1:
        return value.numerator
    return value


@dataclass(frozen=True, slots=True)
class Window:
    """The pixels that unit `i` of a map reads along one axis.

    Attributes:
        size: Number of pixels from the first to the last; a fraction if upsampling lets some
            units read one pixel more than others.
        stride: Pixels from one unit's window to the next ("jump"); 0 if all units read the same.
        padding: Pixels by which the window of unit 0 starts before pixel 0.
    """

    size: Number = 1
    stride: Number = 1
    padding: Number = 0

    @classmethod
    def between(cls, low: Number, high: Number, stride: Number) -> Window:
        """Return the window whose unit 0 reads from `low` to `high`."""
        return cls(simplest(high - low + 1), simplest(stride), simplest(-low))

    @property
    def low(self) -> Number:
        """The first pixel that unit 0 reads."""
        return -self.padding

    @property
    def high(self) -> Number:
        """The last pixel that unit 0 reads."""
        return self.size - 1 - self.padding

    def then(self, outer: Window) -> Window:
        """Return the window of a layer `outer` whose units read units with this window.

        >>> Window(size=3).then(Window(size=2, stride=2))  # a 3×3 convolution, a 2×2 pool
        Window(size=4, stride=2, padding=0)
        """
        return Window(
            simplest(self.size + (outer.size - 1) * self.stride),
            simplest(self.stride * outer.stride),
            simplest(self.padding + outer.padding * self.stride),
        )

    def union(self, other: Window) -> Window:
        """Return the smallest window that holds both, which need not be symmetric.

        Raises:
            ValueError: The strides differ, so no single window holds both for every unit.
        """
        if self.stride != other.stride:
            raise ValueError(f"Expected windows of one stride, got {self.stride}, {other.stride}.")
        if self == other:
            return self
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Window.between(low, high, self.stride)

    def with_stride(self, stride: Number, units: range) -> Window:
        """Return the smallest window of another stride that holds this one for `units`."""
        drifts = [(self.stride - stride) * unit for unit in (units[0], units[-1])]
        return Window.between(self.low + min(drifts), self.high + max(drifts), stride)

    def interval(self, unit: int) -> tuple[int, int]:
        """Return the first and last pixel that a unit reads in an infinite image."""
        start = unit * self.stride
        return ceil(start + self.low), floor(start + self.high)

    def center(self, unit: int) -> float:
        """Return the middle of the pixels that a unit reads."""
        return float(unit * self.stride + (self.low + self.high) / Fraction(2))


IDENTITY = Window()
