"""Operators that read or write where a tensor says: indices, tables, masks, sampling grids."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Operator, positive, read_all
from mnistzoo.analysis.operators.sliding import convolution_macs


def _index_select(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    if call.layout_of(call.args[0]) is None:
        return _lookup(call, [call["index"]], index, 1)
    return _select(call, call.source, index, call["index"])


def _select(call: Call, layout: Layout, index: int, numbers: torch.Tensor) -> Layout | None:
    """Return the layout of the entries along a dimension that one or more numbers pick."""
    if axes_of(layout.dims[index]) and not call.now(numbers).is_meta:
        units = dim_size(layout.dims[index])
        inputs = np.array(call.now(numbers).tolist(), dtype=np.int64).reshape(-1, 1) % units
        even = Fraction(int(np.diff(inputs[:, 0]).sum()), max(len(inputs) - 1, 1))
        return layout.apply({index: Connections.of(inputs, even if even > 0 else 1)})
    layout = layout.untrack(index).with_dim(index, untracked(numbers.numel()))
    return union([layout, call.union_of(numbers)], layout.shape)


def _embedding(call: Call) -> Layout | None:
    found = _lookup(call, [call["indices"]], 0, len(call.shape) - 1)
    return union([found, call.union_of(call["weight"])], call.shape)


def _lookup(call: Call, numbers: list[torch.Tensor], front: int, count: int) -> Layout | None:
    """Return the layout of entries of a constant table, at numbers that depend on the input.

    The numbers are broadcast together. The result has `front` dimensions of the table, then the
    `count` of the numbers.
    """
    found = union([call.layout_of(x) for x in numbers], call.shape[front : front + count])
    before, after = call.shape[:front], call.shape[front + count :]
    return found and found.with_dims([*map(untracked, before), *found.dims, *map(untracked, after)])


def _index(call: Call) -> Layout | None:
    given = [(i, x) for i, x in enumerate(call["indices"]) if x is not None]
    first, last = given[0][0], given[-1][0]
    adjacent = last - first + 1 == len(given)
    front = first if adjacent else 0
    if call.layout_of(call.args[0]) is None:
        kept = call.args[0].ndim - len(given)
        return _lookup(call, [x for _, x in given], front, len(call.shape) - kept)
    layout = call.source
    if len(given) == 1 and given[0][1].ndim == 1 and given[0][1].dtype != torch.bool:
        return _select(call, layout, *given[0])
    for index, _ in given:
        layout = layout.untrack(index)
    kept = [dim for i, dim in enumerate(layout.dims) if i not in dict(given)]
    new = call.shape[front : front + len(call.shape) - len(kept)]
    dims = [*kept[:front], *map(untracked, new), *kept[front:]]
    parts = [call.union_of(numbers) for _, numbers in given]
    return union([layout.with_dims(dims), *parts], call.shape)


def _index_put(call: Call) -> Layout | None:
    given = [(i, x) for i, x in enumerate(call["indices"]) if x is not None]
    if len(given) == 1 and given[0][1].dtype == torch.bool and call["values"].numel() == 1:
        return _fill_mask(call, *given[0])
    along = given[0][0] if len(given) == 1 and given[0][1].ndim == 1 else None
    return _put(call, along, call["values"], [x for _, x in given])


def _fill_mask(call: Call, first: int, mask: torch.Tensor) -> Layout | None:
    """Return the layout after one value was written wherever a mask is true."""
    layout = call.layout_of(mask)
    if layout is not None:
        after = len(call.shape) - first - mask.ndim
        layout = layout.with_dims([*layout.dims, *[untracked(1)] * after])
    value = call.union_of(call["values"])
    return union([call.layout_of(call.args[0]), layout, value], call.shape)


def _masked_scatter(call: Call) -> Layout | None:
    return _put(call, None, call["source"], [call["mask"]])


def _scatter(call: Call) -> Layout | None:
    along = positive(call["dim"], len(call.shape))
    return _put(call, along, call.get("src", call.get("source")), [call["index"]])


def _put(call: Call, along: int | None, source: Any, indices: list[torch.Tensor]) -> Layout | None:
    """Return the layout after `source` was written along one dimension, or anywhere if `None`.

    The indices are not followed: any entry along it may be any of those written.
    """
    layout = call.layout_of(source)
    if layout is not None and along is not None:
        missing = [untracked(1)] * (len(call.shape) - len(layout.dims))
        layout = layout.with_dims([*missing, *layout.dims]).untrack(along)
    else:
        layout = layout and layout.union_all()
    others = [call.union_of(numbers) for numbers in indices]
    return union([call.layout_of(call.args[0]), layout, *others], call.shape)


def _first_by_others(call: Call) -> Layout | None:
    """Return a layout pointwise in the first tensor, in which each unit reads all of the others."""
    first = call.args[0]  # may be a number
    others = call.tensors[isinstance(first, torch.Tensor) :]
    return union([call.layout_of(first), *map(call.union_of, others)], call.shape)


def _gather(call: Call) -> Layout | None:
    if call.layout_of(call.args[0]) is None:
        return call.layout_of(call["index"])
    along = positive(call["dim"], len(call.shape))
    layout = _pick(call.source, along, call.now(call["index"]))
    for index, size in enumerate(call.shape):
        if index != along:  # the index may be smaller
            layout = layout.take(index, range(size))
    return union([layout, call.layout_of(call["index"])], call.shape)


def _pick(layout: Layout, along: int, numbers: torch.Tensor) -> Layout:
    """Return the layout of entries along one dimension, which differ along the others.

    Each entry of the result may be any of those that `numbers` has at its place. If their values
    are not known, it may be any.
    """
    count = numbers.shape[along]
    if numbers.is_meta or not numbers.numel() or not axes_of(layout.dims[along]):
        return layout.untrack(along).with_dim(along, untracked(count))
    each = np.asarray(numbers.movedim(along, 0).reshape(count, -1), dtype=np.int64)
    inputs = np.stack([each.min(axis=1), each.max(axis=1)], axis=1)
    even = Fraction(int(inputs[-1, 0] - inputs[0, 0]), max(count - 1, 1))
    window = Connections.of(inputs, even if even > 0 else 1).window
    return layout.apply({along: Connections(window, inputs, lambda: each)})


def _grid_sample(call: Call) -> Layout | None:
    """Return a layout pointwise in the grid, in which each unit reads the whole source."""
    source, grid = (call.layout_of(tensor) for tensor in call.args[:2])
    ndim = len(call.shape)
    for index in range(2, ndim):
        source = source and source.union_over(index)
    if grid is not None:
        grid = grid.union_over(ndim - 1)
        batch, *places, _ = grid.dims
        grid = grid.with_dims([batch, untracked(1), *places])
    return union([source, grid], call.shape)


OPERATORS = {
    "index_select": Operator(_index_select),
    "embedding": Operator(_embedding, fake=fakes.embedding),
    "index": Operator(_index),
    "gather take_along_dim": Operator(_gather),
    "take put searchsorted nonzero_static _embedding_bag _embedding_bag_forward_only": Operator(
        read_all
    ),
    "index_put": Operator(_index_put),
    "index_copy index_add index_reduce scatter scatter_add scatter_reduce": Operator(_scatter),
    "masked_scatter": Operator(_masked_scatter),
    "index_fill bucketize isin": Operator(_first_by_others),
    "grid_sampler_2d grid_sampler_3d": Operator(_grid_sample),
    "max_unpool2d max_unpool3d fractional_max_pool2d fractional_max_pool3d "
    "torchvision::roi_align torchvision::roi_pool "
    "torchvision::ps_roi_align torchvision::ps_roi_pool": Operator(read_all),
    "torchvision::deform_conv2d": Operator(read_all, macs=convolution_macs),
    "_local_scalar_dense is_nonzero equal nonzero masked_select bincount repeat_interleave "
    "_unique2 unique_dim unique_consecutive "
    "_pack_padded_sequence torchvision::nms": Operator(read_all, needs_values=True),
}
