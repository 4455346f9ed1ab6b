"""Indices, tables and places: what reads, or writes, where numbers say."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.factors import axes_of, dim_size, untracked
from mnistzoo.analysis.algebra.joins import union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.registry import Call, positive, rule


@rule("index_select")
def _index_select(call: Call) -> Layout | None:
    index = positive(call["dim"], len(call.shape))
    if call.layout_of(call.args[0]) is None:
        return _looked_up(call, [call["index"]], index, 1)
    return _gathered(call, call.source, index, call["index"])


def _gathered(call: Call, layout: Layout, index: int, numbers: torch.Tensor) -> Layout | None:
    """The units whose numbers a tensor of one dimension holds."""
    if axes_of(layout.dims[index]) and not call.now(numbers).is_meta:
        units = dim_size(layout.dims[index])
        inputs = np.asarray(call.now(numbers).tolist())[:, None] % units
        even = Fraction(int(inputs[-1, 0] - inputs[0, 0]), max(len(inputs) - 1, 1))
        return layout.apply({index: Connections.of(inputs, even if even > 0 else 1)})
    layout = layout.untrack(index).with_dim(index, untracked(len(numbers)))
    return union([layout, call.whole(numbers)], layout.shape)


@rule("embedding")
def _embedding(call: Call) -> Layout | None:
    found = _looked_up(call, [call["indices"]], 0, len(call.shape) - 1)
    return union([found, call.whole(call["weight"])], call.shape)


def _looked_up(call: Call, numbers: list[torch.Tensor], front: int, made: int) -> Layout | None:
    """Entries of a table that is not made of the input, at places that are.

    Args:
        call: the operator.
        numbers: of the entries.
        front: how many dimensions the result has before those of `numbers`.
        made: how many dimensions `numbers` have, broadcast.
    """
    found = union([call.layout_of(x) for x in numbers], call.shape[front : front + made])
    before, after = call.shape[:front], call.shape[front + made :]
    return found and found.with_dims([*map(untracked, before), *found.dims, *map(untracked, after)])


@rule("index")
def _index(call: Call) -> Layout | None:
    given = [(i, x) for i, x in enumerate(call["indices"]) if x is not None]
    first, last = given[0][0], given[-1][0]
    together = last - first + 1 == len(given)
    front = first if together else 0
    if call.layout_of(call.args[0]) is None:
        kept = call.args[0].ndim - len(given)
        return _looked_up(call, [x for _, x in given], front, len(call.shape) - kept)
    layout = call.source
    if len(given) == 1 and given[0][1].ndim == 1 and given[0][1].dtype != torch.bool:
        return _gathered(call, layout, *given[0])
    for index, _ in given:
        layout = layout.untrack(index)
    kept = [dim for i, dim in enumerate(layout.dims) if i not in dict(given)]
    made = len(call.shape) - len(kept)
    shape = call.shape[front : front + made]
    dims = [*kept[:front], *(untracked(size) for size in shape), *kept[front:]]
    parts = [call.whole(numbers) for _, numbers in given]
    return union([layout.with_dims(dims), *parts], call.shape)


@rule("index_put")
def _index_put(call: Call) -> Layout | None:
    given = [(i, x) for i, x in enumerate(call["indices"]) if x is not None]
    along = given[0][0] if len(given) == 1 and given[0][1].ndim == 1 else None
    return _put(call, along, call["values"], [x for _, x in given])


@rule("masked_scatter")
def _masked_scatter(call: Call) -> Layout | None:
    return _put(call, None, call["source"], [call["mask"]])


@rule("index_fill", "bucketize")
def _by_others(call: Call) -> Layout | None:
    """Unit by unit, by what all of the others say."""
    first, *others = call.tensors
    return union([call.layout_of(first), *map(call.whole, others)], call.shape)


@rule("index_copy", "index_add", "scatter", "scatter_add", "scatter_reduce")
def _scatter(call: Call) -> Layout | None:
    along = positive(call["dim"], len(call.shape))
    return _put(call, along, call.get("src", call.get("source")), [call["index"]])


def _put(call: Call, along: int | None, source: Any, places: list[torch.Tensor]) -> Layout | None:
    """`source` written to places along one dimension, or anywhere.

    Which those are is not followed: all places may see all that is written.
    """
    layout = call.layout_of(source)
    if layout is not None and along is not None:
        missing = [untracked(1)] * (len(call.shape) - len(layout.dims))
        layout = layout.with_dims([*missing, *layout.dims]).untrack(along)
    else:
        layout = layout and layout.union_all()
    others = [call.whole(numbers) for numbers in places]
    return union([call.layout_of(call.args[0]), layout, *others], call.shape)


@rule("gather", "take_along_dim")
def _gather(call: Call) -> Layout | None:
    if call.layout_of(call.args[0]) is None:
        return call.layout_of(call["index"])
    layout = call.source.untrack(positive(call["dim"], len(call.shape)))
    return union([layout, call.layout_of(call["index"])], call.shape)


@rule("take")
def _take(call: Call) -> Layout | None:
    parts = [call.whole(tensor) for tensor in (call.args[0], call["index"])]
    return union(parts, call.shape)
