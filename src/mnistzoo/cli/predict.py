"""Commands that read pictures: predict, read."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mnistzoo.cli.console import JSON, print_json, print_table, table
from mnistzoo.cli.source import HELP, METAVAR, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Model = Annotated[str, typer.Option(metavar=METAVAR, help=HELP)]


def predict(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Pictures of one digit.")],
    model: Model = "exp5",
    show: Annotated[bool, typer.Option("--show", help="Also print what the network saw.")] = False,
    as_json: JSON = False,
) -> None:
    """Read the one digit in each picture."""
    from mnistzoo.images.preprocessing import to_mnist

    predictions = load(model).predict(files)
    seen = {file: to_mnist(file) for file in files if show}
    if as_json:
        rows = [{"file": f} | asdict(p) for f, p in zip(files, predictions, strict=True)]
        print_json([row | _pixels(seen.get(str(row["file"]))) for row in rows])
        return
    made = table("file", "digit", "probability")
    for file, prediction in zip(files, predictions, strict=True):
        made.add_row(file, str(prediction.label), f"{prediction.probability:.1%}")
    print_table(made)
    for file, pixels in seen.items():
        print(file)
        _print_half_blocks(pixels)


def _pixels(seen: NDArray[np.uint8] | None) -> dict[str, list[list[int]]]:
    return {} if seen is None else {"pixels": seen.tolist()}


def _print_half_blocks(pixels: NDArray[np.uint8]) -> None:
    """Two rows of pixels in each line: in grey on a terminal, else as black and white."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        line = Text()
        for top, bottom in zip(upper, lower, strict=True):
            if console.color_system:
                line.append("▀", f"rgb({top},{top},{top}) on rgb({bottom},{bottom},{bottom})")
            else:
                line.append(" ▀▄█"[(top > 127) + 2 * (bottom > 127)])
        console.print(line)


def read(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A picture of several digits.")],
    model: Model = "exp5",
    as_json: JSON = False,
) -> None:
    """Read every digit in a picture, and say where it is.

    They come line by line; places are in pixels.
    """
    digits = load(model).read(file)
    if as_json:
        print_json([asdict(digit) for digit in digits])
        return
    made = table("digit", "probability", "left", "top", "right", "bottom")
    for digit in digits:
        made.add_row(str(digit.label), f"{digit.probability:.1%}", *map(str, digit.box))
    print_table(made)
