"""Rows of a table: which calls have one, and which parameters it counts."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from analysis.examples import Apply
from mnistzoo import analyze, num_params, receptive_field


def test_shared_parameters_count_once():
    """A shared layer counts in its first row, and parameters that nothing reads are unused."""
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


def test_parameters_read_by_a_function_are_not_unused():
    """A layer that is not called is not unused if a function reads its weight."""
    module = Apply(lambda y: y @ module.spare.weight)
    module.spare = nn.Linear(8, 8, bias=False)
    analysis = analyze(module, (1, 8, 8))
    assert analysis.unused_params == 0
    assert "unused" not in str(analysis)
    assert re.search(r"spare +Linear +not called +64", str(analysis))


def test_a_module_with_two_paths_has_the_field_of_its_last_call():
    """Both paths of a shared module name the output of its last call."""
    relu = nn.ReLU()
    module = nn.Sequential(nn.Conv2d(1, 2, 3), relu, nn.Conv2d(2, 2, 3), relu)
    fields = [receptive_field(module, (1, 8, 8), path).size for path in ("0", "1", "2", "3")]
    assert fields == [(3, 3), (5, 5), (5, 5), (5, 5)]


def test_an_exception_that_the_model_catches():
    """A layer that raised counts as not called, and other rows are not affected."""

    def either(y):
        try:
            return module.narrow(y)
        except RuntimeError:
            return module.wide(y)

    module = Apply(either)
    module.conv = nn.Identity()
    module.narrow, module.wide = nn.Conv2d(9, 2, 3), nn.Conv2d(1, 2, 5)
    shapes = {row.path: row.output_shape for row in analyze(module, (1, 8, 8))}
    assert shapes["wide"] == (2, 4, 4)
    assert shapes["narrow"] is None
    assert receptive_field(module, (1, 8, 8), "").size == (5, 5)


def test_functions_have_rows():
    """A pool called as a function has a row with the path of its caller."""
    module = nn.Sequential(Apply(lambda y: nn.functional.max_pool2d(y, 2)))
    assert [(row.path, row.kind) for row in analyze(module, (1, 8, 8))] == [
        ("0.conv", "Conv2d"),
        ("0", "max_pool2d"),
    ]


def test_a_row_has_the_shape_that_the_function_returned():
    """A later change of the tensor's shape in place is no part of it."""

    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.ones(1, 6, 5))
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(torch.bmm(x, self.weight).transpose_(1, 2))

    first, *_ = analyze(InPlace(), (4, 6))
    assert (first.kind, first.output_shape) == ("bmm", (4, 5))


def test_bags_of_embeddings():
    """A bag reads its numbers, and has one vector."""
    bags = nn.EmbeddingBag(10, 3)
    assert analyze(bags, torch.zeros(2, 4, dtype=torch.long))[0].output_shape == (3,)


def test_a_softmax_that_groups_its_classes():
    """The analysis does not stop at the lookup of each group, and counts every layer."""
    softmax = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10], div_value=2)
    analysis = analyze(softmax, (torch.rand(4, 8), torch.tensor([0, 6, 12, 1])))
    assert (analysis.stopped_at, analysis.unused_params) == (None, 0)
    assert analysis.macs == 8 * 7 + (8 * 4 + 4 * 5 + 8 * 2 + 2 * 10) / 4  # a mean of 4 inputs


@pytest.mark.filterwarnings("ignore:index_reduce")
def test_rows_multiplied_by_others_read_both():
    """`index_reduce` is in beta, so torch warns."""
    rows = torch.tensor([1, 5])
    multiplied = Apply(lambda x: x.index_reduce(2, rows, x[:, :, 6:8], "prod"))
    field = receptive_field(multiplied, (1, 8, 8), "")
    low, high = field.pixels((1, 0))[0]
    assert low <= 1
    assert high >= 6


def test_a_hook_on_the_model_is_part_of_its_output():
    """The output is what the caller of the model gets, after its hooks."""
    module = nn.Sequential(nn.Conv2d(1, 1, 3))
    module.register_forward_hook(lambda *call: nn.functional.max_pool2d(call[2], 2))
    analysis = analyze(module, (1, 8, 8))
    assert analysis.output_receptive_field.size == (4, 4)
    assert receptive_field(module, (1, 8, 8), "") == analysis.output_receptive_field
