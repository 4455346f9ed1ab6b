"""The shipped weights, and the manifest that states what is in each file.

A model may have several sets of weights. "exp5" names those trained on MNIST, which are the
default, and "exp5.world" those called "world".
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from mnistzoo.errors import DataError, UnknownNameError, WeightsError
from mnistzoo.files import read_bytes, write_bytes
from mnistzoo.records import Count, Record, Sha256, parse_json, to_json

if TYPE_CHECKING:
    from mnistzoo.storage.state_dict import Arrays

MNIST = "mnist"
"""The weights that `pretrained=True` loads."""

READING = "world"
"""The weights that read photographs and drawings by default, where a model has them."""

MAX_MANIFEST_BYTES = 64 * 2**10
"""Largest manifest that is read. The shipped one is under 4 kB."""


def find_weights(package: Path) -> Path:
    """Return the folder of shipped weights: inside a wheel, or at the top of a checkout."""
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent.parent / "weights"


FOLDER = find_weights(Path(__file__).resolve().parents[1])


class Entry(Record, frozen=True):
    """The manifest's entry for one weights file. A test recomputes every field.

    Attributes:
        file: Name in the manifest's folder.
        sha256: Digest of the whole file.
        bytes: Length of the file.
        num_params: Parameters of the model.
        macs: Multiply-accumulates per image, without biases.
        footprint_mib: The study's memory footprint; see `Analysis.footprint_mib`.
        receptive_field: Of the last feature map, along each axis, in pixels.
        correct: Test images classified correctly, of 10,000.
        recipe: Name of the training recipe.
        seed: Seed of the training run.
        versions: Versions of the Python packages that the weights were trained with.
    """

    file: str
    sha256: Sha256
    bytes: Count
    num_params: Count
    macs: Count
    footprint_mib: float
    receptive_field: Count
    correct: Annotated[int, Meta(ge=0, le=10_000)]
    recipe: str
    seed: int
    versions: dict[str, str]

    @property
    def accuracy(self) -> float:
        """Fraction of the 10,000 test images classified correctly."""
        return self.correct / 10_000


@functools.cache
def read_manifest(folder: Path = FOLDER) -> dict[str, Entry]:
    """Read the manifest of `folder`, an entry per model and set of weights.

    >>> read_manifest()["exp5"].num_params
    17302

    Raises:
        FileReadError: It is missing or larger than 64 KiB.
        WeightsError: It is not JSON, or a field is missing, unknown or invalid.
    """
    path = folder / "manifest.json"
    try:
        return parse_json(read_bytes(path, limit=MAX_MANIFEST_BYTES), dict[str, Entry])
    except DataError as error:
        raise WeightsError(f"{path} is not a manifest: {error}. Restore the file.") from error


def write_manifest(entries: dict[str, Entry], folder: Path = FOLDER) -> Path:
    """Write the manifest of `folder` atomically, sorted by name, and return its path."""
    table = {name: entries[name] for name in sorted(entries)}
    path = write_bytes(folder / "manifest.json", to_json(table))
    read_manifest.cache_clear()
    return path


def join_name(architecture: str, weights: str = MNIST) -> str:
    """Return the name of a model with the weights of that name.

    >>> join_name("exp5"), join_name("exp5", "world")
    ('exp5', 'exp5.world')
    """
    return architecture if weights == MNIST else f"{architecture}.{weights}"


def split_name(name: str) -> tuple[str, str]:
    """Return the architecture and the weights that a name stands for.

    >>> split_name("exp5"), split_name("exp5.world")
    (('exp5', 'mnist'), ('exp5', 'world'))
    """
    architecture, _, weights = name.partition(".")
    return architecture, weights or MNIST


def name_for_reading(name: str) -> str:
    """Return the name of the weights to read photographs and drawings with, unless it names some.

    >>> name_for_reading("exp1")
    'exp1'
    """
    preferred = join_name(name, READING)
    return preferred if preferred in read_manifest() else name


def pretrained_state_dict(name: str) -> Arrays:
    """Return shipped weights by name, such as "exp5.world", checked against their SHA-256.

    Raises:
        UnknownNameError: No weights of that name are shipped.
        FileReadError: The file is missing.
        WeightsError: The file is not the one that the manifest describes.
    """
    from mnistzoo.storage.state_dict import read_state_dict  # imports NumPy

    manifest = read_manifest()
    if name not in manifest:
        raise UnknownNameError("pretrained model", name, manifest)
    return read_state_dict(FOLDER / manifest[name].file, expected_sha256=manifest[name].sha256)


def find_shipped_file(architecture: str, state_dict: Arrays) -> bytes | None:
    """Return the bytes of the shipped file that holds exactly these arrays, or None.

    Raises:
        FileReadError: The file is missing.
        WeightsError: The file is not the one that the manifest describes.
    """
    import numpy as np

    from mnistzoo.storage.state_dict import MAX_BYTES, parse_state_dict

    for name, entry in read_manifest().items():
        if split_name(name)[0] != architecture:
            continue
        path = FOLDER / entry.file
        data = read_bytes(path, limit=MAX_BYTES)
        shipped = parse_state_dict(data, os.fspath(path), expected_sha256=entry.sha256)
        if shipped.keys() == state_dict.keys() and all(
            np.array_equal(shipped[key], state_dict[key]) for key in shipped
        ):
            return data
    return None
