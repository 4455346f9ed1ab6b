"""Where tensors meet: elementwise operators, matrix products, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.factors import NO_AXIS, Factor, axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.layout import Layout


def union(layouts: Sequence[Layout | None], shape: Sequence[int]) -> Layout | None:
    """Return the layout of an elementwise operator whose result has `shape`.

    It is `None` if no argument depends on the input, as is the layout of one that does not.
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
    """Return the layout of a concatenation of parts, each with its size along the dimension.

    The layout of a tensor that does not depend on the input is `None`. At least one does.
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
            entries = range(start, start + units)
            padded.append((_place(layout, index, entries, size, axis), entries))
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


def _place(
    layout: Layout, index: int, entries: range, size: int, axis: int | None = None
) -> Layout:
    """Return the layout with one dimension placed at some entries of a longer one.

    The other entries read nothing. If the dimension is untracked, it becomes one of `axis`; without
    `axis` it stays untracked.
    """
    layout = layout.renumber(index)
    axes = axes_of(layout.dims[index])
    if axes:
        axis = axes.pop()
        return layout.with_units(index, axis, layout.fields[axis].place(entries, size))
    if axis is None:
        return layout.with_dim(index, untracked(size))
    ranges = layout.fields[axis].ranges.place(entries, size)
    return layout.with_units(index, axis, AxisField.constant(ranges))


def splice(
    layout: Layout, old: Layout | None, index: int, entries: range, shape: Sequence[int]
) -> Layout:
    """Return the layout of a tensor after a write to some entries along a dimension.

    The tensor has `shape` and the layout `old`, and the values written have `layout`.
    """
    free = set(range(len(layout.fields))) - layout.axes()
    entries = entries[: dim_size(layout.dims[index])]
    layout = _place(layout, index, entries, shape[index], free.pop() if len(free) == 1 else None)
    if old is not None and axes_of(old.dims[index]):
        old = old.renumber(index)
        for axis in axes_of(old.dims[index]):
            old = old.with_field(axis, old.fields[axis].without(entries))
    return union([layout, old], shape) or layout


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
