"""Tables to a depth, and with repeated blocks folded."""

from __future__ import annotations

import csv
import io

import pytest
from torch import nn

import mnistzoo
from analysis.weightless import classifier
from mnistzoo.errors import InputError

IMAGE = (3, 224, 224)


def block(channels):
    """Return a residual block without a shortcut."""
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())


@pytest.fixture(scope="module", params=["resnet18", "vit_b_32", "mobilenet_v3_small"])
def analysis(request):
    """Analyses of models with repeated blocks."""
    return mnistzoo.analyze(classifier(request.param), IMAGE)


@pytest.mark.parametrize("depth", [1, 2, 3, 99])
def test_rows_add_up_at_every_depth(analysis, depth):
    """No depth loses a parameter or a MAC, and none has a path that is deeper."""
    rows = list(csv.DictReader(io.StringIO(analysis.to_table(depth=depth).to_csv())))
    assert sum(int(row["num_params"]) for row in rows) == analysis.num_params
    assert sum(int(row["macs"]) for row in rows) == analysis.macs
    assert max(row["path"].count(".") for row in rows) < depth
    assert len(analysis.to_dict(depth=depth)["layers"]) == len(rows)


def test_a_folded_table_adds_up(analysis):
    """Each line times its repetitions adds up to the totals, and data is not folded."""
    table = analysis.to_table("parameters", "MACs", fold=True)
    assert table.columns == ["repeats", "parameters", "MACs"]
    assert len(table.rows) < len(analysis)
    times = [int(repeats[2:]) if repeats else 1 for repeats, *_ in table.rows]
    for index, total in ((1, analysis.num_params), (2, analysis.macs)):
        numbers = [row[index] or 0 for row in table.rows]
        assert sum(n * number for n, number in zip(times, numbers, strict=True)) == total
    assert len(table.to_csv().splitlines()) == len(analysis) + 1


def test_a_module_has_what_it_returned():
    """A module that is not opened has its own output, also after an addition of its own."""
    found = mnistzoo.analyze(classifier("resnet18"), IMAGE)
    layer = found.blocks(1).children[4].row
    assert (layer.path, layer.kind, layer.output_shape) == ("layer1", "Sequential", (64, 56, 56))
    expected = mnistzoo.receptive_field(classifier("resnet18"), IMAGE, "layer1")
    assert layer.receptive_field == expected
    assert layer.output_bytes == 4 * 64 * 56 * 56


FOLDED = """\
layer  kind    output shape  repeats  parameters  receptive field
0.0    Conv2d  4×9×9             × 3         148       3×3 to 7×7
0.1    ReLU    4×9×9             × 3                   3×3 to 7×7
3.0    Conv2d  2×9×9                          74              9×9
"""


def test_repeated_blocks_are_shown_once():
    """A line has the number of repetitions, and the first and last receptive field."""
    last = nn.Sequential(nn.Conv2d(4, 2, 3, padding=1))
    found = mnistzoo.analyze(nn.Sequential(block(4), block(4), block(4), last), (4, 9, 9))
    columns = ("layer", "kind", "output shape", "parameters", "receptive field")
    assert str(found.to_table(*columns, fold=True)).startswith(FOLDED)
    table = found.to_table("layer", "parameters", depth=1, fold=True)
    assert table.rows == [["0", "× 3", 148], ["3", None, 74]]


def test_blocks_that_differ_are_not_folded():
    """Another kernel, another layer, or parameters that are shared and count once."""
    other = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2), nn.ReLU())
    longer, shared = block(4).append(nn.Sigmoid()), block(4)
    model = nn.Sequential(block(4), other, longer, shared, nn.Sequential(*shared))
    table = mnistzoo.analyze(model, (4, 9, 9)).to_table("layer", fold=True)
    assert "repeats" not in table.columns


class Recurrent(nn.Module):
    """A model that calls the same layers three times, and lists that are not called."""

    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList([block(2), block(2)])

    def forward(self, x):  # noqa: D102 - torch's own method
        for _ in range(3):
            for step in self.steps:
                x = step(x)
        return x


def test_a_module_that_is_called_again():
    """It has one line, with all of its calls; a list of modules has no output of its own."""
    found = mnistzoo.analyze(Recurrent(), (2, 9, 9))
    (steps,) = found.blocks(1).children
    assert (steps.row.kind, steps.row.output_shape) == ("ModuleList", ())
    assert steps.row.macs == found.macs == 6 * 81 * 2 * 2 * 9
    assert str(found.to_table("layer", "output shape", depth=1)).splitlines()[1] == "steps"
    first, second = found.blocks(2).children[0].children
    assert first.row.receptive_field.size == (11, 11)
    assert second.row.receptive_field.size == (13, 13)


@pytest.mark.parametrize("depth", [0, -1, 1.0, "2", True])
def test_depths_that_are_not(depth):
    """A depth is an integer of at least 1."""
    with pytest.raises(InputError, match="Expected depth as an integer of at least 1"):
        mnistzoo.exp1().summary().to_table(depth=depth)
