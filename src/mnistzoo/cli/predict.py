"""Commands that read images: predict, read."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from mnistzoo.cli.console import print_records
from mnistzoo.cli.options import Format, ModelOption
from mnistzoo.cli.source import check, load_arrays
from mnistzoo.errors import FileReadError, ImageError, InputError, MnistZooError
from mnistzoo.images.suffixes import SUFFIXES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnistzoo.images.prediction import Prediction
    from mnistzoo.inference import NumpyModel

    Pixels: TypeAlias = NDArray[np.uint8]

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE", help="Image files, folders of images, or - for standard input."
    ),
]
Source: TypeAlias = str | bytes
T = TypeVar("T")


def predict(
    images: Images,
    model: ModelOption = "exp5",
    show: Annotated[
        bool, typer.Option("--show", help="Also print the model's 28×28 input.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Predict the digit in each image.

    Images that cannot be read are reported on stderr, and the exit status is 1.
    """

    def one(model: NumpyModel, source: Source) -> tuple[Prediction, Pixels | None]:
        from mnistzoo.images.preprocessing import to_mnist

        return model.predict(source), to_mnist(source) if show else None

    found, failed = _each(images, model, one)
    records = [
        {"file": name} | asdict(read) | ({} if pixels is None else {"pixels": pixels.tolist()})
        for name, (read, pixels) in found
    ]
    cells = [
        (name, read.name, f"{read.probability:.1%}", _remark(read)) for name, (read, _) in found
    ]
    if found:
        print_records(format_, records, ("file", "class", "probability", "remark"), cells)
    for name, (_, pixels) in found if format_ == "table" else ():
        if pixels is not None:
            print(name)
            _print_half_blocks(pixels)
    if failed:
        raise typer.Exit(1)


def read(
    images: Images,
    model: ModelOption = "exp5",
    keep_all: Annotated[
        bool, typer.Option("--all", help="Also show what is not a digit, such as letters.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Read every digit in each image, line by line.

    Boxes are in pixels. Images that cannot be read are reported on stderr, and the exit status is
    1.
    """
    found, failed = _each(
        images, model, lambda model, source: model.read(source, keep_all=keep_all)
    )
    digits = [(name, digit) for name, digits in found for digit in digits]
    records = [{"file": name} | asdict(digit) for name, digit in digits]
    cells = [
        (name, digit.name, f"{digit.probability:.1%}", *map(str, digit.box), _remark(digit))
        for name, digit in digits
    ]
    headers = ("file", "class", "probability", "left", "top", "right", "bottom", "remark")
    if found:
        print_records(format_, records, headers, cells)
    if failed:
        raise typer.Exit(1)


def _remark(read: Prediction) -> str:
    if read.is_digit is False:
        return "not a digit"
    return "may be several" if getattr(read, "touching", False) else ""


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
        _report(name, error)
    if len(failed) == len(sources):
        return [], True
    loaded, found = load_arrays(model), []
    for name, source in sources:
        if not isinstance(source, MnistZooError):
            try:
                found.append((name, read(loaded, source)))
            except MnistZooError as error:
                _report(name, error)
    return found, len(found) < len(sources)


def _sources(arguments: list[str]) -> Iterator[tuple[str, Source | MnistZooError]]:
    """Yield the name of each image with its path or bytes, or with the error to report."""
    for argument in arguments:
        if argument == "-":
            yield argument, typer.get_binary_stream("stdin").read()
        else:
            yield from _files_or_error(argument)


def _files_or_error(argument: str) -> list[tuple[str, Source | MnistZooError]]:
    try:
        return [(path, path) for path in _files(argument)]
    except MnistZooError as error:
        return [(argument, error)]
    except OSError as error:  # the name is too long, or the folder is not readable
        return [(argument, FileReadError(f"{error.strerror}. Check the path."))]


def _files(argument: str) -> list[str]:
    """Return a path, or the paths of the images in a folder.

    Raises:
        InputError: The argument is a URL.
        FileReadError: There is no such file.
        ImageError: The folder holds no images.
    """
    if "://" in argument:
        raise InputError(
            "Expected a file, got a URL. Download it first, or pipe it in: "
            f"curl -sL {shlex.quote(argument)} | mnistzoo predict -"
        )
    path = Path(argument)
    if not argument or not path.exists():
        raise FileReadError("There is no such file. Check the path.")
    if not path.is_dir():
        return [argument]
    files = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageError(f"There are no images in this folder ({SUFFIXES[0]} …).")
    return files


def _report(name: str, error: MnistZooError) -> None:
    name, text = name or "''", str(error)
    print(f"mnistzoo: {text if name in text else f'{name}: {text}'}", file=sys.stderr)


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
