"""How one layer connects units along one axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mnistzoo.analysis.algebra.window import Number, Window

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Connections:
    """The input units that each output unit of a layer reads along one axis.

    Attributes:
        window: The layer's window on an infinite map.
        inputs: Input units, shape `(output units, inputs each)`; −1 stands for padding.
        every: Function that returns all input units, if `inputs` has only the first and the last.
    """

    window: Window
    inputs: Ints
    every: Callable[[], Ints] | None = None

    @classmethod
    def of(cls, inputs: Ints, stride: Number, unclipped: Ints | None = None) -> Connections:
        """Return connections with the smallest window of a given stride that holds them.

        Args:
            inputs: As in `Connections`.
            stride: Of the window.
            unclipped: The units that an infinite map would provide. Default: `inputs`.
        """
        exact = Fraction(stride)
        reads = inputs if unclipped is None else unclipped
        if not reads.size:
            return cls(Window(1, stride), inputs)
        start = np.arange(len(reads)) * exact.numerator
        low = (reads.min(axis=1) * exact.denominator - start).min()
        high = (reads.max(axis=1) * exact.denominator - start).max()
        window = Window.between(
            Fraction(int(low), exact.denominator), Fraction(int(high), exact.denominator), stride
        )
        return cls(window, inputs)


def clip_to_padding(inputs: Ints, units: int) -> Ints:
    """Return `inputs` with −1 in place of units outside `0 … units − 1`."""
    return np.where((inputs >= 0) & (inputs < units), inputs, -1)


class Kernel(NamedTuple):
    """The geometry of a convolution or pool along one axis, in torch's terms.

    >>> Kernel(3, stride=2, padding=1).output_size(28)
    14
    """

    size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def output_size(self, units: int) -> int:
        """Return the number of places that the kernel takes on a map of `units`."""
        return (units + 2 * self.padding - self.dilation * (self.size - 1) - 1) // self.stride + 1


@lru_cache(maxsize=1024)
def sliding(units_in: int, units_out: int, kernel: Kernel) -> Connections:
    """Return the connections of a convolution or pool."""
    size, stride, padding, dilation = kernel
    window = Window(dilation * (size - 1) + 1, stride, padding)
    starts = np.arange(units_out) * stride - padding

    def every() -> Ints:
        return clip_to_padding(starts[:, None] + np.arange(size) * dilation, units_in)

    if size < 3:
        return Connections(window, every())
    first = starts + dilation * np.maximum(-(starts // dilation), 0)
    last = np.minimum(starts + dilation * (size - 1), units_in - 1)
    last -= (last - starts) % dilation
    ends = np.where(first <= last, [first, last], -1).T
    return Connections(window, ends, every)


@lru_cache(maxsize=1024)
def transposed(units_in: int, units_out: int, kernel: Kernel) -> Connections:
    """Return the connections of a transposed convolution.

    Output `o` reads input `i` where `o = i·stride − padding + dilation·t` for some kernel tap `t`.
    """
    size, stride, padding, dilation = kernel
    span = dilation * (size - 1)
    low, high = Fraction(padding - span, stride), Fraction(padding, stride)
    window = Window.between(low, high, Fraction(1, stride))
    scaled = np.arange(units_out)[:, None] + padding - np.arange(size) * dilation
    inputs = np.where(scaled % stride == 0, scaled // stride, -1)
    return Connections(window, clip_to_padding(inputs, units_in))
