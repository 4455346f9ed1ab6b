"""Slices, concatenations and repetitions: operators that pick or place parts of tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import concatenate, splice, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Operator, Write, dims_of, positive, read_all

Entries = Callable[[Call, int, int], range]
"""Function from a call, its dimension and the number of a result to the entries of that result."""


def _sliced(call: Call, index: int, _: int) -> range:
    size = call.args[0].shape[index]
    return range(*slice(call["start"], call["end"], call["step"]).indices(size))


def _selected(call: Call, index: int, _: int) -> range:
    entry = positive(call["index"], call.args[0].shape[index])
    return range(entry, entry + 1)


def _unbound(call: Call, index: int, number: int) -> range:
    return range(number, number + 1)


def _split(call: Call, index: int, number: int) -> range:
    start = sum(part.shape[index] for part in call.out[:number])
    return range(start, start + call.out[number].shape[index])


def _pick(entries: Entries, *, drops: bool = False) -> Operator:
    """Return an operator whose results are entries along one dimension, which it may drop."""

    def read(call: Call) -> list[Layout | None]:
        layout = call.source
        index = positive(call["dim"], len(layout.dims))
        count = 1 if isinstance(call.out, Tensor) else len(call.out)
        parts = [layout.take(index, entries(call, index, i)) for i in range(count)]
        if drops:
            return [part.with_dims((*part.dims[:index], *part.dims[index + 1 :])) for part in parts]
        return [*parts]

    def write(write: Write) -> Layout:
        index = positive(write.view["dim"], len(write.shape))
        layout = write.layout.unsqueeze(index) if drops else write.layout
        part = entries(write.view, index, write.number)
        return splice(layout, write.old, index, part, write.shape)

    return Operator(read, write=write)


def _replace(entries: Entries, *, drops: bool = False) -> Operator:
    """Return an operator that copies a tensor with entries along one dimension replaced."""

    def read(call: Call) -> Layout | None:
        old, layout = call.layout_of(call.args[0]), call.layout_of(call["src"])
        if layout is None or not call["src"].numel():
            return old
        index = positive(call["dim"], len(call.shape))
        layout = layout.unsqueeze(index) if drops else layout
        return splice(layout, old, index, entries(call, index, 0), call.shape)

    return Operator(read)


def _glu(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    half = call.shape[index]
    parts = [call.source.take(index, range(at, at + half)) for at in (0, half)]
    return union(parts, call.shape)


def _cat(call: Call) -> Layout:
    tensors = [tensor for tensor in call["tensors"] if tensor.shape != (0,)]
    index = positive(call["dim"], len(call.shape))
    return concatenate([(call.layout_of(x), x.shape[index]) for x in tensors], index)


def _stack(call: Call) -> Layout:
    index = positive(call["dim"], len(call.shape))
    layouts = map(call.layout_of, call["tensors"])
    return concatenate([(layout and layout.unsqueeze(index), 1) for layout in layouts], index)


def _repeat(call: Call) -> Layout:
    layout, repeats = call.source, call["repeats"]
    new = len(repeats) - len(layout.dims)
    layout = layout.with_dims([*[untracked(1)] * new, *layout.dims])
    for index, times in enumerate(repeats):
        dim = layout.dims[index]
        if times > 1 and len(dim) == len(axes_of(dim)) == 1:
            units = dim_size(dim)
            inputs = np.arange(units * times)[:, None] % units
            layout = layout.apply({index: Connections.of(inputs, 1)})
        elif times > 1:
            layout = layout.with_dim(index, (*untracked(times), *dim))
    return layout


def _diagonal(call: Call) -> Layout:
    layout = call.source
    crossed = dims_of([call["dim1"], call["dim2"]], len(layout.dims))
    for index in crossed:
        layout = layout.untrack(index)
    kept = [dim for index, dim in enumerate(layout.dims) if index not in crossed]
    return layout.with_dims([*kept, untracked(call.shape[-1])])


def _write_diagonal(write: Write) -> Layout:
    """Return a layout in which any entry of the two dimensions may be any of those written."""
    ndim = len(write.shape)
    layout = write.layout.untrack(ndim - 2)
    layout = layout.with_dims(layout.dims[:-1])
    for index in sorted(dims_of([write.view["dim1"], write.view["dim2"]], ndim)):
        layout = layout.unsqueeze(index, write.shape[index])
    return union([layout, write.old], write.shape) or layout


OPERATORS = {
    "slice": _pick(_sliced),
    "select": _pick(_selected, drops=True),
    "slice_scatter": _replace(_sliced),
    "select_scatter": _replace(_selected, drops=True),
    "unbind": _pick(_unbound, drops=True),
    "split split_with_sizes unsafe_split unsafe_split_with_sizes": _pick(_split),
    "glu": Operator(_glu),
    "cat": Operator(_cat, fake=fakes.cat),
    "stack": Operator(_stack),
    "repeat": Operator(_repeat),
    "block_diag diag_embed diagonal_scatter as_strided_scatter": Operator(read_all),
    "diagonal": Operator(_diagonal, write=_write_diagonal),
}
