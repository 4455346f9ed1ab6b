"""Convolutions, pools, paddings and unfoldings: what moves a window along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from mnistzoo.analysis.algebra.connections import (
    Connections,
    Ints,
    Kernel,
    clip_to_padding,
    sliding,
    transposed,
)
from mnistzoo.analysis.algebra.factors import dim_size, untracked
from mnistzoo.analysis.algebra.joins import union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.registry import Call, positive, rule, spatial


def _each(value: Sequence[int] | int, axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


@rule("convolution")
def _convolution(call: Call) -> Layout | None:
    layout, weight = call.source, call["weight"]
    kernel = weight.shape[2:]
    axes = len(kernel)
    stride, padding, dilation = (_each(call[x], axes) for x in ("stride", "padding", "dilation"))
    make = transposed if call["transposed"] else sliding
    layout = layout.union_over(1).with_dim(1, untracked(call.shape[1]))
    steps = {}
    for axis, index in enumerate(range(2, 2 + axes)):
        slide = Kernel(kernel[axis], stride[axis], padding[axis], dilation[axis])
        if slide[:3] != (1, 1, 0):
            units = dim_size(layout.dims[index])
            steps[index] = make(units, call.shape[index], slide)
    # of a kernel and a bias that are made of the input, every unit sees all
    others = call.whole(weight), call.whole(call["bias"])
    return union([layout.apply(steps), *others], call.shape)


@rule(
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
)
def _pool(call: Call) -> Layout:
    kernel = call["kernel_size"]
    axes = int(call.func._schema.name.split("pool")[1][0])
    kernel = _each(kernel, axes)
    stride = _each(call["stride"] or kernel, axes)
    padding = _each(call["padding"], axes)
    dilation = _each(call.get("dilation", [1]), axes)
    layout, steps = call.source, {}
    slides = map(Kernel, kernel, stride, padding, dilation)
    for index, slide in zip(spatial(call, axes), slides, strict=True):
        steps[index] = sliding(dim_size(layout.dims[index]), call.shape[index], slide)
    return layout.apply(steps)


@rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_pool(call: Call) -> Layout:
    layout, steps = call.source, {}
    for index in spatial(call, len(call["output_size"])):
        units = call.shape[index]
        if units == 1:
            layout = layout.union_over(index)
        else:
            steps[index] = adaptive(dim_size(layout.dims[index]), units)
    return layout.apply(steps)


@lru_cache(maxsize=256)
def adaptive(units_in: int, units_out: int) -> Connections:
    """An adaptive pool: unit `i` reads from `⌊i·in/out⌋` up to `⌈(i+1)·in/out⌉ − 1`."""
    if units_in % units_out == 0:
        size = units_in // units_out
        return sliding(units_in, units_out, Kernel(size, size))
    index = np.arange(units_out)
    starts, stops = index * units_in // units_out, -(-(index + 1) * units_in // units_out)
    inputs = starts[:, None] + np.arange((stops - starts).max())
    return Connections.of(np.minimum(inputs, stops[:, None] - 1), Fraction(units_in, units_out))


@rule("constant_pad_nd")
def _pad(call: Call) -> Layout:
    return _padded(call, clip_to_padding)


@rule("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def _reflect(call: Call) -> Layout:
    return _padded(call, lambda inputs, units: units - 1 - np.abs(units - 1 - np.abs(inputs)))


@rule("replication_pad1d", "replication_pad2d", "replication_pad3d")
def _replicate(call: Call) -> Layout:
    return _padded(call, lambda inputs, units: np.clip(inputs, 0, units - 1))


def _padded(call: Call, found: Callable[[Ints, int], Ints]) -> Layout:
    """A padding by mode; `found` gives the units that stand where inputs point outside."""
    pads = call.get("pad") or call["padding"]
    layout, steps = call.source, {}
    for number in range(len(pads) // 2):
        index = len(call.shape) - 1 - number
        if pads[2 * number] or pads[2 * number + 1]:
            inputs = np.arange(call.shape[index])[:, None] - pads[2 * number]
            steps[index] = Connections.of(found(inputs, dim_size(layout.dims[index])), 1, inputs)
    return layout.apply(steps)


@rule("unfold")
def _unfold(call: Call) -> Layout:
    index = positive(call["dimension"], len(call.source.dims))
    layout = call.source
    units = dim_size(layout.dims[index])
    step = sliding(units, call.shape[index], Kernel(call["size"], call["step"]))
    layout = layout.apply({index: step})
    return layout.with_dims([*layout.dims, untracked(call["size"])])


def _slides(call: Call) -> list[Kernel]:
    names = ("kernel_size", "stride", "padding", "dilation")
    return [Kernel(*numbers) for numbers in zip(*(_each(call[x], 2) for x in names), strict=True)]


def _places(size: int, slide: Kernel) -> int:
    """How many places a window has along an axis."""
    kernel, stride, padding, dilation = slide
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@rule("im2col")
def _im2col(call: Call) -> Layout:
    layout, steps = call.source.union_over(len(call.source.dims) - 3), {}
    for index, slide in zip(spatial(call, 2), _slides(call), strict=True):
        size = dim_size(layout.dims[index])
        steps[index] = sliding(size, _places(size, slide), slide)
    layout = layout.apply(steps)
    *batch, _, rows, columns = layout.dims
    return layout.with_dims([*batch, untracked(call.shape[-2]), rows + columns])


@rule("col2im")
def _col2im(call: Call) -> Layout:
    sizes = list(zip(_each(call["output_size"], 2), _slides(call), strict=True))
    channels = len(call.shape) - 3
    layout = call.source.union_over(channels).with_dim(channels, untracked(call.shape[channels]))
    layout = layout.reshape([*layout.shape[:-1], *(_places(size, slide) for size, slide in sizes)])
    steps = {}
    for index, (size, slide) in enumerate(sizes, start=channels + 1):
        steps[index] = transposed(dim_size(layout.dims[index]), size, slide)
    return layout.apply(steps)
