"""Reshapes, permutations and flips: operators that rearrange all entries of one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections, Kernel, sliding
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import expand
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import (
    Call,
    Operator,
    Write,
    dims_of,
    elementwise,
    positive,
    write_anywhere,
)
from mnistzoo.errors import UnknownOperatorError


def _view(call: Call) -> Layout:
    if call.get("dtype") is None or call.shape == call.source.shape:
        return call.source.reshape(call.shape)
    last = len(call.shape) - 1  # another dtype has another number of bytes
    return call.source.untrack(last).with_dim(last, untracked(call.shape[last]))


def _write_view(write: Write) -> Layout:
    return write.layout.reshape(write.shape)


def _expand(call: Call) -> Layout:
    return expand(call.source, call.shape)


def _unsqueeze(call: Call) -> Layout:
    return call.source.unsqueeze(positive(call["dim"], len(call.shape)))


def _squeeze(call: Call) -> Layout:
    dims = call.source.dims
    dim = call.get("dim")
    squeezed = [] if dim == [] else dims_of(dim, len(dims))  # here [] means none, not all
    return call.source.with_dims(
        dim for index, dim in enumerate(dims) if index not in squeezed or dim_size(dim) > 1
    )


def _as_strided(call: Call) -> Layout:
    """Return the layout of a tensor as it is, or of the frames of `torch.stft`."""
    layout, size, strides = call.source, tuple(call["size"]), tuple(call["stride"])
    own = call.args[0].stride()
    moved = call["storage_offset"] not in (None, call.args[0].storage_offset())
    used = [i for i, entries in enumerate(size) if entries > 1]
    if size == layout.shape and not moved and all(strides[i] == own[i] for i in used):
        return layout
    *others, last = own
    framed = len(size) == len(strides) == len(layout.dims) + 1 and size[:-2] == layout.shape[:-1]
    if not framed or strides[:-2] != tuple(others) or strides[-1] != last or moved:
        raise UnknownOperatorError(
            "Expected as_strided to keep the shape or to cut frames, got a call that reads memory, "
            "not units. Use view, permute or slices."
        )
    frames, length = size[-2:]
    index = len(layout.dims) - 1
    units, kernel = dim_size(layout.dims[index]), Kernel(length, strides[-2] // last)
    if strides[-2] % last or kernel.size + (frames - 1) * kernel.stride > units:
        raise UnknownOperatorError(
            "Expected as_strided to cut frames of one row, got some that reach into the next. "
            "Use unfold."
        )
    layout = layout.apply({index: sliding(units, frames, kernel)})
    return layout.with_dims([*layout.dims, untracked(length)])


def _write_strided(write: Write) -> Layout:
    """Return the layout after a write to any part of a contiguous tensor.

    Raises:
        UnknownOperatorError: The view may reach memory outside of the tensor.
    """
    base, offset = write.view.args[0], write.view["storage_offset"]
    steps = zip(write.view["size"], write.view["stride"], strict=True)
    start = 0 if offset is None else offset - base.storage_offset()
    inside = start >= 0 and start + sum((n - 1) * step for n, step in steps) < base.numel()
    if not base.is_contiguous() or not inside:
        raise UnknownOperatorError(
            "Expected a write through as_strided to stay inside of a contiguous tensor, got one "
            "that may reach others. Write to a slice, or to a contiguous copy."
        )
    return write_anywhere(write)


def _permuted(layout: Layout, order: Sequence[int]) -> Layout:
    return layout.with_dims(layout.dims[i] for i in order)


def _order(call: Call, ndim: int) -> list[int]:
    """Return the order in which `permute`, `transpose` or `t` puts the dimensions."""
    dims = call.get("dims")
    if dims is not None:
        return dims_of(dims, ndim)
    order = list(range(ndim))
    if ndim > 1:
        one, other = positive(call.get("dim0", -2), ndim), positive(call.get("dim1", -1), ndim)
        order[one], order[other] = other, one
    return order


def _permute(call: Call) -> Layout:
    return _permuted(call.source, _order(call, len(call.source.dims)))


def _write_permuted(write: Write) -> Layout:
    order = _order(write.view, len(write.shape))
    return _permuted(write.layout, [order.index(i) for i in range(len(order))])


def _flip(call: Call) -> Layout:
    return _flipped(call.source, dims_of(call["dims"], len(call.shape)))


def _flipped(layout: Layout, dims: Sequence[int]) -> Layout:
    for index in dims:
        if axes_of(layout.dims[index]):
            units = dim_size(layout.dims[index])
            layout = layout.apply({index: Connections.of(np.arange(units)[::-1, None], 1)})
    return layout


def _rot90(call: Call) -> Layout:
    turns, ndim = call["k"] % 4, len(call.shape)
    one, other = dims_of(call["dims"], ndim)
    order = list(range(ndim))
    if turns % 2:
        order[one], order[other] = other, one
    flips = {0: [], 1: [one], 2: [one, other], 3: [other]}
    return _flipped(_permuted(call.source, order), flips[turns])


def _roll(call: Call) -> Layout:
    layout = call.source
    if not call["dims"]:
        return layout.spread_over(range(len(layout.dims)))
    for shift, dim in zip(call["shifts"], call["dims"], strict=True):
        index = positive(dim, len(layout.dims))
        if axes_of(layout.dims[index]):
            units = dim_size(layout.dims[index])
            numbers = np.arange(units)[:, None] - shift
            layout = layout.apply({index: Connections.of(numbers % units, 1, numbers)})
    return layout


def _pixel_shuffle(call: Call) -> Layout:
    layout, factor = call.source.union_over(len(call.shape) - 3), call["upscale_factor"]
    *front, _, rows, columns = layout.dims
    dims = [*front, untracked(call.shape[-3])]
    return layout.with_dims([*dims, *((*dim, *untracked(factor)) for dim in (rows, columns))])


def _pixel_unshuffle(call: Call) -> Layout:
    factor = call["downscale_factor"]
    *front, channels, height, width = call.source.shape
    blocks = [*front, channels, height // factor, factor, width // factor, factor]
    n = len(front)
    return _regrouped(call, blocks, [*range(n), n, n + 2, n + 4, n + 1, n + 3])


def _channel_shuffle(call: Call) -> Layout:
    batch, channels, *others = call.shape
    grouped = [batch, call["groups"], channels // call["groups"], *others]
    return _regrouped(call, grouped, [0, 2, 1, *range(3, len(grouped))])


def _regrouped(call: Call, shape: Sequence[int], order: Sequence[int]) -> Layout:
    return _permuted(call.source.reshape(shape), order).reshape(call.shape)


def _view_as_real(call: Call) -> Layout:
    return call.source.with_dims([*call.source.dims, untracked(2)])


def _view_as_complex(call: Call) -> Layout:
    layout = call.source.union_over(len(call.source.dims) - 1)
    return layout.with_dims(layout.dims[:-1])


OPERATORS = {
    "alias detach": Operator(elementwise, write=_write_view),
    "view _unsafe_view reshape _reshape_alias": Operator(_view, write=_write_view),
    "unsqueeze": Operator(_unsqueeze, write=_write_view),
    "squeeze": Operator(_squeeze, write=_write_view),
    "permute transpose t": Operator(_permute, write=_write_permuted),
    "expand": Operator(_expand),
    "as_strided": Operator(_as_strided, write=_write_strided),
    "flip": Operator(_flip),
    "rot90": Operator(_rot90),
    "roll": Operator(_roll, fake=fakes.roll),
    "pixel_shuffle": Operator(_pixel_shuffle),
    "pixel_unshuffle": Operator(_pixel_unshuffle),
    "channel_shuffle native_channel_shuffle": Operator(_channel_shuffle),
    "view_as_real": Operator(_view_as_real),
    "view_as_complex": Operator(_view_as_complex),
}
