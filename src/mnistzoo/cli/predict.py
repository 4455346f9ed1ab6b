"""Commands that read images: predict, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from mnistzoo.cli.console import print_records
from mnistzoo.cli.images import STDIN, Images, image_files, report
from mnistzoo.cli.options import Format, ModelOption, RayAddress, ReadingWeights, check_suffix
from mnistzoo.cli.source import check, load_arrays, with_weights
from mnistzoo.errors import MnistZooError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnistzoo.images.prediction import Prediction
    from mnistzoo.inference import NumpyModel

    Pixels: TypeAlias = NDArray[np.uint8]

Output = Annotated[
    Path | None,
    typer.Option(
        *("--output", "-o"),
        callback=check_suffix(".jsonl"),
        help="Write a row of JSON for each image file here: .jsonl.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that predict, with --output.", show_default="all cores"),
]
Source: TypeAlias = str | bytes
T = TypeVar("T")


def predict(
    images: Images,
    model: ModelOption = "exp5",
    weights: ReadingWeights = None,
    output: Output = None,
    jobs: Jobs = None,
    ray: RayAddress = None,
    show: Annotated[
        bool, typer.Option("--show", help="Also print the model's 28×28 input.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Predict the digit in each image.

    Images that cannot be read are reported on stderr, and the exit status is 1.

    With --output, predictions go to a file: a line of JSON for each image, with an "error" instead
    of a prediction if it cannot be read. All cores are used. After an interruption, the same
    command resumes.
    """
    if output is None and (jobs is not None or ray is not None):
        raise typer.BadParameter("--jobs and --ray need --output.")
    if jobs is not None and ray is not None:
        raise typer.BadParameter("Choose one of --jobs and --ray.")
    if output is not None and STDIN in images:
        raise typer.BadParameter("--output needs files or folders, not standard input.")
    model = with_weights(model, weights, reading=True)
    if output is None:
        whole = _print_predictions(images, model, show, format_)
    else:
        from mnistzoo.cli.bulk import predict_to_file

        whole = predict_to_file(
            images, model, output, show=show, jobs=jobs, ray=ray, format_=format_
        )
    if not whole:
        raise typer.Exit(1)


def _print_predictions(images: list[str], model: str, show: bool, format_: str) -> bool:
    """Print the prediction of each image, and return whether all could be read."""

    def one(model: NumpyModel, source: Source) -> tuple[Prediction, Pixels]:
        from mnistzoo.images.prediction import predict_pixels
        from mnistzoo.images.preprocessing import CONVERSIONS

        pixels = CONVERSIONS[model.style](source)
        return predict_pixels(model.classify, [pixels], model.labels, model.style)[0], pixels

    found, failed = _each(images, model, one)
    records = [
        {"file": name} | asdict(read) | ({"pixels": pixels.tolist()} if show else {})
        for name, (read, pixels) in found
    ]
    cells = [
        (name, read.name, f"{read.probability:.1%}", _remark(read)) for name, (read, _) in found
    ]
    _print_found(format_, records, ("file", "class", "probability", "remark"), cells)
    for name, (_, pixels) in found if show and format_ == "table" else ():
        print(name)
        _print_half_blocks(pixels)
    return not failed


def read(
    images: Images,
    model: ModelOption = "exp5",
    weights: ReadingWeights = None,
    keep_all: Annotated[
        bool, typer.Option("--all", help="Also show marks that are not digits, such as letters.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Read every digit in each image, line by line.

    Boxes are in pixels. Images that cannot be read are reported on stderr, and the exit status is
    1.
    """
    found, failed = _each(
        images,
        with_weights(model, weights, reading=True),
        lambda model, source: model.read(source, keep_all=keep_all),
    )
    digits = [(name, digit) for name, digits in found for digit in digits]
    records = [{"file": name} | asdict(digit) for name, digit in digits]
    cells = [
        (name, digit.name, f"{digit.probability:.1%}", *map(str, digit.box), _remark(digit))
        for name, digit in digits
    ]
    headers = ("file", "class", "probability", "left", "top", "right", "bottom", "remark")
    _print_found(format_, records, headers, cells)
    if failed:
        raise typer.Exit(1)


def _remark(read: Prediction) -> str:
    if read.is_digit is False:
        return "not a digit"
    return "may be several" if getattr(read, "touching", False) else ""


def _print_found(
    format_: str,
    records: list[dict[str, Any]],
    headers: Sequence[str],
    cells: Sequence[tuple[str, ...]],
) -> None:
    """Print a row for each record; without records, only JSON has something to print."""
    if records or format_ == "json":
        print_records(format_, records, headers, cells)


def _each(
    arguments: list[str], model: str, read: Callable[[NumpyModel, Source], T]
) -> tuple[list[tuple[str, T]], bool]:
    """Apply `read` to each image. Return the results by name, and whether any image failed.

    Errors that do not involve the model are reported before it is loaded.
    """
    check(model)
    sources = list(_sources(arguments))
    failed = [(name, source) for name, source in sources if isinstance(source, MnistZooError)]
    for name, error in failed:
        report(name, error)
    if len(failed) == len(sources):
        return [], True
    loaded, found = load_arrays(model), []
    for name, source in sources:
        if not isinstance(source, MnistZooError):
            try:
                found.append((name, read(loaded, source)))
            except MnistZooError as error:
                report(name, error)
    return found, len(found) < len(sources)


def _sources(arguments: list[str]) -> Iterator[tuple[str, Source | MnistZooError]]:
    """Yield the name of each image with its path or bytes, or with the error to report."""
    for argument in arguments:
        if argument == STDIN:
            yield argument, typer.get_binary_stream("stdin").read()
            continue
        try:
            for path in image_files(argument):
                yield path, path
        except MnistZooError as error:
            yield argument, error


def _print_half_blocks(pixels: Pixels) -> None:
    """Print two rows of pixels per line, in gray in a terminal, otherwise in black and white."""
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
