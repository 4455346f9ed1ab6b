"""Costs that take another run of the model: memory, time, and the report with images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mnistzoo.analysis.blocks import Block
from mnistzoo.analysis.devices import Device
from mnistzoo.analysis.effective import effective_fields
from mnistzoo.analysis.roofline import Roofline
from mnistzoo.analysis.table import Analysis
from mnistzoo.analysis.tracing.arguments import Arguments
from mnistzoo.errors import InputError


@dataclass(frozen=True)
class Cost:
    """The cost of running a model, and its report. Both are computed on demand.

    Attributes:
        module: The model.
        given: What it was analyzed with.
    """

    module: nn.Module
    given: Arguments

    def peak_memory(self, training: bool, batch_size: int | None, optimizer_state: int) -> int:
        """Return what `Analysis.peak_memory` documents."""
        from mnistzoo.analysis.tracing.execution import execute
        from mnistzoo.analysis.tracing.memory import LiveMemory

        _check("optimizer_state", optimizer_state, 0)
        memory = LiveMemory(training)
        execute(self.module, self.given, memory, self._batch(batch_size), training)
        trained = sum(p.nbytes for p in self.module.parameters() if p.requires_grad)
        return memory.peak + (optimizer_state * trained if training else 0)

    def roofline(self, device: Device, batch_size: int | None) -> Roofline:
        """Return what `Analysis.roofline` documents."""
        from mnistzoo.analysis.tracing.execution import execute
        from mnistzoo.analysis.tracing.traffic import Operations

        if not isinstance(device, Device):
            raise InputError(f"Expected a Device, got {device!r}. Pass Device('cpu').")
        operations = Operations()
        execute(self.module, self.given, operations, self._batch(batch_size))
        return Roofline.of(operations.found, device, self._batch(batch_size))

    def report(self, analysis: Analysis, images: Tensor | None, title: str | None) -> str:
        """Return what `Analysis.to_html` documents."""
        from mnistzoo.analysis.report import to_html  # imports Pillow

        image, effective = None, {}
        if images is not None:
            given = self.given.with_example(images)
            effective = effective_fields(self.module, given, _informative_layers(analysis.blocks()))
            channels = 1 if given.channels is None else given.channels
            image = images[0].movedim(channels - 1, 0)
        return to_html(analysis, title or type(self.module).__name__, image, effective)

    def _batch(self, batch_size: int | None) -> int:
        if batch_size is None:
            return self.given.batch_size
        _check("batch_size", batch_size, 1)
        return batch_size


def _informative_layers(block: Block) -> dict[str, None]:
    """Return paths of layers that change the field, and of modules that hold inner ones.

    Normalization and activation layers are left out: each would take a backward pass, and has the
    window of the layer before it.
    """
    seen: set[object] = set()
    found: dict[str, None] = {}
    for child in block.children:
        if child.children:
            found |= _informative_layers(child) | {child.row.path: None}
        elif child.row.receptive_field not in seen:
            found[child.row.path] = None
        seen.add(child.row.receptive_field)
    return found


def _check(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise InputError(f"Expected {name} as an integer of at least {least}, got {value!r}.")
