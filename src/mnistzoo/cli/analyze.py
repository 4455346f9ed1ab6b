"""The command that analyzes any PyTorch model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mnistzoo.cli.console import model_output_to_stderr, print_formatted, print_record
from mnistzoo.cli.libraries import default_inputs, load, load_image, token_ids
from mnistzoo.cli.options import Format, any_model, check_suffix

if TYPE_CHECKING:
    from torch import nn

    from mnistzoo.analysis import Analysis, ReceptiveField
    from mnistzoo.tables import Tabular

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="C,H,W",
        help="Shape of one input, as NAME=C,H,W for each of several. Names that end in _ids "
        "get token IDs.",
        show_default="1,28,28 for this zoo, the library's own for timm and transformers, else "
        "3,224,224",
    ),
]

Of = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="With several inputs, the one that receptive fields refer to.",
        show_default="the first",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Inputs in a batch.")]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="Channels come last: --input is H,W,C or L,C.")
]
Depth = Annotated[
    int | None,
    typer.Option(
        min=1, help="Levels of modules to show. Deeper ones are summed.", show_default="all"
    ),
]
Fold = Annotated[bool, typer.Option("--fold", help="Show repeated blocks once, with their number.")]
Layer = Annotated[str | None, typer.Option(help="Print the receptive field of this layer instead.")]
Memory = Annotated[
    Literal["inference", "training"] | None,
    typer.Option(help="Print the peak memory instead, without the optimizer's state."),
]
RooflineDevice = Annotated[
    str | None,
    typer.Option(
        "--roofline",
        metavar="DEVICE",
        help="Print lower bounds on the time instead. DEVICE is cpu (this machine, measured), "
        "A100, H100 or H200.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        callback=check_suffix(".html", ".htm"),
        help="Write an interactive page instead: point at a unit to see its receptive field.",
    ),
]
ImageFile = Annotated[
    Path | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help="Image for --html. Effective receptive fields are computed from it, with pretrained "
        "weights for models of this zoo and random ones for others.",
    ),
]


def analyze(
    model: Annotated[str, any_model("MODEL")],
    inputs: Inputs = None,
    of: Of = None,
    batch_size: BatchSize = 1,
    channels_last: ChannelsLast = False,
    depth: Depth = None,
    fold: Fold = False,
    layer: Layer = None,
    memory: Memory = None,
    roofline: RooflineDevice = None,
    html: Html = None,
    image: ImageFile = None,
    format_: Format = "table",
) -> None:
    """Analyze any PyTorch model, layer by layer.

    Prints output shapes, parameters, MACs and receptive fields; --memory prints the peak memory.
    All formats except the default also have strides and paddings.
    """
    _check_results(layer, memory, roofline, html, image)
    shapes = read_shapes(inputs)
    with model_output_to_stderr():
        module = load(model, pretrained=image is not None)
        from mnistzoo import analysis

        given = make_inputs(model, module, shapes, batch_size)
        options: Any = {"of": of, "batch_size": batch_size, "channels_last": channels_last}
        if layer is not None:
            field = analysis.receptive_field(module, given, layer, **options)
            print_result = partial(_print_field, layer, field)
        else:
            found = analysis.analyze(module, given, **options)
            if memory is not None:
                print_result = partial(_print_memory, found.peak_memory(memory == "training"))
            elif roofline is not None:
                print_result = partial(print_tabular, found.roofline(analysis.Device(roofline)))
            elif html is not None:
                shape = found.input_shape
                images = None if image is None else load_image(model, module, shape, image)
                page = found.save_html(html, images, title=model)
                print_result = partial(_print_page, page, model, len(found))
            else:
                print_result = partial(_print_rows, found, depth, fold)
    print_result(format_)


def _check_results(
    layer: object, memory: object, roofline: object, html: object, image: object
) -> None:
    """Refuse options that ask for several results, or for an image without a page."""
    if sum(option is not None for option in (layer, memory, roofline, html)) > 1:
        raise typer.BadParameter("Expected one of --layer, --memory, --roofline and --html.")
    if image is not None and html is None:
        raise typer.BadParameter("--image needs --html.")


def _print_rows(found: Analysis, depth: int | None, fold: bool, format_: str) -> None:
    from mnistzoo.analysis.rendering import NARROW_COLUMNS

    columns = NARROW_COLUMNS if format_ == "table" else ()
    table = found.to_table(*columns, depth=depth, fold=fold)
    print_formatted(format_, table, found.to_dict(depth=depth))


def print_tabular(found: Tabular[Any], format_: str) -> None:
    """Print an analysis, a roofline or a comparison."""
    with model_output_to_stderr():  # some figures are computed when they are read
        table, value = found.to_table(), found.to_dict() if format_ == "json" else None
    print_formatted(format_, table, value)


def _print_page(path: Path, model: str, layers: int, format_: str) -> None:
    print_record(format_, {"file": str(path), "layers": layers}, f"{path}: {model}")


def _print_memory(peak: int, format_: str) -> None:
    text = f"peak memory: {peak:,} bytes ({peak / 2**20:,.2f} MiB)"
    print_record(format_, {"peak_memory": peak}, text)


Shapes = list[tuple[str, tuple[int, ...]]]


def read_shapes(texts: list[str] | None) -> Shapes:
    """Return the names and shapes that `--input` has; a single name may be empty."""
    shapes = [_shape(text) for text in texts or ()]
    if len(shapes) > 1 and any(not name for name, _ in shapes):
        raise typer.BadParameter("Expected NAME=C,H,W for each input.", param_hint="--input")
    return shapes


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the name and the shape of an input; the name may be empty."""
    name, _, numbers = text.rpartition("=")
    try:
        return name, tuple(int(number) for number in numbers.replace("x", ",").split(","))
    except ValueError:
        raise typer.BadParameter(
            f"Expected whole numbers such as 3,224,224, got {numbers!r}.", param_hint="--input"
        ) from None


def make_inputs(model: str, module: nn.Module, shapes: Shapes, batch_size: int) -> Any:
    """Return inputs for `mnistzoo.analyze`; without shapes, the model's default."""
    if not shapes:
        return default_inputs(model, module, batch_size)
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
