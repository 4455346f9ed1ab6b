"""IDX files, the format of MNIST: of any size, compressed by gzip or not."""

from __future__ import annotations

import math
import re
import struct
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mnistzoo.errors import DataError, MnistZooError
from mnistzoo.files import read_bytes
from mnistzoo.images.folders import list_folder

Split = Literal["train", "test"]
"""A part of a dataset."""

MAX_BYTES = 2**30
"""Largest file that is read, uncompressed. EMNIST's largest has 547 million bytes."""

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test)-(?P<kind>images|labels)"
    r"[-.]idx[13]-ubyte(?P<gz>\.gz)?"
)

_UNSIGNED_BYTE = 8
"""The type code of the only kind of numbers that is read."""


class IDXPart(NamedTuple):
    """The two files of a split.

    Attributes:
        images: Path of the images.
        labels: Path of their labels.
        names: Path of EMNIST's table of characters, if there is one.
        transposed: Whether the images are stored by columns, as EMNIST's are.
    """

    images: Path
    labels: Path
    names: Path | None
    transposed: bool


def find_idx(folder: Path) -> dict[Split, IDXPart]:
    """Return the IDX files in a folder by split; empty if there are none.

    Raises:
        DataError: The files of several datasets are there, or one of a pair is missing.
    """
    found: dict[tuple[Split, str], Path] = {}
    prefixes = set()
    for path in reversed(list_folder(folder)):  # x comes after, and replaces, x.gz
        if match := _NAME.fullmatch(path.name):
            prefixes.add(match["prefix"])
            split: Split = "train" if match["split"] == "train" else "test"
            found[split, match["kind"]] = path
    if len(prefixes) > 1:
        raise DataError(
            f"Expected the IDX files of one dataset in {folder}, got those of {len(prefixes)} "
            f"({', '.join(sorted(prefixes))}). Move each into a folder of its own."
        )
    return {split: _pair(folder, split, found, *prefixes) for split, _ in sorted(found)}


def _pair(folder: Path, split: Split, found: dict[tuple[Split, str], Path], prefix: str) -> IDXPart:
    for kind in ("images", "labels"):
        if (split, kind) not in found:
            raise DataError(
                f"Expected IDX files of images and of labels in {folder}, found no {kind} for "
                f"the {split} split. Copy that file into the folder."
            )
    names = folder / f"{prefix}mapping.txt"
    return IDXPart(
        found[split, "images"],
        found[split, "labels"],
        names if names.exists() else None,
        prefix.lower().startswith("emnist"),
    )


def read_images(part: IDXPart) -> Tensor:
    """Return the images of a split: uint8, shape `(N, height, width)`.

    Raises:
        DataError: The file is damaged, of another type, or larger than `MAX_BYTES`.
        FileReadError: The file cannot be read.
    """
    images = _read(part.images, 3)
    return images.mT.contiguous() if part.transposed else images


def read_labels(part: IDXPart) -> Tensor:
    """Return the labels of a split: int64, shape `(N,)`. Errors are those of `read_images`."""
    return _read(part.labels, 1).long()


def read_names(part: IDXPart) -> dict[int, str]:
    """Return the character of each label from EMNIST's table; empty without one.

    Raises:
        DataError: The table is damaged.
    """
    if part.names is None:
        return {}
    try:
        rows = read_bytes(part.names, limit=2**16).decode("ascii").splitlines()
        pairs = [row.split()[:2] for row in rows if row.strip()]
        return {int(label): chr(int(code)) for label, code in pairs}
    except (ValueError, OverflowError) as error:
        if isinstance(error, MnistZooError):
            raise
        raise DataError(
            f"Expected rows of a label and a character's code in {part.names}, got another file. "
            "Without it, classes are named by number."
        ) from error


def _read(path: Path, axes: int) -> Tensor:
    data = _content(path)
    try:
        return parse_idx(data, axes)
    except DataError as error:
        raise _damaged(path, str(error)) from error


def parse_idx(data: bytes, axes: int, *, limit: int = MAX_BYTES) -> Tensor:
    """Return the unsigned bytes in an IDX file, gzip-compressed or not.

    The format is described on MNIST's page, <http://yann.lecun.com/exdb/mnist/>: two zero bytes,
    the type (8, unsigned byte), the number of axes, then the length of each axis as a big-endian
    32-bit integer. Memory is limited by what the file holds and by what its header states.

    Args:
        data: The whole file.
        axes: The expected number of axes.
        limit: The maximum uncompressed size, in bytes.

    Raises:
        DataError: The data are damaged or in another format. The message does not name the file.
    """
    gzipped = data.startswith(b"\x1f\x8b")
    length = 4 + 4 * axes
    header = _gunzip(data, length) if gzipped else data[:length]
    if len(header) < length or header[:4] != bytes((0, 0, _UNSIGNED_BYTE, axes)):
        raise DataError(f"it is not an IDX file of unsigned bytes (axes: {axes})")
    shape = struct.unpack(f">{axes}I", header[4:])
    size = length + math.prod(shape)
    if size > limit:
        raise DataError(f"expected at most {limit:,} bytes, its header states {size:,}")
    content = _gunzip(data, size + 1) if gzipped else data
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content):,}"
        raise DataError(f"its header states {size:,} bytes, and it holds {found}")
    if math.prod(shape) == 0:
        raise DataError("it is empty")
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=length)
    return values.view(shape)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, whose size limits what reading allocates."""
    if path.exists() and not path.is_file():
        raise _damaged(path, "it is not a regular file")
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # read_bytes raises the error
    if size > MAX_BYTES:
        raise _damaged(path, f"expected at most {MAX_BYTES:,} bytes, got {size:,}")
    return read_bytes(path, limit=size)


def _gunzip(data: bytes, limit: int) -> bytes:
    """Return at most the first `limit` bytes of what a gzip stream holds."""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, limit)
    except zlib.error as error:
        raise DataError(str(error)) from error


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"Cannot read {path}: {reason}. Download the dataset again.")
