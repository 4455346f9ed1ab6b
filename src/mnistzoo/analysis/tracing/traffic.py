"""The operators that a model runs: their multiply-accumulates, and the bytes that they move."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.roofline import Operation
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.modules import ModuleCall
from mnistzoo.analysis.tracing.running import written_tensors

_OVERWRITES = {"aten::copy", "aten::fill", "aten::zero", "aten::uniform", "aten::normal"}
"""Operators that write to their first argument without reading it."""

_LOOKUPS = {"aten::embedding", "aten::index", "aten::index_select", "aten::gather", "aten::take"}
"""Operators that read no more of their first argument than they return."""

_UPDATES = {
    *("aten::index_put", "aten::index_copy", "aten::index_add", "aten::index_fill"),
    *("aten::scatter", "aten::scatter_add", "aten::scatter_reduce", "aten::masked_scatter"),
}
"""Operators whose in-place form may touch no more of a tensor than the other arguments say."""


class Operations:
    """Records every operator that computes or moves something, in order."""

    def __init__(self) -> None:
        self.found: list[Operation] = []

    def hold(self, tensors: Sequence[Tensor]) -> None:
        """Do nothing: tensors that are there move only when an operator reads them."""

    def observe(self, call: Call, running: ModuleCall) -> None:
        """Record a call."""
        macs, moved = _macs(call), _bytes(call)
        if macs or moved:
            dtype = str(call.result.dtype).removeprefix("torch.")
            kind = type(running.module).__name__
            self.found.append(Operation(running.path, kind, running, macs, moved, dtype))


def _macs(call: Call) -> int:
    operator = call.overload.operator
    if operator and operator.macs:
        return operator.macs(call)
    if call.name == "_scaled_dot_product_flash_attention_for_cpu":
        query, key, value = call.args[:3]
        pairs = prod(query.shape[:-1]) * key.shape[-2]
        macs = int(pairs * (query.shape[-1] + value.shape[-1]))
        return macs // 2 if call["is_causal"] else macs  # the other half need not be computed
    if call.name == "mkldnn_rnn_layer":
        steps = prod(call.args[0].shape[:2])
        return int(steps * sum(weight.numel() for weight in call.args[1:3]))
    return 0


def _bytes(call: Call) -> int:
    """Return what a call moves at least."""
    returned, name = tensors_of(call.out), call.overload.name
    if call.overload.is_view or not returned or name.startswith(("aten::empty", "aten::new_empty")):
        return 0
    written = {id(x): x for x in (*returned, *written_tensors(call))}
    read = {id(x): x for x in call.tensors}
    if name in _UPDATES and written_tensors(call):
        return sum(_size(x) for key, x in read.items() if key not in written)
    sizes = [_size(x) for key, x in read.items() if not (key in written and name in _OVERWRITES)]
    if name in _LOOKUPS:
        sizes[0] = min(sizes[0], _size(call.result))
    elif sizes:
        sizes[0] = int(sizes[0] * _share_read(call))
    return sum(sizes) + sum(map(_size, written.values()))


def _size(tensor: Tensor) -> int:
    """Return the bytes of a tensor, each counted once if it is expanded."""
    if tensor.layout != torch.strided:
        return 0
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _share_read(call: Call) -> float:
    """Return the share of its input that a convolution or pool reads if its stride skips some."""
    if call.get("transposed"):
        return 1
    weight = call.get("weight") if call.name == "convolution" else None
    kernel = weight.shape[2:] if weight is not None else call.get("kernel_size")
    stride = call.get("stride")
    if not kernel or not stride or isinstance(kernel, int) or isinstance(stride, int):
        return 1
    strides = [*stride] * (len(kernel) if len(stride) == 1 else 1)
    kernels = [*kernel] * (len(strides) if len(kernel) == 1 else 1)
    return float(prod(min(1, k / s) for k, s in zip(kernels, strides, strict=True)))
