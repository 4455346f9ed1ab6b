"""The whole of MNIST, bundled with the package and checked whenever it is read."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mnistzoo.architectures import MEAN, STD
from mnistzoo.errors import DataError
from mnistzoo.files import read_bytes, sha256

FILES = Path(__file__).parent / "files"


class IDXFile(NamedTuple):
    """One of the four original files: its name, its shape, and the digest of what it holds."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Bytes, uncompressed: the magic number and each dimension take four, then the data."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)


TRAIN_IMAGES = IDXFile(
    "train-images-idx3-ubyte",
    (60_000, 28, 28),
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
)
TRAIN_LABELS = IDXFile(
    "train-labels-idx1-ubyte",
    (60_000,),
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
)
TEST_IMAGES = IDXFile(
    "t10k-images-idx3-ubyte",
    (10_000, 28, 28),
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
)
TEST_LABELS = IDXFile(
    "t10k-labels-idx1-ubyte",
    (10_000,),
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


class Digits(NamedTuple):
    """Images and their labels.

    Attributes:
        images: uint8, shape `(N, 28, 28)`: 0 is paper, 255 is ink.
        labels: int64, shape `(N,)`: 0 to 9.
    """

    images: Tensor
    labels: Tensor


def mnist(train: bool = True) -> Digits:
    """The 60,000 training or the 10,000 test images of MNIST, from the package's own files.

    They are in the order of the original files, and equal bit for bit to
    `torchvision.datasets.MNIST`. Each call reads them anew, so what it returns may be changed.

    Raises:
        FileReadError: a file is missing from the installation.
        DataError: a file does not hold the original bytes.
    """
    images, labels = (TRAIN_IMAGES, TRAIN_LABELS) if train else (TEST_IMAGES, TEST_LABELS)
    return Digits(read_idx(images), read_idx(labels).long())


def normalize(images: Tensor) -> Tensor:
    """Images of MNIST as the networks take them.

    Args:
        images: uint8, shape `(N, 28, 28)`.

    Returns:
        float32, shape `(N, 1, 28, 28)`: on a scale of 0 to 1, less the mean of the training pixels,
        over their standard deviation.
    """
    return images.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD)


def read_idx(file: IDXFile, folder: Path = FILES) -> Tensor:
    """One gzip-compressed IDX file of unsigned bytes, as a uint8 tensor of `file.shape`.

    The format is described on the data set's page, <http://yann.lecun.com/exdb/mnist/>: two zero
    bytes, the type (8, unsigned byte), the number of dimensions, then each dimension as a
    big-endian 32-bit integer. Nothing beyond `file.size` bytes is ever decompressed.

    Raises:
        FileReadError: the file is missing or cannot be read.
        DataError: it is cut short, altered, or another file.
    """
    path = folder / f"{file.name}.gz"
    content = _gunzip(read_bytes(path, limit=file.size + 1024), file.size, path)
    header = struct.pack(f">HBB{len(file.shape)}I", 0, 8, len(file.shape), *file.shape)
    if not content.startswith(header) or len(content) != file.size:
        raise _altered(path, f"its header or its length is not that of {file.shape} bytes")
    if sha256(content) != file.sha256:
        raise _altered(path, f"the SHA-256 of what it holds is not {file.sha256}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header)).view(
        file.shape
    )


def _gunzip(data: bytes, limit: int, path: Path) -> bytes:
    """At most `limit` + 1 bytes of what a gzip stream holds."""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, limit + 1)
    except zlib.error as error:
        raise _altered(path, str(error)) from error


def _altered(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not the original MNIST file: {reason}; install mnistzoo again.")
