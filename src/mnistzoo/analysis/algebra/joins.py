"""Where tensors meet: pointwise operators, products of matrices, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.factors import PLAIN, Dim, Factor, axes_of, dim_size, plain
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.algebra.pixel_ranges import Step, inside


def broadcast(layouts: Sequence[Layout], shape: Sequence[int]) -> Layout:
    """What the units of a result of `shape` see that is made unit by unit of `layouts`."""
    if len(layouts) == 1 and layouts[0].shape == tuple(shape):
        return layouts[0]
    return reduce(_pair, (_spread(layout, shape) for layout in layouts))


def _spread(layout: Layout, shape: Sequence[int]) -> Layout:
    """A layout broadcast to `shape`."""
    if layout.shape == tuple(shape):
        return layout
    dims = [plain(1)] * (len(shape) - len(layout.dims)) + list(layout.dims)
    return layout.with_dims(
        dim if dim_size(dim) == size else plain(size) for dim, size in zip(dims, shape, strict=True)
    )


def _pair(one: Layout, other: Layout) -> Layout:
    if one is other:
        return one
    if one.dims != other.dims:
        one, other = _agree(one, other)
    else:
        one, other = _one_grid(one, other)
    dims = tuple(
        mine if axes_of(mine) else theirs for mine, theirs in zip(one.dims, other.dims, strict=True)
    )
    met: dict[tuple[int, int], AxisField] = {}
    reaches = []
    for mine, theirs in zip(one.reaches, other.reaches, strict=True):
        key = (id(mine), id(theirs))
        met[key] = met.get(key) or mine.union(theirs)
        reaches.append(met[key])
    return Layout(dims, tuple(reaches))


def _agree(one: Layout, other: Layout) -> tuple[Layout, Layout]:
    """Both so changed that no axis is in two places; where they disagree, `one` has its way."""
    for index in range(len(one.dims)):
        mine, theirs = one.dims[index], other.dims[index]
        if mine != theirs and len(axes_of(mine)) == len(axes_of(theirs)) == 1:
            one, other = one.as_axis(index), other.as_axis(index)
    one, other = _one_grid(one, other)
    for index in range(len(one.dims)):
        mine, theirs = one.dims[index], other.dims[index]
        if mine != theirs and axes_of(mine) and axes_of(theirs):
            other = other.smeared(index)
    placed = {f: index for index, dim in enumerate(one.dims) for f in dim}
    for index, dim in enumerate(other.dims):
        if any(_clashes(f, index, placed) for f in dim):
            other = other.smeared(index)
    return one, other


def _one_grid(one: Layout, other: Layout) -> tuple[Layout, Layout]:
    """Where both have an axis, but not as many units along it, the fewer are taken as a whole."""
    for axis in one.live() & other.live():
        mine, theirs = one.reaches[axis].units, other.reaches[axis].units
        if mine < theirs:
            one = one.without(axis)
        elif theirs < mine:
            other = other.without(axis)
    return one, other


def _clashes(factor: Factor, index: int, placed: dict[Factor, int]) -> bool:
    """Whether the axis of `factor` is placed elsewhere than in dimension `index`."""
    if factor.axis == PLAIN:
        return False
    if factor in placed:
        return placed[factor] != index
    return any(f.axis == factor.axis for f in placed)


def concatenated(parts: Sequence[tuple[Layout | None, int]], index: int) -> Layout:
    """Layouts put one after the other along a dimension.

    Args:
        parts: each with its size along the dimension; `None` for a tensor not made of the input.
        index: the dimension, from 0.
    """
    size = sum(units for _, units in parts)
    known = [(layout and layout.as_axis(index), units) for layout, units in parts]
    layouts = [layout for layout, _ in known if layout is not None]
    axes = {axis for layout in layouts for axis in axes_of(layout.dims[index])}
    if not axes:
        longer = [layout.with_dim(index, plain(size)) for layout in layouts]
        return broadcast(longer, longer[0].shape)
    (axis,) = axes if len(axes) == 1 else (None,)
    if axis is None or any(axis in _axes_elsewhere(layout, index) for layout in layouts):
        return concatenated([(x and x.smeared(index), units) for x, units in known], index)
    start, placed = 0, []
    for layout, units in known:
        if layout is not None and units:
            whole = _placed(layout, index, axis, start, size)
            placed.append((whole, range(start, start + units)))
        start += units
    return reduce(_pair, _at_one_stride(placed, axis))


def _at_one_stride(placed: list[tuple[Layout, range]], axis: int) -> list[Layout]:
    """Parts of one dimension, their windows moving like the longest one's.

    A window is asked only for what the units of its own part see.
    """
    windows = [(layout.reaches[axis].window, len(units)) for layout, units in placed]
    moving = [(units, window.stride) for window, units in windows if window is not None]
    _, stride = max(moving, default=(0, 0))
    return [
        layout.with_field(axis, layout.reaches[axis].at_stride(stride, units))
        for layout, units in placed
    ]


def _axes_elsewhere(layout: Layout, index: int) -> set[int]:
    return {axis for i, dim in enumerate(layout.dims) if i != index for axis in axes_of(dim)}


def _placed(layout: Layout, index: int, axis: int, start: int, size: int) -> Layout:
    """One part at its place in a longer dimension, with nothing around it."""
    units = dim_size(layout.dims[index])
    shifted = np.arange(size)[:, None] - start
    step = Step.read(inside(shifted, units), 1, shifted)
    if axes_of(layout.dims[index]):
        return layout.stepped({index: step})
    return constant_along(layout, index, axis, step)


def constant_along(layout: Layout, index: int, axis: int, step: Step) -> Layout:
    """A layout that is the same all along a dimension, put where taps of `step` are not negative.

    Args:
        layout: no dimension of it runs along `axis`.
        index: the dimension, which runs along `axis` then.
        axis: what other units along the dimension are units of, or may be.
        step: a tap for each entry that the dimension is to have.
    """
    whole: Dim = (Factor(len(step.taps), axis, 1),)
    spans = layout.reaches[axis].whole.through(Step(step.window, np.minimum(step.taps, 0)))
    constant = AxisField(None, None, spans, is_global=True)
    dims = (*layout.dims[:index], whole, *layout.dims[index + 1 :])
    return Layout(dims, layout.reaches).with_field(axis, constant)


def merged(layouts: Sequence[Layout | None], shape: Sequence[int]) -> Layout | None:
    """`broadcast` of those that are made of the input; `None` where none is."""
    known = [layout for layout in layouts if layout is not None]
    return broadcast(known, shape) if known else None


def product(one: Layout | None, other: Layout | None, shape: Sequence[int]) -> Layout | None:
    """A product of matrices `(…, m, c)` and `(…, c, n)`.

    Each unit sees all along `c`. Where both are made of the input, as in attention, the rows keep
    their places; the columns keep theirs only where these are not the same places again.
    """
    both = one is not None and other is not None
    left = one and _contracted(one, len(one.dims) - 1, both)
    right = other and _contracted(other, len(other.dims) - 2, both)
    return merged([left, right], shape)


def _contracted(layout: Layout, index: int, keep: bool) -> Layout:
    return layout.smeared(index) if keep else layout.reduced(index)
