"""`fused()`: a copy for inference with fewer, simpler layers."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from mnistzoo.errors import InputError

if TYPE_CHECKING:
    from mnistzoo.models.convnet import ConvNet


def _remove_pruning(layer: nn.Module, hook: Any) -> None:
    prune.remove(layer, hook._tensor_name)  # type: ignore[no-untyped-call]  # torch has no types


_REMOVERS: dict[type, Callable[[nn.Module, Any], object]] = {
    prune.BasePruningMethod: _remove_pruning,
    WeightNorm: lambda layer, hook: remove_weight_norm(layer, hook.name),
    SpectralNorm: lambda layer, hook: remove_spectral_norm(layer, hook.name),
}
"""How to make permanent what a hook of this type computes before each forward pass."""

M = TypeVar("M", bound=nn.Module)


def fuse(model: ConvNet) -> ConvNet:
    """Return a copy in evaluation mode, batch norm folded, channels-last.

    Raises:
        InputError: The model has hooks.
    """
    if (path := find_hook(model)) is not None:
        raise InputError(
            f"Expected a model without forward hooks, got one on {path or 'the model itself'}. "
            "Remove it first (handle.remove()), or use the model as it is."
        )
    made = plain_copy(model)
    made.architecture = replace(model.architecture, batch_norm=False)
    if type(made.features) is nn.Sequential:
        made.features = fold_batch_norm(made.features)
    return made.to(memory_format=torch.channels_last)


def find_hook(model: nn.Module) -> str | None:
    """Return the path of the first layer with a forward hook, torch's own aside, or `None`."""
    path: str
    for path, layer in model.named_modules():
        hooks = [*layer._forward_pre_hooks.values(), *layer._forward_hooks.values()]
        if any(not isinstance(hook, tuple(_REMOVERS)) for hook in hooks):
            return path
    return None


def plain_copy(model: M) -> M:
    """Return a copy in evaluation mode with plain weights: not pruned, normalized or parametrized.

    Each weight has the value that the original computes in evaluation mode.
    """
    made = copy.deepcopy(model, _computed_tensors(model)).eval()
    for layer in filter(is_reparametrized, list(made.modules())):
        _make_permanent(layer)
    return made


def is_reparametrized(layer: nn.Module) -> bool:
    """Return whether a layer computes its weight: pruned, normalized or parametrized."""
    hooks = layer._forward_pre_hooks.values()
    return parametrize.is_parametrized(layer) or any(
        isinstance(hook, tuple(_REMOVERS)) for hook in hooks
    )


def _make_permanent(layer: nn.Module) -> None:
    for hook in list(layer._forward_pre_hooks.values()):
        for kind, remove in _REMOVERS.items():
            if isinstance(hook, kind):
                remove(layer, hook)
    if parametrize.is_parametrized(layer):
        _remove_parametrizations(layer)
    if "bias" in layer._parameters:  # after the weight, in torch's order
        layer._parameters["bias"] = layer._parameters.pop("bias")


def _remove_parametrizations(layer: nn.Module) -> None:
    """Do what torch's function does, without altering the class that copies share."""
    names = list(layer.parametrizations)  # type: ignore[arg-type]  # a ModuleDict
    values = {name: nn.Parameter(getattr(layer, name).detach().clone()) for name in names}
    layer.__class__ = parametrize.type_before_parametrizations(layer)
    del layer.parametrizations
    for name, value in values.items():
        layer.register_parameter(name, value)


def _computed_tensors(model: nn.Module) -> dict[int, Any]:
    """Return copies of tensors that autograd computed, which `deepcopy` refuses, by their id."""
    attributes = [value for layer in model.modules() for value in vars(layer).values()]
    return {
        id(value): value.detach().clone()
        for value in attributes
        if isinstance(value, Tensor) and not value.is_leaf
    }


def fold_batch_norm(features: nn.Sequential) -> nn.Sequential:
    """Return the same layers for inference, names kept, in fewer passes over memory.

    Each `BatchNorm2d` is folded into the convolution right before it. Each ReLU runs in place.

    Args:
        features: Layers in evaluation mode. Those that need no change are shared, not copied.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in features._modules.items():  # named_children() skips repeated layers
        assert layer is not None
        before = next(reversed(layers), "")
        if type(layer) is nn.BatchNorm2d and _can_fold(layers.get(before), layer):
            layers[before] = _fold(layers[before], layer)
        elif type(layer) is nn.ReLU:
            layers[name] = nn.ReLU(inplace=True)
        else:
            layers[name] = layer
    return nn.Sequential(layers).eval()


def _can_fold(conv: nn.Module | None, norm: nn.BatchNorm2d) -> bool:
    return type(conv) is nn.Conv2d and norm.running_mean is not None


def _fold(conv: nn.Module, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Fold in float32 at least, so that half precision is rounded once."""
    assert isinstance(conv, nn.Conv2d)
    dtype = conv.weight.dtype
    wide = torch.promote_types(dtype, torch.float32)
    return fuse_conv_bn_eval(conv.to(wide), norm.to(wide)).to(dtype)
