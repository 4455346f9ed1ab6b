"""An analysis as data and as text."""

from __future__ import annotations

import csv
import io
import pickle

import pytest
from rich.console import Console
from torch import nn

import mnistzoo
from mnistzoo.errors import InputError, UnknownNameError
from mnistzoo.models import exp5


def test_csv_adds_up_to_the_totals():
    """Columns of the CSV add up to the totals."""
    summary = exp5().summary()
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert [row["path"] for row in rows] == [row.path for row in summary]
    assert sum(int(row["num_params"]) for row in rows) == summary.num_params
    assert sum(int(row["macs"]) for row in rows) == summary.macs


def test_every_format_has_all_layers_and_totals():
    """Text, Markdown, HTML and a terminal show every layer and the totals."""
    summary = exp5().summary()
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary)
    forms = [str(summary), summary.to_markdown(), summary._repr_html_(), console.export_text()]
    for form in forms:
        assert all(row.path in form for row in summary)
        assert "17,302" in form
        assert "34×34" in form


def test_a_pickled_analysis_has_no_model():
    """A pickle holds the rows and fields. It has no weights, and knows no costs."""
    analysis = mnistzoo.analyze(nn.Linear(1000, 1000), (1000,))
    dumped = pickle.dumps(analysis)
    assert len(dumped) < 10_000
    assert pickle.loads(dumped) == analysis
    with pytest.raises(InputError, match="got a copy"):
        pickle.loads(dumped).peak_memory()


def test_an_analysis_is_a_sequence():
    """An analysis has a length, items and slices."""
    summary = exp5().summary()
    assert len(summary) == len(list(summary)) == 24
    assert summary[0].path == "features.conv1"
    assert [row.path for row in summary[-1:]] == ["classifier"]


class Pooled(nn.Module):
    """A model with uneven, global and unused layers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (3, 1), stride=(2, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.spare = nn.Linear(4, 250)

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.pool(self.conv(x)).flatten(1)


POOLED = """\
layer  kind               output shape  parameters    MACs  receptive field  stride  padding
conv   Conv2d             2×250×40               8  60,000              3×1     2×1        0
pool   AdaptiveAvgPool2d  2×1×1                             501×40 (global)
spare  Linear             unused             1,250
input 1×501×40: 1,258 parameters (1,250 unused), 60,000 MACs
receptive field 3×1 of the last feature map, 501×40 (global) of the output"""


def test_text_of_every_kind_of_row():
    """Rows without a window, unused parameters and the totals read as below."""
    assert str(mnistzoo.analyze(Pooled(), (1, 501, 40))) == POOLED


def test_one_field_where_output_and_last_map_agree():
    """A model that returns its last map has one receptive field in the totals."""
    summary = mnistzoo.analyze(nn.Conv2d(1, 2, 3), (1, 9, 9))
    assert summary.output_receptive_field == summary.receptive_field
    assert summary.to_table().caption.endswith("receptive field 3×3")


def test_columns_may_be_chosen():
    """A table has the columns asked for, and an unknown one is an error."""
    summary = mnistzoo.analyze(nn.Conv2d(1, 2, 3), (1, 9, 9))
    table = summary.to_table("layer", "stride", "kind")
    assert table.cells() == [["", "1", "Conv2d"]]
    with pytest.raises(UnknownNameError, match=r"no column 'strid'\. Did you mean 'stride'"):
        summary.to_table("layer", "strid")


def test_the_record_holds_everything():
    """`to_dict` has the input, the totals, and each layer with its field."""
    conv = {"size": [3, 1], "stride": [2, 1], "padding": [0, 0], "is_global": False}
    pool = {"size": [501, 40], "stride": [0, 0], "padding": [0, 0], "is_global": True}
    layers = [
        ("conv", "Conv2d", [2, 250, 40], 8, 0, 60_000, 80_000, 32, conv),
        ("pool", "AdaptiveAvgPool2d", [2, 1, 1], 0, 0, 0, 8, 0, {**pool, "local": None}),
        ("spare", "Linear", None, 1250, 1250, 0, 0, 5000, None),
    ]
    counts = ("num_params", "unused_params", "macs", "output_bytes", "param_bytes")
    keys = ("path", "kind", "output_shape", *counts)
    assert mnistzoo.analyze(Pooled(), (1, 501, 40)).to_dict() == {
        "input_shape": [1, 501, 40],
        "num_params": 1258,
        "unused_params": 1250,
        "macs": 60_000,
        "footprint_mib": (501 * 40 + 2 * 2 * 250 * 40 + 1258) * 4 / 2**20,
        "receptive_field": conv,
        "output_receptive_field": {**pool, "local": None},
        "stopped_at": None,
        "layers": [dict(zip((*keys, "receptive_field"), row, strict=True)) for row in layers],
    }


def test_the_record_of_a_global_field():
    """After a norm over the map, the local window is kept beside the global field."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2))
    field = mnistzoo.analyze(module, (1, 9, 9)).to_dict()["layers"][1]["receptive_field"]
    assert field["is_global"]
    assert field["size"] == [9, 9]
    assert field["local"]["size"] == [3, 3]


def test_the_record_of_a_fraction():
    """After upsampling, the stride is half a pixel, a float in JSON."""
    module = nn.Sequential(nn.Upsample(scale_factor=2), nn.MaxPool2d(3, stride=1))
    field = mnistzoo.analyze(module, (1, 9, 9)).to_dict()["layers"][1]["receptive_field"]
    assert field["stride"] == [0.5, 0.5]
    assert all(isinstance(side, int | float) for side in field["size"] + field["padding"])
