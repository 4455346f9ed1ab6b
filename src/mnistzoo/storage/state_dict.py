"""State dicts as safetensors files: strict, checked loads and reproducible saves.

A file is read once. The digest is taken of the same bytes that the tensors are made from, so what
was checked is what is loaded.
"""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from mnistzoo.errors import WeightsError
from mnistzoo.files import read_bytes, sha256

MAX_BYTES = 16 * 2**20
"""Largest weights file that is read. The zoo's own are under 130 kB."""

MAX_HEADER_BYTES = 64 * 2**10
"""Largest safetensors header that is parsed. The zoo's own are under 5 kB."""

METADATA_KEY = "mnistzoo"


def read_state_dict(
    path: str | os.PathLike[str], *, expected_sha256: str | None = None
) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, by name.

    Raises:
        FileReadError: The file is missing, unreadable, or larger than 16 MiB.
        WeightsError: Its digest differs from `expected_sha256`, or it is not safetensors.
    """
    data = read_bytes(path, limit=MAX_BYTES)
    return parse_state_dict(data, os.fspath(path), expected_sha256=expected_sha256)


def parse_state_dict(
    data: bytes, source: str, *, expected_sha256: str | None = None
) -> dict[str, Tensor]:
    """Parse the bytes of a safetensors file into tensors, by name.

    A file begins with the length of its header, 8 bytes, little-endian
    (<https://huggingface.co/docs/safetensors/index#format>). It is bounded before the parser runs.

    Args:
        data: The whole file.
        source: Name of the file in error messages.
        expected_sha256: The digest that `data` must have. Default: any.

    Raises:
        WeightsError: The digest differs from `expected_sha256`, or `data` is not safetensors.
    """
    digest = sha256(data)
    if expected_sha256 not in (None, digest):
        raise WeightsError(
            f"{source} was altered: expected SHA-256 {expected_sha256}, got {digest}. "
            "Install, save or download it again (force_download=True, or --force, for the Hub)."
        )
    header = int.from_bytes(data[:8], "little")
    if header > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{source} is not a safetensors file of this library: expected a header of at most "
            f"{MAX_HEADER_BYTES:,} bytes, got {header:,}. Use weights that mnistzoo saved."
        )
    try:
        return load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{source} is not a safetensors file: {error}. Use weights that mnistzoo saved."
        ) from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the provenance that a weights file of this library carries.

    Raises:
        WeightsError: The file is missing, is not safetensors, or has no such metadata.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads(file.metadata()[METADATA_KEY]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{os.fspath(path)} does not say how it was made. Use weights that mnistzoo saved."
        ) from error


def serialize_state_dict(state_dict: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """Return the bytes of a safetensors file.

    The same tensors and metadata give the same bytes: the metadata is sorted JSON under one key,
    because safetensors writes several keys in no fixed order.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    return save(tensors, {METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def load_into(module: nn.Module, state_dict: dict[str, Tensor], source: str) -> None:
    """Copy tensors into `module`: same names, shapes and dtypes, all values finite.

    Raises:
        WeightsError: Anything differs. `module` is then unchanged. The message names
            `source`.
    """
    check_state_dict(module.state_dict(), state_dict, source)
    module.load_state_dict(state_dict)


def check_state_dict(own: dict[str, Tensor], state_dict: dict[str, Tensor], source: str) -> None:
    """Check that tensors are finite, and fit a model with the state dict `own`.

    Raises:
        WeightsError: A name, shape or dtype differs, or a value is not finite.
    """
    if problems := _find_differences(own, state_dict):
        raise WeightsError(
            f"{source} does not fit the model: {'; '.join(problems[:3])}. "
            "Use the same architecture, num_classes and dtype (float32)."
        )


def _find_differences(own: dict[str, Tensor], state_dict: dict[str, Tensor]) -> list[str]:
    problems = [f"{name} is missing" for name in own.keys() - state_dict.keys()]
    problems += [f"{name} is unexpected" for name in state_dict.keys() - own.keys()]
    for name in own.keys() & state_dict.keys():
        want, got = own[name], state_dict[name]
        if want.shape != got.shape:
            problems.append(f"{name} should be {tuple(want.shape)}, is {tuple(got.shape)}")
        elif want.dtype != got.dtype:
            problems.append(f"{name} should be {want.dtype}, is {got.dtype}")
        elif got.is_meta:
            problems.append(f"{name} is on the meta device")
        elif not torch.isfinite(got).all():
            problems.append(f"{name} has values that are not finite")
    return sorted(problems)
