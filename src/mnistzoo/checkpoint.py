"""One network as three files: `config.json`, `model.safetensors` and its card, `README.md`.

The format is the same in a folder and in a repository of the Hub, and is easily read by hand. The
keys of `config.json` are the fields of `Config`: exactly these, always all of them. The tensors
have the names of PyTorch's `state_dict`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from torch import Tensor

from mnistzoo._version import __version__
from mnistzoo.architectures import ARCHITECTURES, MEAN, STD
from mnistzoo.errors import FileReadError, WeightsError
from mnistzoo.files import read_bytes, sha256, write_bytes
from mnistzoo.weights import MAX_BYTES, dump_state_dict, parse_state_dict, shipped_file

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"

LIMITS = {CONFIG: 64 * 2**10, WEIGHTS: MAX_BYTES, CARD: 2**20}
"""No file is read, or downloaded, that is larger than this many bytes."""

MAX_CLASSES = 2**16


@dataclass(frozen=True)
class Config:
    """What `config.json` says.

    Attributes:
        architecture: one of `mnistzoo.list_models()`.
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
    made_by: dict[str, Any] | None = None,
) -> dict[str, bytes]:
    """The bytes of `config.json` and `model.safetensors`, known to be readable again.

    The shipped weights are written as the very file that ships, so that they keep its SHA-256.

    Args:
        architecture: the network's name.
        num_classes: outputs of its classifier.
        state: its tensors.
        made_by: what the file of weights is to say of how they were made.

    Raises:
        WeightsError: the network is larger than what is ever read.
    """
    weights = shipped_file(architecture, state)
    if weights is None:
        weights = dump_state_dict(state, made_by or {"network": architecture})
    if len(weights) > MAX_BYTES:
        raise WeightsError(
            f"the weights take {len(weights):,} bytes, expected at most {MAX_BYTES:,}; "
            "give the classifier fewer classes."
        )
    config = Config(architecture, num_classes, MEAN, STD, sha256(weights), __version__)
    files = {CONFIG: (json.dumps(asdict(config), indent=2) + "\n").encode(), WEIGHTS: weights}
    decode(files, "what would be saved")
    return files


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
    if not here.is_dir():
        raise FileReadError(
            f"there is no folder {os.fspath(folder)}; name one that save_pretrained or "
            '`mnistzoo pull` wrote, or a repository of the Hub as "user/name".'
        )
    names = [name for name in LIMITS if name != CARD or (here / name).exists()]
    return {name: read_bytes(here / name, limit=LIMITS[name]) for name in names}


def write_folder(folder: str | os.PathLike[str], files: dict[str, bytes]) -> None:
    """Write each file in one step, `config.json` last.

    A write that is broken off thus leaves a folder without a config, or with one that states
    another digest than that of the weights: nothing that loads as another network.

    Raises:
        FileWriteError: the folder or the disk refuses.
    """
    for name in sorted(files, key=lambda name: name == CONFIG):
        write_bytes(Path(folder) / name, files[name])


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
    if config.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"expected an architecture of {known}, got {config.architecture!r}")
    if not 1 <= config.num_classes <= MAX_CLASSES:
        raise ValueError(f"expected 1 to {MAX_CLASSES} classes, got {config.num_classes}")
    if (config.mean, config.std) != (MEAN, STD):
        raise ValueError(f"expected mean {MEAN} and std {STD}, got {config.mean} and {config.std}")
    return config
