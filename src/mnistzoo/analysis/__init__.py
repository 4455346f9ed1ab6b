"""Layers, shapes, parameters, MACs and receptive fields of any PyTorch network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.effective import EffectiveReceptiveField as EffectiveReceptiveField
from mnistzoo.analysis.effective import effective_receptive_field as effective_receptive_field
from mnistzoo.analysis.field import ReceptiveField as ReceptiveField
from mnistzoo.analysis.operators import register_operator as register_operator
from mnistzoo.analysis.table import Analysis as Analysis
from mnistzoo.analysis.table import Row as Row
from mnistzoo.analysis.tracing.modules import receptive_field_of
from mnistzoo.analysis.tracing.trace import checked_shape, trace


def analyze(module: nn.Module, input_shape: Sequence[int], **kwargs: Any) -> Analysis:
    """Every layer of a network: shape, parameters, multiply-accumulates, receptive field.

    One pass of a shape, without data: nothing is computed, nothing is allocated, and the module is
    left as it was found. It is read in evaluation mode.

    Args:
        module: any network whose first argument is a tensor of shape `(N, *input_shape)`.
        input_shape: `(channels, height, width)` of one image; `(channels, length)` and
            `(channels, depth, height, width)` for networks of one and three axes.
        kwargs: the network's further arguments, for a batch of one, such as the time step of a
            diffusion model. They are no part of the input that fields are fields of.

    Raises:
        InputError: the network refuses the shape; the message names the layer.
        UnknownOperatorError: an operator has no known window.
        AnalysisError: the network's course depends on values, or its branches do not line up.
    """
    seen = trace(module, input_shape, kwargs)
    last, output = map(_field_of, (seen.last_map, seen.outputs.get("")))
    return Analysis(seen.rows, checked_shape(input_shape), last, output)


def _field_of(layout: Layout | None) -> ReceptiveField | None:
    return None if layout is None else receptive_field_of(layout)


def receptive_field(
    module: nn.Module, input_shape: Sequence[int], layer: str | None = None, **kwargs: Any
) -> ReceptiveField:
    """What one unit of a layer's output sees of the input.

    Args:
        module: as for `analyze`.
        input_shape: as for `analyze`.
        layer: path of a module, such as `"layer4"` or `"features.28"`. Without it, the last
            feature map that still has more than one unit along an axis.
        kwargs: as for `analyze`.

    Raises:
        UnknownNameError: there is no such layer; the message names the nearest.
        AnalysisError: the layer is not called, or see `analyze`.
        InputError: see `analyze`.
        UnknownOperatorError: see `analyze`.
    """
    return trace(module, input_shape, kwargs).field(layer)


def num_params(module: nn.Module, trainable_only: bool = False) -> int:
    """The number of a network's parameters, shared ones counted once.

    Args:
        module: any network; of a lazy one, call `analyze` instead.
        trainable_only: leave out those that do not require a gradient.
    """
    parameters = module.parameters()
    return sum(p.numel() for p in parameters if p.requires_grad or not trainable_only)
