"""One pass of an input's shape through a model, which every analysis uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.table import Row
from mnistzoo.analysis.tracing.constants import ConstantPolicy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.failures import explain
from mnistzoo.analysis.tracing.inputs import (
    check_kwargs,
    check_module,
    check_shape,
    check_traceable,
    floating_dtype,
    is_lazy_module,
)
from mnistzoo.analysis.tracing.meta_copies import MetaCopies
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.modules import ModuleTracker
from mnistzoo.analysis.tracing.recurrent import fast_recurrent_layers
from mnistzoo.analysis.tracing.tracer import LayoutTracer
from mnistzoo.errors import AnalysisError, InputError, UnknownNameError, UnknownOperatorError

_no_autocast = torch._C._DisableAutocast
"""Casts change no shape, and autocast does not know the meta device."""


@dataclass(frozen=True)
class Trace:
    """What one pass recorded.

    Attributes:
        input_shape: Shape of one input, without the batch.
        rows: Rows of the table.
        outputs: For each path, the layout of what the module returned last. "" is the model.
        last_map: Layout of the last tensor with more than one unit along an axis.
        paths: For each path, the one that rows and `outputs` have. They differ for a module that is
            in a model twice.
    """

    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    outputs: dict[str, Layout | None]
    last_map: Layout | None
    paths: dict[str, str]

    def layout(self, layer: str | None) -> Layout:
        """Return the layout of a layer's output, or of the last feature map.

        Raises:
            InputError: `layer` is not a string.
            UnknownNameError: There is no such layer.
            AnalysisError: The layer is not called, or its output does not depend on the input.
        """
        if layer is None:
            if self.last_map is None:
                raise AnalysisError(
                    "Expected a feature map with more than one unit, got none. Name a layer."
                )
            return self.last_map
        path = self._path(layer)
        layout = self.outputs.get(path)
        if layout is None:
            what = "is not called" if path not in self.outputs else "does not depend on the input"
            raise AnalysisError(
                f"The layer {layer!r} {what}. Name another; mnistzoo.analyze lists them."
            )
        return layout

    def _path(self, layer: object) -> str:
        paths = [path for path in self.paths if path]
        if not isinstance(layer, str):
            example = str(layer) if str(layer) in paths else next(iter(paths), "")
            raise InputError(
                f"Expected a layer's path as a string, such as {example!r}, got "
                f"{type(layer).__name__}. mnistzoo.analyze lists the paths."
            )
        if layer not in self.paths:
            raise UnknownNameError("layer", layer, paths)
        return self.paths[layer]


@torch.inference_mode(False)  # inside, composite operators would arrive whole
def trace(
    module: nn.Module,
    input_shape: Sequence[int],
    kwargs: Mapping[str, Any] | None = None,
    batch: int = 1,
) -> Trace:
    """Send the shape of an input through a module, which is left as it was.

    Args:
        module: The model.
        input_shape: Shape of its first argument, without the batch.
        kwargs: Its other arguments, for that batch.
        batch: Number of inputs in the batch.

    Raises:
        InputError: The shape is not valid, or the model refuses it.
        UnknownOperatorError: An operator has no rule.
        AnalysisError: The model cannot be traced.
    """
    check_traceable(check_module(module))
    shape, given = (batch, *check_shape(input_shape)), check_kwargs(kwargs)
    if is_lazy_module(module):
        return _pass(module, given, shape, floats_on_meta=True)
    try:
        return _pass(module, given, shape)
    except InputError:
        try:  # the model may have refused tensors on two devices
            return _pass(module, check_kwargs(kwargs), shape, floats_on_meta=True)
        except UnknownOperatorError:
            raise
        except Exception:  # the first error says more
            pass
        raise


def _pass(
    module: nn.Module, kwargs: dict[str, Any], shape: tuple[int, ...], floats_on_meta: bool = False
) -> Trace:
    """Send the shape of a batch through a module."""
    tracer = LayoutTracer(ConstantPolicy(floats_on_meta))
    calls = ModuleTracker(module, tracer.layout_of)
    images = torch.empty(shape, dtype=floating_dtype(module), device="meta")
    tracer.tensors.result(images).set_layout(Layout.image(shape))
    with preserve_module_state(module):
        if floats_on_meta:
            copies = MetaCopies()
            copies.replace_in(module)
            kwargs = copies.of(kwargs)
        with _traced(module, tracer, calls):
            try:
                output = module(images, **kwargs)
            except (AnalysisError, UnknownOperatorError):
                raise
            except Exception as error:
                raise explain(error, calls, shape[1:]) from error
        if not tensors_of(output):
            raise AnalysisError(
                f"Expected a model that returns tensors, got {type(output).__name__}. "
                "Wrap it in a module that returns one."
            )
        return _result(module, calls, tracer, shape[1:])


@contextmanager
def _traced(module: nn.Module, tracer: LayoutTracer, calls: ModuleTracker) -> Iterator[None]:
    """Trace calls of the module."""
    with (
        unfused_attention(),
        fast_recurrent_layers(module),
        calls.tracking(),
        tracer.reporting_to(calls),
        torch.no_grad(),
        _no_autocast(),
        tracer,
    ):
        yield


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Make PyTorch's transformer layers call their parts instead of one fused operator."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)


def _result(
    module: nn.Module, calls: ModuleTracker, tracer: LayoutTracer, shape: tuple[int, ...]
) -> Trace:
    """Return what a pass recorded, while the module is as it ran."""
    root = calls.outputs.get("")
    last_map = root if root is not None and root.axes() else tracer.last_map
    rows = (*calls.rows, *calls.uncalled_rows(tracer.tensors))
    everywhere = module.named_modules(remove_duplicate=False)
    paths = {path: calls.paths[id(part)] for path, part in everywhere}
    return Trace(shape, rows, calls.outputs, last_map, paths)
