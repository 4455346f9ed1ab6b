"""Operators that hypothesis does not draw, each against the gradient at every unit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mnistzoo
from analysis.oracle import compare


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


def _unfolded(x):
    n, c, h, _ = x.shape
    columns = F.unfold(x, 3, padding=1, stride=(1, 2))
    return columns.view(n, c, 9, h, -1).sum(2)


def _folded(x):
    columns = torch.ones(24, 24, dtype=x.dtype) @ F.unfold(x, (2, 3), stride=2)
    return F.fold(columns, x.shape[2:], (2, 3), stride=2)


FUNCTIONS = {
    "slice": lambda x: x[:, :, 2:-1, 1::3],
    "split": lambda x: torch.cat([part * 2 for part in x.split(3, dim=2)], dim=2),
    "chunk": lambda x: sum(x.chunk(2, dim=2)),
    "concatenate along an axis": lambda x: torch.cat([x[:, :, 4:], x[:, :, :3]], dim=2),
    "stack": lambda x: torch.stack([x[:, :, 1:], x[:, :, :-1]]).sum(0),
    "transpose": lambda x: F.avg_pool2d(x.transpose(2, 3), (3, 2)).transpose(2, 3),
    "flip": lambda x: x.flip(3),
    "roll": lambda x: x.roll((2, -3), (2, 3)),
    "repeat": lambda x: x.repeat(1, 1, 2, 1),
    "repeat each": lambda x: x.unsqueeze(3).expand(-1, -1, -1, 2, -1).flatten(2, 3),
    "index": lambda x: x[:, :, :, torch.tensor([0, 2, 5, 6])],
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
    "channel shuffle": _shuffle,
    "channel shuffle of torch": lambda x: F.channel_shuffle(x, 2),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x[..., :10], 2),
    "pixel shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "space to depth": lambda x: _space_to_depth(x[..., :10]),
    "mean over blocks": _mean_over_blocks,
    "mean over an axis": lambda x: x * x.mean(2, keepdim=True),
    "sum over both": lambda x: x + x.sum((2, 3), keepdim=True),
    "softmax over an axis": lambda x: x.softmax(3) ** 2,
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
    "where": lambda x: torch.where(x > 9, x, x.roll(1, 3)) + x,
}
MADE = {"pixel unshuffle": 16, "space to depth": 16}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_unit_sees_what_has_a_gradient(name):
    """Between two convolutions, an operator leaves exactly the pixels that have a gradient."""
    torch.manual_seed(0)
    compare(Function(FUNCTIONS[name], made=MADE.get(name, 4)), (1, 12, 13), noise=1e-15)


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
