"""Windows against the support of the gradient, on networks that hypothesis draws."""

from __future__ import annotations

from collections import OrderedDict

import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.oracle import output_of, prepare, seen_by_gradient
from mnistzoo import receptive_field

CHANNELS = 2
strides = st.integers(1, 3)
NOISE = 1e-12
"""Of the largest gradient: what an interpolation at a whole place leaves of its other neighbour."""


class Branches(nn.Module):
    """Two chains of the same strides, cropped to the shorter one, added or concatenated."""

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


class Crop(nn.Module):
    """What is left without the first and the last few units."""

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x):  # noqa: D102 - torch's own method
        return x[..., self.left : x.shape[-1] - self.right]


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
mirrors = paddings.map(nn.ReflectionPad1d) | paddings.map(nn.ReplicationPad1d)
layers = (
    convs()
    | pools(nn.AvgPool1d)
    | pools(nn.MaxPool1d)
    | transposed()
    | branches()
    | paddings.map(lambda p: nn.ConstantPad1d(p, 0.0))
    | paddings.map(lambda p: Crop(*p))
    | st.integers(2, 7).map(nn.AdaptiveAvgPool1d)
    | st.integers(2, 3).map(lambda factor: nn.Upsample(scale_factor=factor))
    | st.integers(5, 12).map(lambda size: nn.Upsample(size=size, mode="linear"))
)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(layers | mirrors, min_size=1, max_size=5), st.integers(8, 20))
@example([Crop(4, 4), nn.ConstantPad1d((0, 2), 0.0), nn.AdaptiveAvgPool1d(2)], 8)  # empty between
def test_every_unit_sees_exactly_the_pixels_that_have_a_gradient(chain, length):
    """Borders included, at every unit of the last layer: the first and the last pixel agree."""
    module = nn.Sequential(*chain)
    try:
        module(torch.zeros(1, CHANNELS, length))
    except RuntimeError:
        assume(False)
    field = receptive_field(module, (CHANNELS, length), "")
    prepare(module)
    image = torch.rand(1, CHANNELS, length, dtype=torch.float64, requires_grad=True)
    output = output_of(module, image, "")
    for unit in range(output.shape[-1]):
        assert field.pixels(unit) == seen_by_gradient(output, image, (unit,), NOISE)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(layers, min_size=1, max_size=5), st.integers(8, 20))
@example([Crop(4, 4), nn.ConstantPad1d((0, 2), 0.0), nn.AdaptiveAvgPool1d(3)], 8)  # empty between
def test_windows_hold_what_units_see(chain, length):
    """The one window of a layer holds what each of its units sees (nothing being mirrored)."""
    module = nn.Sequential(*chain)
    try:
        module(torch.zeros(1, CHANNELS, length))
    except RuntimeError:
        assume(False)
    field = receptive_field(module, (CHANNELS, length), "")
    for unit in range(module(torch.zeros(1, CHANNELS, length)).shape[-1]):
        (seen,) = field.pixels(unit)
        (window,) = field.interval(unit)
        assert seen is None or (window[0] <= seen[0] and seen[1] <= window[1])


@st.composite
def uneven(draw):
    """A convolution whose numbers differ from axis to axis."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = tuple(
        draw(st.integers(0, d * (k - 1))) for k, d in zip(kernel, dilation, strict=True)
    )
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, dilation)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(uneven(), min_size=1, max_size=3))
def test_uneven_kernels_in_two_axes(chain):
    """Height and width are followed apart, and the window of a unit inside is exact."""
    module = nn.Sequential(*chain)
    shape = (CHANNELS, 41, 37)
    try:
        module(torch.zeros(1, *shape))
    except RuntimeError:
        assume(False)
    field = receptive_field(module, shape, "")
    prepare(module)
    image = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    output = output_of(module, image, "")
    middle = tuple(size // 2 for size in output.shape[2:])
    corner = tuple(size - 1 for size in output.shape[2:])
    for unit in (middle, corner):
        assert field.pixels(unit) == seen_by_gradient(output, image, unit)


def test_a_named_stack_in_three_axes():
    """Networks of three axes are followed like those of one and two."""
    module = nn.Sequential(
        OrderedDict(
            conv=nn.Conv3d(1, 2, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 2)),
            pool=nn.MaxPool3d((1, 2, 2)),
            up=nn.ConvTranspose3d(2, 1, 2, stride=2),
        )
    )
    field = receptive_field(module, (1, 4, 9, 11), "up")
    prepare(module)
    image = torch.rand(1, 1, 4, 9, 11, dtype=torch.float64, requires_grad=True)
    output = output_of(module, image, "up")
    for unit in [(0, 0, 0), (3, 2, 5), tuple(size - 1 for size in output.shape[2:])]:
        assert field.pixels(unit) == seen_by_gradient(output, image, unit)
