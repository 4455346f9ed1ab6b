"""The command that compares two models layer by layer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from mnistzoo.cli.analyze import Inputs, make_inputs, read_shapes
from mnistzoo.cli.console import print_json, print_table
from mnistzoo.cli.libraries import load
from mnistzoo.cli.options import Format, any_model
from mnistzoo.errors import AnalysisError, InputError, UnknownOperatorError

if TYPE_CHECKING:
    from mnistzoo.analysis import Analysis
    from mnistzoo.analysis.comparison import Pair
    from mnistzoo.tables import Table

COLUMNS = ("parameters", "MACs", "receptive field")


def compare(
    one: Annotated[str, any_model("ONE")],
    other: Annotated[str, any_model("OTHER")],
    inputs: Inputs = None,
    format_: Format = "table",
) -> None:
    """Compare the parameters, MACs, peak memory and receptive fields of two models.

    Layers with the same path share a row. Peak memory is that of inference for one input, and
    missing for a model that does not run without data.
    """
    shapes = read_shapes(inputs)
    from mnistzoo import analysis
    from mnistzoo.analysis.comparison import align

    names, found = (one, other), []
    for name in names:
        module = load(name)
        found.append(analysis.analyze(module, make_inputs(name, module, shapes, 1)))
    pairs = align(*found)
    totals = [_totals(name, result) for name, result in zip(names, found, strict=True)]
    if format_ == "json":
        print_json({"models": totals, "layers": [_record(pair) for pair in pairs]})
        return
    table = _table(names, pairs, "\n".join(map(_sentence, totals)))
    if format_ == "table":
        print_table(table)
    else:
        sys.stdout.write(table.to_csv() if format_ == "csv" else table.to_markdown())


def _totals(name: str, analysis: Analysis) -> dict[str, Any]:
    field = analysis.receptive_field or analysis.output_receptive_field
    return {
        "model": name,
        "input_shape": list(analysis.input_shape),
        "num_params": analysis.num_params,
        "macs": analysis.macs,
        "peak_memory": _peak(analysis),
        "receptive_field": field and str(field),
    }


def _peak(analysis: Analysis) -> int | None:
    try:
        return analysis.peak_memory()
    except (AnalysisError, InputError, UnknownOperatorError):  # the rest is worth comparing
        return None


def _sentence(totals: dict[str, Any]) -> str:
    peak = totals["peak_memory"]
    memory = "unknown" if peak is None else f"{peak / 2**20:,.2f} MiB"
    return (
        f"{totals['model']}: {totals['num_params']:,} parameters, {totals['macs']:,} MACs, "
        f"{memory} peak memory, "
        f"receptive field {totals['receptive_field'] or 'none'}"
    )


def _record(pair: Pair) -> dict[str, Any]:
    path = next(row.path for row in pair if row)
    return {"path": path, "rows": [row and row.to_dict() for row in pair]}


def _table(names: tuple[str, str], pairs: list[Pair], caption: str) -> Table:
    from mnistzoo.analysis.rendering import COLUMNS as CELLS
    from mnistzoo.tables import Table

    columns = ["layer", *(f"{column}: {name}" for column in COLUMNS for name in names)]
    rows = [
        [
            next(row.path for row in pair if row),
            *(CELLS[column](row) if row else "-" for column in COLUMNS for row in pair),
        ]
        for pair in pairs
    ]
    return Table(columns, rows, caption)
