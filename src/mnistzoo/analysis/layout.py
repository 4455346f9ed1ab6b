"""Where the axes of the input are in a tensor, through every reshape.

A dimension is a row of factors, as `view` and `permute` make them: the tokens of a picture are
`((H, 0, 1), (W, 1, 1))`; windows of 7 rows split axis 0 into `(H/7, 0, 7)` and `(7, 0, 1)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from mnistzoo.analysis.reach import Reach
from mnistzoo.analysis.spans import Ints, Step

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


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """The dimensions of a tensor, and what its units see along each axis of the input."""

    dims: tuple[Dim, ...]
    reaches: tuple[Reach, ...]

    @classmethod
    def image(cls, shape: Sequence[int]) -> Layout:
        """The input itself: batch, channels, and then its axes."""
        sizes = shape[2:]
        grids = {size: Reach.identity(size) for size in sizes}
        dims = [plain(size) for size in shape[:2]]
        dims += [(Factor(size, axis, 1),) for axis, size in enumerate(sizes)]
        return cls(tuple(dims), tuple(grids[size] for size in sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's own shape."""
        return tuple(dim_size(dim) for dim in self.dims)

    def live(self) -> set[int]:
        """The axes along which the tensor still has more than one unit."""
        return {f.axis for dim in self.dims for f in dim if f.axis != PLAIN and f.size > 1}

    def is_sound(self) -> bool:
        """Whether every digit names units that there are."""
        return all(
            f.axis == PLAIN or f.size * f.weight <= self.reaches[f.axis].units
            for dim in self.dims
            for f in dim
        )

    def with_dims(self, dims: Iterable[Dim]) -> Layout:
        """The same units under other dimensions; an axis that these lack has one unit left."""
        dims = tuple(dims)
        here = {factor.axis for dim in dims for factor in dim}
        reaches = tuple(
            reach if axis in here else reach.collapsed() for axis, reach in enumerate(self.reaches)
        )
        return Layout(dims, reaches)

    def with_dim(self, index: int, dim: Dim) -> Layout:
        """The same with another dimension at `index`."""
        return self.with_dims((*self.dims[:index], dim, *self.dims[index + 1 :]))

    def with_reach(self, axis: int, reach: Reach) -> Layout:
        """The same with another reach along `axis`."""
        return replace(self, reaches=(*self.reaches[:axis], reach, *self.reaches[axis + 1 :]))

    def without(self, axis: int) -> Layout:
        """The same with one axis taken as a whole, wherever it is."""
        return self.with_dims(
            tuple(Factor(f.size) if f.axis == axis else f for f in dim) for dim in self.dims
        )

    def smeared(self, index: int) -> Layout:
        """Every unit also sees what its neighbours along one dimension see; no axis is there now.

        What attention does to its keys: the places stay as many, but are the same to all.
        """
        layout = self
        for factor in self.dims[index]:
            if factor.axis != PLAIN and factor.size < layout.reaches[factor.axis].units:
                reach = layout.reaches[factor.axis].smeared(factor.size, factor.weight)
                layout = layout.with_reach(factor.axis, reach)
        return layout.with_dim(index, plain(dim_size(self.dims[index])))

    def mixed(self, indices: Iterable[int]) -> Layout:
        """Every unit keeps its place and sees all its neighbours along some dimensions."""
        layout = self
        for factor in (factor for index in indices for factor in self.dims[index]):
            if factor.axis != PLAIN:
                reach = layout.reaches[factor.axis]
                whole = factor.size == reach.units
                reach = reach.mixed() if whole else reach.smeared(factor.size, factor.weight)
                layout = layout.with_reach(factor.axis, reach)
        return layout

    def reduced(self, index: int) -> Layout:
        """One unit in place of all along one dimension, which stays with size 1."""
        layout = self
        while axes := [f for f in layout.dims[index] if f.axis != PLAIN]:
            layout = layout._without(index, axes[0])
        return layout.with_dim(index, plain(1))

    def _without(self, index: int, gone: Factor) -> Layout:
        """One digit of an axis read as a whole, as a pool does that is written as a reshape."""
        reach = self.reaches[gone.axis]
        dims = list(self.dims)
        dims[index] = tuple(f for f in dims[index] if f != gone)
        if gone.size < reach.units:
            step = _digit_step(reach.units, gone)
            reach = reach.step(step)
            dims = [tuple(_lighter(f, gone) for f in dim) for dim in dims]
        return self.with_reach(gone.axis, reach).with_dims(dims)

    def as_axis(self, index: int) -> Layout:
        """The same with dimension `index` running along one whole axis, or along none.

        Tokens of a picture run along two at once; no window moves along them, so that each then
        sees the whole.
        """
        dim = self.dims[index]
        axes = axes_of(dim)
        if not axes:
            return self
        elsewhere = {f.axis for i, d in enumerate(self.dims) if i != index for f in d}
        if len(axes) > 1 or axes & elsewhere:
            return self.smeared(index)
        (axis,) = axes
        reach = self.reaches[axis]
        whole = Factor(dim_size(dim), axis, 1)
        if dim == (whole,) and reach.units == whole.size:
            return self
        step = Step.read(_digits(dim)[:, None], _pace(dim))
        return self.with_reach(axis, reach.step(step)).with_dim(index, (whole,))

    def settled(self) -> Layout:
        """The same with every dimension that one axis runs along as `as_axis` makes it."""
        layout = self
        for index, dim in enumerate(self.dims):
            mixed = len(dim) > 1 or (dim and dim[0].weight > 1)
            if mixed and dim[0].axis != PLAIN and len(axes_of(dim)) == 1:
                others = {f.axis for i, d in enumerate(self.dims) if i != index for f in d}
                if dim[0].axis not in others:
                    layout = layout.as_axis(index)
        return layout

    def stepped(self, steps: dict[int, Step]) -> Layout:
        """After a layer that takes `steps` along the dimensions that are its keys."""
        layout = self
        for index in steps:
            layout = layout.as_axis(index)
        dims, reaches = list(layout.dims), list(layout.reaches)
        done: dict[tuple[int, int], Reach] = {}
        for index, step in steps.items():
            units = len(step.taps)
            axis = dims[index][0].axis if dims[index] else PLAIN
            dims[index] = (Factor(units, axis, 1),) if axis != PLAIN else plain(units)
            if axis != PLAIN:
                key = (id(layout.reaches[axis]), id(step))
                done[key] = done.get(key) or layout.reaches[axis].step(step)
                reaches[axis] = done[key]
        return Layout(tuple(dims), tuple(reaches))

    def viewed(self, shape: Sequence[int]) -> Layout:
        """The same units in the same order under another shape."""
        if tuple(shape) == self.shape:
            return self
        factors = [f for dim in self.dims for f in dim if f.size > 1]
        dims: list[Dim] = []
        for size in shape:
            taken, factors = _take(factors, size)
            if taken is None:
                return self.with_dims(plain(size) for size in shape)
            dims.append(taken)
        return self.with_dims(dims)


def _take(factors: list[Factor], size: int) -> tuple[Dim | None, list[Factor]]:
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


def _digits(dim: Dim) -> Ints:
    """For each entry along a dimension of one axis, the number of its unit along the axis."""
    numbers = np.zeros(1, dtype=np.int64)
    for factor in dim:
        numbers = (numbers[:, None] + np.arange(factor.size) * factor.weight).ravel()
    return numbers


def _pace(dim: Dim) -> Fraction:
    """Units of the axis from one entry of a dimension to the next, taken evenly."""
    repeats = 1
    for factor in reversed(dim):
        if factor.axis != PLAIN:
            return Fraction(factor.weight, repeats)
        repeats *= factor.size
    return Fraction(1)


def _digit_step(units: int, gone: Factor) -> Step:
    """The step that reads all the values of one digit for each value of the others."""
    left = np.arange(units // gone.size)
    starts = left // gone.weight * (gone.weight * gone.size) + left % gone.weight
    taps = starts[:, None] + np.arange(gone.size) * gone.weight
    outermost = gone.weight * gone.size == units
    return Step.read(taps, 1 if outermost else gone.size)


def _lighter(factor: Factor, gone: Factor) -> Factor:
    """A factor after a digit below it has gone from the number."""
    if factor.axis != gone.axis or factor.weight < gone.weight * gone.size:
        return factor
    return factor._replace(weight=factor.weight // gone.size)
