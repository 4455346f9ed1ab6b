"""Receptive fields against the support of the gradient, on models that hypothesis draws."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.oracle import Function, all_units, compare

CHANNELS = 2
strides = st.integers(1, 3)
NOISE = 1e-12


class Branches(nn.Module):
    """Two chains of one stride, cropped to the shorter one and joined."""

    def __init__(self, one, other, join):
        super().__init__()
        self.one, self.other, self.join = one, other, join
        self.mix = nn.Conv1d(2 * CHANNELS, CHANNELS, 1)

    def forward(self, x):  # noqa: D102 - torch's own method
        one, other = self.one(x), self.other(x)
        shorter = min(one.shape[-1], other.shape[-1])
        one, other = one[..., :shorter], other[..., :shorter]
        if self.join == "cat":
            return self.mix(torch.cat([one, other], 1))
        return one + other if self.join == "add" else one * other


def crop(left, right):
    """Return a module that drops the first and last few units."""
    return Function(lambda x: x[..., left : x.shape[-1] - right])


@st.composite
def convs(draw, strides=strides):
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, dilation * (kernel - 1)))
    groups = draw(st.sampled_from([1, CHANNELS]))
    numbers = (kernel, draw(strides), padding, dilation, groups)
    return nn.Conv1d(CHANNELS, CHANNELS, *numbers)


@st.composite
def pools(draw, kind):
    kernel = draw(st.integers(1, 4))
    numbers = (kernel, draw(st.integers(1, 3)), draw(st.integers(0, kernel // 2)))
    ceil = draw(st.booleans())
    if kind is nn.AvgPool1d:
        return kind(*numbers, ceil_mode=ceil, count_include_pad=draw(st.booleans()))
    return kind(*numbers, dilation=draw(st.integers(1, 2)), ceil_mode=ceil)


@st.composite
def transposed(draw):
    kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(3))
    padding = draw(st.integers(0, dilation * (kernel - 1)))
    return nn.ConvTranspose1d(CHANNELS, CHANNELS, kernel, stride, padding, dilation=dilation)


@st.composite
def branches(draw):
    strides = draw(st.lists(st.integers(1, 2), min_size=1, max_size=2))
    chains = [nn.Sequential(*(draw(convs(st.just(s))) for s in strides)) for _ in range(2)]
    return Branches(*chains, draw(st.sampled_from(["add", "cat", "mul"])))


paddings = st.tuples(st.integers(0, 2), st.integers(0, 2))
MIRRORS = nn.ReflectionPad1d, nn.ReplicationPad1d
mirrors = st.one_of(paddings.map(kind) for kind in MIRRORS)
layers = (
    convs()
    | pools(nn.AvgPool1d)
    | pools(nn.MaxPool1d)
    | transposed()
    | branches()
    | paddings.map(lambda p: nn.ConstantPad1d(p, 0.0))
    | paddings.map(lambda p: crop(*p))
    | st.integers(2, 7).map(nn.AdaptiveAvgPool1d)
    | st.integers(2, 3).map(lambda factor: nn.Upsample(scale_factor=factor))
    | st.integers(5, 12).map(lambda size: nn.Upsample(size=size, mode="linear"))
)


def runs(module, shape):
    """Return whether a module takes an input of this shape."""
    try:
        module(torch.zeros(1, *shape))
    except RuntimeError:
        return False
    return True


drawn = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(drawn, max_examples=60)
@given(st.lists(layers | mirrors, min_size=1, max_size=5), st.integers(8, 20))
@example([crop(4, 4), nn.ConstantPad1d((0, 2), 0.0), nn.AdaptiveAvgPool1d(2)], 8)  # empty between
@example([crop(4, 4), nn.ConstantPad1d((0, 2), 0.0), nn.AdaptiveAvgPool1d(3)], 8)
def test_units_read_the_pixels_with_a_gradient(chain, length):
    """At every unit, the first and last pixel agree, and the layer's window holds them.

    No window holds what mirrored borders read.
    """
    module = nn.Sequential(*chain)
    assume(runs(module, (CHANNELS, length)))
    mirrored = any(isinstance(layer, MIRRORS) for layer in chain)
    compare(module, (CHANNELS, length), noise=NOISE, units=all_units, windows=not mirrored)


@st.composite
def uneven(draw):
    """A convolution whose geometry differs from axis to axis."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = tuple(
        draw(st.integers(0, d * (k - 1))) for k, d in zip(kernel, dilation, strict=True)
    )
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, dilation)


@settings(drawn, max_examples=20)
@given(st.lists(uneven(), min_size=1, max_size=3))
def test_axes_are_followed_separately(chain):
    """Kernels, strides and paddings may differ between height and width."""
    module = nn.Sequential(*chain)
    assume(runs(module, (CHANNELS, 41, 37)))
    compare(module, (CHANNELS, 41, 37))


def test_a_model_with_three_axes():
    """Volumes are followed like images and sequences."""
    module = nn.Sequential(
        nn.Conv3d(1, 2, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 2)),
        nn.MaxPool3d((1, 2, 2)),
        nn.ConvTranspose3d(2, 1, 2, stride=2),
    )
    compare(module, (1, 4, 9, 11))
