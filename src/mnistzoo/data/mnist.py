"""MNIST, bundled with the package and checked against its SHA-256 on every read."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mnistzoo.data.idx import parse_idx
from mnistzoo.errors import DataError, InputError
from mnistzoo.files import read_bytes, sha256

FILES = Path(__file__).parent / "files"


class IDXFile(NamedTuple):
    """One of the four original files.

    Attributes:
        name: Its file name, without `.gz`.
        shape: Number of images or labels, and the images' height and width.
        sha256: Digest of its uncompressed content.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Bytes, uncompressed: four for the magic number, four per dimension, then the data."""
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
        images: uint8, shape `(N, 28, 28)`: 0 is background, 255 is foreground.
        labels: int64, shape `(N,)`: 0 to 9.
    """

    images: Tensor
    labels: Tensor


def mnist(train: bool = True) -> Digits:
    """Load the 60,000 training or the 10,000 test images of MNIST, bundled with the package.

    They are in the order of the original files, and bit for bit those of
    `torchvision.datasets.MNIST`. Each call reads the files anew, so its tensors may be changed.

    >>> import mnistzoo
    >>> images, labels = mnistzoo.mnist(train=False)
    >>> images.shape, labels[0].item()
    (torch.Size([10000, 28, 28]), 7)

    Args:
        train: Whether to load the training images.

    Raises:
        InputError: `train` is not a bool.
        FileReadError: A file is missing from the installation.
        DataError: A file does not hold the original bytes.
    """
    if not isinstance(train, bool):
        raise InputError(
            f"Expected train to be True or False, got {train!r}. "
            "Pass train=True for the training images, train=False for the test images."
        )
    images, labels = (TRAIN_IMAGES, TRAIN_LABELS) if train else (TEST_IMAGES, TEST_LABELS)
    return Digits(read_idx(images), read_idx(labels).long())


def read_idx(file: IDXFile, folder: Path = FILES) -> Tensor:
    """Read one of the bundled files as a uint8 tensor of shape `file.shape`.

    At most `file.size` bytes are decompressed, whatever the header of a damaged file states.

    Raises:
        FileReadError: The file is missing or cannot be read.
        DataError: The file is truncated, altered, or a different one.
    """
    path = folder / f"{file.name}.gz"
    data = read_bytes(path, limit=file.size + 1024)
    try:
        values = parse_idx(data, len(file.shape), limit=file.size)
    except DataError as error:
        raise _altered(path, str(error)) from error
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    if sha256(header + values.numpy().tobytes()) != file.sha256:
        raise _altered(path, f"the SHA-256 of its content is not {file.sha256}")
    return values


def _altered(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not the original MNIST file: {reason}. Install mnistzoo again.")
