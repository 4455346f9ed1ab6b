"""The five networks of the zoo, against the study's resolved figures and against themselves."""

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
def test_memory_is_as_documented(name, memory):
    """Input, twice the outputs of layers with parameters, parameters: MiB in float32."""
    assert round(get_model(name).summary().footprint_mib, 2) == memory


@pytest.mark.parametrize("name", list_models())
def test_rows_add_up(name):
    """Parameters are those of the module, shapes those of a real pass, and rows sum to totals."""
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
    """Layer by layer, size grows by (kernel − 1) × stride, and padding by padding × stride."""
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
    """The study's network ends at 34 pixels with a stride of 4, through 3, 5, 7, 8, 12, 16, …."""
    fields = [
        row.receptive_field.size[0]
        for row in exp5().receptive_field()
        if row.kind in ("Conv2d", "MaxPool2d")
    ]
    assert fields == [3, 5, 7, 8, 12, 16, 18, 26, 34]


def test_the_classifier_sees_all_that_its_features_see():
    """A flatten and a linear layer see the whole at once, and no window moves with their units."""
    field = exp5().receptive_field("classifier")
    assert field.is_global
    assert field.local is None
    assert field.stride == (0, 0)


def test_analysis_is_the_models_own_summary():
    """The function for any module and the method of the zoo's networks answer alike."""
    model = exp5()
    assert analyze(model, INPUT).to_dict() == model.summary().to_dict()
    json.dumps(model.summary().to_dict(), allow_nan=False)


def test_inside_inference_mode():
    """A network built and read inside `torch.inference_mode` gives the same table as outside."""
    outside = exp5().summary().to_dict()
    with torch.inference_mode():
        assert exp5().summary().to_dict() == outside
