"""Image files in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from mnistzoo.errors import FileReadError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes of the files that are read from a folder."""


def find_images(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the paths of the image files in a folder and in the folders inside it, sorted.

    Hidden files, other suffixes, and links to folders are left out. Only the names in one folder
    at each level are held in memory.

    Raises:
        FileReadError: A folder cannot be read.
    """
    with _open(folder) as entries:
        found = sorted(
            (entry.name, is_folder)
            for entry in entries
            if not entry.name.startswith(".")
            and ((is_folder := entry.is_dir(follow_symlinks=False)) or _is_image(entry))
        )
    for name, is_folder in found:
        path = os.path.join(folder, name)  # noqa: PTH118 - a million Path objects are slow
        if is_folder:
            yield from find_images(path)
        else:
            yield path


def list_folder(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted, without hidden files.

    Raises:
        FileReadError: The folder cannot be read.
    """
    with _open(folder) as entries:
        return sorted(folder / entry.name for entry in entries if not entry.name.startswith("."))


def _open(folder: str | os.PathLike[str]) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise FileReadError(
            f"Cannot read {os.fspath(folder)}: {error.strerror}. Check the path and its "
            "permissions."
        ) from error


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether a file has the suffix of an image; a link to a folder is not a file."""
    if not entry.name.lower().endswith(SUFFIXES):
        return False
    try:
        return not entry.is_dir()
    except OSError:  # a link that leads to itself; reading it reports that
        return True
