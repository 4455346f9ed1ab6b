"""Shapes, parameters, MACs, memory, time and receptive fields of any PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from mnistzoo.analysis.algebra.layout import Layout
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
from mnistzoo.analysis.tracing.arguments import Inputs, read_arguments
from mnistzoo.analysis.tracing.inputs import check_module
from mnistzoo.analysis.tracing.trace import trace, trace_call
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
    """Analyze every layer of a model: shape, parameters, MACs and receptive field.

    The model runs once on the meta device, in evaluation mode. Nothing is computed, no memory is
    allocated for weights or activations, and the model is left as it was. If the model calls an
    operator that needs values, such as the selection of boxes in a detector, the analysis ends
    there: see `Analysis.stopped_at`.

    Args:
        module: Any model.
        inputs: Shape of one input without the batch, such as `(channels, height, width)`; or an
            example tensor with its batch; or a tuple of several inputs, or a dictionary of inputs
            by name, each a shape or a tensor. Token IDs are an example of integers of shape
            `(N, length)`, and have fields along the sequence.
        kwargs: Other arguments of the model by name, passed as they are, such as flags and lists.
        of: Name of the input to compute receptive fields for; default: the first. Tensors among
            the others keep their values.
        batch_size: Number of inputs in a batch, where `inputs` has shapes. Rows are for one.
        channels_last: Whether that input has shape `(N, height, width, channels)` or
            `(N, length, channels)`.

    Raises:
        InputError: The model refuses the inputs. The message names the layer.
        UnknownNameError: There is no input `of`. The message suggests the nearest.
        UnknownOperatorError: The model calls an operator without a rule; see
            `register_operator`.
        AnalysisError: The model fails, or branches that join do not line up.

    >>> import mnistzoo, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    >>> mnistzoo.analyze(model, (1, 28, 28))
    layer  kind       output shape  parameters     MACs  receptive field  stride  padding
    0      Conv2d     8×24×24              208  115,200              5×5       1        0
    1      MaxPool2d  8×12×12                                        6×6       2        0
    2      Conv2d     8×10×10              584   57,600            10×10       2        0
    input 1×28×28: 792 parameters, 172,800 MACs, 0.05 MiB footprint, receptive field 10×10
    >>> mnistzoo.analyze(model, torch.zeros(64, 1, 28, 28)).macs
    172800
    >>> bilinear = nn.Bilinear(4, 6, 2)
    >>> mnistzoo.analyze(bilinear, {"input1": (4,), "input2": (6,)}).num_params
    50
    """
    given = read_arguments(
        module, inputs, kwargs, of=of, batch_size=batch_size, channels_last=channels_last
    )
    found = trace_call(module, given)
    layouts = (None, None) if found.stopped_at else (found.last_map, found.outputs.get(""))
    cost = Cost(module, given)
    last, output = map(_field_of, layouts)
    return Analysis(
        found.rows, found.input_shape, last, output, found.stopped_at, cost, found.blocks
    )


def _field_of(layout: Layout | None) -> ReceptiveField | None:
    return None if layout is None else ReceptiveField.of(layout)


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

    Args:
        module: As for `analyze`.
        inputs: As for `analyze`.
        layer: Path of a module, such as `"layer4"` or `"features.28"`, or `""` for the model's
            output; default: the last feature map, which has more than one unit along an axis.
        kwargs: As for `analyze`.
        of: As for `analyze`.
        batch_size: As for `analyze`.
        channels_last: As for `analyze`.

    Raises:
        UnknownNameError: There is no such layer. The message suggests the nearest.
        AnalysisError: The layer is not called, or as for `analyze`.
        InputError: As for `analyze`.
        UnknownOperatorError: As for `analyze`.

    >>> import mnistzoo, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    >>> mnistzoo.receptive_field(model, (1, 28, 28), "2").size
    (10, 10)
    >>> tokens = torch.zeros(1, 16, dtype=torch.long)
    >>> mnistzoo.receptive_field(nn.Embedding(100, 8), tokens).size
    (1,)
    """
    found = trace(module, inputs, kwargs, of=of, batch_size=batch_size, channels_last=channels_last)
    return ReceptiveField.of(found.layout(layer))


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
