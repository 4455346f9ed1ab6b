"""What it costs to run a model: memory and time, each counted in a pass without data."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mnistzoo.analysis.devices import Device
from mnistzoo.analysis.roofline import Roofline
from mnistzoo.analysis.tracing.arguments import Arguments
from mnistzoo.analysis.tracing.execution import execute
from mnistzoo.analysis.tracing.memory import LiveMemory
from mnistzoo.analysis.tracing.traffic import Operations
from mnistzoo.errors import InputError


@dataclass(frozen=True)
class Cost:
    """The cost of running a model, computed when asked for.

    Attributes:
        module: The model.
        given: What it was analyzed with.
    """

    module: nn.Module
    given: Arguments

    def peak_memory(self, training: bool, batch_size: int | None, optimizer_state: int) -> int:
        """Return what `Analysis.peak_memory` documents."""
        _check("optimizer_state", optimizer_state, 0)
        memory = LiveMemory(training)
        execute(self.module, self.given, memory, self._batch(batch_size), training)
        trained = sum(p.nbytes for p in self.module.parameters() if p.requires_grad)
        return memory.peak + (optimizer_state * trained if training else 0)

    def roofline(self, device: Device, batch_size: int | None) -> Roofline:
        """Return what `Analysis.roofline` documents."""
        if not isinstance(device, Device):
            raise InputError(f"Expected a Device, got {device!r}. Pass Device('cpu').")
        operations = Operations()
        execute(self.module, self.given, operations, self._batch(batch_size))
        return Roofline.of(operations.found, device, self._batch(batch_size))

    def _batch(self, batch_size: int | None) -> int:
        if batch_size is None:
            return self.given.batch_size
        _check("batch_size", batch_size, 1)
        return batch_size


def _check(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise InputError(f"Expected {name} as an integer of at least {least}, got {value!r}.")
