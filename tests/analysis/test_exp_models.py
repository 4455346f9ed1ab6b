"""The zoo's models, held to the study's figures and to a real forward pass."""

from __future__ import annotations

import json

import pytest
import torch

from mnistzoo import analyze, num_params, receptive_field
from mnistzoo.architectures import ARCHITECTURES, Conv
from mnistzoo.models import exp5, get_model, list_models

INPUT = (1, 28, 28)


@pytest.mark.parametrize(
    ("name", "memory"),
    [("exp1", 0.18), ("exp2", 0.59), ("exp3", 0.57), ("exp4", 0.38), ("exp5", 0.69)],
)
def test_footprint_is_as_documented(name, memory):
    """Input, twice the outputs of layers with parameters, and parameters, in MiB."""
    assert round(get_model(name).summary().footprint_mib, 2) == memory


@pytest.mark.parametrize("name", list_models())
def test_rows_agree_with_a_forward_pass(name):
    """Shapes are those of a forward pass, and parameters add up to the model's."""
    model = get_model(name).eval()
    analysis = model.summary()
    assert sum(row.num_params for row in analysis) == analysis.num_params
    assert analysis.num_params == num_params(model) == model.num_params()
    assert analysis.num_params == sum(p.numel() for p in model.parameters())
    shapes = {}
    for path, module in model.named_modules():
        module.register_forward_hook(
            lambda _m, _i, out, path=path: shapes.__setitem__(path, tuple(out.shape[1:]))
        )
    model(torch.zeros(1, *INPUT))
    assert all(row.output_shape == shapes[row.path] for row in analysis)


@pytest.mark.parametrize("name", list_models())
def test_receptive_fields_follow_the_recurrence(name):
    """Size grows by (kernel − 1) × stride and padding by padding × stride, layer by layer."""
    model = get_model(name)
    size, stride, padding = 1, 1, 0
    convs = pools = 0
    for layer in ARCHITECTURES[name].layers:
        kernel, move, pad = (3, 1, layer.padding) if isinstance(layer, Conv) else (2, 2, 0)
        size, padding, stride = size + (kernel - 1) * stride, padding + pad * stride, stride * move
        convs, pools = convs + isinstance(layer, Conv), pools + (not isinstance(layer, Conv))
        path = f"features.conv{convs}" if isinstance(layer, Conv) else f"features.pool{pools}"
        field = model.receptive_field(path)
        assert field.size == (size, size)
        assert field.stride == (stride, stride)
        assert field.padding == (padding, padding)
    assert receptive_field(model, INPUT) == model.receptive_field(path)


def test_progression_of_exp5():
    """Windows grow from 3 to 34 pixels, through 3, 5, 7, 8, 12, 16, 18 and 26."""
    fields = [
        row.receptive_field.size[0]
        for row in exp5().summary()
        if row.kind in ("Conv2d", "MaxPool2d")
    ]
    assert fields == [3, 5, 7, 8, 12, 16, 18, 26, 34]


def test_the_classifier_is_global():
    """A flatten and a linear layer read everything, and no window moves with their units."""
    field = exp5().receptive_field("classifier")
    assert field.is_global
    assert field.local is None
    assert field.stride == (0, 0)


def test_summary_is_the_analysis():
    """`summary()` equals `analyze`, and is valid JSON."""
    model = exp5()
    assert analyze(model, INPUT).to_dict() == model.summary().to_dict()
    json.dumps(model.summary().to_dict(), allow_nan=False)


def test_inference_mode_changes_nothing():
    """A model built and analyzed inside `torch.inference_mode` gives the same table."""
    outside = exp5().summary().to_dict()
    with torch.inference_mode():
        assert exp5().summary().to_dict() == outside
