"""The file of rows: JSON Lines that can be appended to after any interruption.

Beside `out.jsonl` stands `out.settings.json`, which states what its rows depend on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from mnistzoo.architectures import Style
from mnistzoo.errors import DataError, FileReadError, InputError
from mnistzoo.files import locked, name_error, read_bytes, translate_os_errors, write_bytes
from mnistzoo.records import Record, Sha256, parse_json, to_json

MAX_SETTINGS = 2**26
"""Largest settings file that is read, in bytes."""


class Settings(Record, frozen=True):
    """The settings that rows depend on.

    Attributes:
        images: The files and folders on the command line.
        weights: Digest of the model's weights.
        labels: Names of its classes, or None if they are only numbered.
        style: How images become 28×28 pixels.
        show: Whether rows hold the model's input.
        library_version: The version of mnistzoo.
    """

    images: tuple[str, ...]
    weights: Sha256
    labels: tuple[str, ...] | None
    style: Style
    show: bool
    library_version: str


class _Row(msgspec.Struct):
    file: str
    error: str | None = None


class Rows:
    """A file of rows that is open for appending.

    Attributes:
        count: Number of rows.
        errors: Number of rows with an error.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.count = self.errors = 0
        self._file, self._path = file, path
        self._keys = np.sort(np.fromiter(self._read(), np.uint64))
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def __contains__(self, name: str) -> bool:
        """Return whether a file had a row when the rows were opened."""
        key = _key(name)
        place = int(np.searchsorted(self._keys, key))
        return place < len(self._keys) and self._keys[place] == key

    def append(self, row: str) -> str | None:
        """Append a row, and return its error, if it has one, with the name of the file.

        Raises:
            FileWriteError: It cannot be written. What was written of it is dropped on resuming.
        """
        with translate_os_errors(self._path):
            self._file.write(row.encode())
            self._file.flush()
        fields = _parse(row.encode())
        self._count(fields)
        return None if fields.error is None else name_error(fields.file, fields.error)

    def _read(self) -> Iterator[np.uint64]:
        """Yield the key of each complete row."""
        self._end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                return  # the process was killed while it wrote this row
            try:
                row = _parse(line)
            except ValueError as error:
                raise DataError(
                    f"Expected rows of `mnistzoo predict` in {self._path}, got another line at "
                    f"number {self.count + 1}. Choose another file, or delete this one."
                ) from error
            self._count(row)
            self._end += len(line)
            yield _key(row.file)

    def _count(self, row: _Row) -> None:
        self.count += 1
        self.errors += row.error is not None


@contextmanager
def open_rows(path: Path, settings: Settings) -> Iterator[Rows]:
    """Open a new file of rows, or an unfinished one with the same settings.

    Raises:
        InputError: The file or its settings exist, but differ or were not written by `predict`.
        DataError: The file holds something else.
        FileWriteError: It cannot be written, or another process is writing it.
    """
    settings_path = path.with_suffix(".settings.json")
    if path.exists():
        _check_settings(path, _read_settings(settings_path, path), settings)
    else:
        if settings_path.exists():
            _read_settings(settings_path, settings_path)  # replace no other kind of file
        write_bytes(settings_path, to_json(settings))
    with translate_os_errors(path):
        file = path.open("a+b")
    with file, locked(path, wait=False):
        file.seek(0)
        yield Rows(file, path)


def _read_settings(settings_path: Path, path: Path) -> Settings:
    """Read a file of settings. If it is missing or invalid, the error names `path`."""
    with suppress(DataError, FileReadError):
        if path.is_file() and settings_path.is_file():
            return parse_json(read_bytes(settings_path, limit=MAX_SETTINGS), Settings)
    raise InputError(
        f"{path} exists, and was not written by `mnistzoo predict`. Choose another file, or "
        "delete it."
    )


def _check_settings(path: Path, before: Settings, settings: Settings) -> None:
    """Refuse a file of rows with other settings."""
    names = Settings.__struct_fields__
    different = [name for name in names if getattr(before, name) != getattr(settings, name)]
    if different:
        raise InputError(
            f"{path} was written with other settings ({', '.join(different)}). Choose another "
            "file, or delete it to start again."
        )


def _parse(line: bytes) -> _Row:
    """Return the fields of a row that are needed here.

    Raises:
        ValueError: It is not a row.
    """
    try:
        return msgspec.json.decode(line, type=_Row)
    except msgspec.DecodeError:
        row = json.loads(line)  # a name that is not valid Unicode, which only Python reads
        return msgspec.convert(row, _Row)


def _key(name: str) -> np.uint64:
    """Return 64 bits for a name, so that a million names need 8 MB."""
    digest = blake2b(name.encode("utf8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
