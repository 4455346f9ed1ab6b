"""The command that analyzes any PyTorch model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.cli.console import print_json, print_record, print_table
from mnistzoo.cli.libraries import default_inputs, load, token_ids
from mnistzoo.cli.options import Format, complete_model

if TYPE_CHECKING:
    from mnistzoo.analysis import Analysis, ReceptiveField


COLUMNS = ("layer", "kind", "output shape", "parameters", "MACs", "receptive field")
"""The columns that fit a terminal. CSV and Markdown have all columns."""


def analyze(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name from `mnistzoo list`, a folder, torchvision:NAME, timm:NAME, "
            "transformers:CLASS, or package.module:callable.",
            autocompletion=complete_model,
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="C,H,W",
            help="Shape of one input, as NAME=C,H,W for each of several. Names that end in _ids "
            "get token IDs.",
            show_default="1,28,28 for this zoo, the library's own for timm and transformers, else "
            "3,224,224",
        ),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The input to compute receptive fields for.",
            show_default="the first",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs in a batch.")] = 1,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Shapes are H,W,C or L,C.")
    ] = False,
    layer: Annotated[
        str | None, typer.Option(help="Print the receptive field of this layer only.")
    ] = None,
    format_: Format = "table",
) -> None:
    """Analyze any PyTorch model, layer by layer.

    Prints output shapes, parameters, MACs, receptive fields, and the study's memory footprint. CSV
    and Markdown also have strides and paddings.
    """
    shapes = [_shape(text) for text in inputs or ()]
    if len(shapes) > 1 and any(not name for name, _ in shapes):
        raise typer.BadParameter("Expected NAME=C,H,W for each input.", param_hint="--input")
    module = load(model)
    from mnistzoo import analysis

    given = _inputs(shapes, batch_size) if shapes else default_inputs(model, module, batch_size)
    options: Any = {"of": of, "batch_size": batch_size, "channels_last": channels_last}
    if layer is not None:
        _print_field(layer, analysis.receptive_field(module, given, layer, **options), format_)
    else:
        _print_analysis(analysis.analyze(module, given, **options), format_)


def _print_analysis(analysis: Analysis, format_: str) -> None:
    if format_ == "json":
        print_json(analysis.to_dict())
    elif format_ in ("csv", "markdown"):
        sys.stdout.write(analysis.to_csv() if format_ == "csv" else analysis.to_markdown())
    else:
        print_table(analysis.to_table(*COLUMNS))


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the name and the shape of an input; the name may be empty."""
    name, _, numbers = text.rpartition("=")
    try:
        return name, tuple(int(number) for number in numbers.replace("x", ",").split(","))
    except ValueError:
        raise typer.BadParameter(
            f"Expected whole numbers such as 3,224,224, got {numbers!r}.", param_hint="--input"
        ) from None


def _inputs(shapes: list[tuple[str, tuple[int, ...]]], batch_size: int) -> Any:
    """Return inputs for `mnistzoo.analyze`."""
    if not shapes[0][0]:
        return shapes[0][1]
    return {
        name: token_ids(batch_size, *shape) if name.endswith("_ids") else shape
        for name, shape in shapes
    }


def _print_field(layer: str, field: ReceptiveField, format_: str) -> None:
    text = f"{layer}: {field!r}"
    if field.is_global and field.local:
        text += f"\n{' ' * len(layer)}  local: {field.local!r}"
    print_record(format_, {"layer": layer} | field.to_dict(), text)
