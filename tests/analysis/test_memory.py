"""Peak memory, held to the allocations that PyTorch's profiler records on the CPU."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import resnet18

from analysis.allocations import MODELS, SMALL, UNet, measure, own_bytes
from mnistzoo import analyze
from mnistzoo.analysis import Analysis, Device
from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.operators.registry import overload_of
from mnistzoo.analysis.tracing.memory import _padded_buffers, lstm_workspace
from mnistzoo.errors import AnalysisError, InputError
from mnistzoo.models import exp5

BATCH = 2


@contextmanager
def float64():
    """Make float64 the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture
def unfused():
    """PyTorch's transformer layers call their parts."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.usefixtures("unfused")
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=() if x in SMALL else pytest.mark.slow) for x in MODELS]
)
def test_peak_memory_is_what_the_profiler_records(name, training):
    """Activations and gradients are within 1 % of what is allocated when operators return."""
    torch.manual_seed(0)
    build, shape = MODELS[name]
    module = build()
    peak = analyze(module, shape).peak_memory(training, batch_size=BATCH)
    held, _ = measure(module, shape, BATCH, training)
    there_before = own_bytes(module) + BATCH * prod(shape) * 4
    assert peak - there_before == pytest.approx(held, rel=0.01)


@pytest.mark.parametrize(
    ("read", "size", "steps", "batch", "options"),
    [
        (32, 64, 50, 2, {}),
        (300, 256, 3, 5, {"bias": False}),
        (7, 13, 1, 1, {"batch_first": True}),
        (20, 100, 9, 4, {"bidirectional": True, "num_layers": 2}),
        (513, 128, 33, 8, {"num_layers": 2}),
    ],
)
def test_the_workspace_of_an_lstm_is_that_of_its_kernel(read, size, steps, batch, options):
    """The sizes of what each layer saves are those that oneDNN allocates."""
    sizes, layers = Workspaces(), options.get("num_layers", 1)
    shape = (batch, steps, read) if options.get("batch_first") else (steps, batch, read)
    with sizes:
        nn.LSTM(read, size, **options)(torch.rand(shape))
    assert len(sizes.pairs) == layers * (2 if options.get("bidirectional") else 1)
    for computed, allocated in sizes.pairs:
        assert computed == allocated


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, float64])
def test_the_buffers_of_an_lstm_depend_on_no_setting(context):
    """They are counted with gradients off and with another default dtype too."""
    expected = _padded_buffers()
    _padded_buffers.cache_clear()
    with context():
        assert _padded_buffers() == expected


class Workspaces(TorchDispatchMode):
    """Collects the computed and the real size of each workspace."""

    def __init__(self):
        super().__init__()
        self.pairs = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mkldnn_rnn_layer.default:
            call = Call(overload_of(func), args, {}, out, [], lambda _: None, lambda x: x)
            self.pairs.append((lstm_workspace(call), out[-1].nbytes))
        return out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_large", "resnet50", "swin_t"])
def test_kernels_add_little_in_training(name):
    """The whole peak of a training step is within 5 %, with what kernels take within operators."""
    build, shape = MODELS[name]
    module = build()
    peak = analyze(module, shape).peak_memory(training=True, batch_size=8)
    _, most = measure(module, shape, 8, training=True)
    assert peak == pytest.approx(own_bytes(module) + 8 * prod(shape) * 4 + most, rel=0.05)


@pytest.mark.skipif(not hasattr(F, "grouped_mm"), reason="torch has it since 2.10")
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_experts_in_float32(training):
    """Torch refuses them without data, but not with data. Rows times two matrices of their own."""

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(2, 8, 16))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ends = torch.full((2,), len(x) // 2, dtype=torch.int32).cumsum(0, dtype=torch.int32)
            return F.grouped_mm(x, self.weight, offs=ends).relu()

    module = Experts()
    analysis = analyze(module, (8,))
    held, _ = measure(module, (8,), 400, training)
    there_before = own_bytes(module) + 400 * 8 * 4
    found = analysis.peak_memory(training, batch_size=400)
    assert found - there_before == pytest.approx(held, rel=0.01)
    assert analysis.roofline(Device("A100")).seconds > 0


def test_peak_memory_of_a_chain_by_hand():
    """A convolution and a ReLU hold weights, input, and two maps at once."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
    numbers = 2 * 9 + 2 + 8 * 8 + 2 * (2 * 8 * 8)
    assert analyze(module, (1, 8, 8)).peak_memory() == 4 * numbers


def test_in_place_and_views_take_no_memory():
    """An in-place ReLU, a view and a chunk share the memory of what they are made from."""

    class Shared(nn.Module):
        def forward(self, x):
            first, second = (x + 1).relu_().view(2, 50).chunk(2)
            return first.add_(second)

    assert analyze(Shared(), (100,)).peak_memory() == 4 * 200


def test_a_copy_for_contiguous_memory_is_counted():
    """`contiguous()` after a permutation copies, before one it does not."""

    class Permuted(nn.Module):
        def forward(self, x):
            return x.contiguous().permute(0, 2, 1).contiguous()

    assert analyze(Permuted(), (4, 25)).peak_memory() == 4 * 200


def test_a_freed_tensor_is_not_held():
    """Ten maps one after another take two, and ten in a list take all."""

    class Chain(nn.Module):
        def __init__(self, keep):
            super().__init__()
            self.keep = keep

        def forward(self, x):
            kept = []
            for _ in range(10):
                x = x * 2
                kept += [x] * self.keep
            return x

    assert analyze(Chain(keep=False), (100,)).peak_memory() == 4 * 300
    assert analyze(Chain(keep=True), (100,)).peak_memory() == 4 * 1100


def test_half_precision_takes_half():
    """Bytes follow the dtype, in rows and in the peak."""
    full, half = (analyze(UNet().to(dtype), (3, 32, 32)) for dtype in (torch.float, torch.half))
    assert [2 * row.param_bytes for row in half] == [row.param_bytes for row in full]
    assert sum(row.param_bytes for row in full) == 4 * full.num_params
    assert [2 * row.output_bytes for row in half] == [row.output_bytes for row in full]
    assert half[0].output_bytes == 2 * 16 * 32 * 32
    assert 0.5 <= half.peak_memory() / full.peak_memory() < 0.51  # batch norm counts in int64


def test_an_exported_model():
    """It has no `train`, and needs as much memory as the original."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()).eval()
    exported = torch.export.export(module, (torch.zeros(1, 1, 8, 8),)).module()
    assert analyze(exported, (1, 8, 8)).peak_memory() == analyze(module, (1, 8, 8)).peak_memory()


def test_any_input_and_batch():
    """Examples and shapes, by position or name, get the batch that is asked for."""

    class Joined(nn.Module):
        def forward(self, ids, image, scale=None):
            return image * scale + ids.float()

    ids, scale = torch.zeros(2, 10, dtype=torch.long), torch.ones(2, 1)
    analysis = analyze(Joined(), {"ids": ids, "image": torch.ones(2, 10)}, {"scale": scale})
    inputs = 10 * 8 + 10 * 4 + 4
    assert analysis.peak_memory() == 2 * (inputs + 3 * 10 * 4)
    assert analysis.peak_memory(batch_size=5) == 5 * (inputs + 3 * 10 * 4)
    pair = analyze(nn.Bilinear(4, 6, 2), ((4,), (6,)), batch_size=3)
    assert pair.peak_memory() == analyze(nn.Bilinear(4, 6, 2), ((4,), (6,))).peak_memory(
        batch_size=3
    )


def test_optimizer_state_and_frozen_parameters():
    """The state is that of trained parameters, and frozen ones have no gradient."""
    module = nn.Sequential(nn.Linear(100, 100, bias=False), nn.Linear(100, 100, bias=False))
    analysis = analyze(module, (100,))
    plain = analysis.peak_memory(training=True)
    assert analysis.peak_memory(training=True, optimizer_state=2) == plain + 2 * 80_000
    assert analysis.peak_memory(optimizer_state=2) == analysis.peak_memory()
    module[0].requires_grad_(False)
    assert plain - analysis.peak_memory(training=True) >= 40_000


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_model_is_left_as_it_was(device):
    """Its mode, weights, gradients and buffers stay, wherever it is."""
    module = resnet18().to(device) if device == "meta" else exp5(pretrained=True)
    module.eval()
    before = {name: (id(x), x.clone()) for name, x in module.state_dict(keep_vars=True).items()}
    shape = (3, 64, 64) if device == "meta" else (1, 28, 28)
    assert analyze(module, shape).peak_memory(training=True, batch_size=2) > 0
    assert not module.training
    assert all(x.grad is None for x in module.parameters())
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert id(tensor) == before[name][0]
        assert tensor.is_meta or torch.equal(tensor, before[name][1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size as an integer of at least 1, got 0"),
        ({"batch_size": True}, "batch_size as an integer of at least 1, got True"),
        ({"batch_size": 1.5}, "batch_size as an integer of at least 1, got 1.5"),
        ({"optimizer_state": -1}, "optimizer_state as an integer of at least 0, got -1"),
    ],
)
def test_arguments_out_of_range(options, message):
    """Each is an error that names the argument."""
    with pytest.raises(InputError, match=message):
        exp5().summary().peak_memory(**options)


def test_what_is_not_known_is_an_error():
    """An LSTM of 16 bits in training, a frozen model, a lazy one, and a handmade analysis are."""
    lstm = analyze(nn.LSTM(32, 64).bfloat16(), (50, 32))
    with pytest.raises(AnalysisError, match=r"LSTM is known in float32 only, got torch.bfloat16"):
        lstm.peak_memory(training=True)
    frozen = analyze(nn.Linear(2, 2).requires_grad_(False), (2,))
    with pytest.raises(AnalysisError, match="output that requires a gradient, got none"):
        frozen.peak_memory(training=True)
    with pytest.raises(InputError, match="initialized parameters, got lazy ones"):
        analyze(nn.LazyLinear(2), (2,)).peak_memory()
    with pytest.raises(InputError, match=r"made by hand. Call mnistzoo.analyze"):
        Analysis((), (1,), None, None).peak_memory()


def test_values_are_not_known():
    """A model that reads values is analyzed, but its memory is an error that says where."""

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.tensor(3))

        def forward(self, x):
            return x * int(self.count)

    analysis = analyze(nn.Sequential(Reader()), (4,))
    with pytest.raises(AnalysisError, match=r"_local_scalar_dense.* in layer '0' \(Reader\)"):
        analysis.peak_memory()


def test_a_model_that_rejects_the_batch():
    """The error names the layer that fails."""

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Unflatten(0, (1, 1))

        def forward(self, x):
            return self.inner(x)

    analysis = analyze(Fixed(), (4,))
    with pytest.raises(InputError, match=r"layer 'inner' \(Unflatten\)"):
        analysis.peak_memory(batch_size=3)
