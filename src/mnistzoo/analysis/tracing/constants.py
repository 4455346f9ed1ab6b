"""Which constants keep their values in a trace, and on which device they are.

A constant is a tensor that does not depend on the input. One whose values are kept is on the CPU,
so that control flow may read it. All others are on the meta device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

CPU, META = torch.device("cpu"), torch.device("meta")

MAX_ELEMENTS = 2**20
"""Constants larger than this lose their values. A mask for 1,024 tokens is this large."""

SAFE_ELEMENTS = 2**10
"""No operator on two constants of this size has a result of more than `MAX_ELEMENTS`."""


@dataclass(frozen=True)
class ConstantPolicy:
    """Decides whether a constant keeps its values.

    Attributes:
        floats_on_meta: Whether the model's own floating-point tensors are on the meta device. Then
            all others are too, as some operators refuse tensors on two devices.
    """

    floats_on_meta: bool

    def keeps(self, constant: Tensor) -> bool:
        """Return whether the values are kept. Parameters and large tensors lose theirs."""
        if isinstance(constant, nn.Parameter) or constant.numel() > MAX_ELEMENTS:
            return False
        is_float = constant.is_floating_point() or constant.is_complex()
        return not (self.floats_on_meta and is_float)
