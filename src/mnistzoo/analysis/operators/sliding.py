"""Convolutions, pools, padding and unfolding: operators that slide a kernel along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from math import prod

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
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import (
    Call,
    Operator,
    Rule,
    last_dims,
    positive,
    write_anywhere,
)
from mnistzoo.errors import AnalysisError


def slide(*kernels: Kernel) -> Rule:
    """Return a rule for an operator that slides a kernel along the last dimensions.

    The operator may mix channels. Each unit reads all of the tensors after the first, such as
    weights.

    Args:
        kernels: One for each of the last dimensions.

    >>> from mnistzoo.analysis import register_operator
    >>> kernel = Kernel(3, stride=2, padding=1)
    >>> register_operator("mylib::downscale", slide(kernel, kernel))
    """

    def rule(call: Call) -> Layout | None:
        first, *others = call.tensors
        layout = call.layout_of(first)
        if layout is not None:
            layout = _slide(_mix_channels(layout, call.shape, kernels), call.shape, kernels)
        return union([layout, *map(call.union_of, others)], call.shape)

    return rule


def _mix_channels(layout: Layout, shape: Sequence[int], kernels: Sequence[Kernel]) -> Layout:
    """Return the layout with the dimensions between the batch and the kernels' untracked.

    Raises:
        AnalysisError: The kernels do not give the shape of the result.
    """
    front = len(layout.dims) - len(kernels)
    expected = [k.output_size(n) for k, n in zip(kernels, layout.shape[front:], strict=True)]
    if expected != list(shape[front:]):
        raise AnalysisError(
            f"Expected a result of {expected} units, got {list(shape[front:])}. "
            "Check the kernels of the rule."
        )
    for index in range(1, front):
        layout = layout.untrack(index).with_dim(index, untracked(shape[index]))
    return layout


def _slide(
    layout: Layout,
    shape: Sequence[int],
    kernels: Sequence[Kernel],
    connect: Callable[[int, int, Kernel], Connections] = sliding,
) -> Layout:
    """Return the layout after kernels slid along the last dimensions, to a result of `shape`."""
    links = {}
    for index, kernel in enumerate(kernels, start=len(layout.dims) - len(kernels)):
        units = dim_size(layout.dims[index])
        if kernel[:3] != (1, 1, 0) or units != shape[index]:
            links[index] = connect(units, shape[index], kernel)
    return layout.apply(links)


def _kernels(call: Call, sizes: Sequence[int] | int, axes: int) -> list[Kernel]:
    """Return the kernel along each axis, from arguments with one number or one for each axis."""

    def each(value: Sequence[int] | int) -> list[int]:
        values = [value] if isinstance(value, int) else list(value)
        return values * axes if len(values) == 1 else values

    stride = call["stride"] or sizes  # a pool's stride is its kernel by default
    numbers = each(sizes), each(stride), each(call["padding"]), each(call.get("dilation", 1))
    return [Kernel(*four) for four in zip(*numbers, strict=True)]


def _convolution(call: Call) -> Layout | None:
    sizes = call["weight"].shape[2:]
    layout = call.source.union_over(1, call.shape[1])
    connect = transposed if call["transposed"] else sliding
    layout = _slide(layout, call.shape, _kernels(call, sizes, len(sizes)), connect)
    weights = call.union_of(call["weight"]), call.union_of(call["bias"])
    return union([layout, *weights], call.shape)


def convolution_macs(call: Call) -> int:
    """Count one for each weight at each place: of the result, or of the input if transposed.

    The sampling of a deformable convolution is not counted.
    """
    batch, _, *places = call.args[0].shape if call.get("transposed") else call.shape
    return int(prod(call["weight"].shape) * prod(places) * batch)


def _pool(call: Call) -> Layout:
    axes = int(call.name.partition("pool")[2][0])
    return _slide(call.source, call.shape, _kernels(call, call["kernel_size"], axes))


def _adaptive_pool(call: Call) -> Layout:
    layout, links = call.source, {}
    for index in last_dims(call, len(call["output_size"])):
        units = call.shape[index]
        if units == 1:
            layout = layout.union_over(index)
        else:
            links[index] = _adaptive(dim_size(layout.dims[index]), units)
    return layout.apply(links)


@lru_cache(maxsize=256)
def _adaptive(units_in: int, units_out: int) -> Connections:
    """Return connections in which unit `i` reads `⌊i·in/out⌋ … ⌈(i+1)·in/out⌉ − 1`."""
    if units_in % units_out == 0:
        size = units_in // units_out
        return sliding(units_in, units_out, Kernel(size, size))
    index = np.arange(units_out)
    starts, stops = index * units_in // units_out, -(-(index + 1) * units_in // units_out)
    inputs = starts[:, None] + np.arange((stops - starts).max())
    return Connections.of(np.minimum(inputs, stops[:, None] - 1), Fraction(units_in, units_out))


def _reflect(inputs: Ints, units: int) -> Ints:
    mirrored: Ints = units - 1 - np.abs(units - 1 - np.abs(inputs))
    return mirrored


def _replicate(inputs: Ints, units: int) -> Ints:
    return np.clip(inputs, 0, units - 1)


def _pad(mode: Callable[[Ints, int], Ints]) -> Rule:
    """Return the rule of a padding; `mode` maps unit numbers outside of the map to units."""

    def rule(call: Call) -> Layout:
        pads = call.get("pad") or call["padding"]
        layout, links = call.source, {}
        for number in range(len(pads) // 2):
            index = len(call.shape) - 1 - number
            if pads[2 * number] or pads[2 * number + 1]:
                numbers = np.arange(call.shape[index])[:, None] - pads[2 * number]
                inputs = mode(numbers, dim_size(layout.dims[index]))
                links[index] = Connections.of(inputs, 1, numbers)
        return layout.apply(links)

    return rule


def _unfold(call: Call) -> Layout:
    layout = call.source
    index = positive(call["dimension"], len(layout.dims))
    units, kernel = dim_size(layout.dims[index]), Kernel(call["size"], call["step"])
    layout = layout.apply({index: sliding(units, call.shape[index], kernel)})
    return layout.with_dims([*layout.dims, untracked(kernel.size)])


def _places(shape: Sequence[int], kernels: Sequence[Kernel]) -> list[int]:
    """Return the number of places of each kernel along the last dimensions of a map."""
    return [kernel.output_size(n) for n, kernel in zip(shape[-2:], kernels, strict=True)]


def _im2col(call: Call) -> Layout:
    layout, kernels = call.source, _kernels(call, call["kernel_size"], 2)
    layout = layout.union_over(len(layout.dims) - 3)
    layout = _slide(layout, [*layout.shape[:-2], *_places(layout.shape, kernels)], kernels)
    *batch, _, rows, columns = layout.dims
    return layout.with_dims([*batch, untracked(call.shape[-2]), rows + columns])


def _col2im(call: Call) -> Layout:
    layout, kernels = call.source, _kernels(call, call["kernel_size"], 2)
    channels = len(call.shape) - 3
    layout = layout.union_over(channels, call.shape[channels])
    layout = layout.reshape([*layout.shape[:-1], *_places(call.shape, kernels)])
    return _slide(layout, call.shape, kernels, transposed)


def _unfold_backward(call: Call) -> Layout:
    """Return the layout of overlapping frames added up, as `torch.istft` does."""
    last = len(call.source.dims) - 1
    layout = call.source.union_over(last)
    layout = layout.with_dims(layout.dims[:last])
    index = positive(call["dim"], last)
    kernel = Kernel(call["size"], call["step"])
    frames = dim_size(layout.dims[index])
    return layout.apply({index: transposed(frames, call.shape[index], kernel)})


OPERATORS = {
    "convolution": Operator(
        _convolution, macs=convolution_macs, listed=True, fake=fakes.convolution
    ),
    "max_pool2d_with_indices max_pool3d_with_indices": (
        Operator(_pool, listed=True, fake=fakes.max_pool)
    ),
    "avg_pool1d": Operator(_pool, listed=True),
    "avg_pool2d avg_pool3d": Operator(_pool, listed=True, fake=fakes.avg_pool),
    "_adaptive_avg_pool2d _adaptive_avg_pool3d": (
        Operator(_adaptive_pool, listed=True, fake=fakes.resize)
    ),
    "adaptive_max_pool2d adaptive_max_pool3d": Operator(_adaptive_pool, listed=True),
    "constant_pad_nd": Operator(_pad(clip_to_padding), listed=True),
    "reflection_pad1d reflection_pad2d reflection_pad3d": Operator(_pad(_reflect), listed=True),
    "replication_pad1d replication_pad2d replication_pad3d": (
        Operator(_pad(_replicate), listed=True)
    ),
    "unfold_backward": Operator(_unfold_backward),
    "unfold": Operator(_unfold, listed=True, write=write_anywhere),
    "im2col": Operator(_im2col, listed=True),
    "col2im": Operator(_col2im, listed=True),
}
