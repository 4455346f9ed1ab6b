"""Slices, concatenations and repetitions: operators that pick or place parts of tensors."""

from __future__ import annotations

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import concatenate, splice, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.algebra.window import Window
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Operator, Write, dims_of, positive


def entries_of(layout: Layout, index: int, entries: range) -> Layout:
    """Return the layout of some entries along one dimension."""
    if entries == range(dim_size(layout.dims[index])):
        return layout
    if not axes_of(layout.dims[index]):
        return layout.with_dim(index, untracked(len(entries)))
    inputs = np.array(entries, dtype=np.int64)[:, None]
    window = Window(1, entries.step, -entries.start if entries else 0)
    return layout.apply({index: Connections(window, inputs)})


def _entry(layout: Layout, index: int, entry: int) -> Layout:
    """Return the layout of one entry along one dimension, which is dropped."""
    layout = entries_of(layout, index, range(entry, entry + 1))
    return layout.with_dims((*layout.dims[:index], *layout.dims[index + 1 :]))


def _slice_range(call: Call, index: int) -> range:
    size = call.args[0].shape[index]
    return range(*slice(call["start"], call["end"], call["step"]).indices(size))


def _slice(call: Call) -> Layout:
    index = positive(call["dim"], len(call.shape))
    return entries_of(call.source, index, _slice_range(call, index))


def _write_slice(write: Write) -> Layout:
    index = positive(write.view["dim"], len(write.shape))
    return splice(write.layout, write.old, index, _slice_range(write.view, index), write.shape)


def _select(call: Call) -> Layout:
    layout = call.source
    index = positive(call["dim"], len(layout.dims))
    return _entry(layout, index, positive(call["index"], dim_size(layout.dims[index])))


def _write_select(write: Write) -> Layout:
    index = positive(write.view["dim"], len(write.shape))
    return _write_entry(write, index, positive(write.view["index"], write.shape[index]))


def _write_entry(write: Write, index: int, entry: int) -> Layout:
    layout = write.layout.unsqueeze(index)
    return splice(layout, write.old, index, range(entry, entry + 1), write.shape)


def _slice_scatter(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    return _place(call, call.layout_of(call["src"]), index, _slice_range(call, index))


def _select_scatter(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    entry, layout = positive(call["index"], call.shape[index]), call.layout_of(call["src"])
    layout = layout and layout.unsqueeze(index)
    return _place(call, layout, index, range(entry, entry + 1))


def _place(call: Call, layout: Layout | None, index: int, entries: range) -> Layout | None:
    """Return the layout of the first argument with some entries along a dimension replaced."""
    old = call.layout_of(call.args[0])
    if layout is not None:
        return splice(layout, old, index, entries, call.shape)
    return old


def _unbind(call: Call) -> list[Layout | None]:
    index = positive(call["dim"], len(call.source.dims))
    return [_entry(call.source, index, entry) for entry in range(len(call.out))]


def _write_unbind(write: Write) -> Layout:
    return _write_entry(write, positive(write.view["dim"], len(write.shape)), write.number)


def _split_ranges(call: Call, index: int) -> list[range]:
    stops = np.cumsum([part.shape[index] for part in call.out]).tolist()
    return [range(*ends) for ends in zip([0, *stops], stops, strict=False)]


def _split(call: Call) -> list[Layout | None]:
    index = positive(call["dim"], len(call.source.dims))
    return [entries_of(call.source, index, entries) for entries in _split_ranges(call, index)]


def _write_split(write: Write) -> Layout:
    index = positive(write.view["dim"], len(write.shape))
    entries = _split_ranges(write.view, index)[write.number]
    return splice(write.layout, write.old, index, entries, write.shape)


def _glu(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    half = call.shape[index]
    parts = [entries_of(call.source, index, range(at, at + half)) for at in (0, half)]
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
    "slice": Operator(_slice, write=_write_slice),
    "select": Operator(_select, write=_write_select),
    "slice_scatter": Operator(_slice_scatter),
    "select_scatter": Operator(_select_scatter),
    "unbind": Operator(_unbind, write=_write_unbind),
    "split split_with_sizes unsafe_split unsafe_split_with_sizes": (
        Operator(_split, write=_write_split)
    ),
    "glu": Operator(_glu),
    "cat": Operator(_cat, fake=fakes.cat),
    "stack": Operator(_stack),
    "repeat": Operator(_repeat),
    "diagonal": Operator(_diagonal, write=_write_diagonal),
}
