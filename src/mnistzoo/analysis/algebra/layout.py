"""Where the axes of the input lie in a tensor, through every reshape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.factors import (
    NO_AXIS,
    Dim,
    Factor,
    after_pool,
    axes_of,
    dim_size,
    pool_over,
    split_front,
    unit_numbers,
    units_per_entry,
    untracked,
)


@dataclass(eq=False, slots=True)
class Layout:
    """The dimensions of a tensor, and the field of its units along each axis of the input.

    A dimension is tracked if it runs along an axis. Entries along an untracked one, such as
    channels, all read the same.
    """

    dims: tuple[Dim, ...]
    fields: tuple[AxisField, ...]

    @classmethod
    def of_input(cls, shape: Sequence[int], channels: int | None = 1) -> Layout:
        """Return the layout of the input: its axes are all but the batch and the channels.

        Args:
            shape: Shape of the input, the batch first.
            channels: The dimension that holds channels, or `None`.
        """
        along = [dim for dim in range(1, len(shape)) if dim != channels]
        identities = {shape[dim]: AxisField.identity(shape[dim]) for dim in along}
        dims = [untracked(size) for size in shape]
        for axis, dim in enumerate(along):
            dims[dim] = (Factor(shape[dim], axis, 1),)
        return cls(tuple(dims), tuple(identities[shape[dim]] for dim in along))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple([dim_size(dim) for dim in self.dims])

    def axes(self) -> set[int]:
        """Return the axes along which the tensor has more than one unit."""
        return {f.axis for dim in self.dims for f in dim if f.axis != NO_AXIS and f.size > 1}

    def is_elsewhere(self, axis: int, index: int) -> bool:
        """Return whether a dimension other than `index` runs along an axis."""
        others = self.dims[:index] + self.dims[index + 1 :]
        return axis in {factor.axis for dim in others for factor in dim}

    def dimension_of(self, axis: int) -> int | None:
        """Return the first dimension that runs along an axis, or `None`."""
        return next((i for i, dim in enumerate(self.dims) if axis in axes_of(dim)), None)

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether it has this shape, and every factor addresses units that exist."""
        factors = [f for dim in self.dims for f in dim if f.axis != NO_AXIS]
        exist = [f.size * f.stride <= self.fields[f.axis].units for f in factors]
        return self.shape == tuple(shape) and False not in exist

    def canonical(self) -> Layout:
        """Return the layout with units in the order of dimensions, and untracked axes global."""
        return self._in_unit_order()._global_if_untracked()

    def with_dims(self, dims: Iterable[Dim]) -> Layout:
        """Return the layout with other dimensions; axes missing from them keep one unit."""
        dims = tuple(dims)
        here = {factor.axis for dim in dims for factor in dim}
        fields = [f if a in here else f.union_all() for a, f in enumerate(self.fields)]
        return Layout(dims, tuple(fields))

    def with_dim(self, index: int, dim: Dim) -> Layout:
        """Return the layout with another dimension at `index`."""
        dims = (*self.dims[:index], dim, *self.dims[index + 1 :])
        return self.with_dims(dims) if axes_of(self.dims[index]) else Layout(dims, self.fields)

    def unsqueeze(self, index: int, size: int = 1) -> Layout:
        """Return the layout with a new untracked dimension before `index`."""
        return self.with_dims((*self.dims[:index], untracked(size), *self.dims[index:]))

    def with_field(self, axis: int, field: AxisField) -> Layout:
        """Return the layout with another field along `axis`."""
        return Layout(self.dims, (*self.fields[:axis], field, *self.fields[axis + 1 :]))

    def with_units(self, index: int, axis: int, field: AxisField) -> Layout:
        """Return the layout with the units of another field along one dimension."""
        dims = (*self.dims[:index], (Factor(field.units, axis, 1),), *self.dims[index + 1 :])
        fields = (*self.fields[:axis], field, *self.fields[axis + 1 :])
        return Layout(dims, fields)

    def take(self, index: int, entries: range) -> Layout:
        """Return the layout of some entries along one dimension."""
        if entries == range(dim_size(self.dims[index])):
            return self
        layout = self.renumber(index)
        axes = axes_of(layout.dims[index])
        if not axes:
            return layout.with_dim(index, untracked(len(entries)))
        axis = axes.pop()
        return layout.with_units(index, axis, layout.fields[axis].take(entries))

    def apply(self, connections: dict[int, Connections]) -> Layout:
        """Return the layout of a layer, given its connections along some dimensions."""
        layout = self
        for index in connections:
            layout = layout.renumber(index)
        before, done = layout, dict[tuple[int, int], AxisField]()
        for index, links in connections.items():
            axis = layout.dims[index][0].axis if layout.dims[index] else NO_AXIS
            if axis == NO_AXIS:
                layout = layout.with_dim(index, untracked(len(links.inputs)))
            else:
                key = (id(before.fields[axis]), id(links))  # the axes of a square share theirs
                done[key] = done.get(key) or before.fields[axis].apply(links)
                layout = layout.with_units(index, axis, done[key])
        return layout

    def reshape(self, shape: Sequence[int]) -> Layout:
        """Return the layout of the same entries under another shape."""
        if tuple(shape) == self.shape:
            return self
        factors = [f for dim in self.dims for f in dim if f.size > 1]
        dims: list[Dim] = []
        for size in shape:
            front, factors = split_front(factors, size)
            if front is None:
                return self.with_dims(untracked(size) for size in shape)
            dims.append(front)
        return self.with_dims(dims)

    def union_all(self) -> Layout:
        """Return the layout of one number that reads what all units read."""
        return self.with_dims([])

    def union_over(self, index: int, size: int = 1) -> Layout:
        """Return the layout of a sum over one dimension, repeated `size` times along it."""
        layout = self._pool(index, axes_of(self.dims[index]))
        return layout.with_dim(index, untracked(size))

    def spread_over(self, indices: Iterable[int]) -> Layout:
        """Return the layout of a softmax: each unit also reads all others along `indices`."""
        layout = self
        for factor in (factor for index in indices for factor in self.dims[index]):
            if factor.axis != NO_AXIS:
                field = layout.fields[factor.axis]
                if factor.size == field.units:
                    field = field.spread_over_all()
                else:
                    field = field.spread(factor.size, factor.stride)
                layout = layout.with_field(factor.axis, field)
        return layout

    def untrack(self, index: int) -> Layout:
        """Return the layout in which all entries along one dimension read the same: their union.

        Attention does this to its keys: their number stays, but each may be any of them.
        """
        layout = self
        for factor in self.dims[index]:
            if factor.axis != NO_AXIS and factor.size < layout.fields[factor.axis].units:
                field = layout.fields[factor.axis].spread(factor.size, factor.stride)
                layout = layout.with_field(factor.axis, field)
        return layout.with_dim(index, untracked(dim_size(self.dims[index])))

    def untrack_axis(self, axis: int) -> Layout:
        """Return the layout in which all units along an axis read the same: their union."""
        return self.with_dims(
            tuple(Factor(f.size) if f.axis == axis else f for f in dim) for dim in self.dims
        )

    def renumber(self, index: int) -> Layout:
        """Return the layout with the units of one dimension numbered in its order.

        The dimension then has one factor. It is untracked if it runs along several axes, as tokens
        of an image do, or shares its axis with another dimension.
        """
        dim = self.dims[index]
        axes = axes_of(dim)
        if not axes:
            return self
        axis = axes.pop()
        if axes or self.is_elsewhere(axis, index):
            return self.untrack(index)
        single = Factor(dim_size(dim), axis, 1)
        if dim == (single,) and self.fields[axis].units == single.size:
            return self
        links = Connections.of(unit_numbers(dim)[:, None], units_per_entry(dim))
        return self.with_units(index, axis, self.fields[axis].apply(links))

    def _in_unit_order(self) -> Layout:
        """Return the layout with the units of each axis numbered in the order of its dimension.

        If other dimensions hold factors of the axis, as channels do after a space-to-depth, each
        unit reads the union over those factors.
        """
        layout = self
        for axis in self.axes():
            alone = [{factor.axis for factor in dim} == {axis} for dim in layout.dims]
            if alone.count(True) == 1:
                for index in [i for i in range(len(layout.dims)) if not alone[i]]:
                    layout = layout._pool(index, {axis})
        for index, dim in enumerate(layout.dims):
            out_of_order = len(dim) > 1 or (dim and dim[0].stride > 1)
            tracked = out_of_order and dim[0].axis != NO_AXIS and len(axes_of(dim)) == 1
            if tracked and not self.is_elsewhere(dim[0].axis, index):
                layout = layout.renumber(index)
        return layout

    def _global_if_untracked(self) -> Layout:
        """Return the layout with untracked axes global if the tensor has other places.

        The steps of a recurrent layer are such places, and so is an expanded column.
        """
        if all(axes_of(dim) or dim_size(dim) == 1 for dim in self.dims[2:]):
            return self
        here = {factor.axis for dim in self.dims for factor in dim}
        fields = enumerate(self.fields)
        return replace(self, fields=tuple(f if a in here else f.to_global() for a, f in fields))

    def _pool(self, index: int, axes: set[int]) -> Layout:
        """Return the layout with the factors of some axes in one dimension pooled."""
        layout = self
        while found := [factor for factor in layout.dims[index] if factor.axis in axes]:
            layout = layout._pool_over(index, found[0])
        return layout

    def _pool_over(self, index: int, factor: Factor) -> Layout:
        """Return the layout with the union over one factor of an axis in place of the factor."""
        field = self.fields[factor.axis]
        dims = list(self.dims)
        dims[index] = tuple(f for f in dims[index] if f != factor)
        if factor.size < field.units:
            field = field.apply(pool_over(field.units, factor))
            dims = [tuple(after_pool(f, factor) for f in dim) for dim in dims]
        return self.with_field(factor.axis, field).with_dims(dims)
