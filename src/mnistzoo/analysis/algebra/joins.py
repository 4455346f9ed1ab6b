"""Where tensors meet: elementwise operators, matrix products, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce

import numpy as np

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.connections import Connections, clip_to_padding
from mnistzoo.analysis.algebra.factors import NO_AXIS, Factor, axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.algebra.window import Window, simplest


def union(layouts: Sequence[Layout | None], shape: Sequence[int]) -> Layout | None:
    """Return the layout of an elementwise operator.

    Args:
        layouts: Of the arguments; `None` for one that does not depend on the input.
        shape: Of the result, to which the arguments are broadcast.

    Returns:
        `None` if no argument depends on the input.
    """
    known = [expand(layout, shape) for layout in layouts if layout is not None]
    return reduce(_union, known) if known else None


def expand(layout: Layout, shape: Sequence[int]) -> Layout:
    """Return a layout broadcast to `shape`."""
    if layout.shape == tuple(shape):
        return layout
    layout = layout.with_dims([*[untracked(1)] * (len(shape) - len(layout.dims)), *layout.dims])
    for index, size in enumerate(shape):
        if dim_size(layout.dims[index]) != size:
            layout = layout.untrack(index).with_dim(index, untracked(size))
    return layout


def _union(one: Layout, other: Layout) -> Layout:
    """Return the union of two layouts of one shape."""
    if one is other:
        return one
    one, other = _reconcile(one, other) if one.dims != other.dims else _match_units(one, other)
    dims = tuple(
        [a if a == b or axes_of(a) else b for a, b in zip(one.dims, other.dims, strict=True)]
    )
    unions: dict[tuple[int, int], AxisField] = {}
    fields = []
    for mine, theirs in zip(one.fields, other.fields, strict=True):
        key = (id(mine), id(theirs))
        unions[key] = unions.get(key) or mine.union(theirs)
        fields.append(unions[key])
    return Layout(dims, tuple(fields))


def _reconcile(one: Layout, other: Layout) -> tuple[Layout, Layout]:
    """Return both layouts with each axis in one dimension, the one that `one` has it in."""
    for index in range(len(one.dims)):
        mine, theirs = one.dims[index], other.dims[index]
        if mine != theirs and len(axes_of(mine)) == len(axes_of(theirs)) == 1:
            one, other = one.renumber(index), other.renumber(index)
    one, other = _match_units(one, other)
    for index in range(len(one.dims)):
        mine, theirs = one.dims[index], other.dims[index]
        if mine != theirs and axes_of(mine) and axes_of(theirs):
            other = other.untrack(index)
    dimension_of = {f: index for index, dim in enumerate(one.dims) for f in dim}
    for index, dim in enumerate(other.dims):
        if any(_clashes(f, index, dimension_of) for f in dim):
            other = other.untrack(index)
    return one, other


def _match_units(one: Layout, other: Layout) -> tuple[Layout, Layout]:
    """Return both layouts, untracking the shorter axis where their numbers of units differ."""
    for axis, (mine, theirs) in enumerate(zip(one.fields, other.fields, strict=True)):
        if mine.units != theirs.units and axis in one.axes() & other.axes():
            if mine.units < theirs.units:
                one = one.untrack_axis(axis)
            else:
                other = other.untrack_axis(axis)
    return one, other


def _clashes(factor: Factor, index: int, dimension_of: dict[Factor, int]) -> bool:
    """Return whether the axis of `factor` is in another dimension than `index`."""
    if factor.axis == NO_AXIS:
        return False
    if factor in dimension_of:
        return dimension_of[factor] != index
    return any(f.axis == factor.axis for f in dimension_of)


def concatenate(parts: Sequence[tuple[Layout | None, int]], index: int) -> Layout:
    """Return the layout of a concatenation along dimension `index`.

    Args:
        parts: Each layout with its size along the dimension; `None` for a tensor that does not
            depend on the input. At least one does.
        index: The dimension, from 0.
    """
    size = sum(units for _, units in parts)
    ordered = [(layout and layout.renumber(index), units) for layout, units in parts]
    layouts = [layout for layout, _ in ordered if layout is not None]
    axes = {axis for layout in layouts for axis in axes_of(layout.dims[index])}
    if not axes:
        return reduce(_union, [layout.with_dim(index, untracked(size)) for layout in layouts])
    (axis,) = axes if len(axes) == 1 else (None,)
    if axis is None or any(layout.is_elsewhere(axis, index) for layout in layouts):
        return concatenate([(x and x.untrack(index), units) for x, units in ordered], index)
    start, padded = 0, []
    for layout, units in ordered:
        if layout is not None and units:
            part = _pad_to(layout, index, axis, start, size)
            padded.append((part, range(start, start + units)))
        start += units
    return reduce(_union, _with_one_stride(padded, axis))


def _with_one_stride(parts: list[tuple[Layout, range]], axis: int) -> list[Layout]:
    """Return the parts with the stride of the longest one.

    Each window holds only what the units of its own part read.
    """
    windows = [(layout.fields[axis].window, len(units)) for layout, units in parts]
    moving = [(units, window.stride) for window, units in windows if window is not None]
    _, stride = max(moving, default=(0, 0))
    return [
        layout.with_field(axis, layout.fields[axis].with_stride(stride, units))
        for layout, units in parts
    ]


def _pad_to(layout: Layout, index: int, axis: int, start: int, size: int) -> Layout:
    """Return one part padded to `size` entries, its own from `start` on."""
    units = dim_size(layout.dims[index])
    shifted = np.arange(size)[:, None] - start
    links = Connections.of(clip_to_padding(shifted, units), 1, shifted)
    if axes_of(layout.dims[index]):
        return layout.apply({index: links})
    return place_constant(layout, index, axis, links)


def place_constant(layout: Layout, index: int, axis: int, links: Connections) -> Layout:
    """Return a layout whose untracked dimension `index` runs along `axis`.

    Args:
        layout: No dimension of it runs along `axis`.
        index: The dimension, along which all entries read the same.
        axis: The axis that other entries along the dimension may be units of.
        links: Entries connected to −1 read nothing.
    """
    inputs = np.minimum(links.inputs, 0)
    ranges = layout.fields[axis].ranges.apply(Connections(links.window, inputs))
    dims = list(layout.dims)
    dims[index] = (Factor(len(inputs), axis, 1),)
    return Layout(tuple(dims), layout.fields).with_field(axis, AxisField.constant(ranges))


def splice(
    layout: Layout, old: Layout | None, index: int, entries: range, shape: Sequence[int]
) -> Layout:
    """Return the layout of a tensor of `shape` after a write to some entries along a dimension.

    Args:
        layout: Layout of the values written.
        old: Layout of the tensor before. `None` if it did not depend on the input.
        index: The dimension.
        entries: The entries along it that are written.
        shape: Shape of the tensor.
    """
    units, size = dim_size(layout.dims[index]), shape[index]
    inputs = np.full((size, 1), -1)
    inputs[entries[:units], 0] = np.arange(units)
    if axes_of(layout.dims[index]):
        start, step = Fraction(entries.start, entries.step), Fraction(1, entries.step)
        window = Window(1, simplest(step), simplest(start))
        layout = layout.apply({index: Connections(window, inputs)}) if units != size else layout
    else:
        layout = _splice_constant(layout, index, Connections(Window(), inputs))
    if old is not None and axes_of(old.dims[index]):
        kept = np.where(inputs < 0, np.arange(size)[:, None], -1)
        old = old.apply({index: Connections(Window(), kept)})
    return union([layout, old], shape) or layout


def _splice_constant(layout: Layout, index: int, links: Connections) -> Layout:
    """Return `place_constant` along the one axis that no dimension runs along.

    If there are several, any entry along the dimension may read all of it.
    """
    free = set(range(len(layout.fields))) - layout.axes()
    if len(free) == 1:
        return place_constant(layout, index, free.pop(), links)
    return layout.with_dim(index, untracked(len(links.inputs)))


def matmul(one: Layout | None, other: Layout | None, shape: Sequence[int]) -> Layout | None:
    """Return the layout of a matrix product `(…, m, c) @ (…, c, n)`.

    Each unit reads the union over `c`. If both matrices depend on the input, as in attention, the
    rows stay tracked, and the columns only where they do not run along the same axes.
    """
    both = one is not None and other is not None
    left = one and _sum_over(one, len(one.dims) - 1, both)
    right = other and _sum_over(other, len(other.dims) - 2, both)
    return union([left, right], shape)


def _sum_over(layout: Layout, index: int, keep: bool) -> Layout:
    return layout.untrack(index) if keep else layout.union_over(index)
