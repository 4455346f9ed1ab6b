"""One dimension of a tensor as a product of factors of the input's axes.

`view` and `permute` create and move them. The tokens of an image are `((H, 0, 1), (W, 1, 1))`;
windows of 7 rows split axis 0 into `(H/7, 0, 7)` and `(7, 0, 1)`.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections, Ints

NO_AXIS = -1
"""The axis of a factor that runs along no axis of the input, such as channels."""


_NO_AXES = {NO_AXIS}


class Factor(NamedTuple):
    """`size` entries, each `stride` units after the last along an axis of the input.

    A unit's number along its axis is the sum of `index · stride` over all factors of that axis,
    as the strides of a tensor address its memory.
    """

    size: int
    axis: int = NO_AXIS
    stride: int = 0


Dim = tuple[Factor, ...]


def untracked(size: int) -> Dim:
    """Return a dimension that runs along no axis of the input."""
    return (Factor(size),)


def dim_size(dim: Dim) -> int:
    """Return the number of entries along a dimension."""
    return dim[0].size if len(dim) == 1 else prod(factor.size for factor in dim)


def axes_of(dim: Dim) -> set[int]:
    """Return the input axes that a dimension runs along."""
    if len(dim) == 1:  # most have one
        return {dim[0].axis} - _NO_AXES
    return {factor.axis for factor in dim} - _NO_AXES


def split_front(factors: list[Factor], size: int) -> tuple[Dim | None, list[Factor]]:
    """Return the leading factors that make up `size` entries, and the remaining ones.

    The first result is `None` if no such split exists.
    """
    front: list[Factor] = []
    rest = list(factors)
    while size > 1 and rest:
        first = rest.pop(0)
        if size % first.size == 0:
            front.append(first)
            size //= first.size
        elif first.size % size == 0:
            inner = first.size // size
            front.append(first._replace(size=size, stride=first.stride * inner))
            rest.insert(0, first._replace(size=inner))
            size = 1
        else:
            return None, rest
    return (_joined(front) if size == 1 else None), rest


def _joined(factors: list[Factor]) -> Dim:
    """Return the factors with contiguous neighbors joined into one."""
    joined: list[Factor] = []
    for factor in factors:
        last = joined[-1] if joined else None
        if last and last.axis == factor.axis and last.stride == factor.stride * factor.size:
            joined[-1] = Factor(last.size * factor.size, factor.axis, factor.stride)
        else:
            joined.append(factor)
    return tuple(joined)


def unit_numbers(dim: Dim) -> Ints:
    """Return the number of the unit at each entry of a dimension along one axis.

    >>> unit_numbers((Factor(2, 0, 1), Factor(3, 0, 2)))
    array([0, 2, 4, 1, 3, 5])
    """
    numbers = np.zeros(1, dtype=np.int64)
    for factor in dim:
        numbers = (numbers[:, None] + np.arange(factor.size) * factor.stride).ravel()
    return numbers


def units_per_entry(dim: Dim) -> Fraction:
    """Return the mean distance, in units, between neighboring entries of a dimension."""
    repeats = 1
    for factor in reversed(dim):
        if factor.axis != NO_AXIS:
            return Fraction(factor.stride, repeats)
        repeats *= factor.size
    return Fraction(1)


def pool_over(units: int, factor: Factor) -> Connections:
    """Return connections with one output for each group of units that differ in one factor."""
    groups = np.arange(units // factor.size)
    starts = groups // factor.stride * (factor.stride * factor.size) + groups % factor.stride
    inputs = starts[:, None] + np.arange(factor.size) * factor.stride
    outermost = factor.stride * factor.size == units
    return Connections.of(inputs, 1 if outermost else factor.size)


def after_pool(factor: Factor, pooled: Factor) -> Factor:
    """Return a factor in the unit numbers that `pool_over(…, pooled)` leaves."""
    if factor.axis != pooled.axis or factor.stride < pooled.stride * pooled.size:
        return factor
    return factor._replace(stride=factor.stride // pooled.size)
