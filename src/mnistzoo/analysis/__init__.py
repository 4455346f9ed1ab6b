"""Shapes, parameters, MACs, memory, time and receptive fields of any PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.cost import Cost
from mnistzoo.analysis.devices import Device as Device
from mnistzoo.analysis.effective import EffectiveReceptiveField as EffectiveReceptiveField
from mnistzoo.analysis.effective import effective_receptive_field as effective_receptive_field
from mnistzoo.analysis.field import ReceptiveField as ReceptiveField
from mnistzoo.analysis.operators import register_operator as register_operator
from mnistzoo.analysis.roofline import Roofline as Roofline
from mnistzoo.analysis.roofline import RooflineRow as RooflineRow
from mnistzoo.analysis.table import Analysis as Analysis
from mnistzoo.analysis.table import Row as Row
from mnistzoo.analysis.tracing.inputs import check_module
from mnistzoo.analysis.tracing.trace import trace
from mnistzoo.errors import InputError


def analyze(
    module: nn.Module, input_shape: Sequence[int], kwargs: Mapping[str, Any] | None = None
) -> Analysis:
    """Analyze every layer of a model: shape, parameters, MACs and receptive field.

    The model runs once on the meta device, in evaluation mode. Nothing is computed, no memory is
    allocated for weights or activations, and the model is left as it was.

    Args:
        module: Any model whose first argument is a tensor of shape `(N, *input_shape)`.
        input_shape: Shape of one input without the batch: `(channels, height, width)` for images,
            `(channels, length)` and `(channels, depth, height, width)` for one and three axes.
        kwargs: Other arguments of the model by name, for a batch of one, such as the time step of a
            diffusion model. Receptive fields are fields of the first argument.

    Raises:
        InputError: The model refuses the shape. The message names the layer.
        UnknownOperatorError: The model calls an operator without a rule; see
            `register_operator`.
        AnalysisError: Control flow depends on data, or branches that join do not line up.

    >>> import mnistzoo
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    >>> mnistzoo.analyze(model, (1, 28, 28))
    layer  kind       output shape  parameters     MACs  receptive field  stride  padding
    0      Conv2d     8×24×24              208  115,200              5×5       1        0
    1      MaxPool2d  8×12×12                                        6×6       2        0
    2      Conv2d     8×10×10              584   57,600            10×10       2        0
    input 1×28×28: 792 parameters, 172,800 MACs, 0.05 MiB footprint, receptive field 10×10
    """
    found = trace(module, input_shape, kwargs)
    last, output = map(_field_of, (found.last_map, found.outputs.get("")))
    return Analysis(found.rows, found.input_shape, last, output, Cost(module, input_shape, kwargs))


def _field_of(layout: Layout | None) -> ReceptiveField | None:
    return None if layout is None else ReceptiveField.of(layout)


def receptive_field(
    module: nn.Module,
    input_shape: Sequence[int],
    layer: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> ReceptiveField:
    """Return the receptive field of a layer.

    Args:
        module: As for `analyze`.
        input_shape: As for `analyze`.
        layer: Path of a module, such as `"layer4"` or `"features.28"`, or `""` for the model's
            output; default: the last feature map, which has more than one unit along an axis.
        kwargs: As for `analyze`.

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
    return ReceptiveField.of(trace(module, input_shape, kwargs).layout(layer))


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
