"""A cache of converted image files: the digest of the files is the name of an entry."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from mnistzoo import images
from mnistzoo._version import __version__
from mnistzoo.architectures import Style
from mnistzoo.errors import FileReadError, FileWriteError
from mnistzoo.files import read_bytes, write_bytes

VARIABLE = "MNISTZOO_CACHE"
"""The environment variable that names the folder of the cache; an empty one turns it off."""

MAX_BYTES = 2**32
"""Larger entries are not read. An image has 784 bytes."""

_SIZE = hashlib.sha256().digest_size


class Entry(msgspec.Struct, frozen=True):
    """A converted dataset.

    Attributes:
        images: The bytes of uint8 images of shape `(N, 28, 28)`.
        labels: The index of each image's class.
        skipped: Name and reason of each image that could not be read.
        warning: What is wrong with the style, if anything is.
    """

    images: bytes
    labels: list[int]
    skipped: list[tuple[str, str]]
    warning: str | None


def cache_folder() -> Path | None:
    """Return the folder of the cache, or None if it is turned off.

    It is `$MNISTZOO_CACHE`, or else `mnistzoo` in the user's cache folder: `$XDG_CACHE_HOME`, or
    else `~/.cache`.
    """
    stated = os.environ.get(VARIABLE)
    if stated is not None:
        return Path(stated) if stated else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnistzoo"
    except RuntimeError:  # there is no home
        return None


def digest_files(files: Iterable[Path], style: Style) -> str:
    """Return the SHA-256 of what an entry depends on: files, their names, and the conversion."""
    found = hashlib.sha256(_conversion())
    found.update(style.encode())
    for path in files:
        found.update(b"\0" + os.fsencode(path) + b"\0" + _digest(path))
    return found.hexdigest()


def digest_images(images: NDArray[np.uint8], labels: Sequence[int], style: Style) -> str:
    """Return the SHA-256 of what an entry depends on, for images that are in memory."""
    found = hashlib.sha256(_conversion())
    found.update(f"{style} {images.shape} {list(labels)}".encode())
    found.update(np.ascontiguousarray(images).data)
    return found.hexdigest()


def read_entry(folder: Path, key: str) -> Entry | None:
    """Return an entry; None if it is missing or damaged."""
    with suppress(FileReadError, msgspec.DecodeError):
        data = read_bytes(_path(folder, key), limit=MAX_BYTES)
        if hashlib.sha256(data[_SIZE:]).digest() == data[:_SIZE]:
            return msgspec.msgpack.decode(data[_SIZE:], type=Entry)
    return None


def write_entry(folder: Path, key: str, entry: Entry) -> None:
    """Write an entry in one step, unless that fails: the cache is not needed."""
    with suppress(FileWriteError, ValueError):  # a name that is not Unicode, or too many images
        data = msgspec.msgpack.encode(entry)
        write_bytes(_path(folder, key), hashlib.sha256(data).digest() + data)


def _path(folder: Path, key: str) -> Path:
    return folder / "datasets" / f"{key}.msgpack"


def _digest(path: Path) -> bytes:
    """Return the digest of a file, or of the error of reading it."""
    found = hashlib.sha256()
    try:
        if not path.is_file():  # reading a pipe would wait
            return b"not a file"
        with path.open("rb") as file:
            while data := file.read(2**20):
                found.update(data)
    except OSError as error:
        return str(error.errno).encode()
    return found.digest()


@functools.cache
def _conversion() -> bytes:
    """Return the digest of the code that converts images.

    In a checkout it changes without the version.
    """
    import cv2
    import PIL

    found = hashlib.sha256()
    for made_by in (__version__, np.__version__, cv2.__version__, PIL.__version__):
        found.update(made_by.encode() + b"\0")
    for path in sorted(Path(images.__path__[0]).glob("*.py")):
        found.update(path.read_bytes())
    return found.digest()
