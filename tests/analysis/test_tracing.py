"""What a trace follows: aliases, writes, constants and control flow."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention
from torchvision import tv_tensors
from torchvision.ops import nms

from analysis.examples import Apply
from mnistzoo import analyze, effective_receptive_field, num_params, receptive_field
from mnistzoo.analysis import Device
from mnistzoo.analysis.tracing import tensors
from mnistzoo.analysis.tracing.rules import layouts_of
from mnistzoo.errors import AnalysisError, UnknownOperatorError


class Subclass(torch.Tensor):
    """A tensor subclass, as image libraries have them."""


def _with_data(y):
    made = torch.empty_like(y)
    made.data = y
    return made


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y.as_subclass(Subclass),
        lambda y: torch.relu_(y.as_subclass(Subclass)),
        lambda y: nn.Parameter(y, requires_grad=False),
        tv_tensors.Image,
        lambda y: y[:, :, 1:-1].as_subclass(Subclass),
        _with_data,
    ],
)
def test_a_tensor_that_shares_memory_has_the_same_field(function):
    """Subclasses, parameters and `.data` have the field of the tensor whose memory they share."""
    module = nn.Sequential(Apply(function), nn.Conv2d(2, 1, 5))
    analysis = analyze(module, (1, 12, 12))
    assert analysis.receptive_field.size == (7, 7)
    assert analysis.output_receptive_field.size == (7, 7)
    field = receptive_field(Apply(function), (1, 12, 12), "")
    assert field.size == (3, 3)


def test_a_write_reaches_what_shares_memory():
    """A write through a subclass or a parameter changes the field of the original tensor."""

    def function(y):
        other = y.as_subclass(Subclass)
        other += nn.functional.avg_pool2d(y, 3, 1, 1)
        return y

    assert receptive_field(Apply(function), (1, 12, 12), "").size == (5, 5)

    def onto_zeros(y):
        made = torch.zeros_like(y)
        made.as_subclass(Subclass).copy_(y)
        return made

    assert receptive_field(Apply(onto_zeros), (1, 12, 12), "").size == (3, 3)


def test_a_write_reaches_a_constant_that_shares_memory():
    """Values of a constant are kept on the CPU; a write through a subclass reaches it there too."""

    def function(y):
        made = torch.zeros(2, 8, 8)
        made.as_subclass(Subclass).copy_(y[0])
        return made[None]

    assert receptive_field(Apply(function), (1, 8, 8), "").size == (3, 3)


def test_a_second_write_reaches_other_views():
    """A view that lost its values still knows where in the whole tensor it lies."""

    def function(y):
        made = torch.zeros(8, 8)
        lower, some = made[4:], made[5:7]
        lower = lower.add_(y[0, 0, 4:])
        lower += nn.functional.avg_pool2d(y, 3, 1, 1)[0, 0, 4:]
        return some[None, None]

    field = receptive_field(Apply(function), (1, 8, 8), "")
    assert field.pixels((0, 4)) == ((3, 7), (2, 6))


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y.as_strided(y.shape, (128, 64, 1, 8)),
        lambda y: y[:, :, 1:].as_strided((1, 2, 7, 8), (128, 64, 8, 1), 0),
    ],
)
def test_strides_that_reorder_units_are_refused(function):
    """`as_strided` that turns a map or starts before it is an error, never a guess."""
    with pytest.raises(UnknownOperatorError, match="reads memory, not units"):
        analyze(Apply(function), (1, 8, 8))


def test_frames_that_reach_into_the_next_row_are_refused():
    """A frame of `as_strided` that starts near the end of a row holds units of the next one."""
    with pytest.raises(UnknownOperatorError, match="reach into the next"):
        analyze(Apply(lambda y: y.as_strided((1, 2, 8, 4, 4), (128, 64, 8, 3, 1))), (1, 8, 8))


def test_a_write_that_may_reach_another_tensor_is_refused():
    """`as_strided` of a slice may write to the tensor beside it."""

    def function(y):
        out = torch.zeros(1, 2, 8, 16)
        out[..., :8].as_strided(y.shape, (256, 128, 16, 1), 8).copy_(y)
        return out

    with pytest.raises(UnknownOperatorError, match="stay inside of a contiguous tensor"):
        analyze(Apply(function), (1, 8, 8))


@pytest.mark.filterwarnings("ignore:A window was not provided")
def test_an_inverse_fourier_transform_reads_its_frames():
    """Each sample of `istft` reads the frames of 16 that it lies in, here of a convolution."""

    def function(y):
        frames = torch.stft(y[:, 0, 0], 16, 4, return_complex=True)
        return torch.istft(frames, 16, 4)

    field = receptive_field(Apply(function), (1, 1, 128), "")
    assert field.size == (3, 33)
    assert field.pixels((0, 20))[-1] == (7, 36)


def test_part_of_a_tensor_made_without_an_operator_is_refused():
    """The field of a tensor that `set_` puts inside another is not known."""

    def function(y):
        return y.new_empty(0).set_(y.untyped_storage(), 1, (1, 2, 7, 7), (128, 64, 8, 1))

    with pytest.raises(AnalysisError, match="part of another's memory"):
        analyze(nn.Sequential(Apply(function), nn.Conv2d(2, 1, 3)), (1, 8, 8))


RANDOM = {
    "rows": lambda y: y[:, :, torch.randperm(8, device=y.device)[:3]],
    "rows from elsewhere": lambda y: y.index_select(2, torch.randperm(8)[:3]),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_indices_may_be_any(name):
    """Rows picked at random may come from anywhere."""
    field = receptive_field(Apply(RANDOM[name]), (1, 8, 8), "")
    assert {field.pixels((row, 2))[0] for row in range(3)} == {(0, 7)}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_random_branch_is_refused(device):
    """A branch on a random number is data-dependent control flow."""
    module = Apply(lambda y: y if torch.rand(1, device=device) < 0.5 else -y)
    with pytest.raises(AnalysisError, match="Expected a model that runs without values"):
        receptive_field(module, (1, 8, 8))


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y if y.sum() > 0 else -y,
        lambda y: y * y.max().item(),
        lambda y: y[y > 0],
        lambda y: y.nonzero(),
        lambda y: nms(y[0, 0, :, :4], y[0, 0, :, 4], 0.5),
    ],
)
def test_the_analysis_stops_where_values_are_needed(function):
    """Layers before are analyzed; the fields of the whole are not known."""
    module = nn.Sequential(nn.Conv2d(1, 1, 3), Apply(function), nn.Linear(2, 3))
    analysis = analyze(module, (1, 10, 10))
    assert analysis.stopped_at.endswith("in layer '1' (Apply)")
    assert analysis.receptive_field is analysis.output_receptive_field is None
    assert [row.path for row in analysis][:2] == ["0", "1.conv"]
    assert analysis.num_params == num_params(module)
    assert analysis.unused_params == 0
    assert str(analysis).endswith(f"up to {analysis.stopped_at}, which needs values")
    assert receptive_field(module, (1, 10, 10), "1.conv").size == (5, 5)
    for layer in ("", "2"):
        with pytest.raises(AnalysisError, match=r"is not called before \w+\..* needs values"):
            receptive_field(module, (1, 10, 10), layer)


def test_packed_sequences_need_their_lengths():
    """The analysis ends where a sequence is packed: the number of rows depends on the lengths."""

    def pack(x):
        lengths = torch.full((1,), x.shape[1])
        return nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True).data

    analysis = analyze(Apply(pack), torch.zeros(1, 10, 8))
    assert analysis.stopped_at.startswith("aten._pack_padded_sequence")


def test_a_model_that_catches_the_error_does_not_stop():
    """A model that goes on without the values is analyzed to its end."""

    def function(y):
        try:
            return y.sum().item() * y
        except RuntimeError:
            return y[:, :, ::2]

    analysis = analyze(Apply(function), (1, 8, 8))
    assert analysis.stopped_at is None
    assert analysis.output_receptive_field.stride == (2, 1)


def test_large_constants_lose_their_values():
    """A mask over many tokens is not allocated; that of a few tokens can be read."""

    class Causal(nn.Module):
        def forward(self, x):
            places = torch.arange(x.shape[2], device=x.device)
            mask = places[None] > places[:, None]
            scores = (x.transpose(1, 2) @ x).masked_fill(mask, -9.0)
            return x @ scores.softmax(2) if mask[0, 1:2].all() or len(mask) > 5000 else x

    assert not analyze(Causal(), (2, 64)).stopped_at
    assert analyze(Causal(), (2, 5000)).stopped_at
    assert analyze(Masks(), (2, 100_000)).output_receptive_field.is_global


class Masks(nn.Module):
    """Masks that would take 10 GB each."""

    def forward(self, x):  # noqa: D102 - torch's own method
        for _ in range(9):
            places = torch.arange(x.shape[2], device=x.device)
            x = x @ (places[None] > places[:, None]).to(x.dtype)
        return x


def test_a_write_of_the_input_forgets_the_values_of_views():
    """After a write of the input to a constant, control flow cannot read its views."""

    def function(y):
        made = torch.zeros(2, 8, 8)
        part = made[:1, :2]
        made += y[0]
        return y if part.sum().item() else y[:, :, ::2]

    assert analyze(Apply(function), (1, 8, 8)).stopped_at


class Counting(nn.Module):
    """Rows picked by a buffer that the model adds to."""

    def __init__(self, add):
        super().__init__()
        self.add = add
        self.register_buffer("rows", torch.tensor([0, 2, 4]))

    def forward(self, x):  # noqa: D102 - torch's own method
        self.rows += self.add(x)
        return x.index_select(2, self.rows)


def test_indices_have_their_current_values():
    """Indices are those after writes to the buffer, and the model's own buffer is not changed."""
    field = receptive_field(Counting(lambda _: 3), (1, 8, 8), "")
    assert [field.pixels((row, 1))[0] for row in range(3)] == [(3, 3), (5, 5), (7, 7)]
    module = Counting(lambda x: x.flatten().argmax())
    assert receptive_field(module, (1, 8, 8), "").pixels((1, 1)) == ((0, 7), (0, 7))
    assert module.rows.tolist() == [0, 2, 4]


_EVEN = torch.arange(8) % 2 == 0


CONSTANTS = {
    "ones": lambda y: (
        nn.functional.avg_pool2d(y, 2)
        if torch.ones(2, 8, device=y.device, dtype=torch.bool).all()
        else y
    ),
    "every second": lambda y: y[:, :, torch.arange(8, device=y.device) % 2 == 0][..., ::2],
    "moved": lambda y: y[:, :, (torch.arange(8) % 2 == 0).to(y.device)][..., ::2],
    "a mask that met the input": lambda y: (y * _EVEN)[:, :, _EVEN][..., ::2],
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_keep_their_values_on_any_device(name):
    """A constant made on the input's device can be read by control flow and used as an index."""
    assert receptive_field(Apply(CONSTANTS[name]), (1, 8, 8), "").stride == (2, 2)


class Quantized(nn.Module):
    """The nearest entry of a code book for each place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 3, 5, stride=2)
        self.codes = nn.Embedding(7, 3)

    def forward(self, x):  # noqa: D102 - torch's own method
        made = self.conv(x).transpose(1, 2)
        nearest = torch.cdist(made, self.codes.weight[None]).argmin(2)
        return (made + (self.codes(nearest) - made).detach()).transpose(1, 2)


class Spectrogram(nn.Module):
    """A short-time Fourier transform, the front end of many audio models."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))

    def forward(self, x):  # noqa: D102 - torch's own method
        options = {"window": self.window, "return_complex": True, "center": False}
        return torch.stft(x[:, 0], 16, 4, **options).abs()


@pytest.mark.parametrize(
    ("module", "size", "stride"), [(Quantized(), 5, 2), (Spectrogram(), 16, 4)]
)
def test_operators_that_refuse_two_devices(module, size, stride):
    """`cdist` and `stft` run with all floats on the meta device; the model's own are not moved."""
    field = receptive_field(module, (1, 100), "")
    assert (field.size, field.stride, field.is_global) == ((size,), (stride,), False)
    assert not any(tensor.is_meta for tensor in module.state_dict().values())


class InModes(nn.Module):
    """One convolution under autocast, and one in inference mode."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 2, 5), nn.Conv2d(2, 2, 3)

    def forward(self, x):  # noqa: D102 - torch's own method
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.one(x)
        with torch.inference_mode():
            return self.two(x.float()).relu()


def test_autocast_and_inference_mode_inside_a_model():
    """Autocast and inference mode change neither the field nor the number of parameters."""
    module = InModes()
    analysis = analyze(module, (1, 12, 12))
    assert analysis.receptive_field.size == (7, 7)
    assert analysis.num_params == num_params(module)
    assert analysis.unused_params == 0
    assert analysis.roofline(Device("H100")).macs == analysis.macs > 0


def test_autocast_around_an_analysis():
    """Autocast changes no field."""

    def function(y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return nn.functional.conv2d(y, torch.zeros(2, 2, 3, 3))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        analysis = analyze(Apply(function), (1, 8, 8))
    assert analysis.receptive_field.size == (5, 5)


def test_literals_may_be_viewed_and_written_to():
    """Literals in `forward` behave as constants."""

    def function(y):
        mean = torch.tensor([0.485, 0.456]).view(1, 2, 1, 1)
        mean += torch.tensor([1.0, 2.0])[:, None, None]
        return (y - mean) / torch.tensor(2.0).expand(1, 2, 1, 1)

    assert receptive_field(Apply(function), (1, 8, 8), "").size == (3, 3)


def test_an_expanded_column_is_global():
    """A column expanded over a map is read by all its units; alone it is local."""
    field = receptive_field(Apply(lambda y: y[..., 5:6].expand(-1, -1, -1, 9)), (1, 6, 9), "")
    assert field.is_global
    assert field.stride == (1, 0)
    assert field.interval((2, 7)) == ((1, 3), (4, 6))
    alone = receptive_field(Apply(lambda y: y[..., 5:6]), (1, 6, 9), "")
    assert not alone.is_global
    assert alone.stride == (1, 1)


def test_branches_that_do_not_line_up_are_refused():
    """Maps of one size with different strides cannot be added."""
    with pytest.raises(AnalysisError, match="1 and 2"):
        analyze(Apply(lambda y: y[..., :32] + y[..., ::2]), (1, 64, 64))


def test_an_operator_without_a_rule_is_refused():
    """The error names the operator and the layer."""
    quantize = Apply(lambda y: torch.quantize_per_tensor(y, 0.1, 0, torch.qint8))
    module = nn.Sequential(nn.Conv2d(1, 2, 3), quantize)
    module[1].conv = nn.Identity()
    with pytest.raises(UnknownOperatorError, match=r"quantize_per_tensor.*layer '1' \(Apply\)"):
        analyze(module, (1, 8, 8))


def test_a_kernel_that_depends_on_the_input_is_refused():
    """A known operator in a use that has no rule is an error."""
    with pytest.raises(UnknownOperatorError, match=r"aten\.conv.*\(Apply\).*its backbone"):
        analyze(Apply(lambda y: nn.functional.conv2d(torch.rand(1, 2, 9, 9), y)), (1, 8, 8))


def test_a_custom_operator_without_a_fake_kernel_is_refused():
    """The error names the operator and does not blame the shape."""

    @torch.library.custom_op("mnistzoo_tests::double", mutates_args=())
    def double(y: torch.Tensor) -> torch.Tensor:
        return 2 * y

    with pytest.raises(UnknownOperatorError, match=r"the model \(Apply\).*double"):
        analyze(Apply(double), (1, 8, 8))


def test_a_complex_convolution():
    """Its weights are complex, and go where its input is."""

    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, dtype=torch.cfloat)

        def forward(self, x):
            return self.conv(x.to(torch.cfloat)).abs()

    assert receptive_field(Complex(), (1, 8, 8), "").size == (3, 3)


def _turned(y):
    before = y[:, :, 1:]
    y.transpose_(2, 3)
    after = y[:, :, :4]
    y.unsqueeze_(1)
    y[:, :, :, :, 2:3] = y[:, :, :, :, 5:6].clone()
    return before + 0 * after.mean()


def test_views_from_before_a_change_of_geometry():
    """A view made before `transpose_` reads what is written after it."""
    field = receptive_field(Apply(lambda y: _turned(y)[..., :2, :]), (1, 8, 8), "")
    assert field.pixels((1, 3))[0] == (0, 7)  # the mean of it all
    untouched = Apply(lambda y: (y.transpose_(2, 3), y.unsqueeze_(1), y)[-1][:, 0, :, 2:])
    assert receptive_field(untouched, (1, 8, 8), "").size == (3, 3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda y: torch.nested.as_nested_tensor([y[0, 0], y[0, 1, :4]]), "Nested tensors are not"),
        (lambda y: flex_attention(y, y, y), "flex_attention is not supported"),
        (lambda y: torch.autograd.grad(y.sum(), y)[0], "Gradients inside a model are not"),
        (
            lambda y: torch.cond(y.sum() > 0, torch.sin, torch.cos, (y,)),
            r"torch\.cond are not supported: .* calls one\.",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_does_not_run_without_values_is_named(function, message):
    """The error says what is not supported, and what to use in its place."""
    with pytest.raises(UnknownOperatorError, match=message):
        analyze(Apply(function), (1, 8, 8))


def test_transforms_of_functions():
    """`torch.vmap` and `torch.func.grad` are followed."""
    pooled = Apply(torch.vmap(lambda rows: nn.functional.max_pool2d(rows, 3, 1, 1)))
    assert receptive_field(pooled, (1, 8, 8), "").size == (5, 5)
    energy = Apply(torch.func.grad(lambda y: (y**2).sum()))
    assert receptive_field(energy, (1, 8, 8), "").size == (3, 3)


def test_compiled_models_are_analyzed_without_compilation():
    """Every form of `torch.compile` has the figures of the plain model, and compiles nothing."""

    def build():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 5)))

    plain, images = analyze(build(), (1, 12, 12)), torch.randn(2, 1, 12, 12)
    whole, part, in_place = torch.compile(build()), build(), build()
    part[1] = torch.compile(part[1])
    in_place.compile()
    torch._dynamo.utils.counters.clear()
    for model in (whole, part, in_place):
        found = analyze(model, (1, 12, 12))
        assert (found.macs, found.receptive_field) == (plain.macs, plain.receptive_field)
        assert found.peak_memory(training=True) == plain.peak_memory(training=True)
        last = list(dict(model.named_modules()))[-1]
        effective = effective_receptive_field(model, images, last)
        assert effective.window == ((3, 9), (3, 9))
    inside = Apply(torch.compile(lambda y: nn.functional.max_pool2d(y, 2)))
    assert receptive_field(inside, (1, 8, 8), "").size == (4, 4)
    assert not torch._dynamo.utils.counters["frames"]


def test_a_write_updates_no_view_that_nobody_reads(monkeypatch):
    """Writing row by row takes time in proportion to the rows, not to their square."""
    updates = []
    monkeypatch.setattr(tensors, "layouts_of", lambda call: updates.append(call) or rules(call))
    rules = layouts_of

    def function(y):
        made = torch.zeros(1, 2, 100, 4)
        for row in range(100):
            made[:, :, row] = y[:, :, row]
        made += y
        return made

    assert receptive_field(Apply(function), (1, 100, 4), "").size[1] == 3
    assert len(updates) <= 100


def test_memory_is_freed_at_once():
    """Nothing of a trace is left to the garbage collector."""
    block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    analyze(block, (1, 8, 8))  # torch's first call leaves cycles
    gc.collect()
    analyze(block, (1, 8, 8))
    assert gc.collect() == 0
