"""Meta copies of a module's tensors, for modules that run only if all floats are on one device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from mnistzoo.analysis.tracing.containers import map_tensors


class MetaCopies:
    """Copies of tensors without their values; the same tensor always has the same copy.

    Args:
        copy: Function that makes a copy; default: on the meta device, of floating-point tensors.
        keep: A tensor that stays as it is.
    """

    def __init__(
        self, copy: Callable[[Tensor], Tensor] | None = None, keep: Tensor | None = None
    ) -> None:
        self._copy = copy or _meta_copy
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}
        if keep is not None:
            self._copies[id(keep)] = keep, keep

    @property
    def made(self) -> list[Tensor]:
        """All copies so far."""
        return [copied for _, copied in self._copies.values()]

    def replace_in(self, module: nn.Module) -> None:
        """Replace the tensors of a module, inside `preserve_module_state`."""
        for part in module.modules():
            own = part.__dict__
            for attributes in (own, own["_parameters"], own["_buffers"]):
                for name, value in attributes.items():
                    if isinstance(value, Tensor | list | tuple):
                        attributes[name] = self.of(value)

    def of(self, value: Any) -> Any:
        """Return a value with its tensors replaced, in containers too."""
        return map_tensors(self._copy_of, value)

    def _copy_of(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self._copies:
            self._copies[id(tensor)] = tensor, self._copy(tensor)
        return self._copies[id(tensor)][1]


def _meta_copy(tensor: Tensor) -> Tensor:
    if isinstance(tensor, UninitializedParameter):
        return UninitializedParameter(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # torch leaves its arguments out of its stubs
    if isinstance(tensor, UninitializedBuffer):
        return UninitializedBuffer(device="meta", dtype=tensor.dtype)  # type: ignore[call-arg] # as above
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor  # control flow may read it
    data = torch.empty_like(tensor, device="meta")
    return nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
