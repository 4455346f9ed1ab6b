"""A cache of converted image files. An entry is named by the digest of the files."""

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
"""The environment variable that names the cache folder. If it is empty, nothing is cached."""

MAX_BYTES = 2**32
"""Larger entries are not read. An image has 784 bytes."""

MAX_CACHE_BYTES = 2**30
"""Size of the whole cache beyond which the least recently used entries are removed."""

_SIZE = hashlib.sha256().digest_size


class Entry(msgspec.Struct, frozen=True):
    """A converted dataset.

    Attributes:
        images: The bytes of uint8 images of shape `(N, 28, 28)`.
        labels: The index of each image's class.
        skipped: Name and reason of each image that could not be read.
        warning: The warning about a wrong style, if there is one.
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
    folder = os.environ.get(VARIABLE)
    if folder is not None:
        return Path(folder) if folder else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnistzoo"
    except RuntimeError:  # no home folder
        return None


def digest_files(files: Iterable[Path], style: Style) -> str:
    """Return the SHA-256 of the files, their names, the style and the code that converts them."""
    digest = hashlib.sha256(_code_digest())
    digest.update(style.encode())
    for path in files:
        digest.update(b"\0" + os.fsencode(path) + b"\0" + _file_digest(path))
    return digest.hexdigest()


def digest_images(images: NDArray[np.uint8], labels: Sequence[int], style: Style) -> str:
    """Return the SHA-256 of images in memory, their labels, the style and the same code."""
    digest = hashlib.sha256(_code_digest())
    digest.update(f"{style} {images.shape} {list(labels)}".encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def read_entry(folder: Path, key: str) -> Entry | None:
    """Read an entry. Return None if it is missing or damaged."""
    with suppress(FileReadError, msgspec.DecodeError):
        data = read_bytes(_path(folder, key), limit=MAX_BYTES)
        if hashlib.sha256(data[_SIZE:]).digest() == data[:_SIZE]:
            entry = msgspec.msgpack.decode(data[_SIZE:], type=Entry)
            with suppress(OSError):  # the folder may be read-only
                os.utime(_path(folder, key))  # marks it as used for `_evict`
            return entry
    return None


def write_entry(folder: Path, key: str, entry: Entry) -> None:
    """Write an entry atomically, and evict the least recently used ones beyond `MAX_CACHE_BYTES`.

    Errors are ignored, since the cache only saves time.
    """
    with suppress(FileWriteError, ValueError):  # invalid Unicode in a name, or too many images
        data = msgspec.msgpack.encode(entry)
        _evict(write_bytes(_path(folder, key), hashlib.sha256(data).digest() + data))


def _evict(written: Path) -> None:
    """Remove the least recently used entries beyond `MAX_CACHE_BYTES`, but never `written`."""
    entries = []
    for path in written.parent.glob("*.msgpack"):
        with suppress(OSError):  # another process may be removing entries too
            entries.append((path.stat(), path))
    entries.sort(key=lambda entry: (entry[1] == written, entry[0].st_mtime_ns), reverse=True)
    total = 0
    for stat, path in entries:
        total += stat.st_size
        if total > MAX_CACHE_BYTES and path != written:
            with suppress(OSError):
                path.unlink()


def _path(folder: Path, key: str) -> Path:
    return folder / "datasets" / f"{key}.msgpack"


def _file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file, or else what keeps it from being read."""
    digest = hashlib.sha256()
    try:
        if not path.is_file():  # reading a pipe would wait
            return b"not a file"
        with path.open("rb") as file:
            while data := file.read(2**20):
                digest.update(data)
    except OSError as error:
        return str(error.errno).encode()
    return digest.digest()


@functools.cache
def _code_digest() -> bytes:
    """Return the SHA-256 of the code that converts images, which a version does not identify."""
    import cv2
    import PIL

    digest = hashlib.sha256()
    for version in (__version__, np.__version__, cv2.__version__, PIL.__version__):
        digest.update(version.encode() + b"\0")
    for path in sorted(Path(images.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()
