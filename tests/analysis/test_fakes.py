"""Results without values against those of torch's own kernels for the meta device."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from analysis.operator_cases import BOUNDED, EXACT
from mnistzoo.analysis.operators.fakes import is_filled_float
from mnistzoo.analysis.operators.registry import OPERATORS, overload_of
from mnistzoo.analysis.tracing.containers import tensors_of


def geometry(made):
    """Return shape, strides and dtype of each result; strides of single units do not matter."""
    made = made[0] if isinstance(made, tuple) else made  # statistics depend on the device
    return [
        (tuple(x.shape), [s for s, n in zip(x.stride(), x.shape, strict=True) if n > 1], x.dtype)
        for x in tensors_of(made)
    ]


class Compared(TorchDispatchMode):
    """Compares each result of torch's kernel with that of the operator's own fake."""

    def __init__(self):
        super().__init__()
        self.covered = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        operator = overload_of(func).operator
        made = None
        if operator and operator.fake and is_filled_float(args) and not func._schema.is_mutable:
            made = operator.fake(*args, **kwargs)
            self.covered.setdefault(overload_of(func).name, False)
        out = func(*args, **kwargs)
        if made is not None:
            assert geometry(made) == geometry(out), (func, args, kwargs)
            assert all(x.is_meta for x in tensors_of(made))
            self.covered[overload_of(func).name] = True
        return out


def others(x):
    """Call operators that no other test calls."""
    F.max_pool3d(x[None], 2, ceil_mode=True, return_indices=True)
    F.avg_pool3d(x[None], 2, ceil_mode=True)
    F.adaptive_avg_pool3d(x[None], (2, 3, 3))
    F.embedding(torch.zeros(2, 3, dtype=torch.long, device=x.device), x[0, 0])
    F.batch_norm(x, *torch.ones(2, 4, device=x.device))
    torch.cat([x, x[:, :, :2]], 2).log_softmax(-1)
    (x.exp() + x.sqrt() * -x / x.rsqrt() - x.abs()).sum()
    F.max_pool2d(x, 3, 2, 1)
    F.interpolate(x[0], scale_factor=2)
    F.conv2d(x, torch.ones(4, 2, 3, 3, device=x.device), groups=2)
    F.linear(x[0, 0], x[0, 1, 2:4], x[0, 0, 0, :2])
    if hasattr(F, "grouped_mm"):  # since torch 2.10
        rows, matrices = x.bfloat16()[0, 0, :, :8].contiguous(), x.new_ones(2, 8, 16).bfloat16()
        F.grouped_mm(rows, matrices, offs=x.new_ones(2, dtype=torch.int32))
    activations = (F.relu, F.sigmoid, F.silu, F.gelu, F.hardswish, F.hardsigmoid, F.hardtanh)
    for activation in (*activations, F.tanh, F.leaky_relu, F.elu):
        activation(x)


@torch.no_grad()
def test_fakes_return_what_torch_returns():
    """Shape, strides and dtype are those of torch's kernels, and each fake is compared."""
    x = torch.rand(1, 4, 12, 11, device="meta")
    with torch.device("meta"), Compared() as compared:
        others(x)
        for function in (*EXACT.values(), *BOUNDED.values()):
            with suppress(RuntimeError, NotImplementedError):  # a case that needs values
                function(x)
    missing = {name for name, x in OPERATORS.items() if x.fake and not compared.covered.get(name)}
    assert missing <= (set() if hasattr(F, "grouped_mm") else {"aten::_grouped_mm"})


SIZES = st.integers(1, 6)
SMALL = st.integers(0, 3)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_fake_covers_only_what_torch_accepts(data):
    """A fake has a result only where torch has one, and the same."""
    n = data.draw(st.integers(1, 2))
    shape = data.draw(st.tuples(*[SIZES] * (n + 2)))
    x = torch.empty(shape, device="meta")
    ways = [data.draw(st.tuples(*[st.integers(low, 3)] * n)) for low in (1, 1, 0, 1, 0)]
    kernel, stride, padding, dilation, more = map(list, ways)
    groups = data.draw(st.integers(1, 2))
    channels = data.draw(st.tuples(SIZES, SIZES))
    weight = torch.empty(*channels, *kernel, device="meta")
    dims = data.draw(st.lists(st.integers(-4, 4), max_size=2))
    other = torch.empty(data.draw(st.lists(SIZES, min_size=1, max_size=3)), device="meta")
    flag = data.draw(st.booleans())
    aten = torch.ops.aten
    calls = [
        (aten.convolution, (x, weight, None, stride, padding, dilation, flag, more, groups)),
        (aten.mean.dim, (x, dims, flag)),
        (aten.roll, (x, dims, dims)),
        (aten._softmax, (x, dims[0] if dims else 0, False)),
        (aten.add, (x, other)),
        (aten.cat, ([x, torch.empty(*shape[:-1], 2, device="meta")], dims[0] if dims else -1)),
        (aten.mm, (x[0, 0], other)),
        (aten.bmm, (x[0], other)),
        (aten.native_layer_norm, (x, list(other.shape), other, None, 1e-5)),
    ]
    if n == 2:
        calls += [
            (aten.max_pool2d_with_indices, (x, kernel, stride, padding, dilation, flag)),
            (aten.avg_pool2d, (x, kernel, stride, padding, flag)),
        ]
    for packet, args in calls:
        func = packet if isinstance(packet, torch._ops.OpOverload) else overload(packet)
        made = overload_of(func).operator.fake(*args)
        if made is not None:
            assert geometry(made) == geometry(func(*args)), (func, args)


def overload(packet):
    """Return the overload that functions of torch call."""
    return packet.Tensor if packet is torch.ops.aten.add else packet.default


BLOCK = """
import sys, torch
from torch import nn
import mnistzoo
{model}
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
RESNET = """
class Block(nn.Module):
    def __init__(self, before, width, stride):
        super().__init__()
        shapes = [(before, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        layers = []
        for a, b, k, s in shapes:
            conv = nn.Conv2d(a, b, k, s, k // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        self.last = layers[-1]
        shortcut = [nn.Conv2d(before, 4 * width, 1, stride), nn.BatchNorm2d(4 * width)]
        self.shortcut = nn.Sequential(*shortcut if before != 4 * width else [])
    def forward(self, x):
        return self.last(self.layers(x) + self.shortcut(x))

parts = [nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
before = 64
for number, count in enumerate((3, 4, 6, 3)):
    for index in range(count):
        width = 64 * 2**number
        parts.append(Block(before, width, 2 if number and not index else 1))
        before = 4 * width
model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))
mnistzoo.analyze(model, (3, 224, 224))
"""


@pytest.mark.parametrize("model", ["mnistzoo.exp5().receptive_field()", RESNET])
def test_a_first_analysis_imports_no_compiler(model):
    """Neither torch's compiler nor sympy, which take seconds."""
    code = BLOCK.format(model=model)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout == "[]\n"
