"""Inputs of any kind: shapes, examples, several at once, token ids, channels last."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from analysis.examples import Apply
from mnistzoo import analyze, effective_receptive_field, receptive_field
from mnistzoo.cli import main
from mnistzoo.errors import AnalysisError, InputError, UnknownNameError
from mnistzoo.models import exp5

IMAGE = (1, 28, 28)
TOKENS = torch.zeros(1, 12, dtype=torch.long)


@dataclass
class ModelOutput(OrderedDict):
    """An output as those of transformers are: a dictionary and a dataclass at once."""

    loss: Tensor | None = None
    logits: Tensor | None = None

    def __post_init__(self):
        self.update({name: x for name, x in vars(self).items() if x is not None})


class Text(nn.Module):
    """A BERT-like model: token ids, then a local layer, attention, and a pooler."""

    main_input_name = "input_ids"

    def __init__(self, config=None):
        super().__init__()
        self.config = config
        self.words = nn.Embedding(50, 8, padding_idx=0)
        self.places = nn.Embedding(16, 8)
        self.register_buffer("position_ids", torch.arange(16)[None])
        self.local = nn.Conv1d(8, 8, 3, padding=1)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.pooler = nn.Linear(8, 8)

    def forward(self, input_ids=None, attention_mask=None):  # noqa: D102 - torch's own method
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        positions = self.position_ids[:, : input_ids.shape[1]]
        x = self.words(input_ids) + self.places(positions)
        x = self.local(x.transpose(1, 2)).transpose(1, 2)
        x = self.encoder(x, src_key_padding_mask=attention_mask == 0)
        return ModelOutput(logits=self.pooler(x[:, 0]))


class TextAndImage(nn.Module):
    """A CLIP-like model: token ids and images, compared over the batch."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 8)
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, input_ids, pixel_values, return_loss=False):  # noqa: D102 - torch's own method
        words = self.words(input_ids)
        text = words[torch.arange(len(words)), input_ids.argmax(-1)]
        image = self.patches(pixel_values).flatten(2).mean(2)
        scores = self.scale.exp() * text @ image.T
        return {"loss": scores.diag().sum() if return_loss else None, "scores": scores}


@pytest.mark.parametrize("inputs", [IMAGE, [1, 28, 28], torch.zeros(1, *IMAGE), (IMAGE,)])
def test_all_ways_to_pass_one_input(inputs):
    """A shape, an example with its batch, and a tuple of one input have the same analysis."""
    assert analyze(exp5(), inputs).to_dict() == analyze(exp5(), IMAGE).to_dict()
    assert receptive_field(exp5(), inputs).size == (34, 34)


def test_inputs_by_name():
    """The names are those of the model's `forward`; any mapping holds them."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3))
    for inputs in ({"input": IMAGE}, UserDict(input=torch.zeros(1, *IMAGE))):
        assert analyze(module, inputs).input_shape == IMAGE
        assert receptive_field(module, inputs, "0").size == (3, 3)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_rows_are_for_one_input_of_a_batch(batch_size):
    """Shapes and MACs are those of one input, for examples and for shapes."""
    expected = analyze(exp5(), IMAGE).to_dict()
    assert analyze(exp5(), torch.zeros(batch_size, *IMAGE)).to_dict() == expected
    assert analyze(exp5(), IMAGE, batch_size=batch_size).to_dict() == expected


def test_a_model_that_needs_more_than_one_input():
    """It is refused with the option that helps, and analyzed with it."""

    def halves(y):
        first, second = y.chunk(2)
        return first - second

    with pytest.raises(InputError, match="pass batch_size="):
        analyze(Apply(halves), (1, 8, 8))
    assert analyze(Apply(halves), (1, 8, 8), batch_size=2).output_receptive_field.size == (3, 3)


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.0, "2", None, 10**20])
def test_batch_sizes_that_are_not_positive_integers(batch_size):
    """They are refused."""
    with pytest.raises(InputError, match="Expected batch_size as a positive integer"):
        analyze(exp5(), IMAGE, batch_size=batch_size)


def test_an_example_keeps_its_dtype():
    """A model in half precision takes a shape, or an example in half precision."""
    module = nn.Conv2d(1, 2, 3).half()
    for inputs in (IMAGE, torch.zeros(1, *IMAGE, dtype=torch.half)):
        assert analyze(module, inputs).macs == 2 * 9 * 26 * 26
    with pytest.raises(InputError, match="Pass an example that the model takes"):
        analyze(module, torch.zeros(1, *IMAGE))


def test_token_ids():
    """The field is along the sequence: one token behind an embedding, all behind attention."""
    analysis = analyze(Text(), TOKENS)
    fields = {row.path: row.receptive_field for row in analysis}
    assert fields["words"].size == (1,)
    assert fields["places"] is None
    assert fields["local"].size == (3,)
    assert fields["local"].pixels(0) == ((0, 1),)
    assert fields["encoder.layers.0.norm2"].is_global
    assert analysis.input_shape == (12,)
    assert analysis.output_receptive_field.pixels(0) == ((0, 11),)
    assert receptive_field(Text(), {"input_ids": TOKENS}, "local") == fields["local"]


def test_a_mask_keeps_its_values():
    """An attention mask is an input whose values may decide control flow."""
    inputs = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}
    assert analyze(Text(), inputs).output_receptive_field.is_global
    assert analyze(Text(), inputs, of="attention_mask").output_receptive_field.is_global


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_a_shape_for_token_ids(kind):
    """A shape makes a floating-point input; the error says how to pass integers."""
    with pytest.raises(InputError, match=r"Expected integers for layer '0'.*dtype=torch\.long"):
        analyze(nn.Sequential(kind(9, 4), nn.Linear(4, 2)), (16,))


@pytest.mark.parametrize("as_tuple", [True, False])
def test_the_input_that_fields_are_fields_of(as_tuple):
    """It is the first one, or that of the name given; the MACs are the same."""
    inputs = {"input_ids": TOKENS, "pixel_values": (3, 8, 8)}
    given = tuple(inputs.values()) if as_tuple else inputs
    text, image = (analyze(TextAndImage(), given, of=of) for of in (None, "pixel_values"))
    assert text.input_shape == (12,)
    assert image.input_shape == (3, 8, 8)
    assert text.macs == image.macs > 0
    assert text.output_receptive_field.pixels(0) == ((0, 11),)
    assert image.output_receptive_field.pixels(0) == ((0, 7), (0, 7))
    assert receptive_field(TextAndImage(), given, "patches", of="pixel_values").size == (4, 4)
    loss = analyze(TextAndImage(), given, {"return_loss": True})
    assert loss[-1].output_shape == ()


def test_an_input_that_does_not_exist():
    """The error lists the names that there are, or suggests the nearest."""
    with pytest.raises(UnknownNameError, match=r"no input 'pixels'.*'pixel_values'"):
        analyze(TextAndImage(), (TOKENS, (3, 8, 8)), of="pixels")
    with pytest.raises(InputError, match="for the input 'return_loss', got none"):
        analyze(TextAndImage(), (TOKENS, (3, 8, 8)), {"return_loss": True}, of="return_loss")
    with pytest.raises(InputError, match="Expected each input once, got 'input_ids'"):
        analyze(TextAndImage(), {"input_ids": TOKENS}, {"input_ids": TOKENS})
    with pytest.raises(
        AnalysisError, match=r"of shape \(.*'token_ids'.*names that its forward takes"
    ):
        analyze(TextAndImage(), {"token_ids": TOKENS})


@pytest.mark.parametrize("inputs", [{}, {"x": None}, (None, {}), {"x": "188"}])
def test_inputs_without_a_tensor(inputs):
    """They are refused, as there is nothing to follow."""
    with pytest.raises(InputError, match="Expected a shape or a tensor in inputs"):
        analyze(TextAndImage(), inputs)


@pytest.mark.parametrize("inputs", [torch.tensor(3), torch.zeros(0, 1, 8, 8)])
def test_examples_without_a_batch(inputs):
    """A number or an empty batch is not an example."""
    with pytest.raises(InputError, match="Expected an example with its batch"):
        analyze(nn.Identity(), inputs)


def test_shapes_inside_of_containers():
    """Lists and dictionaries inside of an input may hold shapes, and are copied."""

    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, pair, more):
            pair.reverse()
            return self.conv(pair[1]) + more["deep"][..., 1:-1, 1:-1]

    inputs = {"pair": [(1, 8, 8), None], "more": {"deep": torch.zeros(1, 1, 8, 8)}}
    assert analyze(Nested(), inputs).output_receptive_field.size == (3, 3)
    assert analyze(Nested(), inputs, of="more").output_receptive_field.size == (1, 1)
    assert inputs["pair"][1] is None


class ChannelsLast(nn.Module):
    """A convolution of images that have their channels last."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(4, 2)

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.last(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


@pytest.mark.parametrize("inputs", [(9, 12, 3), torch.zeros(1, 9, 12, 3)])
def test_channels_last(inputs):
    """The axes are those between the batch and the channels."""
    field = receptive_field(ChannelsLast(), inputs, "last", channels_last=True)
    assert field.size == (3, 3)
    assert field.pixels((6, 9)) == ((6, 8), (9, 11))


def test_sequences_of_vectors():
    """A recurrent layer reads the whole sequence, not the whole vector."""
    layer = nn.GRU(8, 4, batch_first=True)
    assert analyze(layer, (10, 8), channels_last=True).output_receptive_field.size == (10,)


def test_effective_fields_of_several_inputs():
    """The energy is that of the input named, whatever dimension its channels have."""
    images = torch.rand(2, 9, 12, 3)
    found = effective_receptive_field(ChannelsLast(), images, "last", channels_last=True)
    assert found.unit == (3, 5)
    assert found.energy.shape == (9, 12)
    rows, columns = found.energy.nonzero().unbind(1)
    window = (rows.min(), rows.max()), (columns.min(), columns.max())
    assert window == found.window == ((3, 5), (5, 7))
    inputs = {"input_ids": TOKENS.repeat(2, 1), "pixel_values": torch.rand(2, 3, 8, 8)}
    found = effective_receptive_field(TextAndImage(), inputs, "patches", of="pixel_values")
    assert found.window == ((4, 7), (4, 7))
    with pytest.raises(InputError, match="floating-point images"):
        effective_receptive_field(TextAndImage(), inputs, "patches")


def _run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["mnistzoo", "analyze", *arguments, "--format", "json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    streams = capsys.readouterr()
    return stopped.value.code, json.loads(streams.out or "null"), streams.err


def test_several_inputs_on_the_command_line(capsys, monkeypatch):
    """Each has a name; those that end in _ids are token ids."""
    two = ("--input", "input_ids=12", "--input", "pixel_values=3,8,8")
    model = ("analysis.test_arguments:TextAndImage", *two, "--batch-size", "2")
    code, found, _ = _run(capsys, monkeypatch, *model, "--of", "pixel_values")
    assert (code, found["input_shape"]) == (0, [3, 8, 8])
    _, found, _ = _run(capsys, monkeypatch, *model, "--layer", "words")
    assert found["size"] == [1]
    last = ("analysis.test_arguments:ChannelsLast", "--input", "9,12,3", "--channels-last")
    assert _run(capsys, monkeypatch, *last)[1]["receptive_field"]["size"] == [3, 3]
    code, _, error = _run(capsys, monkeypatch, "exp5", "--input", "1,28,28", "--input", "2")
    assert code == 2
    assert "NAME=C,H,W for each input" in error


class Vision(nn.Module):
    """A model of images as those of transformers are."""

    main_input_name = "pixel_values"
    config_class = SimpleNamespace

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.patches = nn.Conv2d(3, 4, 16, stride=16)

    def forward(self, pixel_values):  # noqa: D102 - torch's own method
        return ModelOutput(logits=self.patches(pixel_values))


class Translator(Text):
    """A model with two sequences of token ids."""

    config_class = partial(SimpleNamespace, max_position_embeddings=9, is_encoder_decoder=True)

    def forward(self, input_ids, decoder_input_ids):  # noqa: D102 - torch's own method
        return self.words(input_ids) + self.words(decoder_input_ids)


class Masked(Text):
    """A model that looks for padding if it gets no mask."""

    config_class = partial(SimpleNamespace, max_position_embeddings=9)

    def forward(self, input_ids, attention_mask=None):  # noqa: D102 - torch's own method
        if attention_mask is None and 0 in input_ids:
            attention_mask = torch.ones_like(input_ids)
        return super().forward(input_ids, attention_mask)


class Speech(Vision):
    """A model of sounds."""

    main_input_name = "input_features"


def test_models_of_transformers(capsys, monkeypatch):
    """A class has its default configuration, and the inputs that this describes."""
    library = SimpleNamespace(
        Vision=Vision, Translator=Translator, Masked=Masked, Speech=Speech, Auto=object
    )
    monkeypatch.setitem(sys.modules, "transformers", library)
    _, found, _ = _run(capsys, monkeypatch, "transformers:Vision")
    assert found["input_shape"] == [3, 224, 224]
    assert found["receptive_field"]["size"] == [16, 16]
    _, found, _ = _run(capsys, monkeypatch, "transformers:Translator", "--batch-size", "2")
    assert found["input_shape"] == [9]
    _, found, _ = _run(capsys, monkeypatch, "transformers:Masked")
    assert found["macs"] > 0
    for name, message in (
        ("Speech", "Pass its shape: --input input_features=…"),
        ("Auto", "Expected a class with a default configuration"),
        ("Visio", "Did you mean 'Vision'"),
    ):
        code, _, error = _run(capsys, monkeypatch, f"transformers:{name}")
        assert code == 1
        assert message in error
