"""Where the axes of the input are in a tensor, through every reshape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.factors import (
    PLAIN,
    Dim,
    Factor,
    axes_of,
    digit_step,
    digits,
    dim_size,
    lighter,
    pace,
    plain,
    take,
)
from mnistzoo.analysis.algebra.pixel_ranges import Step


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """The dimensions of a tensor, and what its units see along each axis of the input."""

    dims: tuple[Dim, ...]
    reaches: tuple[AxisField, ...]

    @classmethod
    def image(cls, shape: Sequence[int]) -> Layout:
        """The input itself: batch, channels, and then its axes."""
        sizes = shape[2:]
        grids = {size: AxisField.identity(size) for size in sizes}
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

    def with_field(self, axis: int, reach: AxisField) -> Layout:
        """The same with another reach along `axis`."""
        return replace(self, reaches=(*self.reaches[:axis], reach, *self.reaches[axis + 1 :]))

    def without(self, axis: int) -> Layout:
        """The same with one axis taken as a whole, wherever it is."""
        return self.with_dims(
            tuple(Factor(f.size) if f.axis == axis else f for f in dim) for dim in self.dims
        )

    def collapsed(self) -> Layout:
        """A single unit, without dimensions, that sees what all see."""
        return self.with_dims([])

    def smeared(self, index: int) -> Layout:
        """Every unit also sees what its neighbours along one dimension see; no axis is there now.

        What attention does to its keys: the places stay as many, but are the same to all.
        """
        layout = self
        for factor in self.dims[index]:
            if factor.axis != PLAIN and factor.size < layout.reaches[factor.axis].units:
                reach = layout.reaches[factor.axis].smeared(factor.size, factor.weight)
                layout = layout.with_field(factor.axis, reach)
        return layout.with_dim(index, plain(dim_size(self.dims[index])))

    def mixed(self, indices: Iterable[int]) -> Layout:
        """Every unit keeps its place and sees all its neighbours along some dimensions."""
        layout = self
        for factor in (factor for index in indices for factor in self.dims[index]):
            if factor.axis != PLAIN:
                reach = layout.reaches[factor.axis]
                whole = factor.size == reach.units
                reach = reach.mixed() if whole else reach.smeared(factor.size, factor.weight)
                layout = layout.with_field(factor.axis, reach)
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
            step = digit_step(reach.units, gone)
            reach = reach.step(step)
            dims = [tuple(lighter(f, gone) for f in dim) for dim in dims]
        return self.with_field(gone.axis, reach).with_dims(dims)

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
        step = Step.read(digits(dim)[:, None], pace(dim))
        return self.with_field(axis, reach.step(step)).with_dim(index, (whole,))

    def settled(self) -> Layout:
        """The same with every dimension that one axis runs along as `as_axis` makes it.

        Where a dimension has an axis for itself but for a digit of it that lies among others, as a
        space-to-depth puts into the channels, a unit sees what all values of that digit see.
        """
        layout = self
        for axis in self.live():
            alone = [{factor.axis for factor in dim} == {axis} for dim in layout.dims]
            if alone.count(True) == 1:
                layout = layout._only_in(alone.index(True), axis)
        for index, dim in enumerate(layout.dims):
            mixed = len(dim) > 1 or (dim and dim[0].weight > 1)
            if mixed and dim[0].axis != PLAIN and len(axes_of(dim)) == 1:
                others = {f.axis for i, d in enumerate(self.dims) if i != index for f in d}
                if dim[0].axis not in others:
                    layout = layout.as_axis(index)
        return layout

    def anchored(self) -> Layout:
        """The same with what one unit sees taken as seen from all places of a map that has others.

        The steps of a recurrent layer and a column that is expanded are places, and along no axis.
        """
        if all(axes_of(dim) or dim_size(dim) == 1 for dim in self.dims[2:]):
            return self
        here = {factor.axis for dim in self.dims for factor in dim}
        reaches = enumerate(self.reaches)
        return replace(self, reaches=tuple(r if a in here else r.constant() for a, r in reaches))

    def dimension_of(self, axis: int) -> int | None:
        """The dimension that runs along an axis, if any does."""
        found = [i for i, dim in enumerate(self.dims) if any(f.axis == axis for f in dim)]
        return found[0] if found else None

    def _only_in(self, index: int, axis: int) -> Layout:
        """The same with all digits of an axis that are not in one dimension read as a whole."""
        layout = self
        while elsewhere := [
            (i, f)
            for i, dim in enumerate(layout.dims)
            for f in dim
            if i != index and f.axis == axis
        ]:
            layout = layout._without(*elsewhere[0])
        return layout

    def stepped(self, steps: dict[int, Step]) -> Layout:
        """After a layer that takes `steps` along the dimensions that are its keys."""
        layout = self
        for index in steps:
            layout = layout.as_axis(index)
        dims, reaches = list(layout.dims), list(layout.reaches)
        done: dict[tuple[int, int], AxisField] = {}
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
            taken, factors = take(factors, size)
            if taken is None:
                return self.with_dims(plain(size) for size in shape)
            dims.append(taken)
        return self.with_dims(dims)
