"""The peak memory of a model."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.errors import AnalysisError

_UNKNOWN_IN_TRAINING = "aten::mkldnn_rnn_layer"
"""Saves a workspace for the backward pass whose size only the kernel knows."""


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
            AnalysisError: In training, if what it keeps for the backward pass is not known.
        """
        if self._training and call.overload.name == _UNKNOWN_IN_TRAINING:
            raise AnalysisError(
                "The training memory of an LSTM on the CPU depends on its kernel and is not known. "
                "Ask for training=False."
            )
        self.hold(tensors_of(call.out))

    def _count(self, storage: Any, key: int, size: int) -> None:
        def free(_: object) -> None:
            self.bytes -= size
            del self._alive[key]

        self.bytes += size
        self._alive[key] = weakref.ref(storage, free)
