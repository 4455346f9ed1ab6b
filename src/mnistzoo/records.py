"""Typed records that are JSON files: config, manifest, metrics.

msgspec checks them while it reads: every field, its type and its range. It imports in a few
milliseconds.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from mnistzoo.errors import DataError

T = TypeVar("T")

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A SHA-256 as 64 hexadecimal digits."""

Count = Annotated[int, Meta(ge=0)]
"""An integer that is not negative."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of records: immutable, with a closed set of fields."""


def parse_json(data: bytes, kind: type[T]) -> T:
    """Parse JSON that holds one value of type `kind`.

    >>> parse_json(b'{"a": 1}', dict[str, int])
    {'a': 1}

    Raises:
        DataError: It is not JSON, or a field is missing, unknown, of another type or out of range.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the latter before msgspec 0.23
        raise DataError(str(error).rstrip(".")) from error
    except RecursionError as error:
        raise DataError("JSON is nested too deeply") from error


def to_json(value: object) -> bytes:
    """Return a record, or containers of records, as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
