"""The peak memory of a model."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.errors import AnalysisError

_PAGE = 4096
"""oneDNN begins each part of a workspace on a page."""


class LiveMemory:
    """Counts the bytes of the storages that are alive, as operators make and free them.

    `peak` is the most that `bytes` has been after an operator.
    """

    def __init__(self, training: bool = False) -> None:
        self.bytes = self.peak = 0
        self._training = training
        self._alive: dict[int, weakref.ref[Any]] = {}

    def hold(self, tensors: Sequence[Tensor]) -> None:
        """Count tensors, but no memory twice."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._alive:
                self._count(storage, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.bytes)

    def observe(self, call: Call, _: object) -> None:
        """Count what an operator returned.

        Raises:
            AnalysisError: In training, if what it saves for the backward pass is not known.
        """
        if self._training and call.name == "mkldnn_rnn_layer":
            storage = call.out[-1].untyped_storage()  # of a fake tensor, and empty
            self._count(storage, storage._cdata, lstm_workspace(call))
        self.hold(tensors_of(call.out))

    def _count(self, storage: Any, key: int, size: int) -> None:
        def free(_: object) -> None:
            self.bytes -= size
            del self._alive[key]

        self.bytes += size
        self._alive[key] = weakref.ref(storage, free)


def lstm_workspace(call: Call) -> int:
    """Return the bytes that oneDNN's LSTM saves for the backward pass.

    It holds the gates and outputs of each step, then the states of the layer and of the one below
    for one more step: several buffers with padded rows, and two of cells.

    Source: oneDNN, src/cpu/rnn/rnn_utils.hpp (`get_good_ld`, `set_workspace_sizes`).

    Raises:
        AnalysisError: It computes in another dtype than float32.
    """
    x, size = call.args[0], call["hidden_size"]
    if x.dtype != torch.float32:
        raise AnalysisError(
            f"The training memory of an LSTM is known in float32 only, got {x.dtype}. Ask for "
            "training=False."
        )
    steps, batch, read = x.shape
    rows, states = steps * batch, 2 * (steps + 1) * batch
    parts = [rows * _padded(4 * size), rows * _padded(size)]
    parts += [states * _padded(max(read, size))] * _padded_buffers() + [states * size] * 2
    return sum(-(-4 * part // _PAGE) * _PAGE for part in parts)


@cache
def _padded_buffers() -> int:
    """Return how many buffers of padded states this oneDNN has: 5 in version 3.5, 3 in 3.12.

    In an LSTM with one unit and one step, each part of the workspace is one page.
    """
    with _disable_current_modes(), torch.inference_mode(False), torch.enable_grad():
        shapes = (1, 1, 1), (4, 1), (4,)
        one, gates, biases = (torch.zeros(x, dtype=torch.float32, device="cpu") for x in shapes)
        made = torch.mkldnn_rnn_layer(
            *(one, gates, gates, biases, biases, one, one),
            reverse=False,
            batch_sizes=[],
            mode=2,
            hidden_size=1,
            num_layers=1,
            has_biases=True,
            bidirectional=False,
            batch_first=False,
            train=True,
        )
    return made[-1].nbytes // _PAGE - 4


def _padded(size: int) -> int:
    """Return the length of a row of floats in oneDNN: whole cache lines, not a multiple of 256."""
    size = -(-size // 16) * 16
    return size + 16 if size % 256 == 0 else size
