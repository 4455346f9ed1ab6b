"""Shapes, parameters, MACs, memory, time and receptive fields of any PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from mnistzoo.analysis.comparison import Comparison as Comparison
from mnistzoo.analysis.comparison import compare as compare
from mnistzoo.analysis.cost import Cost
from mnistzoo.analysis.devices import Device as Device
from mnistzoo.analysis.effective import EffectiveReceptiveField as EffectiveReceptiveField
from mnistzoo.analysis.effective import effective_receptive_field as effective_receptive_field
from mnistzoo.analysis.field import ReceptiveField as ReceptiveField
from mnistzoo.analysis.operators import register_operator as register_operator
from mnistzoo.analysis.roofline import Roofline as Roofline
from mnistzoo.analysis.roofline import RooflineRow as RooflineRow
from mnistzoo.analysis.row import Row as Row
from mnistzoo.analysis.table import Analysis as Analysis
from mnistzoo.analysis.tracing.arguments import Arguments, Inputs, read_arguments
from mnistzoo.analysis.tracing.inputs import check_module
from mnistzoo.analysis.tracing.trace import Trace, trace
from mnistzoo.errors import InputError


def analyze(
    module: nn.Module,
    inputs: Inputs,
    kwargs: Mapping[str, Any] | None = None,
    *,
    of: str | None = None,
    batch_size: int = 1,
    channels_last: bool = False,
) -> Analysis:
    """Return the shape, parameters, MACs and receptive field of every layer of a model.

    The model runs once on the meta device, in evaluation mode, and is left as it was. The analysis
    ends at the first operator that needs the values of a tensor, such as a detector's choice of
    boxes: see `Analysis.stopped_at`.

    Args:
        module: Any model.
        inputs: Shape of one input without the batch, such as `(channels, height, width)`; an
            example tensor with its batch, such as token IDs of shape `(N, length)`; or a tuple or
            a dictionary of several inputs, each a shape or a tensor.
        kwargs: Other arguments of the model by name, passed as they are, such as flags.
        of: Name of the input that receptive fields refer to. Other tensors keep their values.
            Default: the first.
        batch_size: Number of inputs in a batch, where `inputs` has shapes. Rows are for one.
        channels_last: Whether channels come last in that input, as in `(N, height, width, 3)`.

    Raises:
        InputError: The model refuses the inputs. The message names the layer.
        UnknownNameError: There is no input `of`. The message suggests the nearest.
        UnknownOperatorError: An operator has no rule; see `register_operator`.
        AnalysisError: The model fails, or branches that join do not line up.

    >>> import mnistzoo, torch
    >>> mnistzoo.analyze(torch.nn.Conv2d(1, 8, 5), (1, 28, 28))
    layer  kind    output shape  parameters     MACs  receptive field  stride  padding
           Conv2d  8×24×24              208  115,200              5×5       1        0
    input 1×28×28: 208 parameters, 115,200 MACs
    receptive field 5×5
    """
    given = read_arguments(
        module, inputs, kwargs, of=of, batch_size=batch_size, channels_last=channels_last
    )
    return _analysis(module, given, trace(module, given))


def _analysis(module: nn.Module, given: Arguments, found: Trace) -> Analysis:
    layouts = (None, None) if found.stopped_at else (found.last_map, found.outputs.get(""))
    last, output = (None if layout is None else ReceptiveField.of(layout) for layout in layouts)
    return Analysis(
        rows=found.rows,
        input_shape=given.shape,
        receptive_field=last,
        output_receptive_field=output,
        stopped_at=found.stopped_at,
        _costs=Cost(module, given),
        _modules=found.blocks,
    )


def receptive_field(
    module: nn.Module,
    inputs: Inputs,
    layer: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    of: str | None = None,
    batch_size: int = 1,
    channels_last: bool = False,
) -> ReceptiveField:
    """Return the receptive field of a layer.

    See `analyze` for the other arguments.

    Args:
        module: Any model.
        inputs: A shape, tensors, or several inputs.
        layer: Path of a module, such as `"layer4"` or `"features.28"`, or `""` for the model's
            output. Default: the last feature map, which has more than one unit along an axis.
        kwargs: Other arguments of the model by name.
        of: Name of the input.
        batch_size: Number of inputs in a batch.
        channels_last: Whether that input has its channels last.

    Raises:
        UnknownNameError: There is no such layer. The message suggests the nearest.
        AnalysisError: The layer is not called, or as for `analyze`.
        InputError: As for `analyze`.
        UnknownOperatorError: As for `analyze`.

    >>> import mnistzoo
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    >>> mnistzoo.receptive_field(model, (1, 28, 28), "2").size
    (10, 10)
    """
    given = read_arguments(
        module, inputs, kwargs, of=of, batch_size=batch_size, channels_last=channels_last
    )
    return ReceptiveField.of(trace(module, given).layout(layer))


def num_params(module: nn.Module, trainable_only: bool = False) -> int:
    """Return the number of a model's parameters, counting shared ones once.

    Args:
        module: Any model.
        trainable_only: Leave out parameters that do not require a gradient.

    Raises:
        InputError: The model has lazy parameters. `analyze` counts those.

    >>> import mnistzoo
    >>> mnistzoo.num_params(mnistzoo.exp5())
    17302
    """
    parameters = list(check_module(module).parameters())
    if any(map(is_lazy, parameters)):
        raise InputError(
            "Expected initialized parameters, got lazy ones. Call the model once, or use analyze."
        )
    return sum(p.numel() for p in parameters if p.requires_grad or not trainable_only)
