"""The command that compares two models layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mnistzoo.cli.analyze import Inputs, make_inputs, print_tabular, read_shapes
from mnistzoo.cli.console import model_output_to_stderr
from mnistzoo.cli.libraries import load
from mnistzoo.cli.options import Format, any_model

if TYPE_CHECKING:
    from mnistzoo.analysis import Analysis


def compare(
    one: Annotated[str, any_model("ONE")],
    other: Annotated[str, any_model("OTHER")],
    inputs: Inputs = None,
    format_: Format = "table",
) -> None:
    """Compare two models layer by layer.

    Layers with the same path share a row. Peak memory is for inference on one input, and unknown
    for models that need data.
    """
    shapes = read_shapes(inputs)
    from mnistzoo import analysis

    def analyzed(name: str) -> Analysis:
        module = load(name)
        return analysis.analyze(module, make_inputs(name, module, shapes, 1))

    with model_output_to_stderr():
        found = analysis.compare(analyzed(one), analyzed(other), names=(one, other))
    print_tabular(found, format_)
