"""A dimension of a tensor as factors: the digits of which its entries' numbers are made.

`view` and `permute` make and move them: the tokens of a picture are `((H, 0, 1), (W, 1, 1))`;
windows of 7 rows split axis 0 into `(H/7, 0, 7)` and `(7, 0, 1)`.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from mnistzoo.analysis.algebra.pixel_ranges import Ints, Step

PLAIN = -1
"""The axis of a factor that is no axis of the input, such as channels."""


class Factor(NamedTuple):
    """`size` values of a digit of the unit's number along `axis`, each counting `weight`."""

    size: int
    axis: int = PLAIN
    weight: int = 0


Dim = tuple[Factor, ...]


def plain(size: int) -> Dim:
    """A dimension that is no axis of the input."""
    return (Factor(size),)


def dim_size(dim: Dim) -> int:
    """Entries along a dimension."""
    return dim[0].size if len(dim) == 1 else prod(factor.size for factor in dim)


def axes_of(dim: Dim) -> set[int]:
    """The input axes that a dimension runs along."""
    return {factor.axis for factor in dim if factor.axis != PLAIN}


def take(factors: list[Factor], size: int) -> tuple[Dim | None, list[Factor]]:
    """The leading factors that make `size` entries, and the rest; `None` where none do."""
    taken: list[Factor] = []
    rest = list(factors)
    while size > 1 and rest:
        first = rest.pop(0)
        if size % first.size == 0:
            taken.append(first)
            size //= first.size
        elif first.size % size == 0:
            inner = first.size // size
            taken.append(first._replace(size=size, weight=first.weight * inner))
            rest.insert(0, first._replace(size=inner))
            size = 1
        else:
            return None, rest
    return (_fused(taken) if size == 1 else None), rest


def _fused(factors: list[Factor]) -> Dim:
    """Neighbouring factors made one where they are digits of one number."""
    fused: list[Factor] = []
    for factor in factors:
        last = fused[-1] if fused else None
        if last and last.axis == factor.axis and last.weight == factor.weight * factor.size:
            fused[-1] = Factor(last.size * factor.size, factor.axis, factor.weight)
        else:
            fused.append(factor)
    return tuple(fused)


def digits(dim: Dim) -> Ints:
    """For each entry along a dimension of one axis, the number of its unit along the axis."""
    numbers = np.zeros(1, dtype=np.int64)
    for factor in dim:
        numbers = (numbers[:, None] + np.arange(factor.size) * factor.weight).ravel()
    return numbers


def pace(dim: Dim) -> Fraction:
    """Units of the axis from one entry of a dimension to the next, taken evenly."""
    repeats = 1
    for factor in reversed(dim):
        if factor.axis != PLAIN:
            return Fraction(factor.weight, repeats)
        repeats *= factor.size
    return Fraction(1)


def digit_step(units: int, gone: Factor) -> Step:
    """The step that reads all the values of one digit for each value of the others."""
    left = np.arange(units // gone.size)
    starts = left // gone.weight * (gone.weight * gone.size) + left % gone.weight
    taps = starts[:, None] + np.arange(gone.size) * gone.weight
    outermost = gone.weight * gone.size == units
    return Step.read(taps, 1 if outermost else gone.size)


def lighter(factor: Factor, gone: Factor) -> Factor:
    """A factor after a digit below it has gone from the number."""
    if factor.axis != gone.axis or factor.weight < gone.weight * gone.size:
        return factor
    return factor._replace(weight=factor.weight // gone.size)
