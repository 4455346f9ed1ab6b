"""The independent oracle: which pixels have a gradient, when nothing cancels and nothing saturates.

Every weight is positive, batch norm is the identity, max pools are sums, activations that cut off
pass everything, in float64. What a unit sees is then where the gradient of that unit is not zero.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from mnistzoo import receptive_field

_ACTIVATIONS = (
    *(nn.functional.relu, torch.relu, torch.relu_, nn.functional.relu6, nn.functional.hardswish),
    *(nn.functional.hardtanh, nn.functional.silu, nn.functional.gelu, nn.functional.leaky_relu),
)


class Positive(TorchFunctionMode):
    """Inside, activations that cut off are the identity, and max pools sum over their windows."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _ACTIVATIONS:
            return args[0]
        if func is nn.functional.hardsigmoid:
            return torch.sigmoid(args[0])
        name = getattr(func, "__name__", "")
        if name.startswith(("boolean_dispatch", "max_pool", "_max_pool")):
            return _summed(*args, **kwargs)
        return func(*args, **kwargs)


def _summed(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **_):
    """A max pool that sums: each place of the same windows, out to the same size."""
    with torch.no_grad():
        pool = getattr(torch, f"max_pool{x.ndim - 2}d")
        with torch._C.DisableTorchFunction():
            shape = pool(x, kernel_size, stride or kernel_size, padding, dilation, ceil_mode).shape
    spatial = x.ndim - 2
    kernel, move, pad, gap = (
        (value,) * spatial if isinstance(value, int) else tuple(value)
        for value in (kernel_size, stride or kernel_size, padding, dilation)
    )
    reach = [
        (size - 1) * m + (k - 1) * g + 1
        for size, m, k, g in zip(shape[2:], move, kernel, gap, strict=True)
    ]
    pads = []
    for have, need, p in zip(x.shape[2:], reach, pad, strict=True):
        pads = [p, max(need - have - p, 0), *pads]
    padded = nn.functional.pad(x, pads)
    weight = torch.ones(x.shape[1], 1, *kernel, dtype=x.dtype)
    conv = getattr(nn.functional, f"conv{spatial}d")
    return conv(padded, weight, None, move, 0, gap, x.shape[1])[
        (..., *(slice(size) for size in shape[2:]))
    ]


def prepare(module):
    """Positive weights, batch norms and layer norms that are the identity, in float64."""
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(0.5, 1.5).div_(
                max(parameter.numel() / max(len(parameter.shape) and len(parameter), 1), 1)
            )
    for path, part in list(module.named_modules()):
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            parent = module.get_submodule(path.rpartition(".")[0])
            parent._modules[path.rpartition(".")[2]] = nn.Identity()
    return module.requires_grad_(False)


def seen_by_gradient(output, image, unit, noise=0.0):
    """For each axis, the first and last pixel with a gradient of `unit`; `None` where none has."""
    picked = output[(0, slice(None), *unit)].sum()
    (gradient,) = torch.autograd.grad(picked, image, retain_graph=True)
    strength = gradient[0].abs().sum(0)
    marked = strength > noise * strength.max()
    seen = []
    for axis in range(marked.ndim):
        others = [other for other in range(marked.ndim) if other != axis]
        line = marked.amax(others) if others else marked
        places = line.nonzero().flatten().tolist()
        seen.append((places[0], places[-1]) if places else None)
    return tuple(seen)


def output_of(module, image, layer):
    """What a layer returns, the network's own output for the empty path."""
    found = {}
    handle = module.get_submodule(layer).register_forward_hook(
        lambda _m, _i, out: found.__setitem__("out", out)
    )
    try:
        with Positive():
            module(image)
    finally:
        handle.remove()
    return found["out"]


def compare(module, shape, layer="", channels_last=False, noise=0.0):
    """Assert that analysis and gradient agree on units of a layer, corners and middle ones."""
    field = receptive_field(module, shape, layer)
    module = prepare(module)
    image = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    output = output_of(module, image, layer)
    output = output.movedim(-1, 1) if channels_last else output
    for unit in _units(output.shape[2:]):
        index = unit or (0,) * (len(shape) - 1)
        assert field.pixels(index) == seen_by_gradient(output, image, unit, noise), unit
    return field


def _units(shape):
    """The first, the last, and a few units between along every axis, both diagonals."""
    if not shape:
        return [()]
    picks = [sorted({0, 1 % n, n // 3, n // 2, n - 1}) for n in shape]
    longest = max(map(len, picks))
    down = [tuple(p[min(i, len(p) - 1)] for p in picks) for i in range(longest)]
    up = [(a[0], *b[1:]) for a, b in zip(down, reversed(down), strict=True)]
    return sorted({*down, *up})
