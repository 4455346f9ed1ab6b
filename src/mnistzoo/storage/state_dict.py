"""Weights as files: a load that is strict and checked, and a save that can be repeated.

A file of weights is safetensors and nothing else. Its bytes are read once; the digest is taken of
those bytes and the tensors are made from them, so what was checked is what is loaded.
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
"""No file of weights is read beyond this; a network of this library takes under 200 kB."""

MAX_HEADER_BYTES = 64 * 2**10
"""No table of tensors is parsed beyond this; a network of this library takes under 5 kB."""

METADATA_KEY = "mnistzoo"


def load_state_dict(
    path: str | os.PathLike[str], *, expected_sha256: str | None = None
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        FileReadError: the file is missing, cannot be read, or is larger than 16 MiB.
        WeightsError: its digest is another than `expected_sha256`, or it is not safetensors.
    """
    data = read_bytes(path, limit=MAX_BYTES)
    return parse_state_dict(data, os.fspath(path), expected_sha256=expected_sha256)


def parse_state_dict(
    data: bytes, source: str, *, expected_sha256: str | None = None
) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file, by name; `source` is its name in messages.

    The format begins with the length of its table of tensors, 8 bytes, little-endian
    (<https://huggingface.co/docs/safetensors/index#format>); it is bounded before the parsing.

    Raises:
        WeightsError: its digest is another than `expected_sha256`, or it is not safetensors.
    """
    digest = sha256(data)
    if expected_sha256 not in (None, digest):
        raise WeightsError(
            f"{source} is not the file that was published: expected SHA-256 {expected_sha256}, "
            f"got {digest}; install it again, save it again, or download it again "
            "(force_download=True, or --force, for the Hub)."
        )
    declared = int.from_bytes(data[:8], "little")
    if declared > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{source} is not a safetensors file of this library: it declares a table of "
            f"{declared:,} bytes, expected at most {MAX_HEADER_BYTES:,}; "
            "only files in that format are read."
        )
    try:
        return load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{source} is not a safetensors file: {error}; only files in that format are read."
        ) from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file of this library's says of how its weights were made.

    Raises:
        WeightsError: there is none, it is not safetensors, or it says nothing.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads(file.metadata()[METADATA_KEY]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{os.fspath(path)} does not say how it was made; save it with this library."
        ) from error


def dump_state_dict(state: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """The bytes of a safetensors file.

    The same tensors and metadata give the same bytes: the metadata is one key, holding sorted JSON,
    since safetensors writes several keys in no fixed order.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return save(tensors, {METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def load_into(module: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Copy `state` into `module`, strictly: the same names, shapes and dtypes, all values finite.

    Raises:
        WeightsError: anything differs; `module` is then unchanged. `source` names the weights in
            the message.
    """
    check_state(module.state_dict(), state, source)
    module.load_state_dict(state)


def check_state(own: dict[str, Tensor], state: dict[str, Tensor], source: str) -> None:
    """Check that `state` fits a network whose own is `own`, and is finite.

    Raises:
        WeightsError: a name, shape or dtype differs, or a value is not finite.
    """
    if problems := _differences(own, state):
        raise WeightsError(
            f"{source} does not fit the network: {'; '.join(problems[:3])}; "
            "use weights of the same architecture, num_classes and dtype (float32 as built)."
        )


def _differences(own: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    problems = [f"{name} is missing" for name in own.keys() - state.keys()]
    problems += [f"{name} is not expected" for name in state.keys() - own.keys()]
    for name in sorted(own.keys() & state.keys()):
        want, got = own[name], state[name]
        if want.shape != got.shape:
            problems.append(f"{name} should be {tuple(want.shape)}, is {tuple(got.shape)}")
        elif want.dtype != got.dtype:
            problems.append(f"{name} should be {want.dtype}, is {got.dtype}")
        elif not torch.isfinite(got).all():
            problems.append(f"{name} holds values that are not finite")
    return sorted(problems)
