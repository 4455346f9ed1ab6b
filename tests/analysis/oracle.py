"""The independent oracle for receptive fields: the pixels at which a unit has a gradient.

Weights are positive, batch norm and activations are the identity, max pools are sums, all in
float64, so that no gradient cancels or vanishes.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from mnistzoo import receptive_field

_ACTIVATIONS = (
    *(nn.functional.relu, torch.relu, torch.relu_, nn.functional.relu6, nn.functional.hardswish),
    *(nn.functional.hardtanh, nn.functional.silu, nn.functional.gelu, nn.functional.leaky_relu),
)


class Positive(TorchFunctionMode):
    """Within it, activations are the identity, and max pools are sums over their windows."""

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
    """Sum over the windows of a max pool, by a convolution of the same geometry."""
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
    """Return the module in float64 with positive weights, its batch norms made the identity."""
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


def read_by_gradient(output, image, unit, noise=0.0):
    """Return, for each axis, the first and last pixel at which a unit has a gradient, or `None`."""
    picked = output[(0, slice(None), *unit)].sum()
    (gradient,) = torch.autograd.grad(picked, image, retain_graph=True)
    return ranges_of(gradient, noise)


def ranges_of(gradient, noise=0.0):
    """Return, for each axis, the first and last pixel of a gradient that is not 0, or `None`.

    A gradient counts as 0 up to `noise` times the largest one: an interpolation at a whole position
    leaves such a rest at its other neighbor.
    """
    strength = gradient[0].abs().sum(0)
    marked = strength > noise * strength.max()
    ranges = []
    for axis in range(marked.ndim):
        others = [other for other in range(marked.ndim) if other != axis]
        line = marked.amax(others) if others else marked
        pixels = line.nonzero().flatten().tolist()
        ranges.append((pixels[0], pixels[-1]) if pixels else None)
    return tuple(ranges)


def output_of(module, image, layer):
    """Return the output of a layer; the empty path is the module itself."""
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


def compare(module, shape, layer="", channels_last=False, noise=0.0, units=None, windows=False):
    """Assert that analysis and gradient agree on some units of a layer; return the field.

    Args:
        module: The module, whose weights are changed.
        shape: Of the input, without the batch.
        layer: Path of the layer.
        channels_last: Whether the layer's output has its channels last.
        noise: See `ranges_of`.
        units: Function from the sizes of the output's axes to the units; default: a sample.
        windows: Whether the layer's window must hold the pixels of every unit, too.
    """
    field = receptive_field(module, shape, layer)
    module = prepare(module)
    image = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    output = output_of(module, image, layer)
    output = output.movedim(-1, 1) if channels_last else output
    for unit in (units or sample_units)(output.shape[2:]):
        index = unit or (0,) * (len(shape) - 1)
        assert field.pixels(index) == read_by_gradient(output, image, unit, noise), unit
        assert not windows or window_holds(field, index), unit
    return field


def sample_units(shape):
    """Return the first, the last and a few other units along every axis, on both diagonals."""
    if not shape:
        return [()]
    picks = [sorted({0, 1 % n, n // 3, n // 2, n - 1}) for n in shape]
    longest = max(map(len, picks))
    down = [tuple(p[min(i, len(p) - 1)] for p in picks) for i in range(longest)]
    up = [(a[0], *b[1:]) for a, b in zip(down, reversed(down), strict=True)]
    return sorted({*down, *up})


def all_units(shape):
    """Return every unit of a map."""
    return product(*map(range, shape))


def window_holds(field, unit):
    """Return whether the window of a field holds the pixels that a unit reads."""
    return all(map(contains, field.interval(unit), field.pixels(unit)))


def contains(outer, inner):
    """Return whether one range of pixels contains another, which may be `None` for no pixels."""
    return inner is None or outer[0] <= inner[0] <= inner[1] <= outer[1]


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.function(x)
