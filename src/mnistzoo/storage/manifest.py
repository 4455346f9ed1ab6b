"""The weights that ship, and the manifest that states what is in each file of them."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from mnistzoo.errors import UnknownNameError, WeightsError
from mnistzoo.files import read_bytes, write_bytes
from mnistzoo.storage.state_dict import MAX_BYTES, load_state_dict, parse_state_dict

MAX_MANIFEST_BYTES = 64 * 2**10
"""No manifest is parsed beyond this; that of the five networks takes under 4 kB."""


def _folder(package: Path) -> Path:
    """Where the shipped weights are: inside a wheel, or at the top of a checkout."""
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent.parent / "weights"


FOLDER = _folder(Path(__file__).resolve().parents[1])


@dataclass(frozen=True)
class Entry:
    """What the manifest states of one file of weights; a test recomputes every field.

    Attributes:
        file: its name, in the manifest's folder.
        sha256: the digest of the whole file.
        bytes: its length.
        num_params: parameters of the network.
        macs: multiply-accumulates for one image, biases not counted.
        correct: test images classified correctly, of 10,000.
        recipe: the training recipe's name.
        seed: the run's seed.
        versions: versions of Python packages that the weights were made with.
    """

    file: str
    sha256: str
    bytes: int
    num_params: int
    macs: int
    correct: int
    recipe: str
    seed: int
    versions: dict[str, str]

    @property
    def accuracy(self) -> float:
        """The fraction of the 10,000 test images classified correctly."""
        return self.correct / 10_000


@functools.cache
def read_manifest(folder: Path = FOLDER) -> dict[str, Entry]:
    """The manifest of `folder`, by network name.

    Raises:
        FileReadError: there is none, or it is larger than 64 KiB.
        WeightsError: it is not JSON, or a field is missing, unknown or of another type.
    """
    path = folder / "manifest.json"
    try:
        table = json.loads(read_bytes(path, limit=MAX_MANIFEST_BYTES))
        return {name: _entry(row) for name, row in table.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is not a manifest of weights: {error}; restore the file."
        ) from error


def _entry(row: dict[str, Any]) -> Entry:
    expected = {field.name for field in fields(Entry)}
    if row.keys() != expected:
        raise ValueError(f"expected the fields {sorted(expected)}, got {sorted(row)}")
    for name, kind in get_type_hints(Entry).items():
        plain = dict if name == "versions" else kind
        if type(row[name]) is not plain:
            raise ValueError(f"expected {name} to be {plain.__name__}, got {row[name]!r}")
    return Entry(**row)


def write_manifest(entries: dict[str, Entry], folder: Path = FOLDER) -> Path:
    """Write `entries` as the manifest of `folder`, sorted by name, in one step."""
    table = {name: asdict(entries[name]) for name in sorted(entries)}
    path = write_bytes(folder / "manifest.json", (json.dumps(table, indent=2) + "\n").encode())
    read_manifest.cache_clear()
    return path


def pretrained_state_dict(name: str) -> dict[str, Tensor]:
    """The shipped weights of one network, its file's SHA-256 checked against the manifest.

    Raises:
        UnknownNameError: no weights of that name are shipped.
        FileReadError: the file is missing.
        WeightsError: it is not the file that the manifest describes.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise UnknownNameError("pretrained model", name, manifest)
    return load_state_dict(FOLDER / manifest[name].file, expected_sha256=manifest[name].sha256)


def shipped_file(name: str, state: dict[str, Tensor]) -> bytes | None:
    """The shipped file of weights of one network, if it holds exactly `state`; otherwise nothing.

    Raises:
        FileReadError: the file is missing.
        WeightsError: it is not the file that the manifest describes.
    """
    entry = read_manifest().get(name)
    if entry is None:
        return None
    path = FOLDER / entry.file
    data = read_bytes(path, limit=MAX_BYTES)
    shipped = parse_state_dict(data, os.fspath(path), expected_sha256=entry.sha256)
    same = shipped.keys() == state.keys() and all(
        torch.equal(shipped[key], state[key].cpu()) for key in shipped
    )
    return data if same else None
