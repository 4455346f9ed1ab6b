"""Operators that hypothesis does not draw, each against the gradient at every unit."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import mnistzoo
from analysis.oracle import compare, seen_by_gradient


class Function(nn.Module):
    """A convolution, a function, and a convolution on what it returns."""

    def __init__(self, function, channels=4, made=4):
        super().__init__()
        self.function = function
        self.before = nn.Conv2d(1, channels, 3, padding=(1, 0))
        self.after = nn.Conv2d(made, 1, (2, 3), padding=(1, 1))

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.after(self.function(self.before(x)))


def _space_to_depth(x):
    n, c, h, w = x.shape
    x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, 4 * c, h // 2, w // 2)


def _shuffle(x):
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _mean_over_blocks(x):
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w).mean(3)


def _rows_in_another_order(x):
    """Rows 0, 4, 8, 1, …, beside what a pool makes of them."""
    y = x.unflatten(2, (3, 4)).transpose(2, 3).flatten(2, 3)
    return y + F.avg_pool2d(y, 1) ** 2


def _channels_last_linear(x):
    return F.linear(x.permute(0, 2, 3, 1), torch.ones(4, 4, dtype=x.dtype)).permute(0, 3, 1, 2)


def _window_attention(x):
    n, c, h, w = x.shape
    tokens = x.view(n, c, h // 4, 4, w // 5, 5).permute(0, 2, 4, 3, 5, 1).reshape(-1, 20, c)
    tokens = F.scaled_dot_product_attention(tokens, tokens, tokens)
    tokens = tokens.view(n, h // 4, w // 5, 4, 5, c)
    return tokens.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


def _written_in_place(x):
    out = x.new_zeros(x.shape)
    out[:, :, 1:] = x[:, :, :-1]
    out[:, 2:] += x[:, :2]
    return out


def _written_in_strides(x):
    out = torch.zeros(1, 4, 12, 2 * x.shape[3], dtype=x.dtype)
    out.transpose(2, 3)[:, :, ::2] = x.transpose(2, 3)
    return out


def _written_row(x):
    out = x.new_zeros(x.shape)
    out[:, :, -3] = x[:, :, 2]
    return out


def _written_column(x):
    out = x * 1
    out.permute(0, 1, -1, -2)[:, :, 1].add_(x[..., 10])
    out.transpose(-1, -2)[:, :, -2].add_(x[..., 0])
    return out


def _view_of_what_is_written(x):
    out = x * 1
    rows, tokens = out[:, :, 2:], out.flatten(2)
    part = rows[:, :, :-1]
    out += F.avg_pool2d(x, 3, 1, 1)
    return part * tokens.view(x.shape)[:, :, 2:-1]


def _view_of_the_same_rows(x):
    out = x * 1
    rows, others = out[:, :, 2:], out[:, :, :5]
    rows += F.avg_pool2d(x, (3, 1), 1, (1, 0))[:, :, 2:]
    return others * 2


def _view_of_what_is_not_written(x):
    out = x * 1
    half, other = out[:, :2], out[:, 2:]
    half += F.avg_pool2d(x[:, :2], 3, 1, 1)
    return other.repeat(1, 2, 1, 1)


def _outer(x):
    """Every second row with every column of every row: one axis, of two lengths, in two places."""
    return (x.unsqueeze(4) * x[:, :, ::2].permute(0, 1, 3, 2).unsqueeze(2)).sum(4)


def _mean_beside(x):
    return torch.cat([x.mean(2, keepdim=True), x, x.new_ones(1, 4, 2, x.shape[3])], dim=2)


def _unfolded(x):
    n, c, h, _ = x.shape
    columns = F.unfold(x, 3, padding=1, stride=(1, 2))
    return columns.view(n, c, 9, h, -1).sum(2)


def _folded(x):
    columns = torch.ones(24, 24, dtype=x.dtype) @ F.unfold(x, (2, 3), stride=2)
    return F.fold(columns, x.shape[2:], (2, 3), stride=2)


def _filtered(x):
    """What a filter does to frequencies along the rows, as spectral networks have it."""
    weights = torch.arange(1, 8, dtype=x.dtype).sin()
    return torch.fft.irfft(torch.fft.rfft(x, dim=2) * weights[:, None], x.shape[2], dim=2) + x


def _turned(x):
    """Pairs of channels as complex numbers, as rotary embeddings turn them."""
    pairs = torch.view_as_complex(x.permute(0, 2, 3, 1).unflatten(3, (2, 2)).contiguous())
    turned = torch.polar(torch.ones(2), torch.ones(2)).to(pairs.dtype)
    return torch.view_as_real(pairs * turned).flatten(3).permute(0, 3, 1, 2)


FUNCTIONS = {
    "glu": lambda x: F.glu(x, 1),
    "glu along rows": lambda x: F.glu(x, 2),
    "slice": lambda x: x[:, :, 2:-1, 1::3],
    "split": lambda x: torch.cat([part * 2 for part in x.split(3, dim=2)], dim=2),
    "chunk": lambda x: sum(x.chunk(2, dim=2)),
    "concatenate along an axis": lambda x: torch.cat([x[:, :, 4:], x[:, :, :3]], dim=2),
    "concatenate strides": lambda x: torch.cat(
        [x[:, :, :1], F.interpolate(x[:, :, 1:], scale_factor=(2, 1)), F.avg_pool2d(x, (2, 1))], 2
    ),
    "stack": lambda x: torch.stack([x[:, :, 1:], x[:, :, :-1]]).sum(0),
    "transpose": lambda x: F.avg_pool2d(x.transpose(2, 3), (3, 2)).transpose(2, 3),
    "flip": lambda x: x.flip(3),
    "roll": lambda x: x.roll((2, -3), (2, 3)),
    "repeat": lambda x: x.repeat(1, 1, 2, 1),
    "repeat each": lambda x: x.unsqueeze(3).expand(-1, -1, -1, 2, -1).flatten(2, 3),
    "index": lambda x: x[:, :, :, torch.tensor([0, 2, 5, 6])],
    "index by a mask": lambda x: x[:, :, torch.arange(12) % 3 == 1],
    "distances of rows": lambda x: torch.cdist(
        x.permute(0, 2, 3, 1), torch.ones(7, 4, dtype=x.dtype)
    ).permute(0, 3, 1, 2)[:, :4],
    "bilinear of two": lambda x: F.bilinear(
        x.permute(0, 2, 3, 1).contiguous(),
        x.permute(0, 2, 3, 1).contiguous(),
        torch.ones(4, 4, 4, dtype=x.dtype),
    ).permute(0, 3, 1, 2),
    "index fill": lambda x: x.index_fill(1, torch.tensor([1]), 0.0),
    "quarter turns": lambda x: F.avg_pool2d(x.rot90(1, (2, 3)), (3, 2)).rot90(3, (2, 3)),
    "half turn": lambda x: x.rot90(2, (3, 2)),
    "sum but for NaN": lambda x: x + x.nansum(3, keepdim=True),
    "triangle": lambda x: x.transpose(1, 3).tril(20).transpose(1, 3),
    "frequencies": _filtered,
    "complex numbers": _turned,
    "index select": lambda x: x.index_select(2, torch.tensor([1, 1, 7])),
    "unfold a dimension": lambda x: x.unfold(2, 3, 2).sum(-1),
    "unfold": _unfolded,
    "fold": _folded,
    "constant padding": lambda x: F.pad(x, (1, 2, 0, 3)),
    "negative padding": lambda x: F.pad(x, (-1, 2, 1, -2)),
    "reflection padding": lambda x: F.pad(x, (3, 2, 1, 4), mode="reflect"),
    "replication padding": lambda x: F.pad(x, (3, 2, 1, 4), mode="replicate"),
    "circular padding": lambda x: F.pad(x, (3, 2, 1, 4), mode="circular"),
    "interpolate nearest": lambda x: F.interpolate(x, scale_factor=(2, 1.5)),
    "interpolate exactly": lambda x: F.interpolate(x, (17, 7), mode="nearest-exact"),
    "interpolate bicubic": lambda x: F.interpolate(x, (29, 9), mode="bicubic"),
    "interpolate corners": lambda x: F.interpolate(
        x, (19, 23), mode="bilinear", align_corners=True
    ),
    "interpolate smaller": lambda x: F.interpolate(x, (5, 6), mode="bilinear", antialias=True),
    "interpolate smaller corners": lambda x: F.interpolate(
        x, (5, 4), mode="bicubic", antialias=True, align_corners=True
    ),
    "interpolate linear": lambda x: F.interpolate(x.flatten(0, 1), 20, mode="linear")[None],
    "interpolate by factors": lambda x: F.interpolate(x, scale_factor=(1.3, 0.7), mode="bilinear"),
    "channel shuffle": _shuffle,
    "channel shuffle of torch": lambda x: F.channel_shuffle(x, 2),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x[..., :10], 2),
    "pixel shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "space to depth": lambda x: _space_to_depth(x[..., :10]),
    "mean over blocks": _mean_over_blocks,
    "rows in another order": _rows_in_another_order,
    "mean across blocks": lambda x: x.unflatten(2, (3, 4)).mean(2),
    "mean over a middle digit": lambda x: x.unflatten(2, (2, 3, 2)).mean(3).flatten(2, 3),
    "mean over an axis": lambda x: x * x.mean(2, keepdim=True),
    "sum over both": lambda x: x + x.sum((2, 3), keepdim=True),
    "softmax over an axis": lambda x: x.softmax(3) ** 2,
    "softmax in blocks": lambda x: x.unflatten(2, (3, 4)).softmax(3).flatten(2, 3) ** 2,
    "softmax over a mean": lambda x: (
        x + x.mean(3, keepdim=True).unflatten(2, (4, 3)).softmax(3).flatten(2, 3)
    ),
    "instance norm": F.instance_norm,
    "group norm": lambda x: F.group_norm(x, 2),
    "layer norm": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), [4]).permute(0, 3, 1, 2) ** 3,
    "linear over channels": _channels_last_linear,
    "attention in windows": lambda x: _window_attention(x[..., :10]),
    "einsum": lambda x: torch.einsum("nchw,hk->nckw", x, torch.ones(12, 5, dtype=x.dtype)),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x, (5, 1)),
    "power pool": lambda x: F.lp_pool2d(x, 2, (3, 2), ceil_mode=True),
    "in place": _written_in_place,
    "in place, in strides": _written_in_strides,
    "in place, a view of it": _view_of_what_is_written,
    "in place, a view of the same": _view_of_the_same_rows,
    "in place, a view of the other half": _view_of_what_is_not_written,
    "in place, a row": _written_row,
    "in place, a column": _written_column,
    "outer product": _outer,
    "mean beside": _mean_beside,
    "where": lambda x: torch.where(x > 9, x, x.roll(1, 3)) + x,
}
MADE = {"glu": 2, "pixel unshuffle": 16, "space to depth": 16}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_unit_sees_what_has_a_gradient(name):
    """Between two convolutions, an operator leaves exactly the pixels that have a gradient."""
    torch.manual_seed(0)
    compare(Function(FUNCTIONS[name], made=MADE.get(name, 4)), (1, 12, 13), noise=1e-15)


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


def _put(x):
    made = x * 1
    made[:, :, torch.tensor([3, 0])] = F.avg_pool2d(x, 3, 1, 1)[:, :, 5:7]
    return made


PLACED = {
    "taken by a mask of two axes": lambda x: x[:, torch.eye(4, 12).bool()].unsqueeze(2) + x,
    "index put": _put,
    "index put anywhere": lambda x: x.index_put(
        (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]), torch.tensor([3])),
        x[0, 0, 9, 9],
        accumulate=True,
    ),
    "index copy": lambda x: x.index_copy(2, torch.tensor([3, 0]), x[:, :, 5:7] * 2),
    "index add": lambda x: x.index_add(3, torch.tensor([1]), x[..., 4:5]),
    "scatter": lambda x: x.scatter(2, torch.zeros(1, 4, 1, 11, dtype=torch.long), x[:, :, 4:5]),
    "scatter add": lambda x: x.scatter_add(2, x.argsort(2)[:, :, :3], x[:, :, 4:7]),
    "index fill by a value": lambda x: x.index_fill(2, torch.tensor([1]), x.mean()),
    "index fill where it says": lambda x: x.index_fill(2, x[0, 0, 0].argsort()[:2], 0.0) * x,
    "bins": lambda x: torch.bucketize(x, x[0, 0, 0].detach().sort()[0]) * x,
    "a table that is made": lambda x: (
        F.embedding((x[0, 0] > 0).long(), x[0, :2, 0]).permute(2, 0, 1)[None, :1] + x
    ),
    "layer norm by weights that are made": lambda x: F.layer_norm(x, [11], x[0, 0, 0]),
    "batch norm by weights that are made": lambda x: F.batch_norm(
        x, torch.zeros(4).double(), torch.ones(4).double(), x[0, :, 0, 0]
    ),
    "a bias that is made": lambda x: F.conv2d(
        x, torch.ones(4, 4, 1, 1).double(), x.mean((0, 2, 3))
    ),
    "filled": lambda x: torch.zeros_like(x).fill_(x.mean()) + x,
    "inverse": lambda x: torch.linalg.inv(x[..., :11, :] @ x[..., :11, :].mT + torch.eye(11)),
    "eigenvectors": lambda x: torch.linalg.eigh(x[..., :11, :] + x[..., :11, :].mT)[1],
    "singular values": lambda x: torch.linalg.svdvals(x)[..., None] * x[..., :11, :],
    "numbers alone": lambda x: x * x.mean().softmax(0),
    "copies of views": lambda x: torch.transpose_copy(torch.permute_copy(x, (0, 1, 3, 2)), 2, 3),
    "no dimension squeezed": lambda x: x.squeeze(()),
    "a loss": lambda x: x + F.mse_loss(x, x.roll(1, 2)),
    "masked scatter": lambda x: x.masked_scatter(torch.eye(12, 11).bool(), x.roll(3, 2)),
    "unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x[..., :10], 2, return_indices=True), 2),
    "fractional pool": lambda x: F.fractional_max_pool2d(x, 2, output_size=5),
    "deformable": lambda x: torchvision.ops.deform_conv2d(
        x, x.mean().expand(1, 18, 12, 11), torch.ones(4, 4, 3, 3, dtype=x.dtype), padding=1
    ),
    "regions": lambda x: torchvision.ops.roi_align(
        x, [torch.tensor([[0.0, 1, 5, 6]], dtype=x.dtype)], (3, 4)
    ),
    "distances": lambda x: torch.cdist(x.transpose(1, 3), x.transpose(1, 3) * 2)[:, :4],
    "diagonal": lambda x: x.diagonal(1, 2, 3)[..., None] * x[:, :, :10],
    "taken": lambda x: x.take(torch.tensor([[[[1, 99], [200, 3]]]])).expand(1, 4, 2, 2),
    "running maxima": lambda x: x.cummax(2)[0],
    "third smallest": lambda x: x + x.kthvalue(3, 2, keepdim=True)[0],
    "scatter a number": lambda x: x.scatter(2, torch.zeros(1, 4, 1, 11, dtype=torch.long), 0.0),
}


@pytest.mark.parametrize("name", PLACED)
def test_what_places_see_is_not_more_than_told(name):
    """No unit has a gradient at a pixel that it is not said to see."""
    torch.manual_seed(0)
    network = Function(PLACED[name]).double().requires_grad_(False)
    image = torch.rand(1, 1, 12, 13, dtype=torch.float64, requires_grad=True)
    output, field = network(image), mnistzoo.receptive_field(network, (1, 12, 13), "")
    for unit in product(*map(range, output.shape[2:])):
        pairs = zip(seen_by_gradient(output, image, unit), field.pixels(unit), strict=True)
        for found, told in pairs:
            assert found is None or told[0] <= found[0] <= found[1] <= told[1]


def test_units_after_a_repetition():
    """They are counted on, and see what those see that they repeat."""
    repeated = nn.Sequential(nn.Conv2d(1, 2, 3), Apply(lambda x: x.repeat(1, 1, 3, 1)))
    field = mnistzoo.receptive_field(repeated, (1, 12, 12), "")
    assert [field.pixels((row, 0))[0] for row in (0, 9, 10, 29)] == [
        (0, 2),
        (9, 11),
        (0, 2),
        (9, 11),
    ]


def test_an_unfold_of_what_went_into_the_channels():
    """Where they are part of an axis, its windows see all of them."""
    unfold = Apply(lambda x: F.unfold(x.reshape(2, 3, 5, 5), 2))
    field = mnistzoo.receptive_field(unfold, (1, 150), "")
    assert [field.pixels(half) for half in (0, 1)] == [((0, 74),), ((75, 149),)]


def test_the_least_and_the_greatest_at_once():
    """They see what either alone sees; older releases of torch have no gradient of them."""
    both, one = (
        mnistzoo.receptive_field(Function(function), (1, 12, 13), "")
        for function in (
            lambda x: x + sum(x.aminmax(dim=2, keepdim=True)),
            lambda x: x + x.amax(2, keepdim=True),
        )
    )
    assert both == one
    assert both.pixels((3, 3)) == one.pixels((3, 3))


@pytest.mark.parametrize("name", STRIDES)
def test_strides_of_functions(name):
    """From one unit to the next, so many pixels on the mean."""
    function, stride = STRIDES[name]
    field = mnistzoo.receptive_field(Apply(function), (1, 12, 13), "")
    assert field.stride == pytest.approx(stride)


class Apply(nn.Module):
    """A function alone."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.function(x)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("sizes", [(12, 17), (11, 9), (12, 5), (13, 6), (12, 4), (9, 1), (7, 21)])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_interpolations_read_what_torch_reads(mode, antialias, sizes, corners):
    """Of pictures with one white row each, those show in a row of the result that it sees."""
    units, made = sizes
    options = {"mode": mode, "antialias": antialias, "align_corners": corners}
    pictures = torch.eye(units, dtype=torch.float64)[:, None, :, None].expand(-1, 1, -1, units)
    shown = F.interpolate(pictures, (made, units), **options)[:, 0, :, 0].abs() > 1e-12
    resize = Apply(lambda x: F.interpolate(x, (made, units), **options))
    field = mnistzoo.receptive_field(resize, (1, units, units), "")
    for row in range(made):
        seen = shown[:, row].nonzero().flatten().tolist()
        assert field.pixels((row, 0))[0] == (seen[0], seen[-1])


@pytest.mark.parametrize(
    "function",
    [
        nn.PixelUnshuffle(2),
        _space_to_depth,
        lambda x: x.unflatten(3, (-1, 3)).movedim(4, 1).flatten(1, 2),
    ],
    ids=["pixel unshuffle", "space to depth", "columns only"],
)
def test_units_of_what_went_into_the_channels(function):
    """A unit of the map itself sees what all its channels see, and units are counted on the map."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Apply(function))
    compare(module, (1, 12, 12), "1")


def test_the_window_of_a_space_to_depth():
    """It moves by the block, and is as wide as the block and what the convolution adds."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelUnshuffle(4))
    field = mnistzoo.receptive_field(module, (1, 32, 32), "1")
    assert (field.size, field.stride, field.padding) == ((6, 6), (4, 4), (1, 1))


def test_a_write_in_strides_sees_one_pixel():
    """Every second entry sees the pixel it was written from, its neighbours none."""
    field = mnistzoo.receptive_field(Apply(_written_in_strides), (4, 12, 5), "")
    assert field.size == (1, 1)
    assert field.stride == (1, Fraction(1, 2))
    assert [field.pixels((3, column))[1] for column in range(4)] == [(0, 0), None, (1, 1), None]


def test_a_result_put_into_part_of_a_tensor():
    """`out=` writes to a view, and to the tensor that it is a view of."""

    def function(x):
        made = torch.zeros(1, 4, 12, 13)
        torch.add(x, F.avg_pool2d(x, 3, 1, 1), out=made[:, 1:2])
        return made

    assert mnistzoo.receptive_field(Apply(function), (1, 12, 13), "").size == (3, 3)


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
def test_sizes_of_functions(name):
    """The one window of all units holds what each sees, and touches it on either side."""
    function, size = SIZES[name]
    field = mnistzoo.receptive_field(Apply(function), (1, 12, 13), "")
    rows = mnistzoo.analyze(Apply(function), (1, 12, 13))[-1].output_shape[1]
    seen = [field.pixels((row, 0))[0] for row in range(rows)]
    windows = [field.interval((row, 0))[0] for row in range(rows)]
    assert field.size == size
    left, right = zip(
        *((a - c, d - b) for (a, b), (c, d) in zip(seen, windows, strict=True)), strict=True
    )
    assert min(left) == min(right) == 0


CROSSED = {
    "plus its transpose": lambda x: x + x.transpose(2, 3) ** 2,
    "beside its transpose": lambda x: torch.cat([x, x.transpose(2, 3)], dim=3),
    "beside its transpose, as tokens": lambda x: (
        torch.cat([x, x.transpose(2, 3)], dim=3).flatten(2).unflatten(2, (9, 18))
    ),
    "rows in an order that is computed": lambda x: x.index_select(2, x[0, 0, :, 0].argsort()[:5]),
}


@pytest.mark.parametrize("name", CROSSED)
def test_what_has_no_window_of_its_own_sees_no_less_than_has_a_gradient(name):
    """Where an axis comes from two places, units may be said to see more, but never less."""
    function = CROSSED[name]
    field = mnistzoo.receptive_field(Apply(function), (1, 9, 9), "")
    image = torch.rand(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    output = function(image)
    for unit in [(0, 0), (1, 7), (4, 4), (3, 8)]:
        for seen, found in zip(
            field.pixels(unit), seen_by_gradient(output, image, unit), strict=True
        ):
            assert seen[0] <= found[0] <= found[1] <= seen[1]


def test_what_is_written_to_a_transposed_matrix():
    """A row of the transposed is a column of the matrix."""

    def written(x):
        out = x.new_zeros(9, 7)
        out.t()[2].copy_(x[0, 0, :, 4])
        return out[None, None]

    field = mnistzoo.receptive_field(Apply(written), (1, 9, 9), "")
    assert field.pixels((5, 2)) == ((5, 5), (4, 4))
    assert field.pixels((5, 3))[1] is None


WRITES = {
    "unbind": lambda out, x: out.unbind(2)[4].copy_(x[:, :, 6]),
    "split": lambda out, x: out.split(5, dim=2)[1].copy_(x[:, :, :5]),
    "split unevenly": lambda out, x: out.split([7, 2, 3], dim=2)[1].copy_(x[:, :, :2]),
    "tensor_split": lambda out, x: out.tensor_split([3, 8], dim=2)[1].copy_(x[:, :, 1:6]),
}
PLACES = {"unbind": (4, 6, 1), "split": (5, 0, 5), "split unevenly": (7, 0, 2)}
PLACES["tensor_split"] = (3, 1, 5)


@pytest.mark.parametrize("name", WRITES)
def test_what_is_written_to_one_of_several_views(name):
    """Rows that were copied see the rows that they were copied from, and the others nothing."""

    def copied(x):
        out = x.new_zeros(x.shape)
        WRITES[name](out, x)
        return out

    to, start, count = PLACES[name]
    field = mnistzoo.receptive_field(Apply(copied), (1, 12, 13), "")
    for row in range(12):
        source = row - to + start
        expected = (source, source) if to <= row < to + count else None
        assert field.pixels((row, 5))[0] == expected


FOLDED_BACK = {"roll", "where", "reflection padding", "replication padding"}
"""They put pixels where no window that moves evenly can hold them."""


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - FOLDED_BACK))
def test_windows_hold_what_units_see(name):
    """The one window of all units, at each of them, holds the pixels that it sees."""
    network = Function(FUNCTIONS[name], made=MADE.get(name, 4))
    analysis = mnistzoo.analyze(network, (1, 12, 13))
    field = analysis[-1].receptive_field
    for unit in product(*map(range, analysis[-1].output_shape[1:])):
        for window, seen in zip(field.interval(unit), field.pixels(unit), strict=True):
            assert seen is None or window[0] <= seen[0] <= seen[1] <= window[1]


def test_separate_axes_of_a_one_dimensional_network():
    """Networks of one axis, and a recurrent one over it, which sees all that came before."""
    chain = nn.Sequential(nn.Conv1d(2, 3, 3, stride=2), nn.ReLU(), nn.MaxPool1d(2))
    assert compare(chain, (2, 31)).size == (5,)


IN_PLACE = [
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.Threshold, nn.RReLU),
    *(nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.SiLU, nn.Mish),
]
ACTIVATIONS = [
    *(nn.GELU, nn.PReLU, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softshrink, nn.Hardshrink),
    *(nn.Tanh, nn.Tanhshrink, nn.Softsign),
]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {}) for kind in ACTIVATIONS),
        *((kind, {"inplace": inplace}) for kind in IN_PLACE for inplace in (False, True)),
    ],
)
def test_an_activation_alters_no_window(kind, options):
    """A convolution sees the same with and without an activation of torch behind it."""
    values = (0.1, 0.0) if kind is nn.Threshold else ()
    conv = nn.Conv2d(1, 2, 3, stride=2, padding=1)
    network = nn.Sequential(conv, kind(*values, **options)).eval()
    field = mnistzoo.receptive_field(network, (1, 9, 9))
    assert field == mnistzoo.receptive_field(conv, (1, 9, 9))


def test_macs_are_those_that_torch_counts():
    """Half the floating-point operations of torch's own counter.

    It counts attention only where that is written out, and leaves the scores' softmax out.
    """

    def attention(x):
        return F.scaled_dot_product_attention(x[:, :, 1:], x, x)

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
    for name, (function, counted, shape) in functions.items():
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            counted(torch.rand(1, *shape))
        assert 2 * mnistzoo.analyze(Apply(function), shape).macs == counter.get_total_flops(), name
