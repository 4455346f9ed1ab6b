"""What a tensor sees after part of it was written to through a view, as in `out[:, 2:] = x`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections, Ints, clip_to_padding
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import place_constant, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.algebra.window import Window
from mnistzoo.analysis.operators.registry import Call, dims_of, positive
from mnistzoo.errors import UnknownOperatorError

_SAME_ORDER = frozenset(("view", "_unsafe_view", "_reshape_alias", "unsqueeze", "squeeze", "alias"))


def written(view: Call, number: int, layout: Layout, old: Layout | None) -> Layout:
    """The layout of a tensor after a view of it was given `layout`.

    Args:
        view: the operator that made the view.
        number: of the view, where the operator makes several.
        layout: of the view after the write.
        old: of the tensor before.

    Raises:
        UnknownOperatorError: where such a view lies in its tensor is not known.
    """
    name = view.func._schema.name.removeprefix("aten::")
    shape = tuple(view.args[0].shape)
    if name in _SAME_ORDER or name == "detach":
        return layout.reshape(shape)
    if name in ("permute", "transpose", "t"):
        return layout.with_dims(layout.dims[i] for i in _inverse(view, len(shape)))
    if name not in ("slice", "select", "unbind", "split", "split_with_sizes"):
        raise UnknownOperatorError(f"writing through aten.{name} has no known window")
    index = positive(view["dim"], len(shape))
    if name in ("select", "unbind"):
        layout = layout.with_dims((*layout.dims[:index], untracked(1), *layout.dims[index:]))
    start, step = _place(view, name, number, index)
    return _spliced(layout, old, index, range(start, shape[index], step), shape)


def _inverse(view: Call, ndim: int) -> list[int]:
    order = list(range(ndim))
    if len(view.args) == 2:
        order = dims_of(view["dims"], ndim)
    elif ndim > 1:
        one = positive(view.get("dim0", -2), ndim)
        other = positive(view.get("dim1", -1), ndim)
        order[one], order[other] = other, one
    return [order.index(i) for i in range(ndim)]


def _place(view: Call, name: str, number: int, index: int) -> tuple[int, int]:
    """The first entry of a view along its dimension, and the entries from one to the next."""
    size = int(view.args[0].shape[index])
    if name == "slice":
        start, _, step = slice(view["start"], view["end"], view["step"]).indices(size)
        return start, step
    if name == "select":
        return positive(view["index"], size), 1
    if name == "unbind":
        return number, 1
    return sum(int(part.shape[index]) for part in view.out[:number]), 1


def _spliced(
    layout: Layout, old: Layout | None, index: int, entries: range, shape: tuple[int, ...]
) -> Layout:
    """`layout` at some entries along a dimension, and `old` at the others."""
    units, size = dim_size(layout.dims[index]), shape[index]
    inputs = np.full((size, 1), -1)
    inputs[entries[:units], 0] = np.arange(units)
    if axes_of(layout.dims[index]):
        window = Window(1, Fraction(1, entries.step), Fraction(entries.start, entries.step))
        layout = layout.apply({index: Connections(window, inputs)}) if units != size else layout
    else:
        layout = _constant(layout, index, inputs)
    if old is not None and axes_of(old.dims[index]):
        kept = np.where(inputs < 0, np.arange(size)[:, None], -1)
        old = old.apply({index: Connections(Window(), clip_to_padding(kept, size))})
    return union([layout, old], shape) or layout


def _constant(layout: Layout, index: int, inputs: Ints) -> Layout:
    """What is the same all along a dimension, put where inputs are not negative.

    Elsewhere nothing is seen, if it can be told which axis the dimension runs along: the one that
    no other does. Else the whole dimension is taken to see it.
    """
    free = set(range(len(layout.fields))) - layout.axes()
    if len(free) == 1:
        return place_constant(layout, index, free.pop(), Connections(Window(), inputs))
    return layout.with_dim(index, untracked(len(inputs)))
