"""A saved model is three files: `config.json`, `model.safetensors` and `README.md`, its card.

The format is the same in a folder and on the Hub. `config.json` has exactly the fields of
`ModelConfig`. The tensors have the names of PyTorch's `state_dict`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from mnistzoo._version import __version__
from mnistzoo.architectures import BUILDABLE, MEAN, STD, Style, check_style_name
from mnistzoo.errors import DataError, FileReadError, FileWriteError, WeightsError
from mnistzoo.files import is_dir, locked, make_folder, move, read_bytes, sha256, write_bytes
from mnistzoo.labels import check_labels
from mnistzoo.records import Record, Sha256, parse_json, to_json
from mnistzoo.storage.manifest import find_shipped_file
from mnistzoo.storage.state_dict import (
    MAX_BYTES,
    Arrays,
    check_state_dict,
    parse_state_dict,
    serialize_state_dict,
)

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"

LIMITS = {CONFIG: 64 * 2**10, WEIGHTS: MAX_BYTES, CARD: 2**20}
"""Largest number of bytes that is read or downloaded, by file."""


class ModelConfig(Record, frozen=True, omit_defaults=True):
    """The content of `config.json`.

    Attributes:
        architecture: One of `mnistzoo.list_models()`, or "teacher".
        num_classes: Outputs of the classifier.
        mean: Subtracted from pixels on a scale of 0 to 1.
        std: Divides the pixels after that.
        sha256: Digest of `model.safetensors`.
        library_version: The version of mnistzoo that wrote the files.
        labels: Names of the classes. Left out if they are only numbered.
        style: How images become 28×28 pixels. Left out for "mnist".
    """

    architecture: str
    num_classes: Annotated[int, Meta(ge=1, le=2**16)]
    mean: float
    std: float
    sha256: Sha256
    library_version: str
    labels: tuple[str, ...] | None = None
    style: Style = "mnist"

    def __post_init__(self) -> None:
        if self.architecture not in BUILDABLE:
            known = ", ".join(BUILDABLE)
            raise ValueError(f"Expected an architecture of {known}, got {self.architecture!r}")
        if (self.mean, self.std) != (MEAN, STD):
            raise ValueError(f"Expected mean {MEAN} and std {STD}, got {self.mean} and {self.std}")
        if self.labels is not None:
            check_labels(self.labels, self.num_classes)


class SavedModel(NamedTuple):
    """A config and its weights, checked against each other.

    Attributes:
        source: Where they come from, for messages.
        config: The parsed `config.json`.
        state_dict: The arrays of `model.safetensors`.
    """

    source: str
    config: ModelConfig
    state_dict: Arrays


def pack(
    architecture: str,
    num_classes: int,
    state_dict: Arrays,
    provenance: dict[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    style: Style = "mnist",
) -> tuple[ModelConfig, dict[str, bytes]]:
    """Return the config of a model, and its `config.json` and `model.safetensors`.

    Shipped weights are written as the shipped file, byte for byte, so they keep its SHA-256.

    Args:
        architecture: Name of the architecture.
        num_classes: Outputs of the classifier.
        state_dict: The model's weights.
        provenance: JSON values about the training, stored in the weights file.
        labels: Names of the classes.
        style: How images become 28×28 pixels.

    Raises:
        InputError: The labels are not one for each class, or there is no such style.
        WeightsError: The files could not be loaded again.
    """
    weights = _serialize(architecture, state_dict, provenance)
    check_style_name(style)
    config = ModelConfig(
        architecture=architecture,
        num_classes=num_classes,
        mean=MEAN,
        std=STD,
        sha256=sha256(weights),
        library_version=__version__,
        labels=None if labels is None else tuple(labels),
        style=style,
    )
    files = {CONFIG: to_json(config), WEIGHTS: weights}
    if len(files[CONFIG]) > LIMITS[CONFIG]:
        raise WeightsError(
            f"Expected a config of at most {LIMITS[CONFIG]:,} bytes, got {len(files[CONFIG]):,}. "
            "Use shorter labels."
        )
    unpack(files, "The saved model")
    return config, files


def _serialize(architecture: str, state_dict: Arrays, provenance: dict[str, Any] | None) -> bytes:
    """Return the weights file: the shipped one if it holds these weights."""
    weights = find_shipped_file(architecture, state_dict)
    if weights is None:
        weights = serialize_state_dict(state_dict, provenance or {"architecture": architecture})
    if len(weights) > MAX_BYTES:
        raise WeightsError(
            f"Expected weights of at most {MAX_BYTES:,} bytes, got {len(weights):,}. "
            "Use fewer classes."
        )
    return weights


def unpack(files: dict[str, bytes], source: str) -> SavedModel:
    """Parse `config.json` and `model.safetensors`, and check that they belong together.

    Raises:
        WeightsError: Either is invalid, the weights have another digest than the config states, or
            do not fit the architecture that it names. The message names `source`.
    """
    config = _parse_config(files[CONFIG], f"{source}: {CONFIG}")
    weights = f"{source}: {WEIGHTS}"
    state_dict = parse_state_dict(files[WEIGHTS], weights, expected_sha256=config.sha256)
    check_state_dict(BUILDABLE[config.architecture], config.num_classes, state_dict, source)
    return SavedModel(source, config, state_dict)


def _parse_config(data: bytes, source: str) -> ModelConfig:
    try:
        return parse_json(data, ModelConfig)
    except DataError as error:
        raise WeightsError(
            f"{source} does not describe a model of this library: {error}. "
            "Download it again, or save the model again with model.save_pretrained()."
        ) from error


def read_folder(folder: str | os.PathLike[str]) -> dict[str, bytes]:
    """Read the files of a saved model: config, weights, and the card if there is one.

    Raises:
        FileReadError: The folder or a file is missing, or a file is too large.
    """
    here = Path(folder)
    if not is_dir(here):
        raise FileReadError(
            f"There is no folder {os.fspath(folder)}. Name one that `save_pretrained` or "
            "`mnistzoo pull` wrote. For the zoo's own weights, use mnistzoo.get_model()."
        )
    with locked(here, shared=True):
        config = read_bytes(here / CONFIG, limit=LIMITS[CONFIG])
        weights = read_bytes(_find_weights(here, config), limit=MAX_BYTES)
        files = {CONFIG: config, WEIGHTS: weights}
        if (here / CARD).exists():
            files[CARD] = read_bytes(here / CARD, limit=LIMITS[CARD])
    return files


def write_folder(folder: str | os.PathLike[str], files: dict[str, bytes]) -> None:
    """Write a saved model to a folder, replacing any model there.

    If the process is killed, the folder holds the complete old or new model: the new weights are
    written beside the old ones, and writing `config.json`, which states their digest, is the step
    from one model to the other. Then the new weights replace the old ones.

    Args:
        folder: Created if it does not exist.
        files: `config.json`, `model.safetensors`, and optionally the card.

    Raises:
        FileWriteError: A file cannot be written.
    """
    with locked(here := make_folder(folder)):
        if CARD in files:
            write_bytes(here / CARD, files[CARD])
        pending = write_bytes(_pending(here, sha256(files[WEIGHTS])), files[WEIGHTS])
        try:
            write_bytes(here / CONFIG, files[CONFIG])
        except FileWriteError:
            pending.unlink()
            raise
        move(pending, here / WEIGHTS)


def find_digest(config: bytes) -> str | None:
    """Return the digest that a `config.json` states, without parsing the rest."""
    found = re.search(rb'"sha256": "([0-9a-f]{64})"', config)
    return found[1].decode() if found else None


def _pending(folder: Path, digest: str) -> Path:
    """Return the path of weights until `config.json` states their digest."""
    return folder / f".{WEIGHTS}.{digest}"


def _find_weights(folder: Path, config: bytes) -> Path:
    """Return the weights that `config.json` states: pending ones if their writer was killed."""
    digest = find_digest(config)
    if digest and (pending := _pending(folder, digest)).exists():
        return pending
    return folder / WEIGHTS
