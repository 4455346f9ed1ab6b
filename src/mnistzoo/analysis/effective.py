"""The effective receptive field: how strongly the pixels that a unit reads affect it.

Source: Luo, Li, Urtasun, Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks", NeurIPS 2016, arXiv:1701.04128.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.field import Interval, ReceptiveField
from mnistzoo.analysis.tracing.arguments import Arguments, Inputs, read_arguments
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.inputs import floating_dtype
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.trace import trace, uncompiled
from mnistzoo.errors import AnalysisError, InputError


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """The influence of each pixel on the central unit of a layer.

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
    module: nn.Module,
    inputs: Inputs,
    layer: str,
    kwargs: Mapping[str, Any] | None = None,
    *,
    of: str | None = None,
    channels_last: bool = False,
) -> EffectiveReceptiveField:
    """Return the squared gradient of a layer's central unit, averaged over images.

    Args:
        module: Any model, trained. It runs on its own device, and is left as it was.
        inputs: A tensor of shape `(N, channels, *axes)`, or several inputs as for `analyze`.
        layer: Path of a module whose output is a map of shape `(N, channels, *axes)`.
        kwargs: Other arguments of the model by name.
        of: Name of the input that holds the images. Default: the first.
        channels_last: Whether the images have shape `(N, *axes, channels)`.

    Raises:
        InputError: The images are not a batch of images, the model refuses their shape, or its
            parameters are on the meta device.
        UnknownNameError: There is no such layer.
        AnalysisError: The layer's output is not a map, or does not depend on the images, or the
            model fails to compute gradients.

    >>> import mnistzoo, torch
    >>> model, images = mnistzoo.exp5(), torch.rand(4, 1, 28, 28)
    >>> mnistzoo.effective_receptive_field(model, images, "features.conv2").window
    ((12, 16), (12, 16))
    """
    read = read_arguments(module, inputs, kwargs, of=of, channels_last=channels_last)
    found = trace(module, given := _with_images(module, read))
    layout, path = found.layout(layer), found.paths[layer]
    with _outputs(module, given, [path]) as outputs:
        if _is_map(outputs[path], given):
            return _of_map(outputs[path], given, layout)
        shape, axes = tuple(outputs[path].shape), given.example.ndim - 2
    raise AnalysisError(
        f"Expected {layer!r} to return a map of {axes} axes that depends on the images, got shape "
        f"{shape}. Name a layer before the flatten."
    )


def effective_fields(
    module: nn.Module, given: Arguments, layers: Iterable[str]
) -> dict[str, EffectiveReceptiveField]:
    """Return the effective fields of those layers that return a map, from one call of the model.

    Raises:
        InputError: The images are not a batch of images, another input is only a shape, or
            parameters are on the meta device.
        AnalysisError: The model fails to compute gradients.
    """
    given = _with_images(module, given)
    if any(tensor.is_meta for tensor in tensors_of([given.positional, given.named])):
        raise InputError("Expected a tensor for each input, got a shape. Pass tensors to analyze.")
    found = trace(module, given).outputs
    layouts = {path: layout for path in layers if (layout := found.get(path))}
    with _outputs(module, given, layouts) as outputs:
        maps = {path: output for path, output in outputs.items() if _is_map(output, given)}
        return {path: _of_map(output, given, layouts[path]) for path, output in maps.items()}


def _with_images(module: nn.Module, given: Arguments) -> Arguments:
    """Return the arguments with a copy of the images that has a gradient."""
    images = given.example
    if any(parameter.is_meta for parameter in module.parameters()):
        raise InputError(
            "Expected a model with weights, got parameters on the meta device. Load weights first."
        )
    if images.ndim < 3 or images.is_meta or not images.is_floating_point():
        got = "a shape" if images.is_meta else f"{images.dtype} of shape {tuple(images.shape)}"
        raise InputError(
            "Expected floating-point images of shape (N, channels, *axes) with N of at least 1, "
            f"got {got}. Pass a tensor."
        )
    copied = images.detach().clone().to(floating_dtype(module))
    return given.with_example(copied.requires_grad_())


def _is_map(output: Tensor, given: Arguments) -> bool:
    """Return whether an output is a map that was computed from the images."""
    return output.ndim == given.example.ndim and output.requires_grad


def _of_map(output: Tensor, given: Arguments, layout: Layout) -> EffectiveReceptiveField:
    """Return the effective field of a map."""
    images = given.example
    dims = [layout.dimension_of(axis) for axis in range(images.ndim - 2)]
    gradient = _central_gradient(output, images, dims)
    unit = tuple(0 if dim is None else output.shape[dim] // 2 for dim in dims)
    energy = gradient.double().square().sum(1 if given.channels is None else given.channels).mean(0)
    shares = energy / energy.sum().clamp(min=1e-300)
    return EffectiveReceptiveField(shares, unit, ReceptiveField.of(layout))


def _central_gradient(output: Tensor, images: Tensor, dims: Sequence[int | None]) -> Tensor:
    """Return the gradient of the unit at the center of a map.

    The map has a dimension along each axis, or `None` for an axis without units.
    """
    along = {dim for dim in dims if dim is not None}
    if len(along) < len(dims):
        along = set(range(2, output.ndim))
    central = output
    for dim in sorted(along, reverse=True):
        central = central.select(dim, output.shape[dim] // 2)
    with _gradient_errors():
        (gradient,) = torch.autograd.grad(central.sum(), images, retain_graph=True)
    return gradient


@contextmanager
def _outputs(
    module: nn.Module, given: Arguments, layers: Collection[str]
) -> Iterator[dict[str, Tensor]]:
    """Call a model, and yield a copy of the last output of each layer.

    The model may write to the outputs later.
    """
    outputs: dict[str, Tensor] = {}

    def keep(path: str, output: object) -> None:
        outputs.update((path, tensor.clone()) for tensor in tensors_of(output)[:1])

    with preserve_module_state(module), uncompiled(), torch.enable_grad(), ExitStack() as hooks:
        for path in layers:
            hook = module.get_submodule(path).register_forward_hook(
                lambda _module, _args, output, path=path: keep(path, output)
            )
            hooks.callback(hook.remove)
        positional, named = given.holding(given.example)
        with _gradient_errors():
            output = module(*positional, **named)
        if "" in layers:  # a class with its own __call__ runs no hooks
            keep("", output)
        yield outputs


@contextmanager
def _gradient_errors() -> Iterator[None]:
    """Turn an exception from the model into an AnalysisError that quotes it."""
    try:
        yield
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise AnalysisError(
            "Expected a model that computes gradients of the images, got "
            f"{type(error).__name__} ({reason}). Fix the model or analyze a part of it."
        ) from error
