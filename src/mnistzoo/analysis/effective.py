"""The effective receptive field: how strongly the pixels that a unit reads affect it.

Source: Luo, Li, Urtasun, Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks", NeurIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mnistzoo.analysis.field import Interval, ReceptiveField
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.inputs import check_kwargs, check_module, floating_dtype
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.trace import trace
from mnistzoo.errors import AnalysisError, InputError


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """How strongly each pixel affects the central unit of a layer.

    Attributes:
        energy: Squared gradient of the unit at each pixel, summed over input channels and averaged
            over images. It sums to 1, or to 0 for a dead unit.
        unit: Index of the central unit, one number per axis of the input.
        field: Theoretical receptive field of the layer.
    """

    energy: Tensor
    unit: tuple[int, ...]
    field: ReceptiveField

    @property
    def window(self) -> tuple[Interval, ...]:
        """The first and last pixel of the unit's theoretical window, for each axis."""
        return (self.field.local or self.field).interval(self.unit)

    @property
    def share_in_half(self) -> float:
        """The share of the energy in the middle half of the window along each axis, from 0 to 1.

        If all pixels mattered equally it would be about a quarter for two axes.
        """
        inside = self.energy
        for axis, (first, last) in enumerate(self.window):
            middle, quarter = (first + last) / 2, (last - first + 1) / 4
            pixels = torch.arange(inside.shape[axis], device=inside.device)
            near = ((pixels - middle).abs() <= quarter).nonzero().flatten()
            inside = inside.index_select(axis, near)
        return float(inside.sum())


def effective_receptive_field(
    module: nn.Module, images: Tensor, layer: str, kwargs: Mapping[str, Any] | None = None
) -> EffectiveReceptiveField:
    """Return the squared gradient of a layer's central unit, averaged over images.

    The model runs on its own device in evaluation mode, and is left as it was.

    Args:
        module: Any model. Its weights matter, so pass a trained one.
        images: Tensor of shape `(N, channels, *axes)`, normalized as the model expects.
        layer: Path of a module whose output is a map of shape `(N, channels, *axes)`.
        kwargs: Other arguments of the model by name, for these images.

    Raises:
        InputError: `images` is not a batch of images, or the model refuses their shape.
        UnknownNameError: There is no such layer. The message suggests the nearest.
        UnknownOperatorError: As for `analyze`.
        AnalysisError: The layer's output is not a map, or does not depend on the images.

    >>> import mnistzoo, torch
    >>> model, images = mnistzoo.exp5(), torch.rand(4, 1, 28, 28)
    >>> mnistzoo.effective_receptive_field(model, images, "features.conv2").window
    ((12, 16), (12, 16))
    """
    images = _check_images(images).to(floating_dtype(check_module(module))).requires_grad_()
    count, *shape = images.shape
    found = trace(module, shape, kwargs, count)
    layout = found.layout(layer)
    with preserve_module_state(module), torch.enable_grad():
        output = _output(module, images, found.paths[layer], check_kwargs(kwargs))
        if output.ndim != images.ndim or not output.requires_grad:
            raise AnalysisError(
                f"Expected {layer!r} to return a map of {images.ndim - 2} axes that depends on the "
                f"images, got shape {tuple(output.shape)}. Name a layer before the flatten."
            )
        gradient = _central_gradient(output, images)
    dims = [layout.dimension_of(axis) for axis in range(images.ndim - 2)]
    unit = tuple(0 if dim is None else output.shape[dim] // 2 for dim in dims)
    return EffectiveReceptiveField(_energy(gradient), unit, ReceptiveField.of(layout))


def _check_images(images: Tensor) -> Tensor:
    """Return a copy of the images."""
    if not isinstance(images, Tensor):
        raise InputError(f"Expected images as a tensor, got {type(images).__name__}.")
    if images.ndim < 3 or not len(images) or not images.is_floating_point():
        raise InputError(
            "Expected floating-point images of shape (N, channels, *axes) with N of at least 1, "
            f"got {images.dtype} of shape {tuple(images.shape)}."
        )
    return images.detach().clone()


def _central_gradient(output: Tensor, images: Tensor) -> Tensor:
    central = output
    for size in output.shape[2:]:
        central = central.select(2, size // 2)
    (gradient,) = torch.autograd.grad(central.sum(), images)
    return gradient


def _energy(gradient: Tensor) -> Tensor:
    """Return the share of each pixel in the squared gradient."""
    energy = gradient.double().square().sum(1).mean(0)
    return energy / energy.sum().clamp(min=1e-300)


def _output(module: nn.Module, images: Tensor, layer: str, kwargs: dict[str, Any]) -> Tensor:
    """Return a copy of what a layer returns last, as in-place operators may change it later."""
    outputs: list[Tensor] = []
    handle = module.get_submodule(layer).register_forward_hook(
        lambda _module, _args, output: outputs.extend(x.clone() for x in tensors_of(output)[:1])
    )
    try:
        module(images, **kwargs)
    finally:
        handle.remove()
    return outputs[-1]
