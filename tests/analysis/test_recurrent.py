"""Recurrent layers: their cost, their results, and what they depend on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mnistzoo import analyze, num_params, receptive_field
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.tracer import LayoutTracer


class Recurrent(nn.Module):
    """A recurrent layer along the last axis."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):  # noqa: D102 - torch's own method
        output, _ = self.layer(x.transpose(1, 2))
        return output


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_each_step_reads_the_whole_sequence(kind, gates):
    """Every output of a recurrent layer reads all steps, and its MACs are those of all gates."""
    module = Recurrent(kind(4, 6, batch_first=True))
    analysis = analyze(module, (4, 5))
    assert analysis.macs == 5 * gates * (4 * 6 + 6 * 6)
    assert analysis.num_params == num_params(module)
    field = receptive_field(module, (4, 5), "layer")
    assert field.is_global
    assert field.stride == (0,)
    assert field.interval(2) == field.pixels(2) == ((0, 4),)


class WithInitialState(nn.Module):
    """A recurrent layer with an initial state, passed or made in `forward`."""

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
def test_results_have_the_shapes_of_torch(kind, options):
    """Outputs and last states have PyTorch's shapes, and MACs count every step."""
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


def test_cost_of_a_trace_does_not_grow_with_the_sequence(monkeypatch):
    """A thousand steps take as many operators as three."""
    ran, run = [], LayoutTracer._run
    monkeypatch.setattr(LayoutTracer, "_run", lambda *args: ran.append(args[1]) or run(*args))
    module = Recurrent(nn.LSTM(4, 6, num_layers=2, batch_first=True))
    analyze(module, (4, 3))
    few = len(ran)
    analyze(module, (4, 1000))
    assert len(ran) == 2 * few


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_an_initial_state_is_mixed_by_the_first_step(kind):
    """Every output depends on all entries of an initial state made from columns of the input."""

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


def test_a_packed_sequence_runs_step_by_step():
    """A packed sequence runs PyTorch's own operators."""

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.LSTM(4, 6)

        def forward(self, x):
            sizes = torch.ones(x.shape[2], dtype=torch.long)
            packed = nn.utils.rnn.PackedSequence(x[0].T, sizes)
            return self.layer(packed)[0].data

    assert analyze(Packed(), (4, 9)).macs == 9 * 4 * 6 * (4 + 6)


def test_a_decoder_reads_what_its_initial_state_reads():
    """An initial state that depends on the input adds to the field of every step."""

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
def test_an_initial_state_may_be_passed_or_made(kind):
    """An initial state that does not depend on the input costs nothing and stays on its device."""
    state = torch.zeros(2, 1, 6)
    given = (state, state.clone()) if kind is nn.LSTM else state
    made, passed = (
        analyze(WithInitialState(kind), (4, 5), kwargs) for kwargs in ({}, {"state": given})
    )
    assert made.macs == passed.macs
    assert made.output_receptive_field.is_global
    assert not state.is_meta
