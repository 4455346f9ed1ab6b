"""Reshapes, permutations, slices, concatenations: what only moves units about."""

from __future__ import annotations

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections, Kernel, sliding
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import concatenate, expand, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.registry import Call, dims_of, positive, rule
from mnistzoo.errors import UnknownOperatorError


@rule("view", "_unsafe_view", "reshape", "_reshape_alias")
def _view(call: Call) -> Layout:
    return call.source.reshape(call.shape)


@rule("expand")
def _expand(call: Call) -> Layout:
    return expand(call.source, call.shape)


@rule("unsqueeze")
def _unsqueeze(call: Call) -> Layout:
    dims, index = call.source.dims, positive(call["dim"], len(call.shape))
    return call.source.with_dims((*dims[:index], untracked(1), *dims[index:]))


@rule("squeeze")
def _squeeze(call: Call) -> Layout:
    dims = call.source.dims
    dim = call.get("dim")
    gone = [] if dim == [] else dims_of(dim, len(dims))  # an empty list means none here
    return call.source.with_dims(
        dim for index, dim in enumerate(dims) if index not in gone or dim_size(dim) > 1
    )


@rule("as_strided")
def _as_strided(call: Call) -> Layout:
    """As pools use it, to set strides and no more, and as `torch.stft` does, to cut frames."""
    layout, size, strides = call.source, tuple(call["size"]), tuple(call["stride"])
    own = call.args[0].stride()
    moved = call["storage_offset"] not in (None, call.args[0].storage_offset())
    turned = strides != own and sorted(strides) == sorted(own)
    if size == layout.shape and not moved and not turned:
        return layout
    *others, last = own
    framed = len(size) == len(strides) == len(layout.dims) + 1 and size[:-2] == layout.shape[:-1]
    if not framed or strides[:-2] != tuple(others) or strides[-1] != last or moved:
        raise UnknownOperatorError("as_strided with another shape reads memory, not units")
    frames, kernel = size[-2:]
    index = len(layout.dims) - 1
    slide = Kernel(kernel, strides[-2] // last)
    layout = layout.apply({index: sliding(dim_size(layout.dims[index]), frames, slide)})
    return layout.with_dims([*layout.dims, untracked(kernel)])


@rule("permute")
def _permute(call: Call) -> Layout:
    layout = call.source
    return layout.with_dims(layout.dims[i] for i in dims_of(call["dims"], len(layout.dims)))


@rule("transpose", "t")
def _transpose(call: Call) -> Layout:
    dims = list(call.source.dims)
    if len(dims) < 2:
        return call.source
    one = positive(call.get("dim0", -2), len(dims))
    other = positive(call.get("dim1", -1), len(dims))
    dims[one], dims[other] = dims[other], dims[one]
    return call.source.with_dims(dims)


def _picked(layout: Layout, index: int, units: range) -> Layout:
    """The units of a range along one dimension."""
    if units == range(dim_size(layout.dims[index])):
        return layout
    if not axes_of(layout.dims[index]):
        return layout.with_dim(index, untracked(len(units)))
    inputs = np.arange(units.start, units.start + len(units) * units.step, units.step)[:, None]
    return layout.apply({index: Connections.of(inputs, units.step)})


@rule("slice")
def _slice(call: Call) -> Layout:
    layout = call.source
    index = positive(call["dim"], len(layout.dims))
    size = dim_size(layout.dims[index])
    start, _, step = slice(call["start"], call["end"], call["step"]).indices(size)
    return _picked(layout, index, range(start, start + call.shape[index] * step, step))


@rule("select")
def _select(call: Call) -> Layout:
    layout = call.source
    index = positive(call["dim"], len(layout.dims))
    return _one(layout, index, positive(call["index"], dim_size(layout.dims[index])))


def _one(layout: Layout, index: int, unit: int) -> Layout:
    layout = _picked(layout, index, range(unit, unit + 1))
    return layout.with_dims((*layout.dims[:index], *layout.dims[index + 1 :]))


@rule("unbind")
def _unbind(call: Call) -> list[Layout | None]:
    index = positive(call["dim"], len(call.source.dims))
    return [_one(call.source, index, unit) for unit in range(len(call.out))]


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
def _split(call: Call) -> list[Layout | None]:
    index = positive(call["dim"], len(call.source.dims))
    parts: list[Layout | None] = []
    start = 0
    for out in call.out:
        stop = start + out.shape[index]
        parts.append(_picked(call.source, index, range(start, stop)))
        start = stop
    return parts


@rule("glu")
def _glu(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    half = call.shape[index]
    parts = [_picked(call.source, index, range(at, at + half)) for at in (0, half)]
    return union(parts, call.shape)


@rule("cat")
def _cat(call: Call) -> Layout:
    tensors = [tensor for tensor in call["tensors"] if tensor.shape != (0,)]
    index = positive(call["dim"], len(call.shape))
    return concatenate([(call.layout_of(x), x.shape[index]) for x in tensors], index)


@rule("stack")
def _stack(call: Call) -> Layout:
    index = positive(call["dim"], len(call.shape))
    parts: list[tuple[Layout | None, int]] = []
    for tensor in call["tensors"]:
        layout = call.layout_of(tensor)
        if layout is not None:
            dims = (*layout.dims[:index], untracked(1), *layout.dims[index:])
            layout = layout.with_dims(dims)
        parts.append((layout, 1))
    return concatenate(parts, index)


@rule("repeat")
def _repeat(call: Call) -> Layout:
    layout, repeats = call.source, call["repeats"]
    layout = layout.with_dims(
        [untracked(1)] * (len(repeats) - len(layout.dims)) + list(layout.dims)
    )
    for index, times in enumerate(repeats):
        dim = layout.dims[index]
        if times > 1 and len(dim) == len(axes_of(dim)) == 1:
            units = dim_size(dim)
            inputs = np.arange(units * times)[:, None] % units
            layout = layout.apply({index: Connections.of(inputs, 1)})
        elif times > 1:
            layout = layout.with_dim(index, (*untracked(times), *dim))
    return layout


@rule("roll")
def _roll(call: Call) -> Layout:
    layout = call.source
    if not call["dims"]:
        return layout.spread_over(range(len(layout.dims)))
    for shift, dim in zip(call["shifts"], call["dims"], strict=True):
        index = positive(dim, len(layout.dims))
        if axes_of(layout.dims[index]):
            units = dim_size(layout.dims[index])
            inputs = np.arange(units)[:, None] - shift
            layout = layout.apply({index: Connections.of(inputs % units, 1, inputs)})
    return layout


@rule("flip")
def _flip(call: Call) -> Layout:
    return _flipped(call.source, dims_of(call["dims"], len(call.shape)))


def _flipped(layout: Layout, dims: list[int]) -> Layout:
    for index in dims:
        if axes_of(layout.dims[index]):
            units = dim_size(layout.dims[index])
            layout = layout.apply({index: Connections.of(np.arange(units)[::-1, None], 1)})
    return layout


@rule("rot90")
def _rot90(call: Call) -> Layout:
    layout, turns = call.source, call["k"] % 4
    one, other = dims_of(call["dims"], len(layout.dims))
    flipped = {0: [], 1: [one], 2: [one, other], 3: [other]}[turns]
    if turns % 2:
        dims = list(layout.dims)
        dims[one], dims[other] = dims[other], dims[one]
        layout = layout.with_dims(dims)
    return _flipped(layout, flipped)


@rule("diagonal")
def _diagonal(call: Call) -> Layout:
    layout = call.source
    gone = dims_of([call["dim1"], call["dim2"]], len(layout.dims))
    for index in gone:
        layout = layout.untrack(index)
    kept = [dim for index, dim in enumerate(layout.dims) if index not in gone]
    return layout.with_dims([*kept, untracked(call.shape[-1])])


@rule("pixel_shuffle")
def _pixel_shuffle(call: Call) -> Layout:
    layout, factor = call.source.union_over(len(call.shape) - 3), call["upscale_factor"]
    *front, _, rows, columns = layout.dims
    dims = [*front, untracked(call.shape[-3])]
    return layout.with_dims([*dims, *((*dim, *untracked(factor)) for dim in (rows, columns))])


@rule("pixel_unshuffle")
def _pixel_unshuffle(call: Call) -> Layout:
    layout, factor = call.source, call["downscale_factor"]
    *front, channels, height, width = layout.shape
    sizes = [*front, channels, height // factor, factor, width // factor, factor]
    layout = layout.reshape(sizes)
    n = len(front)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return layout.with_dims(layout.dims[i] for i in order).reshape(call.shape)


@rule("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(call: Call) -> Layout:
    return call.source
