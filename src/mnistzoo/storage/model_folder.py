"""One network as three files: `config.json`, `model.safetensors` and its card, `README.md`.

The format is the same in a folder and in a repository of the Hub, and is easily read by hand. The
keys of `config.json` are the fields of `Config`: exactly these, always all of them. The tensors
have the names of PyTorch's `state_dict`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from torch import Tensor

from mnistzoo._version import __version__
from mnistzoo.architectures import BUILDABLE, MEAN, STD
from mnistzoo.errors import FileReadError, FileWriteError, WeightsError
from mnistzoo.files import is_dir, locked, make_folder, move, read_bytes, sha256, write_bytes
from mnistzoo.storage.manifest import shipped_file
from mnistzoo.storage.state_dict import MAX_BYTES, dump_state_dict, parse_state_dict

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"

LIMITS = {CONFIG: 64 * 2**10, WEIGHTS: MAX_BYTES, CARD: 2**20}
"""No file is read, or downloaded, that is larger than this many bytes."""

MAX_CLASSES = 2**16


@dataclass(frozen=True)
class Config:
    """What `config.json` says.

    Attributes:
        architecture: one of `mnistzoo.list_models()`, or "teacher".
        num_classes: outputs of the classifier.
        mean: subtracted from pixels on a scale of 0 to 1.
        std: what they are then divided by.
        sha256: the digest of `model.safetensors`, 64 hexadecimal digits.
        library_version: the version of mnistzoo that wrote the files.
    """

    architecture: str
    num_classes: int
    mean: float
    std: float
    sha256: str
    library_version: str


class Checkpoint(NamedTuple):
    """A config, and the tensors whose file has the digest that it states."""

    config: Config
    state: dict[str, Tensor]


def encode(
    architecture: str,
    num_classes: int,
    state: dict[str, Tensor],
    provenance: dict[str, Any] | None = None,
) -> tuple[Config, dict[str, bytes]]:
    """A network's config, and its `config.json` and `model.safetensors`, known to load again.

    The shipped weights are written as the very file that ships, so that they keep its SHA-256.

    Args:
        architecture: the network's name.
        num_classes: outputs of its classifier.
        state: its tensors.
        provenance: what the file of weights is to say of how they were made.

    Raises:
        WeightsError: the network is larger than what is ever read.
    """
    weights = shipped_file(architecture, state)
    if weights is None:
        weights = dump_state_dict(state, provenance or {"network": architecture})
    if len(weights) > MAX_BYTES:
        raise WeightsError(
            f"the weights take {len(weights):,} bytes, expected at most {MAX_BYTES:,}; "
            "give the classifier fewer classes."
        )
    config = Config(architecture, num_classes, MEAN, STD, sha256(weights), __version__)
    files = {CONFIG: (json.dumps(asdict(config), indent=2) + "\n").encode(), WEIGHTS: weights}
    decode(files, "what would be saved")
    return config, files


def decode(files: dict[str, bytes], source: str) -> Checkpoint:
    """Read `config.json` by its schema, and `model.safetensors` by the digest stated there.

    Raises:
        WeightsError: either is not what it should be. `source` names the files in the message.
    """
    config = _parse_config(files[CONFIG], f"{source}: {CONFIG}")
    return Checkpoint(
        config,
        parse_state_dict(files[WEIGHTS], f"{source}: {WEIGHTS}", expected_sha256=config.sha256),
    )


def read_folder(folder: str | os.PathLike[str]) -> dict[str, bytes]:
    """The bytes of the two files that make a network, and of the card if there is one.

    Raises:
        FileReadError: the folder is not one, a file is missing, or is larger than it may be.
    """
    here = Path(folder)
    if not is_dir(here):
        raise FileReadError(
            f"there is no folder {os.fspath(folder)}; name one that `save_pretrained` or "
            "`mnistzoo pull` wrote."
        )
    with locked(here, shared=True):
        config = read_bytes(here / CONFIG, limit=LIMITS[CONFIG])
        files = {CONFIG: config, WEIGHTS: read_bytes(_stated(here, config), limit=MAX_BYTES)}
        if (here / CARD).exists():
            files[CARD] = read_bytes(here / CARD, limit=LIMITS[CARD])
    return files


def write_folder(folder: str | os.PathLike[str], files: dict[str, bytes]) -> None:
    """Put a network into a folder, in place of the one that may be there.

    At every moment one of the two can be read, whole, wherever the writing is broken off: the new
    weights first lie beside the old ones, and writing `config.json`, which states their digest, is
    the one step from the old network to the new. Then they take the old ones' place.

    Args:
        folder: made where it is missing.
        files: `config.json`, `model.safetensors`, and perhaps the card.

    Raises:
        FileWriteError: the folder or the disk refuses.
    """
    with locked(here := make_folder(folder)):
        if CARD in files:
            write_bytes(here / CARD, files[CARD])
        waiting = write_bytes(_waiting(here, sha256(files[WEIGHTS])), files[WEIGHTS])
        try:
            write_bytes(here / CONFIG, files[CONFIG])
        except FileWriteError:
            waiting.unlink()
            raise
        move(waiting, here / WEIGHTS)


def _waiting(folder: Path, digest: str) -> Path:
    """Where weights lie until `config.json` states their digest."""
    return folder / f".{WEIGHTS}.{digest}"


def _stated(folder: Path, config: bytes) -> Path:
    """The weights that `config.json` states: those that wait, if their writer was broken off."""
    stated = re.search(rb'"sha256": "([0-9a-f]{64})"', config)
    if stated and (waiting := _waiting(folder, stated[1].decode())).exists():
        return waiting
    return folder / WEIGHTS


def _parse_config(data: bytes, source: str) -> Config:
    try:
        return _config(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{source} does not describe a network of this library: {error}; "
            "download it again, or save the network again with model.save_pretrained()."
        ) from error


def _config(row: object) -> Config:
    """A config whose every field has its one type and a value that this library can honour."""
    expected = {field.name for field in fields(Config)}
    if not isinstance(row, dict) or row.keys() != expected:
        got = sorted(row) if isinstance(row, dict) else type(row).__name__
        raise ValueError(f"expected the fields {sorted(expected)}, got {got}")
    for name, kind in get_type_hints(Config).items():
        if type(row[name]) is not kind:
            raise ValueError(f"expected {name} to be {kind.__name__}, got {row[name]!r}")
    config = Config(**row)
    if config.architecture not in BUILDABLE:
        known = ", ".join(BUILDABLE)
        raise ValueError(f"expected an architecture of {known}, got {config.architecture!r}")
    if not 1 <= config.num_classes <= MAX_CLASSES:
        raise ValueError(f"expected 1 to {MAX_CLASSES} classes, got {config.num_classes}")
    if (config.mean, config.std) != (MEAN, STD):
        raise ValueError(f"expected mean {MEAN} and std {STD}, got {config.mean} and {config.std}")
    return config
