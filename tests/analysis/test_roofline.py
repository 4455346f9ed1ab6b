"""Lower bounds on time: what is counted. `tests/benchmarks/cost.py` measures that they hold."""

from __future__ import annotations

import csv
import io
import time

import pytest
import torch
from torch import nn

from analysis.allocations import MODELS, SMALL
from mnistzoo import analyze
from mnistzoo.analysis import Device, devices
from mnistzoo.errors import InputError, UnknownNameError
from mnistzoo.models import exp5

DEVICE = Device("mine", {"float32": 1e9}, 1e9)
"""A multiply-accumulate takes as long as a byte: a nanosecond."""


def test_rows_by_hand():
    """A linear layer is bound by compute, a ReLU and a small convolution by memory."""
    module = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Unflatten(1, (50, 1)), nn.Flatten())
    linear, relu = analyze(module, (100,)).roofline(DEVICE, batch_size=1000)
    assert (linear.path, linear.kind, linear.bound_by) == ("0", "Linear", "compute")
    assert linear.macs == 1000 * 5000
    assert linear.bytes_moved == 4 * (100_000 + 5000 + 50 + 50_000)
    assert linear.intensity == linear.macs / linear.bytes_moved
    assert linear.seconds == pytest.approx(5e-3)
    assert (relu.macs, relu.bytes_moved, relu.bound_by) == (0, 2 * 4 * 50_000, "memory")
    assert relu.seconds == pytest.approx(4e-4)


def test_totals_are_sums():
    """MACs, bytes and seconds of a model are those of its rows, and it is a sequence."""
    roofline = exp5().summary().roofline(DEVICE, batch_size=3)
    assert roofline.macs == 3 * exp5().summary().macs == sum(row.macs for row in roofline)
    assert roofline.bytes_moved == sum(row.bytes_moved for row in roofline)
    assert roofline.seconds == pytest.approx(sum(row.seconds for row in roofline))
    assert len(roofline) == len(roofline[:]) == 25  # the log-softmax is the model's own
    record = roofline.to_dict()
    assert record["lower_bound_seconds"] == roofline.seconds
    assert [layer["path"] for layer in record["layers"]] == [row.path for row in roofline]


def test_csv_is_data():
    """CSV has plain numbers in bytes and seconds, which add up to the totals."""
    roofline = exp5().summary().roofline(DEVICE)
    rows = list(csv.DictReader(io.StringIO(roofline.to_csv())))
    assert [row["path"] for row in rows] == [row.path for row in roofline]
    assert sum(int(row["bytes_moved"]) for row in rows) == roofline.bytes_moved
    assert sum(float(row["lower_bound_seconds"]) for row in rows) == pytest.approx(roofline.seconds)


def test_the_table_says_lower_bound():
    """No format says latency, which is more."""
    roofline = exp5().summary().roofline(Device("A100"))
    for text in (str(roofline), roofline.to_csv(), roofline.to_markdown(), roofline._repr_html_()):
        assert "lower bound" in text.replace("_", " ")
        assert "latency" not in text
    assert "NVIDIA A100 data sheet" in str(roofline)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=() if x in SMALL else pytest.mark.slow) for x in MODELS]
)
def test_macs_are_those_of_the_analysis(name):
    """Fused attention and recurrent kernels count as many MACs as their parts."""
    build, shape = MODELS[name]
    analysis = analyze(build(), shape)
    assert analysis.roofline(DEVICE).macs == analysis.macs


def bytes_of(module, shape):
    """Return the bytes that a model moves."""
    return analyze(module, shape).roofline(DEVICE).bytes_moved


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_views_move_nothing():
    """Reshapes, slices and transpositions are free, a copy is not."""
    assert bytes_of(Function(lambda x: x.view(2, 50)[:, ::2].t()), (100,)) == 0
    assert bytes_of(Function(lambda x: x.view(2, 50)[:, ::2].contiguous()), (100,)) == 4 * 100


def test_a_lookup_reads_what_it_returns():
    """An index of a large table does not read the table."""
    module = Function(lambda x: x[:, torch.tensor([1, 2])])
    assert bytes_of(module, (10_000,)) < 100


def test_an_update_does_not_move_the_rest():
    """A write to two places of a large table moves the values and their indices."""

    def update(x):
        table, index, value = x.view(2, -1), torch.tensor([0, 1]), x[0, :2]
        table.index_put_((index, index), value)
        return table

    assert 0 < bytes_of(Function(update), (10_000,)) < 100


def test_a_stride_beyond_the_kernel_skips_pixels():
    """A 1×1 convolution or a pool with stride 2 reads a quarter of its input."""
    weights = 4 * 1
    assert bytes_of(nn.Conv2d(1, 1, 1, 2, bias=False), (1, 8, 8)) == 4 * (16 + 16) + weights
    assert bytes_of(nn.AvgPool2d(1, 2), (1, 8, 8)) == 4 * (16 + 16)
    assert bytes_of(nn.AvgPool2d(2), (1, 8, 8)) == 4 * (64 + 16)


def test_an_expanded_tensor_is_read_once():
    """A broadcast bias is as large as its storage."""
    module = Function(lambda x: x + torch.ones(1).expand(100))
    assert bytes_of(module, (100,)) == 4 * (100 + 1 + 100) + 4  # `ones` is written first


def test_causal_attention_may_skip_half():
    """A kernel need not compute what the mask hides."""

    def attention(is_causal):
        function = nn.functional.scaled_dot_product_attention
        return Function(lambda x: function(x, x, x, is_causal=is_causal))

    full, causal = (analyze(attention(x), (2, 64, 8)).roofline(DEVICE).macs for x in (False, True))
    assert full == 2 * 2 * 64 * 64 * 8 == 2 * causal


def test_a_preset_has_the_published_figures():
    """Two operations are one MAC, and float32 runs in TF32."""
    device = Device("A100")
    assert device.peak("float32") == 156e12 / 2
    assert device.bandwidth(1) == device.bandwidth(10**9) == 2.039e12
    assert all(source for _, _, source in devices.PRESETS.values())


def test_small_working_sets_are_faster():
    """The bandwidth of a size is that of the largest measured working set that is no larger."""
    device = Device("mine", {"float32": 1.0}, 1.0)
    object.__setattr__(device, "bandwidths", ((0, 9.0), (100, 5.0), (200, 1.0)))
    assert [device.bandwidth(size) for size in (0, 99, 100, 199, 200, 10**9)] == [9, 9, 5, 5, 1, 1]


def test_devices_that_do_not_exist():
    """Unknown names, half of the figures and wrong ones are errors."""
    with pytest.raises(UnknownNameError, match=r"no device 'A10'. Did you mean 'A100'"):
        Device("A10")
    with pytest.raises(InputError, match=r"got one\. Give both"):
        Device("mine", {"float32": 1e9})
    with pytest.raises(InputError, match="Expected positive"):
        Device("mine", {"float32": 1e9}, 0)
    with pytest.raises(InputError, match="Expected a Device, got 'A100'"):
        exp5().summary().roofline("A100")
    with pytest.raises(InputError, match=r"model in float32 on mine, got float64"):
        analyze(nn.Linear(2, 2).double(), (2,)).roofline(DEVICE)


def test_this_machine_is_measured_quickly():
    """It takes seconds at most, and caches are not slower than memory."""
    start = time.perf_counter()
    device = Device("cpu")
    assert time.perf_counter() - start < 30  # one on an idle machine
    assert device.peak("float32") > 1e8
    speeds = [speed for _, speed in device.bandwidths]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] > 1e8
