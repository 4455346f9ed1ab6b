"""What networks may be like, and what is said of those that cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from mnistzoo import ReceptiveField, analyze, num_params, receptive_field
from mnistzoo.analysis.tracing.modules import tensors_of
from mnistzoo.analysis.tracing.tracer import LayoutTracer
from mnistzoo.errors import AnalysisError, InputError, UnknownNameError, UnknownOperatorError
from mnistzoo.models import exp5


class Function(nn.Module):
    """A convolution and any function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.function(self.conv(x))


class Recurrent(nn.Module):
    """A recurrent layer along the last axis."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):  # noqa: D102 - torch's own method
        output, _ = self.layer(x.transpose(1, 2))
        return output


class Conditioned(nn.Module):
    """A convolution whose channels a time step and a class move, and a map scales."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.time = nn.Linear(2, 4)
        self.label = nn.Embedding(10, 4)
        self.last = nn.Conv2d(4, 1, 3)

    def forward(self, x, step, *, label=None, scale=None):  # noqa: D102 - torch's own method
        moved = self.time(torch.stack([step.sin(), step.cos()], dim=1))
        if label is not None:
            moved = moved + self.label(label)
        made = self.conv(x) + moved[:, :, None, None]
        if scale is not None:
            made *= scale.clamp_(min=0)
        return self.last(made)


@dataclass
class Output:
    """What some networks return."""

    name: str
    logits: Tensor


def test_further_arguments():
    """They are passed on by name, move no field, keep their values, and are counted where read."""
    network, step = Conditioned(), torch.tensor([0.3])
    seen = analyze(network, (1, 9, 9), step=step)
    assert seen.receptive_field.size == (5, 5)
    assert seen.unused_params == 10 * 4
    scale = torch.full((1, 4, 7, 7), -1.0)
    given = {"step": step, "label": torch.tensor([3]), "scale": scale}
    seen = analyze(network, (1, 9, 9), **given)
    assert seen.unused_params == 0
    assert seen.receptive_field.size == (5, 5)
    rows = {row.path: row for row in seen}
    assert rows["time"].receptive_field is rows["label"].receptive_field is None
    assert rows["time"].macs == 2 * 4
    assert torch.equal(scale, torch.full((1, 4, 7, 7), -1.0))
    assert receptive_field(network, (1, 9, 9), "conv", **given).size == (3, 3)


class Remembering(nn.Module):
    """A convolution that adds what it made before, and keeps what it makes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x, state, seen):  # noqa: D102 - torch's own method
        state["h"] = self.conv(x) + state["h"]
        seen.append(state["h"])
        return state["h"]


def test_containers_among_further_arguments_are_left_alone():
    """What the network writes into a dictionary or a list does not reach the caller's."""
    before = torch.zeros(1, 4, 8, 8)
    state, seen = {"h": before}, []
    assert analyze(Remembering(), (1, 8, 8), state=state, seen=seen).macs == 9 * 4 * 64
    assert state["h"] is before
    assert seen == []


class Masked(nn.Module):
    """A convolution, and a transformer of torch's over its places."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        layer = nn.TransformerEncoderLayer(2, 2, 4, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x, **masks):  # noqa: D102 - torch's own method
        return self.encoder(self.conv(x).flatten(2).transpose(1, 2), **masks)


CAUSAL = nn.Transformer.generate_square_subsequent_mask(9)


@pytest.mark.parametrize(
    "masks",
    [
        {"mask": CAUSAL},
        {"mask": CAUSAL.isinf()},
        {"mask": CAUSAL, "is_causal": True},
        {"src_key_padding_mask": torch.arange(9)[None] > 6},
    ],
)
def test_masks_of_torchs_transformers(masks):
    """They are taken, whatever they are made of, and torch's own setting is left as it was."""
    assert torch.backends.mha.get_fastpath_enabled()
    analysis = analyze(Masked(), (1, 5, 5), **masks)
    assert analysis.output_receptive_field.is_global
    assert analysis.unused_params == 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_numbers_among_further_arguments_may_be_read():
    """A number, or a mask, that is given may decide the network's course."""
    module = Function(lambda y, sigma, kept: y[..., kept] if sigma.item() > 0.5 else y)
    module.forward = lambda x, **given: module.function(module.conv(x), **given)
    kept = torch.arange(8) % 2 == 0
    assert receptive_field(module, (1, 8, 8), "", sigma=torch.tensor(0.7), kept=kept).stride == (
        1,
        2,
    )
    assert receptive_field(module, (1, 8, 8), "", sigma=torch.tensor(0.2), kept=kept).stride == (
        1,
        1,
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: {"out": y},
        lambda y: (y, 3),
        lambda y: [None, {"deep": (y,)}],
        lambda y: Output("a", y),
    ],
)
def test_outputs_that_are_no_tensors_are_followed(wrap):
    """Dictionaries, tuples, lists and dataclasses are looked through for the first tensor."""
    field = receptive_field(Function(wrap), (1, 8, 8), "")
    assert field == ReceptiveField((3, 3), (1, 1), (1, 1))


def test_a_network_that_returns_no_tensor():
    """It is an error that says what was returned."""
    with pytest.raises(AnalysisError, match="returns tensors, got NoneType"):
        analyze(Function(lambda _: None), (1, 8, 8))


def test_tensors_that_are_written_as_numbers():
    """They may be viewed, written to, and meet the input."""

    def function(y):
        mean = torch.tensor([0.485, 0.456]).view(1, 2, 1, 1)
        mean += torch.tensor([1.0, 2.0])[:, None, None]
        return (y - mean) / torch.tensor(2.0).expand(1, 2, 1, 1)

    assert receptive_field(Function(function), (1, 8, 8), "").size == (3, 3)


@pytest.mark.parametrize("shape", [(), (0, 8, 8), (1, 8.5, 8), "1,8,8", "188", 8, None])
def test_shapes_that_are_none(shape):
    """A shape is positive integers, without the batch."""
    with pytest.raises(InputError, match="positive integers"):
        analyze(exp5(), shape)


def test_shapes_of_numpys_integers():
    """They are integers, too."""
    shape = np.array([1, 28, 28])
    assert analyze(exp5(), shape).input_shape == (1, 28, 28)


@pytest.mark.parametrize("thing", [exp5, lambda x: x, None])
def test_what_is_no_module_is_refused(thing):
    """A class or a function is not analysed."""
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module, got"):
        analyze(thing, (1, 28, 28))


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused():
    """Its parts call each other unseen; so is a network with such a part."""
    network = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    for whole in (network, nn.Sequential(network)):
        with pytest.raises(AnalysisError, match=r"TorchScript.*that it was made from"):
            analyze(whole, (1, 8, 8))


def test_an_operator_without_a_rule_for_its_shape():
    """One of one's own, or a quantized one: it is named, and not the shape blamed."""

    @torch.library.custom_op("mnistzoo_tests::double", mutates_args=())
    def double(y: Tensor) -> Tensor:
        return 2 * y

    with pytest.raises(UnknownOperatorError, match=r"the model \(Function\).*double"):
        analyze(Function(double), (1, 8, 8))


def test_autocast_alters_nothing():
    """Inside the network or around it, it casts values and no shape."""

    def function(y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return nn.functional.conv2d(y, torch.zeros(2, 2, 3, 3))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        analysis = analyze(Function(function), (1, 8, 8))
    assert analysis.receptive_field.size == (5, 5)


def test_a_shape_that_does_not_fit_names_the_layer():
    """The layer that refused, and what came in, are named."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(50, 4))
    with pytest.raises(
        InputError, match=r"layer '2' \(Linear\) refused its input of shape \(1, 36\)"
    ):
        analyze(module, (1, 8, 5))
    with pytest.raises(InputError, match=r"layer '0' \(Conv2d\)"):
        analyze(module, (3, 8, 8))


def test_a_layer_that_does_not_exist_or_is_not_called():
    """The nearest path is suggested; a layer that exists but never runs is told apart."""
    with pytest.raises(UnknownNameError, match=r"Did you mean 'features\.conv5'"):
        receptive_field(exp5(), (1, 28, 28), "features.cnv5")
    with pytest.raises(UnknownNameError, match="no layer '0'"):
        receptive_field(exp5(), (1, 28, 28), 0)
    module = Function(lambda y: y)
    module.spare = nn.Linear(2, 3)
    with pytest.raises(AnalysisError, match="'spare'"):
        receptive_field(module, (1, 8, 8), "spare")


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y if y.sum() > 0 else -y,
        lambda y: y * y.max().item(),
        lambda y: y[y > 0],
        lambda y: y.nonzero(),
    ],
)
def test_control_flow_that_depends_on_values(function):
    """It is named, with the layer, since no pass without values can take it."""
    with pytest.raises(
        AnalysisError, match=r"the model \(Function\)\. Data-dependent control flow"
    ):
        analyze(Function(function), (1, 8, 8))


def test_an_unknown_operator_is_never_guessed():
    """The operator and the layer are named."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), Function(torch.diag_embed))
    module[1].conv = nn.Identity()
    with pytest.raises(UnknownOperatorError, match=r"aten\.diag_embed.*layer '1' \(Function\)"):
        analyze(module, (1, 8, 8))


def test_a_kernel_that_is_made_of_the_input():
    """The operator is known, but not on a map that is not made of the input."""
    with pytest.raises(UnknownOperatorError, match=r"aten\.conv.*\(Function\).*its backbone"):
        analyze(Function(lambda y: nn.functional.conv2d(torch.rand(1, 2, 9, 9), y)), (1, 8, 8))


def test_token_ids():
    """A network that begins with an embedding takes no images; the message says what to do."""
    with pytest.raises(InputError, match="takes integers; analyse what follows"):
        analyze(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), (16,))


def test_an_input_without_axes():
    """There is no field to tell of, and the caption says so."""
    analysis = analyze(nn.Linear(8, 3), (8,))
    assert analysis.receptive_field is None
    assert analysis.to_table().caption.endswith("no receptive field")


def test_branches_that_do_not_line_up():
    """Maps of one length whose units move by different numbers of pixels cannot be joined."""
    with pytest.raises(AnalysisError, match="1 and 2"):
        analyze(Function(lambda y: y[..., :32] + y[..., ::2]), (1, 64, 64))


def test_shared_and_unused_parameters():
    """A shared layer counts once, in its first row; what is never read shows as unused."""
    shared = nn.Linear(8, 8)
    module = nn.ModuleDict({"one": shared, "two": nn.Sequential(shared), "spare": nn.Linear(8, 3)})
    module.forward = lambda x: module["two"](module["one"](x))
    analysis = analyze(module, (8,))
    assert analysis.num_params == num_params(module) == 72 + 27
    assert analysis.unused_params == 27
    assert [row.num_params for row in analysis if row.path == "one"] == [72, 0]
    assert analysis.macs == 2 * 64
    assert analysis.receptive_field is None
    shared.bias.requires_grad_(False)
    assert num_params(module, trainable_only=True) == 64 + 27


def test_what_is_read_though_not_called():
    """Parameters that a function reads are not called unused, in the table either."""
    module = Function(lambda y: y @ module.spare.weight)
    module.spare = nn.Linear(8, 8, bias=False)
    analysis = analyze(module, (1, 8, 8))
    assert analysis.unused_params == 0
    assert "unused" not in str(analysis)
    assert re.search(r"spare +Linear +not called +64", str(analysis))


def test_a_module_with_two_paths():
    """Either names it: what it returned last, as the row of its last call says."""
    relu = nn.ReLU()
    module = nn.Sequential(nn.Conv2d(1, 2, 3), relu, nn.Conv2d(2, 2, 3), relu)
    fields = [receptive_field(module, (1, 8, 8), path).size for path in ("0", "1", "2", "3")]
    assert fields == [(3, 3), (5, 5), (5, 5), (5, 5)]


def test_a_module_that_raised_and_was_replaced():
    """An error that the network itself catches leaves every other row where it belongs."""

    def either(y):
        try:
            return module.narrow(y)
        except RuntimeError:
            return module.wide(y)

    module = Function(either)
    module.conv = nn.Identity()
    module.narrow, module.wide = nn.Conv2d(9, 2, 3), nn.Conv2d(1, 2, 5)
    shapes = {row.path: row.output_shape for row in analyze(module, (1, 8, 8))}
    assert shapes["wide"] == (2, 4, 4)
    assert shapes["narrow"] is None
    assert receptive_field(module, (1, 8, 8), "").size == (5, 5)


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_recurrent_layers(kind, gates):
    """They are analysed with parameters on any device; every place is taken to see all places."""
    module = Recurrent(kind(4, 6, batch_first=True))
    analysis = analyze(module, (4, 5))
    assert analysis.macs == 5 * gates * (4 * 6 + 6 * 6)
    assert analysis.num_params == num_params(module)
    field = receptive_field(module, (4, 5), "layer")
    assert field.is_global
    assert field.stride == (0,)
    assert field.interval(2) == field.pixels(2) == ((0, 4),)


class Own(torch.Tensor):
    """A kind of tensor, as libraries for pictures have them."""


def _with_data(y):
    made = torch.empty_like(y)
    made.data = y
    return made


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y.as_subclass(Own),
        lambda y: torch.relu_(y.as_subclass(Own)),
        lambda y: nn.Parameter(y, requires_grad=False),
        tv_tensors.Image,
        lambda y: y[:, :, 1:-1].as_subclass(Own),
        _with_data,
    ],
)
def test_tensors_that_no_operator_made(function):
    """They see what the tensor sees whose memory they have."""
    network = nn.Sequential(Function(function), nn.Conv2d(2, 1, 5))
    analysis = analyze(network, (1, 12, 12))
    assert analysis.receptive_field.size == (7, 7)
    assert analysis.output_receptive_field.size == (7, 7)
    field = receptive_field(Function(function), (1, 12, 12), "")
    assert field.size == (3, 3)


def test_writing_to_a_tensor_that_no_operator_made():
    """What has the same memory sees it too."""

    def function(y):
        other = y.as_subclass(Own)
        other += nn.functional.avg_pool2d(y, 3, 1, 1)
        return y

    assert receptive_field(Function(function), (1, 12, 12), "").size == (5, 5)

    def onto_zeros(y):
        made = torch.zeros_like(y)
        made.as_subclass(Own).copy_(y)
        return made

    assert receptive_field(Function(onto_zeros), (1, 12, 12), "").size == (3, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y.as_strided(y.shape, (128, 64, 1, 8)),
        lambda y: y[:, :, 1:].as_strided((1, 2, 7, 8), (128, 64, 8, 1), 0),
    ],
)
def test_memory_in_another_order_is_refused(function):
    """Strides that turn a map, or begin before it, read other units."""
    with pytest.raises(UnknownOperatorError, match="reads memory, not units"):
        analyze(Function(function), (1, 8, 8))


RANDOM = {
    "rows": lambda y: y[:, :, torch.randperm(8, device=y.device)[:3]],
    "rows from elsewhere": lambda y: y.index_select(2, torch.randperm(8)[:3]),
}


@pytest.mark.parametrize("name", RANDOM)
def test_what_is_drawn_is_no_fact(name):
    """Rows drawn at random may be any."""
    field = receptive_field(Function(RANDOM[name]), (1, 8, 8), "")
    assert {field.pixels((row, 2))[0] for row in range(3)} == {(0, 7)}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_course_that_is_drawn_is_refused(device):
    """A branch taken at random is not one that can be told of."""
    with pytest.raises(AnalysisError, match="Data-dependent control flow"):
        analyze(Function(lambda y: y if torch.rand(1, device=device) < 0.5 else -y), (1, 8, 8))


def test_large_constants_are_not_computed():
    """What a mask of many tokens takes is not allocated; small ones may be read all the same."""

    class Causal(nn.Module):
        def forward(self, x):
            places = torch.arange(x.shape[2], device=x.device)
            mask = places[None] > places[:, None]
            scores = (x.transpose(1, 2) @ x).masked_fill(mask, -9.0)
            return x @ scores.softmax(2) if mask[0, 1:2].all() or len(mask) > 5000 else x

    analyze(Causal(), (2, 64))
    with pytest.raises(AnalysisError, match="Data-dependent control flow"):
        analyze(Causal(), (2, 5000))
    assert analyze(Masks(), (2, 100_000)).output_receptive_field.is_global


class Masks(nn.Module):
    """Many masks that would take 10 GB each."""

    def forward(self, x):  # noqa: D102 - torch's own method
        for _ in range(9):
            places = torch.arange(x.shape[2], device=x.device)
            x = x @ (places[None] > places[:, None]).to(x.dtype)
        return x


def test_a_constant_loses_its_values_where_the_input_is_written_to_it():
    """So do the views of it, which hold them no longer."""

    def function(y):
        made = torch.zeros(2, 8, 8)
        part = made[:1, :2]
        made += y[0]
        return y if part.sum().item() else y[:, :, ::2]

    with pytest.raises(AnalysisError, match="Data-dependent control flow"):
        analyze(Function(function), (1, 8, 8))


class Counting(nn.Module):
    """Rows whose numbers are a buffer that is counted on, or made of the input."""

    def __init__(self, add):
        super().__init__()
        self.add = add
        self.register_buffer("rows", torch.tensor([0, 2, 4]))

    def forward(self, x):  # noqa: D102 - torch's own method
        self.rows += self.add(x)
        return x.index_select(2, self.rows)


def test_numbers_of_rows_are_what_they_are_by_now():
    """Values that were written to a buffer count, not those that it had before."""
    field = receptive_field(Counting(lambda _: 3), (1, 8, 8), "")
    assert [field.pixels((row, 1))[0] for row in range(3)] == [(3, 3), (5, 5), (7, 7)]
    module = Counting(lambda x: x.flatten().argmax())
    assert receptive_field(module, (1, 8, 8), "").pixels((1, 1)) == ((0, 7), (0, 7))
    assert module.rows.tolist() == [0, 2, 4]


def test_a_tensor_with_part_of_anothers_memory():
    """What it sees is not known, and is not guessed."""

    def function(y):
        return y.new_empty(0).set_(y.untyped_storage(), 1, (1, 2, 7, 7), (128, 64, 8, 1))

    with pytest.raises(AnalysisError, match="part of another's memory"):
        analyze(nn.Sequential(Function(function), nn.Conv2d(2, 1, 3)), (1, 8, 8))


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
def test_constants_made_where_the_input_is(name):
    """They keep their values, on whichever device the network asks for them."""
    assert receptive_field(Function(CONSTANTS[name]), (1, 8, 8), "").stride == (2, 2)


class Quantized(nn.Module):
    """The nearest entry of a code book for each place, and windows of a sound."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 3, 5, stride=2)
        self.codes = nn.Embedding(7, 3)

    def forward(self, x):  # noqa: D102 - torch's own method
        made = self.conv(x).transpose(1, 2)
        nearest = torch.cdist(made, self.codes.weight[None]).argmin(2)
        return (made + (self.codes(nearest) - made).detach()).transpose(1, 2)


class Spectrogram(nn.Module):
    """What comes before many networks of sound."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))

    def forward(self, x):  # noqa: D102 - torch's own method
        options = {"window": self.window, "return_complex": True, "center": False}
        return torch.stft(x[:, 0], 16, 4, **options).abs()


@pytest.mark.parametrize(
    ("module", "size", "stride"), [(Quantized(), 5, 2), (Spectrogram(), 16, 4)]
)
def test_what_torch_refuses_on_two_devices(module, size, stride):
    """It is followed where all of the network's tensors are without data; they are left alone."""
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


def test_autocast_and_inference_mode_inside_a_network():
    """Neither changes what is seen."""
    module = InModes()
    analysis = analyze(module, (1, 12, 12))
    assert analysis.receptive_field.size == (7, 7)
    assert analysis.num_params == num_params(module)
    assert analysis.unused_params == 0


class Begun(nn.Module):
    """A recurrent layer with an initial state, given or made."""

    def __init__(self, kind):
        super().__init__()
        self.layer = kind(4, 6, num_layers=2, batch_first=True)
        self.register_buffer("kept", torch.arange(5) != 2)

    def forward(self, x, state=None):  # noqa: D102 - torch's own method
        if state is None:
            state = torch.zeros(2, len(x), 6)  # on no device in particular, as is often written
            state = (state, state * 2) if isinstance(self.layer, nn.LSTM) else state
        return self.layer(x[..., self.kept].transpose(1, 2), state)[0]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {}) for kind in (nn.RNN, nn.GRU, nn.LSTM)),
        (nn.RNN, {"bias": False, "nonlinearity": "relu"}),
        (nn.GRU, {"num_layers": 3, "bidirectional": True, "batch_first": True}),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True, "bias": False}),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 3}),
    ],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_recurrent_layers_return_what_torch_says(kind, options):
    """Their outputs and last states have torch's shapes, their cost is that of all steps."""
    layer, shapes = kind(4, 6, **options), []
    layer.register_forward_hook(
        lambda _module, _args, out: shapes.append([tuple(x.shape) for x in tensors_of(out)])
    )
    analysis = analyze(layer, (5, 4))
    layer(torch.zeros(1, 5, 4))
    assert shapes[0] == shapes[1]
    assert analysis.macs == 5 * sum(p.numel() for p in layer.parameters() if p.ndim == 2)
    assert analysis.unused_params == 0
    assert len(analysis) == 1


def test_a_recurrent_layer_takes_no_longer_for_more_steps(monkeypatch):
    """As many operators run for a thousand steps as for three."""
    ran, run = [], LayoutTracer._run
    monkeypatch.setattr(LayoutTracer, "_run", lambda *args: ran.append(args[1]) or run(*args))
    network = Recurrent(nn.LSTM(4, 6, num_layers=2, batch_first=True))
    analyze(network, (4, 3))
    few = len(ran)
    analyze(network, (4, 1000))
    assert len(ran) == 2 * few


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_an_initial_state_along_the_columns(kind):
    """Its entries are mixed by the first step, whichever places of the input they are of."""

    class FromColumns(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(2, 8)

        def forward(self, x):
            begun = x[:, 0, :1]
            state = (torch.zeros(1, 1, 8), begun) if kind is nn.LSTM else begun
            return self.layer(torch.zeros(3, 1, 2), state)[0]

    field = receptive_field(FromColumns(), (1, 4, 8), "")
    assert field.pixels((0, 2))[1] == (0, 7)


def test_a_packed_sequence_is_followed():
    """Step by step, as torch has it."""

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.LSTM(4, 6)

        def forward(self, x):
            sizes = torch.ones(x.shape[2], dtype=torch.long)
            packed = nn.utils.rnn.PackedSequence(x[0].T, sizes)
            return self.layer(packed)[0].data

    assert analyze(Packed(), (4, 9)).macs == 9 * 4 * 6 * (4 + 6)


def test_a_decoder_sees_what_its_initial_state_sees():
    """A state that is made of the input is part of what each step sees."""

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.GRU(4, 6, batch_first=True), nn.GRU(2, 6)

        def forward(self, x):
            _, state = self.encoder(x.transpose(1, 2))
            return self.decoder(torch.zeros(7, 1, 2), state)[0]

    field = receptive_field(Decoder(), (4, 9), "")
    assert field.pixels(0) == ((0, 8),)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_with_an_initial_state(kind):
    """It may be passed, or made on the way; neither is part of what is seen."""
    state = torch.zeros(2, 1, 6)
    given = (state, state.clone()) if kind is nn.LSTM else state
    made, passed = (analyze(Begun(kind), (4, 5), **kw) for kw in ({}, {"state": given}))
    assert made.macs == passed.macs
    assert made.output_receptive_field.is_global
    assert not state.is_meta


def test_a_column_that_is_expanded_is_the_same_to_all():
    """No window moves along an axis that the places of a map do not lie on."""
    field = receptive_field(Function(lambda y: y[..., 5:6].expand(-1, -1, -1, 9)), (1, 6, 9), "")
    assert field.is_global
    assert field.stride == (1, 0)
    assert field.interval((2, 7)) == ((1, 3), (4, 6))
    alone = receptive_field(Function(lambda y: y[..., 5:6]), (1, 6, 9), "")
    assert not alone.is_global
    assert alone.stride == (1, 1)


def test_functions_have_rows():
    """A pool that is called as a function shows under the module that calls it."""
    module = nn.Sequential(Function(lambda y: nn.functional.max_pool2d(y, 2)))
    assert [(row.path, row.kind) for row in analyze(module, (1, 8, 8))] == [
        ("0.conv", "Conv2d"),
        ("0", "max_pool2d"),
    ]


def test_a_receptive_field_by_hand():
    """The record computes intervals, centres and clipped sizes, and compares by its numbers."""
    field = ReceptiveField(size=(34, 5), stride=(4, 1), padding=(8, 2))
    assert field.interval((1, 0)) == ((-4, 29), (-2, 2))
    assert field.center((1, 0)) == (12.5, 0.0)
    assert field.clipped(28) == (28, 5)
    assert field.local is field
    assert repr(field) == (
        "ReceptiveField(size=(34, 5), stride=(4, 1), padding=(8, 2), is_global=False)"
    )
    with pytest.raises(InputError, match="one number for each"):
        field.interval((1, 2, 3))
    with pytest.raises(InputError, match="by hand"):
        field.pixels(0)
    with pytest.raises(InputError, match="from 0 to 2"):
        exp5().receptive_field("features.conv7").pixels(3)
