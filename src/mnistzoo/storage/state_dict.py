"""State dicts as safetensors files: strict, checked loads and reproducible saves.

Tensors are NumPy arrays here, so reading weights needs no torch. A file is read once: the bytes
that are hashed are the bytes that are loaded.
"""

from __future__ import annotations

import json
import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from mnistzoo.architectures import INPUT_SHAPE, Architecture, Conv
from mnistzoo.errors import InputError, WeightsError
from mnistzoo.files import read_bytes, sha256

Arrays: TypeAlias = dict[str, NDArray[Any]]
"""A state dict: arrays by the names that PyTorch gives the tensors."""

MAX_BYTES = 16 * 2**20
"""Largest weights file that is read. The zoo's own are under 130 kB."""

MAX_HEADER_BYTES = 64 * 2**10
"""Largest safetensors header that is parsed. The zoo's own are under 5 kB."""

METADATA_KEY = "mnistzoo"

COUNT = "num_batches_tracked"
"""The one tensor of a batch norm that is an integer."""


def read_state_dict(path: str | os.PathLike[str], *, expected_sha256: str | None = None) -> Arrays:
    """Read the arrays of a safetensors file, by name.

    Raises:
        FileReadError: The file is missing, unreadable, or larger than 16 MiB.
        WeightsError: Its digest differs from `expected_sha256`, or it is not safetensors.
    """
    data = read_bytes(path, limit=MAX_BYTES)
    return parse_state_dict(data, os.fspath(path), expected_sha256=expected_sha256)


def parse_state_dict(data: bytes, source: str, *, expected_sha256: str | None = None) -> Arrays:
    """Parse the bytes of a safetensors file into arrays, by name.

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
            "Install or save it again, or pull it with force_download=True (--force-download)."
        )
    header = int.from_bytes(data[:8], "little")
    if header > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{source} is not a safetensors file of this library: expected a header of at most "
            f"{MAX_HEADER_BYTES:,} bytes, got {header:,}. Use weights that mnistzoo saved."
        )
    try:
        return load(data)
    except KeyError as error:  # NumPy has no such dtype
        raise WeightsError(
            f"Expected float32 tensors in {source}, got {error.args[0]}. Save model.float()."
        ) from error
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"{source} is not a safetensors file: {error}. Use weights that mnistzoo saved."
        ) from error


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the provenance in a weights file of this library.

    Raises:
        WeightsError: The file is missing, is not safetensors, or has no such metadata.
    """
    try:
        with safe_open(path, framework="np") as file:
            return dict(json.loads(file.metadata()[METADATA_KEY]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{os.fspath(path)} does not say how it was made. Use weights that mnistzoo saved."
        ) from error


def serialize_state_dict(state_dict: Arrays, metadata: dict[str, Any]) -> bytes:
    """Return the bytes of a safetensors file.

    The same arrays and metadata give the same bytes: the metadata is sorted JSON under one key,
    because safetensors writes several keys in no fixed order.

    Raises:
        InputError: The metadata is not made of JSON values.
    """
    try:
        text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected provenance of JSON values, got: {error}.") from error
    arrays = {name: np.ascontiguousarray(array) for name, array in state_dict.items()}
    shaped = {name: array.reshape(state_dict[name].shape) for name, array in arrays.items()}
    return save(shaped, {METADATA_KEY: text})


def check_state_dict(
    architecture: Architecture, num_classes: int, state_dict: Arrays, source: str
) -> None:
    """Check that arrays fit a model, and are finite.

    Raises:
        WeightsError: A name, shape or dtype differs, or a value is not finite. The message calls
            the arrays `source`.
    """
    if problems := _find_differences(tensor_shapes(architecture, num_classes), state_dict):
        raise WeightsError(
            f"{source} does not fit the model: {'; '.join(problems[:3])}. "
            "Use the same architecture, num_classes and dtype (float32)."
        )


def tensor_shapes(architecture: Architecture, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a model, by name.

    >>> from mnistzoo.architectures import ARCHITECTURES
    >>> tensor_shapes(ARCHITECTURES["exp5"], 10)["classifier.weight"]
    (10, 108)
    """
    shapes: dict[str, tuple[int, ...]] = {}
    channels, side, _ = INPUT_SHAPE
    number = 0
    for layer in architecture.layers:
        if not isinstance(layer, Conv):
            side //= 2
            continue
        number += 1
        out = layer.out_channels
        shapes[f"features.conv{number}.weight"] = (out, channels, 3, 3)
        shapes[f"features.conv{number}.bias"] = (out,)
        if architecture.batch_norm:
            norm = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"features.bn{number}.{name}": (out,) for name in norm}
            shapes[f"features.bn{number}.{COUNT}"] = ()
        channels, side = out, side + 2 * layer.padding - 2
    shapes["classifier.weight"] = (num_classes, channels * side * side)
    shapes["classifier.bias"] = (num_classes,)
    return shapes


def _find_differences(shapes: dict[str, tuple[int, ...]], state_dict: Arrays) -> list[str]:
    problems = [f"{name} is missing" for name in shapes.keys() - state_dict.keys()]
    problems += [f"{name} is unexpected" for name in state_dict.keys() - shapes.keys()]
    for name in shapes.keys() & state_dict.keys():
        array, dtype = state_dict[name], np.int64 if name.endswith(COUNT) else np.float32
        if array.shape != shapes[name]:
            problems.append(f"{name} should be {shapes[name]}, is {array.shape}")
        elif array.dtype != dtype:
            problems.append(f"{name} should be {np.dtype(dtype)}, is {array.dtype}")
        elif not np.isfinite(array).all():
            problems.append(f"{name} has values that are not finite")
    return sorted(problems)
