"""One pass of an input's shape through a model, which every analysis uses."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.row import Row
from mnistzoo.analysis.tracing.arguments import Arguments
from mnistzoo.analysis.tracing.constants import ConstantPolicy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.failures import explain
from mnistzoo.analysis.tracing.inputs import check_traceable, is_lazy_module
from mnistzoo.analysis.tracing.meta_copies import MetaCopies
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.modules import ModuleTracker
from mnistzoo.analysis.tracing.recurrent import fast_recurrent_layers
from mnistzoo.analysis.tracing.tracer import LayoutTracer
from mnistzoo.errors import (
    AnalysisError,
    InputError,
    UnknownNameError,
    UnknownOperatorError,
    ValuesNeededError,
)

_no_autocast = torch._C._DisableAutocast
"""Casts change no shape, and autocast does not know the meta device."""


@dataclass(frozen=True)
class Trace:
    """The result of one pass."""

    rows: tuple[Row, ...]  # of the table
    outputs: dict[str, Layout | None]  # what modules returned last, by path; "" is the model
    last_map: Layout | None  # of the last tensor with more than one unit along an axis
    paths: dict[str, str]  # the paths that rows have; others if a module is in a model twice
    stopped_at: str | None  # the operator that needed values, and the layer that called it
    blocks: dict[str, Row]  # the last calls of modules with inner modules, by path

    def layout(self, layer: str | None) -> Layout:
        """Return the layout of a layer's output, or of the last feature map.

        Raises:
            InputError: `layer` is not a string.
            UnknownNameError: There is no such layer.
            AnalysisError: The layer is not called, or its output does not depend on the input.
        """
        if layer is None:
            return self._layout_of_last_map()
        path = self._path(layer)
        layout = self.outputs.get(path)
        if layout is None:
            what = "is not called" if path not in self.outputs else "does not depend on the input"
            until = f" before {self.stopped_at}, which needs values" if self.stopped_at else ""
            raise AnalysisError(
                f"The layer {layer!r} {what}{until}. Name another; mnistzoo.analyze lists them."
            )
        return layout

    def _layout_of_last_map(self) -> Layout:
        if self.stopped_at:
            raise AnalysisError(
                f"Expected a model that runs without values, got one that needs them: "
                f"{self.stopped_at}. Name a layer that is called before."
            )
        if self.last_map is None:
            raise AnalysisError(
                "Expected a feature map with more than one unit, got none. Name a layer."
            )
        return self.last_map

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
def trace(module: nn.Module, given: Arguments) -> Trace:
    """Send arguments without values through a module, which is left as it was.

    Raises:
        InputError: The model refuses the inputs.
        UnknownOperatorError: An operator has no rule.
        AnalysisError: The model cannot be traced.
    """
    parts = list(module.modules())
    check_traceable(module, parts)
    if is_lazy_module(parts):
        return _pass(module, given, floats_on_meta=True)
    try:
        return _pass(module, given)
    except InputError:
        try:  # the model may have refused tensors on two devices
            return _pass(module, given, floats_on_meta=True)
        except UnknownOperatorError:
            raise
        except Exception:  # the first error says more
            pass
        raise


def _pass(module: nn.Module, given: Arguments, floats_on_meta: bool = False) -> Trace:
    """Call a module with arguments whose tracked tensor is on the meta device."""
    tracer = LayoutTracer(ConstantPolicy(floats_on_meta))
    calls = ModuleTracker(module, tracer.layout_of, given.batch_size)
    tracked = torch.empty(given.example.shape, dtype=given.example.dtype, device="meta")
    tracer.tensors.result(tracked).set_layout(given.layout)
    positional, named = given.holding(tracked)
    stopped_at = None
    with closing(tracer.tensors), preserve_module_state(module):
        if floats_on_meta:
            copies = MetaCopies(keep=tracked)
            copies.replace_in(module)
            positional, named = copies.of(positional), copies.of(named)
        with _traced(module, tracer, calls):
            try:
                _keep_output(calls, module(*positional, **named))
            except ValuesNeededError:
                stopped_at = tracer.stopped_at
            except (AnalysisError, UnknownOperatorError):
                raise
            except Exception as error:
                raise explain(error, calls, given) from error
        return _result(calls, tracer, stopped_at)


def _keep_output(calls: ModuleTracker, output: object) -> None:
    """Keep what the model returned, after its hooks."""
    tensor, _ = calls.set_output("", tensors_of(output))
    if tensor is None:
        raise AnalysisError(
            f"Expected a model that returns tensors, got {type(output).__name__}. "
            "Wrap it in a module that returns one."
        )


@contextmanager
def _traced(module: nn.Module, tracer: LayoutTracer, calls: ModuleTracker) -> Iterator[None]:
    """Trace calls of the module."""
    with (
        unfused_attention(),
        uncompiled(),
        fast_recurrent_layers(module),
        calls.tracking(),
        tracer.reporting_to(calls),
        torch.no_grad(),
        _no_autocast(),
        _collection_paused(),
        tracer,
    ):
        yield


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Pause garbage collection, which would look at thousands of records that are all in use."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Make PyTorch's transformer layers call their parts instead of one fused operator."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run modules that `torch.compile` returned without compiling them."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and the import takes long
        yield
        return
    with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using `torch.compile", category=UserWarning)
        yield


def _result(calls: ModuleTracker, tracer: LayoutTracer, stopped_at: str | None) -> Trace:
    """Return what a pass recorded, while the module is as it ran."""
    root = calls.outputs.get("")
    last_map = root if root is not None and root.axes() else tracer.last_map
    rows = (*calls.rows, *calls.uncalled_rows(None if stopped_at else tracer.tensors))
    uncalled = {
        path: Row(path, type(part).__name__, (), 0, 0, None)
        for path, part in calls.parts.items()
        if part._modules and path not in calls.blocks
    }
    blocks = uncalled | calls.blocks
    return Trace(rows, calls.outputs, last_map, calls.aliases, stopped_at, blocks)
