"""One pass of an image's shape through a module: what `analyze` and `receptive_field` read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import index
from typing import Any

import torch
from torch import nn

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.analysis.table import Row
from mnistzoo.analysis.tracing.constants import ConstantPolicy
from mnistzoo.analysis.tracing.module_state import (
    StandIns,
    checked,
    needs_stand_ins,
    own_containers,
    preserve_module_state,
    unfused_attention,
)
from mnistzoo.analysis.tracing.modules import ModuleTracker, receptive_field_of, tensors_of
from mnistzoo.analysis.tracing.recurrent import in_few_operators
from mnistzoo.analysis.tracing.tensors import TensorRecords
from mnistzoo.analysis.tracing.tracer import LayoutTracer
from mnistzoo.errors import (
    AnalysisError,
    InputError,
    MnistZooError,
    UnknownNameError,
    UnknownOperatorError,
)

_no_autocast = torch._C._DisableAutocast
"""What casts to other types changes no shape, and takes `meta` for a device of its own."""


@dataclass(frozen=True)
class Trace:
    """What one pass saw.

    Attributes:
        rows: the table.
        outputs: by path, the layout of what the module returned last; "" is the whole network.
        last_map: the last tensor with more than one unit along an axis.
        paths: of all modules, each with the one that its rows have: a module that is used twice
            has two paths, and the rows the first.
    """

    rows: tuple[Row, ...]
    outputs: dict[str, Layout | None]
    last_map: Layout | None
    paths: dict[str, str]

    def field(self, layer: str | None) -> ReceptiveField:
        """The receptive field of a layer's output; of the last map if none is named.

        Raises:
            UnknownNameError, AnalysisError: as `layout`.
        """
        return receptive_field_of(self.layout(layer))

    def layout(self, layer: str | None) -> Layout:
        """The layout of a layer's output; of the last map if none is named.

        Raises:
            UnknownNameError: there is no such layer.
            AnalysisError: the layer was not called, or what it returns is not made of the input.
        """
        if layer is not None and layer not in self.paths:
            raise UnknownNameError("layer", str(layer), [path for path in self.paths if path])
        layout = self.last_map if layer is None else self.outputs.get(self.paths[layer])
        if layout is None:
            what = "a map with more than one unit" if layer is None else f"an output of {layer!r}"
            raise AnalysisError(
                f"expected {what} that is made of the input, got none; name a layer that "
                "the network calls (mnistzoo.analyze lists them)."
            )
        return layout


@torch.inference_mode(False)  # in it, operators arrive whole that are else taken apart
def trace(
    module: nn.Module,
    input_shape: Sequence[int],
    kwargs: Mapping[str, Any] | None = None,
    batch: int = 1,
) -> Trace:
    """Send the shape of an image through `module`, which is left as it was found.

    Args:
        module: the network.
        input_shape: of its first argument, without the batch.
        kwargs: its further arguments, for that batch.
        batch: how many images.

    Raises:
        InputError: the shape is no shape, or the network refuses it.
        UnknownOperatorError: an operator has no known window.
        AnalysisError: the network cannot be traced.
    """
    shape = checked_shape(input_shape)
    image, given = (batch, *shape), dict(kwargs or {})
    if needs_stand_ins(checked(module)):
        return _pass(module, given, image, on_meta=True)
    try:
        return _pass(module, given, image)
    except InputError:
        try:  # the network may have refused what lies on two devices
            return _pass(module, given, image, on_meta=True)
        except UnknownOperatorError:
            raise
        except Exception:  # it has failed twice; the first error is told
            pass
        raise


def _pass(
    module: nn.Module, kwargs: dict[str, Any], image: tuple[int, ...], on_meta: bool = False
) -> Trace:
    """Send images of that shape through `module`; with `on_meta`, none of its floats has data."""
    dispatch = LayoutTracer(ConstantPolicy(floats_on_meta=on_meta))
    calls = ModuleTracker(module, dispatch.layout_of)
    images = torch.empty(image, dtype=_dtype(module), device="meta")
    dispatch.tensors.result(images).set_layout(Layout.image(image))
    kwargs = own_containers(kwargs)
    with preserve_module_state(module):
        if on_meta:
            stand_ins = StandIns()
            stand_ins.take_over(module)
            kwargs = stand_ins.replaced(kwargs)
        with (
            unfused_attention(),
            in_few_operators(module),
            calls.watched(),
            dispatch.reporting_to(calls),
            torch.no_grad(),
            _no_autocast(),
            dispatch,
        ):
            try:
                output = module(images, **kwargs)
            except MnistZooError:
                raise
            except Exception as error:
                raise _refused(error, calls, image[1:]) from error
        if not tensors_of(output):
            raise AnalysisError(
                f"expected a network that returns tensors, got {type(output).__name__}; "
                "wrap it in a module that returns one."
            )
        return _seen(module, calls, dispatch)


def _seen(module: nn.Module, calls: ModuleTracker, dispatch: LayoutTracer) -> Trace:
    """What a pass has come to, told while the module is as it ran."""
    root = calls.outputs.get("")
    last_map = root if root is not None and root.axes() else dispatch.last_map
    rows = (*calls.rows, *_not_called(module, calls, dispatch.tensors))
    everywhere = module.named_modules(remove_duplicate=False)
    paths = {path: calls.paths[id(part)] for path, part in everywhere}
    return Trace(rows, calls.outputs, last_map, paths)


def checked_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of one image as a tuple.

    Raises:
        InputError: it is not made of positive integers.
    """
    try:
        shape = tuple(map(index, input_shape))
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InputError(
            "expected input_shape as positive integers, (channels, height, width) without the "
            f"batch, got {input_shape!r}."
        )
    return shape


def _dtype(module: nn.Module) -> torch.dtype:
    """The dtype that the network computes in."""
    tensors = chain(module.parameters(), module.buffers())
    return next((x.dtype for x in tensors if x.is_floating_point()), torch.float32)


def _refused(error: Exception, calls: ModuleTracker, shape: tuple[int, ...]) -> MnistZooError:
    """What to tell of an exception that rose inside the network."""
    frame = calls.stack[-1] if calls.stack else None
    place = str(frame) if frame else "the network"
    input_shapes = " and ".join(map(str, frame.input_shapes)) if frame else str((1, *shape))
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, NotImplementedError) or "fake impl" in reason:
        return UnknownOperatorError(
            f"expected operators that run on shapes alone, got one in {place} that does not "
            f"({reason}); analyse the network before it was quantized, compiled or exported."
        )
    if frame and isinstance(frame.module, nn.Embedding):
        return InputError(
            f"expected a network of floating-point input, got {place}, which takes integers; "
            "analyse what follows it."
        )
    if isinstance(error, RuntimeError | ValueError | IndexError | AssertionError):
        return InputError(
            f"expected an input_shape that fits the network, got {shape}: {place} refused its "
            f"input of shape {input_shapes} ({reason}); give (channels, height, width) of one "
            "image."
        )
    what = "mend the network or analyse a part of it"
    if isinstance(error, TypeError) and "argument" in reason:
        what = "pass its further arguments by name, or wrap it in a module that takes one tensor"
    return AnalysisError(
        f"expected a network that runs on shapes alone, got {type(error).__name__} in {place} "
        f"with an input of shape {input_shapes} ({reason}); {what}."
    )


def _not_called(module: nn.Module, calls: ModuleTracker, read: TensorRecords) -> list[Row]:
    """Rows for parameters of modules that were not called; nothing may be left out of the sum."""
    rows = []
    for path, part in module.named_modules():
        own = [p for p in part._parameters.values() if p is not None]
        new = [p for p in own if id(p) not in calls.counted]
        if path not in calls.outputs and new:
            unused = sum(p.numel() for p in new if p not in read)
            kind = type(part).__name__
            rows.append(Row(path, kind, None, calls.count(part), 0, None, unused_params=unused))
    return rows
