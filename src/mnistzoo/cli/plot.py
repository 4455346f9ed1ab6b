"""Commands that draw figures into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import JSON, print_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

app = typer.Typer(help="Draw figures.", no_args_is_help=True)


@app.command("receptive-field")
def receptive_field(
    network: Annotated[str, typer.Argument(help="A name from `mnistzoo list`.")],
    layer: Annotated[str, typer.Option(help="Path of a layer, such as features.conv5.")],
    image: Annotated[int, typer.Option(min=0, max=9999, help="Number of a test image.")] = 0,
    images: Annotated[
        int, typer.Option(min=1, max=10000, help="Test images to average the gradient over.")
    ] = 100,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Picture to write (png, pdf or svg).")
    ] = Path("receptive-field.png"),
    as_json: JSON = False,
) -> None:
    """Draw what the central unit of a layer can see of a digit, and what it makes use of."""
    from mnistzoo import plots
    from mnistzoo.analysis import effective_receptive_field
    from mnistzoo.architectures import MEAN, STD
    from mnistzoo.data.mnist import mnist
    from mnistzoo.models import get_model

    model = get_model(network, pretrained=True)
    digits, _ = mnist(train=False)
    pixels = digits[:images, None] / 255
    effective = effective_receptive_field(model, (pixels - MEAN) / STD, layer)
    figure = plots.receptive_field(effective, digits[image].numpy(), f"{network} {layer}")
    _save(figure, output)
    if as_json:
        share = effective.share_in_half
        print_json({"file": str(output), "layer": layer, "share_in_half": share})
    else:
        print(f"{output}: {effective.share_in_half:.1%} of the energy in the middle half")


def _save(figure: Figure, output: Path) -> None:
    """Write a figure whole or not at all."""
    import io

    from mnistzoo.errors import InputError
    from mnistzoo.files import write_bytes

    formats = figure.canvas.get_supported_filetypes()
    suffix = output.suffix.removeprefix(".").lower()
    if suffix not in formats:
        raise InputError(f"expected a picture such as figure.png, got {output}; choose png or pdf.")
    file = io.BytesIO()
    figure.savefig(file, format=suffix, dpi=160)
    write_bytes(output, file.getvalue())
