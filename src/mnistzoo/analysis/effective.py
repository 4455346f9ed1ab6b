"""The effective receptive field: how much of what a unit can see it makes use of.

Source: Luo, Li, Urtasun, Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks", NeurIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.modules import receptive_field_of, tensors_of
from mnistzoo.analysis.tracing.trace import trace
from mnistzoo.errors import AnalysisError, InputError


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """What the central unit of a layer reacts to.

    Attributes:
        energy: for each pixel, the squared gradient of the unit, summed over the channels of the
            input and averaged over the images; it sums to 1, or to 0 for a unit that is dead.
        unit: the central unit, one number an axis of the input.
        field: the theoretical receptive field of the layer.
    """

    energy: Tensor
    unit: tuple[int, ...]
    field: ReceptiveField

    @property
    def window(self) -> tuple[tuple[int, int], ...]:
        """The first and last pixel of the unit's theoretical window, for each axis."""
        return (self.field.local or self.field).interval(self.unit)

    @property
    def share_in_half(self) -> float:
        """The share of the energy in the middle half of the window, along each axis, from 0 to 1.

        With equal use of all pixels it would be about a quarter in two axes.
        """
        inside = self.energy
        for axis, (first, last) in enumerate(self.window):
            middle, quarter = (first + last) / 2, (last - first + 1) / 4
            pixels = torch.arange(inside.shape[axis], device=inside.device)
            near = ((pixels - middle).abs() <= quarter).nonzero().flatten()
            inside = inside.index_select(axis, near)
        return float(inside.sum())


def effective_receptive_field(
    module: nn.Module, images: Tensor, layer: str, **kwargs: Any
) -> EffectiveReceptiveField:
    """The gradient of a layer's central unit, averaged over images.

    The network computes in evaluation mode, where it is and as it is; it is left as it was found.

    Args:
        module: any network; its weights count, so give it trained ones.
        images: shape `(N, channels, *axes)`, as the network takes them.
        layer: path of a module whose output is a map of shape `(N, channels, *axes)`.
        kwargs: the network's further arguments, for these images.

    Raises:
        InputError: `images` is no batch of images, or the network refuses their shape.
        UnknownNameError: there is no such layer; the message names the nearest.
        UnknownOperatorError: see `analyze`.
        AnalysisError: the layer's output is no map, or does not depend on the images.
    """
    if images.ndim < 3 or not len(images) or not images.is_floating_point():
        raise InputError(
            "expected floating-point images of shape (N, channels, *axes) with N of at least 1, "
            f"got {images.dtype} of shape {tuple(images.shape)}."
        )
    count, *shape = images.shape
    layout = trace(module, shape, kwargs, count).layout(layer)
    images = images.detach().clone().requires_grad_()
    with preserve_module_state(module), torch.enable_grad():
        output = _output(module, images, layer, kwargs)
        if output.ndim != images.ndim or not output.requires_grad:
            raise AnalysisError(
                f"expected {layer!r} to put out a map of {images.ndim - 2} axes made of the "
                f"images, got shape {tuple(output.shape)}; name a layer before the flatten."
            )
        central = output
        for size in output.shape[2:]:
            central = central.select(2, size // 2)
        (gradient,) = torch.autograd.grad(central.sum(), images)
    energy = gradient.double().square().sum(1).mean(0)
    unit = tuple(
        0 if (index := layout.dimension_of(axis)) is None else output.shape[index] // 2
        for axis in range(images.ndim - 2)
    )
    share = energy / energy.sum().clamp(min=1e-300)
    return EffectiveReceptiveField(share, unit, receptive_field_of(layout))


def _output(module: nn.Module, images: Tensor, layer: str, kwargs: dict[str, Any]) -> Tensor:
    """What the layer returns last while the network runs on the images.

    A copy, since operators in place may write to the tensor itself afterwards.
    """
    found: list[Tensor] = []
    handle = module.get_submodule(layer).register_forward_hook(
        lambda _module, _args, output: found.extend(x.clone() for x in tensors_of(output)[:1])
    )
    try:
        module(images, **kwargs)
    finally:
        handle.remove()
    return found[-1]
