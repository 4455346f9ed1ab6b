"""What may be analyzed, and the errors for what may not."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from analysis.examples import Apply
from mnistzoo import ReceptiveField, analyze, num_params, receptive_field
from mnistzoo.errors import AnalysisError, InputError, UnknownNameError
from mnistzoo.models import exp5


class Conditioned(nn.Module):
    """A convolution, conditioned on a time step, a class and a map."""

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
    """A dataclass as an output."""

    name: str
    logits: Tensor


def test_other_arguments():
    """Other arguments keep their values, and do not change receptive fields."""
    module, step = Conditioned(), torch.tensor([0.3])
    analysis = analyze(module, (1, 9, 9), {"step": step})
    assert analysis.receptive_field.size == (5, 5)
    assert analysis.unused_params == 10 * 4
    scale = torch.full((1, 4, 7, 7), -1.0)
    given = {"step": step, "label": torch.tensor([3]), "scale": scale}
    analysis = analyze(module, (1, 9, 9), given)
    assert analysis.unused_params == 0
    assert analysis.receptive_field.size == (5, 5)
    rows = {row.path: row for row in analysis}
    assert rows["time"].receptive_field is rows["label"].receptive_field is None
    assert rows["time"].macs == 2 * 4
    assert torch.equal(scale, torch.full((1, 4, 7, 7), -1.0))
    assert receptive_field(module, (1, 9, 9), "conv", given).size == (3, 3)


class Caching(nn.Module):
    """A convolution that adds its last result, and keeps its results."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x, state, seen):  # noqa: D102 - torch's own method
        state["h"] = self.conv(x) + state["h"]
        seen.append(state["h"])
        return state["h"]


def test_containers_among_other_arguments_are_copied():
    """A model's writes to a dictionary or list do not reach the caller's."""
    before = torch.zeros(1, 4, 8, 8)
    state, seen = {"h": before}, []
    assert analyze(Caching(), (1, 8, 8), {"state": state, "seen": seen}).macs == 9 * 4 * 64
    assert state["h"] is before
    assert seen == []


class Masked(nn.Module):
    """A convolution, then PyTorch's own transformer over its units."""

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
def test_masks_of_a_transformer(masks):
    """Every kind of mask is accepted, and PyTorch's fast path is enabled again."""
    assert torch.backends.mha.get_fastpath_enabled()
    analysis = analyze(Masked(), (1, 5, 5), masks)
    assert analysis.output_receptive_field.is_global
    assert analysis.unused_params == 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_other_arguments_may_decide_control_flow():
    """A number or a mask among them may choose a branch or an index."""
    module = Apply(lambda y, sigma, kept: y[..., kept] if sigma.item() > 0.5 else y)
    module.forward = lambda x, **kwargs: module.function(module.conv(x), **kwargs)
    kept = torch.arange(8) % 2 == 0
    for sigma, stride in ((0.7, (1, 2)), (0.2, (1, 1))):
        kwargs = {"sigma": torch.tensor(sigma), "kept": kept}
        assert receptive_field(module, (1, 8, 8), "", kwargs).stride == stride


def test_other_arguments_may_have_any_name():
    """An argument named like one of `receptive_field` is passed like any other."""
    module = Apply(lambda y: y)
    module.forward = lambda x, layer, module, kwargs=None: x[..., layer:]
    kwargs = {"layer": 2, "module": None}
    assert analyze(module, (1, 8, 8), kwargs).output_receptive_field.size == (1, 1)
    assert receptive_field(module, (1, 8, 8), "", kwargs).pixels((0, 0)) == ((0, 0), (2, 2))


@pytest.mark.parametrize("kwargs", [torch.zeros(3), "step", {1: 2}, [("step", 1)]])
def test_other_arguments_that_are_not_a_mapping(kwargs):
    """Other arguments must be a dictionary from names to values."""
    with pytest.raises(InputError, match="Expected kwargs as a mapping"):
        analyze(nn.Flatten(), (1, 8, 8), kwargs)


def test_other_arguments_that_cannot_be_copied():
    """A model might change them, so they are refused."""
    with pytest.raises(InputError, match="Expected kwargs that can be copied, got TypeError"):
        analyze(nn.Flatten(), (1, 8, 8), {"lock": Lock()})


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: {"out": y},
        lambda y: (y, 3),
        lambda y: [None, {"deep": (y,)}],
        lambda y: Output("a", y),
    ],
)
def test_outputs_in_containers(wrap):
    """The output is the first tensor in dictionaries, tuples, lists and dataclasses."""
    field = receptive_field(Apply(wrap), (1, 8, 8), "")
    assert field == ReceptiveField((3, 3), (1, 1), (1, 1))


def test_an_output_without_tensors_is_refused():
    """The error says what was returned."""
    with pytest.raises(AnalysisError, match="returns tensors, got NoneType"):
        analyze(Apply(lambda _: None), (1, 8, 8))


@pytest.mark.parametrize(
    "shape",
    [
        *((), (0, 8, 8), (1, -8, 8), (1, 8.0, 8), ("1", "8"), "1,8,8", "188", b"188", 8, 8.5),
        *(None, {1, 28}, np.array([1.0, 28.0]), np.int64(28)),
        *({"shape"}, np.zeros((1, 28, 28), int)),
    ],
)
def test_shapes_that_are_not_positive_integers(shape):
    """A shape that does not consist of positive integers is refused."""
    with pytest.raises(InputError, match="Expected a tensor, or a shape of positive integers"):
        analyze(exp5(), shape)


def test_an_array_in_place_of_a_tensor():
    """The error shows its shape, not its entries, and how to make a tensor of it."""
    with pytest.raises(InputError) as caught:
        analyze(exp5(), np.zeros((64, 1, 28, 28)))
    message = str(caught.value)
    assert "of shape (64, 1, 28, 28)" in message
    assert "Pass torch.from_numpy(images)." in message
    assert len(message) < 250


@pytest.mark.parametrize("shape", [(1, 10**30, 8), (1, 2**25), (2**24, 2**24, 2**24)])
def test_shapes_that_are_too_large(shape):
    """A shape that is too large is refused before anything is allocated."""
    with pytest.raises(InputError, match="Analyze a smaller input"):
        analyze(nn.Flatten(), shape)


def test_a_long_shape_is_shortened():
    """The error for thousands of numbers is still one sentence."""
    with pytest.raises(InputError) as caught:
        analyze(nn.Flatten(), (0,) * 5000)
    assert len(str(caught.value)) < 250


def test_a_shape_with_the_batch():
    """The error says which shape to pass if the first number is the batch."""
    shape = torch.zeros(64, 1, 28, 28).shape
    for model in (exp5(), nn.Sequential(nn.Conv2d(1, 2, 3))):
        with pytest.raises(InputError, match=r"If 64 is the batch, drop it: pass \(1, 28, 28\)"):
            analyze(model, shape)


def test_a_shape_of_numpy_integers():
    """A one-dimensional array of integers is a shape."""
    shape = np.array([1, 28, 28])
    assert analyze(exp5(), shape).input_shape == (1, 28, 28)


@pytest.mark.parametrize("thing", [exp5, lambda x: x, None])
def test_what_is_not_a_module_is_refused(thing):
    """Classes and functions are not analyzed."""
    with pytest.raises(InputError, match=r"Expected a torch\.nn\.Module, got"):
        analyze(thing, (1, 28, 28))


@pytest.mark.parametrize("module", [nn.ModuleList([nn.Linear(2, 2)]), nn.ModuleDict(), nn.Module()])
def test_a_module_without_forward_is_refused(module):
    """A container of layers has parameters, but is not a model."""
    assert num_params(module) == sum(p.numel() for p in module.parameters())
    with pytest.raises(InputError, match=f"a forward method, got {type(module).__name__}"):
        analyze(module, (2,))


class Graph(nn.Module):
    """A layer on a graph; `__call__` in place of `forward`, as some models have it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def __call__(self, x, edges):
        """Return a sum over each node's neighbors."""
        return edges.to_dense() @ self.layer(x)


def test_a_sparse_input_beside_a_dense_one_is_read():
    """Only the input that receptive fields refer to must be dense."""
    edges = torch.eye(5).to_sparse()
    by_place = analyze(Graph(), (torch.zeros(5, 4), edges))
    assert by_place.macs == analyze(Graph(), torch.zeros(5, 4), kwargs={"edges": edges}).macs > 0


@pytest.mark.parametrize(
    "inputs",
    [
        torch.nested.nested_tensor([torch.ones(3, 4), torch.ones(2, 4)], layout=torch.jagged),
        torch.eye(4).to_sparse(),
        pack_sequence([torch.ones(3, 4), torch.ones(2, 4)]),
        (pack_sequence([torch.ones(3, 4), torch.ones(2, 4)]), torch.ones(1, 2, 4)),
        {"input": pack_sequence([torch.ones(3, 4)])},
    ],
    ids=["nested", "sparse", "packed", "packed with state", "packed by name"],
)
def test_inputs_that_are_not_dense_are_refused(inputs):
    """Their elements have no fixed place, which a receptive field needs."""
    with pytest.raises(InputError, match="Expected dense tensors in inputs"):
        analyze(nn.GRU(4, 4), inputs)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused():
    """A model is refused if TorchScript compiled it or a part of it."""
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    module, traced = torch.jit.script(plain), torch.jit.trace(plain, torch.ones(1, 1, 8, 8))
    for whole in (module, nn.Sequential(module), traced):
        with pytest.raises(AnalysisError, match=r"TorchScript.*that it was compiled from"):
            analyze(whole, (1, 8, 8))


def test_a_shape_that_does_not_fit():
    """The error names the layer that refused it, and the shape that arrived there."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(50, 4))
    with pytest.raises(
        InputError, match=r"layer '2' \(Linear\) refused an input of shape \(1, 36\)"
    ):
        analyze(module, (1, 8, 5))
    with pytest.raises(InputError, match=r"layer '0' \(Conv2d\)"):
        analyze(module, (3, 8, 8))


def test_a_layer_that_does_not_exist():
    """The error suggests the nearest path."""
    with pytest.raises(UnknownNameError, match=r"Did you mean 'features\.conv5'"):
        receptive_field(exp5(), (1, 28, 28), "features.cnv5")
    with pytest.raises(UnknownNameError, match=r"There is no layer '1'\. Choose from: 0"):
        receptive_field(nn.Sequential(nn.Flatten()), (4,), "1")


@pytest.mark.parametrize(
    "layer", [0, 0.5, True, ["0"], ("0",), b"0", nn.Flatten(), np.int64(0), torch.tensor(0)]
)
def test_a_layer_that_is_not_a_string(layer):
    """The error says that paths are strings, with an example."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3))
    with pytest.raises(InputError, match=r"path as a string, such as '0', got \w+\."):
        receptive_field(module, (1, 8, 8), layer)


def test_a_layer_without_a_field():
    """A layer that is not called differs from one whose output does not depend on the input."""
    module = Apply(lambda y: y)
    module.spare = nn.Linear(2, 3)
    with pytest.raises(AnalysisError, match="The layer 'spare' is not called"):
        receptive_field(module, (1, 8, 8), "spare")
    with pytest.raises(AnalysisError, match="The layer '' does not depend on the input"):
        receptive_field(Apply(lambda y: torch.zeros(3)), (1, 8, 8), "")
    with pytest.raises(AnalysisError, match="Name a layer"):
        receptive_field(nn.Flatten(), (4,))


def test_a_model_that_fails():
    """The error names the exception, the layer and its input."""

    def fail(y):
        raise KeyError("gone\nmore")

    with pytest.raises(AnalysisError, match=r"KeyError in layer '0' \(Apply\).*gone.*Fix"):
        analyze(nn.Sequential(Apply(fail)), (1, 8, 8))


@pytest.mark.parametrize("forward", [lambda y: y.tolist(), lambda y: y.to("cuda")])
@pytest.mark.skipif(torch.cuda.is_available(), reason="the model runs on a GPU")
def test_a_model_that_needs_more_than_shapes_is_not_the_fault_of_the_input(forward):
    """The error for a model that reads values or needs a GPU does not blame the input."""
    with pytest.raises(AnalysisError, match=r"meta device, got .*Fix the model or analyze"):
        analyze(Apply(forward), (1, 8, 8))


def test_a_model_that_nests_too_deep():
    """The error names the limit of Python to raise, and raising it is enough."""
    limit = sys.getrecursionlimit()
    module = nn.Sequential(nn.Conv2d(1, 1, 3))
    for _ in range(limit // 4):
        module = nn.Sequential(module)
    with pytest.raises(AnalysisError, match=r"Raise the limit: sys\.setrecursionlimit"):
        analyze(module, (1, 8, 8))
    sys.setrecursionlimit(10_000)
    try:
        assert analyze(module, (1, 8, 8)).receptive_field.size == (3, 3)
    finally:
        sys.setrecursionlimit(limit)


def test_a_forward_written_in_c():
    """Its inputs have no names, so they are numbered."""
    module = nn.Module()
    module.forward = torch.relu
    assert analyze(module, ((1, 8, 8),), of="input 0").receptive_field.size == (1, 1)


def test_a_model_that_calls_its_parts_in_threads():
    """It is refused, since operators in other threads are not traced."""

    class Threaded(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            with ThreadPoolExecutor(2) as pool:
                return sum(pool.map(self.conv, [x, x]))

    with pytest.raises(AnalysisError, match=r"one thread, got a call of layer 'conv' \(Conv2d\)"):
        analyze(Threaded(), (1, 8, 8))


def test_a_model_that_needs_a_second_input():
    """The error says how to pass it."""
    with pytest.raises(AnalysisError, match=r"'input2'.*Pass its inputs as a dictionary"):
        analyze(nn.Bilinear(4, 4, 2), (4,))


def test_parameters_of_a_lazy_model_are_counted_by_analyze():
    """`num_params` refuses them, as it does what is not a module."""
    module = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(InputError, match="use analyze"):
        num_params(module)
    assert analyze(module, (4,)).num_params == 4 * 3 + 3
    with pytest.raises(InputError, match=r"Expected a torch\.nn\.Module, got the class Linear"):
        num_params(nn.Linear)


def test_an_input_without_axes():
    """A model of an input without axes has no receptive field, and the totals say so."""
    analysis = analyze(nn.Linear(8, 3), (8,))
    assert analysis.receptive_field is None
    assert analysis.to_table().caption.endswith("no receptive field")
