"""The image files that a command is given."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.cli.console import print_error
from mnistzoo.errors import FileReadError, ImageError, InputError
from mnistzoo.files import name_error
from mnistzoo.images.folders import SUFFIXES, find_images

STDIN = "-"
"""The argument that stands for standard input."""


def _check_stdin(images: list[str] | None) -> list[str] | None:
    """Refuse a second `-`. On Python 3.10, typer fails on a callback that takes `list[str]`."""
    if images and images.count(STDIN) > 1:
        raise typer.BadParameter("Standard input can be read only once. Name - once.")
    return images


Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Image files, folders of images, or - for standard input.",
        callback=_check_stdin,
    ),
]


def image_files(argument: str) -> Iterator[str]:
    """Yield a path, or the paths of the images in a folder and the folders inside it.

    Raises:
        InputError: The argument is a URL.
        FileReadError: There is no such file, or a folder cannot be read.
        ImageError: The folder holds no images.
    """
    if "://" in argument:
        raise InputError(
            "Expected a file, got a URL. Download it first, or pipe it in: "
            f"curl -sL {shlex.quote(argument)} | mnistzoo predict -"
        )
    path = Path(argument)
    try:
        found = bool(argument) and path.exists()
    except (OSError, ValueError) as error:  # the name is too long, or holds a null character
        reason = getattr(error, "strerror", None) or error
        raise FileReadError(f"{reason}. Check the path.") from error
    if not found:
        raise FileReadError("There is no such file. Check the path.")
    if not path.is_dir():
        yield argument
        return
    file = None
    for file in find_images(argument):
        yield file
    if file is None:
        raise ImageError(f"There are no images in this folder ({SUFFIXES[0]} …).")


def report(name: str, error: object) -> None:
    """Print what is wrong with an image on stderr, on one line."""
    print_error(name_error(name or "''", error))
