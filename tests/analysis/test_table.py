"""How an analysis prints: every form holds the same numbers."""

from __future__ import annotations

import csv
import io

from rich.console import Console

from mnistzoo.models import exp5


def test_csv_reads_back_to_the_same_numbers():
    """Re-added, the CSV's columns give the totals."""
    summary = exp5().summary()
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert [row["layer"] for row in rows] == [row.path for row in summary]
    assert sum(int(row["parameters"] or 0) for row in rows) == summary.num_params
    assert sum(int(row["MACs"] or 0) for row in rows) == summary.macs


def test_every_form_has_every_layer_and_the_totals():
    """Text, Markdown, HTML and a terminal's table show all layers, and the sum of parameters."""
    summary = exp5().summary()
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary)
    forms = [str(summary), summary.to_markdown(), summary._repr_html_(), console.export_text()]
    for form in forms:
        assert all(row.path in form for row in summary)
        assert "17,302" in form
        assert "34×34" in form


def test_the_progression_prints_receptive_fields_only():
    """Without a layer, `receptive_field()` prints no parameters, but has them."""
    progression = exp5().receptive_field()
    assert "17,302 parameters" in str(progression)
    assert "MACs" not in str(progression).splitlines()[0]
    assert progression.num_params == 17_302


def test_an_analysis_is_a_sequence():
    """It has a length, items and slices, as a list has."""
    summary = exp5().summary()
    assert len(summary) == len(list(summary)) == 24
    assert summary[0].path == "features.conv1"
    assert [row.path for row in summary[-1:]] == ["classifier"]
