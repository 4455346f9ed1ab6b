"""Files that are either whole or absent: digests and atomic writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from pathlib import Path

from mnistzoo.errors import FileReadError, FileWriteError


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: str | os.PathLike[str], *, limit: int) -> bytes:
    """The whole of a file that holds at most `limit` bytes.

    The bound is kept while reading, so neither a file that grows nor a device is read without end.

    Raises:
        FileReadError: it is missing, not a readable file, or larger than `limit`.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        reason = error.strerror or error
        raise FileReadError(
            f"cannot read {os.fspath(path)}: {reason}; check the path and its permissions."
        ) from error
    if len(data) > limit:
        raise FileReadError(
            f"{os.fspath(path)} is larger than the {limit:,} bytes expected at most; "
            "it is not a file that this library wrote."
        )
    return data


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the
    place of `path` in one step. Missing parent folders are made.

    Raises:
        FileWriteError: the folder or the disk refuses; `path` is then as it was before.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise FileWriteError(
            f"cannot write {target}: {error.strerror or error}; "
            "choose a folder that exists or can be made, is writable, and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return target
