"""Rules of operators that hypothesis does not draw, each against the gradient."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import mnistzoo
from analysis.operator_cases import (
    BOUNDED,
    CHANNELS,
    EXACT,
    FOLDED_BACK,
    space_to_depth,
    written_in_strides,
)
from analysis.oracle import (
    Function,
    compare,
    contains,
    ranges_of,
    read_by_gradient,
)
from mnistzoo.analysis.operators.registry import OPERATORS, overload_of


class Between(nn.Module):
    """A function between two convolutions."""

    def __init__(self, function, channels=4):
        super().__init__()
        self.function = function
        self.before = nn.Conv2d(1, 4, 3, padding=(1, 0))
        self.after = nn.Conv2d(channels, 1, (2, 3), padding=(1, 1))

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.after(self.function(self.before(x)))


@pytest.mark.parametrize("name", EXACT)
def test_units_read_exactly_the_pixels_with_a_gradient(name):
    """Between two convolutions, and the one window of all units holds them."""
    torch.manual_seed(0)
    model = Between(EXACT[name], CHANNELS.get(name, 4))
    compare(model, (1, 12, 13), noise=1e-15, windows=name not in FOLDED_BACK)


@pytest.mark.parametrize("name", BOUNDED)
def test_units_have_no_gradient_outside_of_their_field(name):
    """Fields are upper bounds: of the units of a whole row or column at once."""
    torch.manual_seed(0)
    model = Between(BOUNDED[name]).double().requires_grad_(False)
    image = torch.rand(1, 1, 12, 13, dtype=torch.float64, requires_grad=True)
    field, output = mnistzoo.receptive_field(model, (1, 12, 13), ""), model(image)
    weighted = output * torch.rand_like(output)
    for axis, size in enumerate(output.shape[2:]):
        for number in range(size):
            picked = weighted.select(2 + axis, number).sum()
            (gradient,) = torch.autograd.grad(picked, image, retain_graph=True)
            unit = [length // 2 for length in output.shape[2:]]
            unit[axis] = number
            assert contains(field.pixels(unit)[axis], ranges_of(gradient)[axis])


class Recorder(TorchDispatchMode):
    """Collects the rules of the operators that run within it."""

    def __init__(self):
        super().__init__()
        self.rules = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        operator = overload_of(func).operator
        self.rules |= {operator.rule} if operator else set()
        return func(*args, **(kwargs or {}))


def test_every_rule_is_held_to_the_gradient():
    """Some case above calls an operator of each rule that can be reached on this machine."""
    with Recorder() as recorder:
        for function in (*EXACT.values(), *BOUNDED.values()):
            function(torch.rand(1, 4, 12, 11, dtype=torch.float64).requires_grad_())
    own = ("aten::", "torchvision::")  # other tests register operators, too
    rules = {operator.rule for name, operator in OPERATORS.items() if name.startswith(own)}
    missing = rules - recorder.rules
    assert not {rule.__name__ for rule in missing}


CROSSED = {
    "plus its transpose": lambda x: x + x.transpose(2, 3) ** 2,
    "beside its transpose": lambda x: torch.cat([x, x.transpose(2, 3)], dim=3),
    "beside its transpose, as tokens": lambda x: (
        torch.cat([x, x.transpose(2, 3)], dim=3).flatten(2).unflatten(2, (9, 18))
    ),
    "rows in an order that is computed": lambda x: x.index_select(2, x[0, 0, :, 0].argsort()[:5]),
}


@pytest.mark.parametrize("name", CROSSED)
def test_an_axis_from_two_places_is_an_upper_bound(name):
    """Where a dimension runs along two axes, units have no gradient outside of their field."""
    field = mnistzoo.receptive_field(Function(CROSSED[name]), (1, 9, 9), "")
    image = torch.rand(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    output = CROSSED[name](image)
    for unit in [(0, 0), (1, 7), (4, 4), (3, 8)]:
        assert all(map(contains, field.pixels(unit), read_by_gradient(output, image, unit)))


def test_a_repeated_map():
    """Repetitions read what they repeat; units are numbered on."""
    repeated = nn.Sequential(nn.Conv2d(1, 2, 3), Function(lambda x: x.repeat(1, 1, 3, 1)))
    field = mnistzoo.receptive_field(repeated, (1, 12, 12), "")
    rows = [field.pixels((row, 0))[0] for row in (0, 9, 10, 29)]
    assert rows == [(0, 2), (9, 11), (0, 2), (9, 11)]


def test_an_unfold_of_an_axis_in_the_channels():
    """Channels that are part of an axis are read as a whole."""
    unfold = Function(lambda x: F.unfold(x.reshape(2, 3, 5, 5), 2))
    field = mnistzoo.receptive_field(unfold, (1, 150), "")
    assert [field.pixels(half) for half in (0, 1)] == [((0, 74),), ((75, 149),)]


def test_minimum_and_maximum_at_once():
    """`aminmax` reads what `amin` reads. Older releases of torch have no gradient of `aminmax`."""
    both, one = (
        mnistzoo.receptive_field(Between(function), (1, 12, 13), "")
        for function in (
            lambda x: x + sum(x.aminmax(dim=2, keepdim=True)),
            lambda x: x + x.amax(2, keepdim=True),
        )
    )
    assert both == one
    assert both.pixels((3, 3)) == one.pixels((3, 3))


STRIDES = {
    "one after the other": (lambda x: torch.cat([x[:, :, 4:], x[:, :, :3]], dim=2), (1, 1)),
    "every third": (lambda x: x[..., ::3], (1, 3)),
    "one three times": (lambda x: x[..., torch.tensor([4, 4, 4])], (1, 1)),
    "by a factor": (
        lambda x: F.interpolate(x[0], scale_factor=0.7, mode="linear")[None],
        (1, 1 / 0.7),
    ),
    "by index": (lambda x: x.index_select(2, torch.tensor([1, 5, 9])), (4, 1)),
    "the longest of several": (
        lambda x: torch.cat([x[:, :, :1], F.interpolate(x[:, :, 1:], scale_factor=(2, 1))], 2),
        (Fraction(1, 2), 1),
    ),
    "by index, unevenly": (lambda x: x[..., torch.tensor([0, 1, 5])], (1, Fraction(5, 2))),
    "by index, backwards": (lambda x: x[..., torch.tensor([8, 4, 0])], (1, 1)),
    "each twice": (lambda x: x.repeat_interleave(2, 2), (Fraction(1, 2), 1)),
    "each three times": (lambda x: x[..., None].expand(-1, -1, -1, -1, 3).flatten(3), (1, 1 / 3)),
    "mean over blocks": (lambda x: x.unflatten(2, (6, 2)).mean(3), (2, 1)),
    "every second of blocks": (
        lambda x: x.unflatten(2, (3, 4))[:, :, :, ::2].flatten(2, 3),
        (2, 1),
    ),
    "smaller": (lambda x: F.interpolate(x, (6, 13), mode="bilinear", antialias=True), (2, 1)),
    "corners": (
        lambda x: F.interpolate(x, (23, 7), mode="bicubic", align_corners=True),
        (Fraction(1, 2), 2),
    ),
}


@pytest.mark.parametrize("name", STRIDES)
def test_strides_of_functions(name):
    """The stride is the mean distance between neighboring units."""
    function, stride = STRIDES[name]
    field = mnistzoo.receptive_field(Function(function), (1, 12, 13), "")
    assert field.stride == pytest.approx(stride)


SIZES = {
    "smaller": (lambda x: F.interpolate(x, (6, 13), mode="bilinear", antialias=True), (4, 1)),
    "a third": (lambda x: F.interpolate(x, (4, 13), mode="bilinear", antialias=True), (5, 1)),
    "a quarter, bicubic": (
        lambda x: F.interpolate(x, (3, 13), mode="bicubic", antialias=True),
        (16, 1),
    ),
    "twice, bilinear": (lambda x: F.interpolate(x, (24, 13), mode="bilinear"), (2, 1)),
    "by index, unevenly": (lambda x: x[:, :, torch.tensor([0, 1, 5, 6])], (3, 1)),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (5, 13)), (4, 1)),
    "blocks of four": (lambda x: x.unflatten(2, (3, 4)).softmax(3).flatten(2, 3), (7, 1)),
}


@pytest.mark.parametrize("name", SIZES)
def test_windows_are_the_smallest(name):
    """The one window of all units holds what each reads, and touches it at either end."""
    function, size = SIZES[name]
    analysis = mnistzoo.analyze(Function(function), (1, 12, 13))
    field, rows = analysis[-1].receptive_field, analysis[-1].output_shape[1]
    pixels, windows = (
        torch.tensor([find((row, 0))[0] for row in range(rows)])
        for find in (field.pixels, field.interval)
    )
    assert field.size == size
    assert (pixels - windows).amin(0).tolist()[0] == (windows - pixels).amin(0).tolist()[1] == 0


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("sizes", [(12, 17), (11, 9), (12, 5), (13, 6), (12, 4), (9, 1), (7, 21)])
def test_interpolations_read_the_rows_that_torch_reads(mode, sizes):
    """Of images with one white row each, those show in a row of the result that it reads."""
    units, made = sizes
    images = torch.eye(units, dtype=torch.float64)[:, None, :, None].expand(-1, 1, -1, 2)
    for antialias, corners in product((False, True), repeat=2):
        options = {"mode": mode, "antialias": antialias, "align_corners": corners}
        shown = F.interpolate(images, (made, 2), **options)[:, 0, :, 0].abs() > 1e-12
        resize = Function(lambda x, options=options: F.interpolate(x, (made, 2), **options))
        field = mnistzoo.receptive_field(resize, (1, units, 2), "")
        for row in range(made):
            read = shown[:, row].nonzero().flatten().tolist()
            assert field.pixels((row, 0))[0] == (read[0], read[-1]), options


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize(
    ("units", "options"),
    [
        *((units, {"size": (made, 2)}) for units, made in [(14, 46), (26, 22), (4, 41), (112, 48)]),
        *((units, {"scale_factor": (factor, 1)}) for units, factor in [(46, 2.3), (3, 1.3)]),
    ],
)
def test_nearest_units_are_those_that_torch_rounds_to(mode, units, options):
    """Torch rounds positions in float32. The nearest unit of an image of numbers is its value."""
    numbers = torch.arange(float(units))[None, None, :, None].expand(-1, -1, -1, 2)
    found = F.interpolate(numbers, mode=mode, **options)[0, 0, :, 0].int().tolist()
    resize = Function(lambda x: F.interpolate(x, mode=mode, **options))
    field = mnistzoo.receptive_field(resize, (1, units, 2), "")
    for row, unit in enumerate(found):
        assert contains(field.pixels((row, 0))[0], (unit, unit))


@pytest.mark.parametrize(
    "function",
    [
        nn.PixelUnshuffle(2),
        space_to_depth,
        lambda x: x.unflatten(3, (-1, 3)).movedim(4, 1).flatten(1, 2),
    ],
    ids=["pixel unshuffle", "space to depth", "columns only"],
)
def test_units_with_part_of_an_axis_in_their_channels(function):
    """Units read what all of their channels read, and are numbered on the map."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Function(function))
    compare(module, (1, 12, 12), "1")


def test_the_window_of_a_space_to_depth():
    """The window moves by the block, and is as wide as the block and the margin."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelUnshuffle(4))
    field = mnistzoo.receptive_field(module, (1, 32, 32), "1")
    assert (field.size, field.stride, field.padding) == ((6, 6), (4, 4), (1, 1))


def test_a_view_in_a_wider_dtype():
    """Each number reads all whose bytes it has."""
    field = mnistzoo.receptive_field(Function(lambda x: x.view(torch.float64)), (1, 4, 8), "")
    assert field.pixels((1, 2))[0] == (1, 1)
    assert contains(field.pixels((1, 2))[1], (4, 5))


def test_a_write_to_every_second_column():
    """Written columns read one pixel, the others none."""
    field = mnistzoo.receptive_field(Function(written_in_strides), (4, 12, 5), "")
    assert field.size == (1, 1)
    assert field.stride == (1, Fraction(1, 2))
    assert [field.pixels((3, column))[1] for column in range(4)] == [(0, 0), None, (1, 1), None]


def test_an_out_argument_that_is_a_view():
    """A result written to part of a tensor is read through the whole tensor."""

    def function(x):
        made = torch.zeros(1, 4, 12, 13)
        torch.add(x, F.avg_pool2d(x, 3, 1, 1), out=made[:, 1:2])
        return made

    assert mnistzoo.receptive_field(Function(function), (1, 12, 13), "").size == (3, 3)


def test_a_write_to_a_transposed_matrix():
    """A row of the transpose is a column of the matrix."""

    def written(x):
        out = x.new_zeros(9, 7)
        out.t()[2].copy_(x[0, 0, :, 4])
        return out[None, None]

    field = mnistzoo.receptive_field(Function(written), (1, 9, 9), "")
    assert field.pixels((5, 2)) == ((5, 5), (4, 4))
    assert field.pixels((5, 3))[1] is None


COPIES = {
    "unbind": (lambda out, x: out.unbind(2)[4].copy_(x[:, :, 6]), 4, range(6, 7)),
    "split": (lambda out, x: out.split(5, dim=2)[1].copy_(x[:, :, :5]), 5, range(5)),
    "unevenly": (lambda out, x: out.split([7, 2, 3], dim=2)[1].copy_(x[:, :, :2]), 7, range(2)),
    "tensor_split": (
        lambda out, x: out.tensor_split([3, 8], dim=2)[1].copy_(x[:, :, 1:6]),
        3,
        range(1, 6),
    ),
}
"""A function that copies rows, the first row it writes to, and the rows that it copies."""


@pytest.mark.parametrize("name", COPIES)
def test_a_write_to_one_of_several_views(name):
    """Copied rows read the rows they were copied from, all others nothing."""
    copy, first, rows = COPIES[name]

    def copied(x):
        out = x.new_zeros(x.shape)
        copy(out, x)
        return out

    field = mnistzoo.receptive_field(Function(copied), (1, 12, 13), "")
    expected = {first + i: (row, row) for i, row in enumerate(rows)}
    assert [field.pixels((row, 5))[0] for row in range(12)] == [expected.get(i) for i in range(12)]


IN_PLACE = [
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.Threshold, nn.RReLU),
    *(nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.SiLU, nn.Mish),
]
ACTIVATIONS = [
    *(nn.GELU, nn.PReLU, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softshrink, nn.Hardshrink),
    *(nn.Tanh, nn.Tanhshrink, nn.Softsign),
]


@pytest.mark.parametrize("kind", [*IN_PLACE, *ACTIVATIONS])
def test_activations_change_no_window(kind):
    """A convolution reads the same with and without an activation after it."""
    values = (0.1, 0.0) if kind is nn.Threshold else ()
    conv = nn.Conv2d(1, 2, 3, stride=2, padding=1)
    field = mnistzoo.receptive_field(conv, (1, 9, 9))
    for options in [{}, {"inplace": True}] if kind in IN_PLACE else [{}]:
        model = nn.Sequential(conv, kind(*values, **options)).eval()
        assert mnistzoo.receptive_field(model, (1, 9, 9)) == field


@pytest.mark.skipif(not hasattr(F, "grouped_mm"), reason="torch has it since 2.10")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_times_the_matrices_of_their_groups(dtype):
    """Each row is multiplied by one matrix, as in a mixture of experts."""
    weight, ends = torch.rand(2, 8, 16).to(dtype), torch.tensor([4, 12], dtype=torch.int32)

    def experts(x):
        return F.grouped_mm(x[0].T.contiguous().to(dtype), weight, offs=ends).T[None]

    found = mnistzoo.analyze(Function(experts), (8, 12))
    assert found.macs == 12 * 8 * 16
    assert found.output_receptive_field.pixels(5) == ((0, 11),)
    assert experts(torch.rand(1, 8, 12)).shape[1:] == found[0].output_shape


@pytest.mark.parametrize(
    "product",
    [
        lambda x, **out: torch.mv(x[0], x[0, 0], **out),
        lambda x, **out: torch.addmv(x[0, :, 0], x[0], x[0, 0], **out),
    ],
)
def test_a_product_written_to_a_tensor_reads_the_same(product):
    """With `out=`, the field and the MACs are those without it."""
    written = Function(lambda x: product(x, out=torch.zeros(7))[None])
    plain = mnistzoo.analyze(Function(lambda x: product(x)[None]), (7, 8))
    found = mnistzoo.analyze(written, (7, 8))
    assert found.macs == plain.macs == 56
    assert found.output_receptive_field == plain.output_receptive_field


def test_macs_are_those_that_torch_counts():
    """MACs are half the floating-point operations of `FlopCounterMode`.

    It counts attention and products with vectors only if they are written out.
    """

    def attention(x):
        return F.scaled_dot_product_attention(x[:, :, 1:], x, x)

    def bilinear_written_out(x):
        weight = torch.ones(3, 8, 8)
        return [(x[0] @ one)[:, None] @ x[0][:, :, None] for one in weight]

    def written_out(x):
        return (x[:, :, 1:] @ x.transpose(2, 3)).softmax(3) @ x

    same = {
        "batched": (lambda x: x @ x.transpose(1, 2), (7, 8)),
        "matrix": (lambda x: x[0] @ x[0].T, (7, 8)),
        "linear": (nn.Linear(8, 3), (7, 8)),
        "grouped": (nn.Conv2d(4, 6, 3, stride=2, groups=2), (4, 9, 8)),
        "transposed": (nn.ConvTranspose2d(4, 6, (3, 2), stride=2, groups=2), (4, 9, 8)),
    }
    functions = {name: (function, function, shape) for name, (function, shape) in same.items()}
    functions["attention"] = (attention, written_out, (2, 7, 8))
    ones = torch.ones(8)
    functions["vector"] = (lambda x: x @ ones, lambda x: x @ ones[:, None], (7, 8))
    functions["dot"] = (lambda x: x[0] @ ones, lambda x: x @ ones[:, None], (8,))
    zeros = torch.zeros(7)
    functions["added vector"] = (
        lambda x: torch.addmv(zeros, x[0], ones),
        lambda x: x @ ones[:, None],
        (7, 8),
    )
    functions["outer"] = (
        lambda x: torch.addr(torch.zeros(8, 7), x[0], zeros),
        lambda x: x.T @ zeros[None],
        (8,),
    )
    functions["added products"] = (
        lambda x: torch.addbmm(torch.zeros(7, 7), x, x.mT),
        lambda x: x @ x.mT,
        (7, 8),
    )
    twice = nn.Bilinear(8, 8, 3)
    functions["bilinear"] = (lambda x: twice(x, x), bilinear_written_out, (7, 8))
    for name, (function, counted, shape) in functions.items():
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            counted(torch.rand(1, *shape))
        assert 2 * mnistzoo.analyze(Function(function), shape).macs == counter.get_total_flops(), (
            name
        )
