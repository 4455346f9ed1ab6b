"""Atomic writes, bounded reads, digests and locks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from mnistzoo.errors import FileReadError, FileWriteError, InputError


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def is_dir(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder exists. An invalid path counts as missing."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def check_path(path: object) -> None:
    """Check that an object is a path, and not empty, which would mean the working folder.

    Raises:
        InputError: It is not a path, or empty.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise InputError(f"Expected the path of a folder, got {path!r}. Name the folder.")


def read_bytes(path: str | os.PathLike[str], *, limit: int) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Reading stops at the limit, so a growing file or an endless device cannot fill the memory.

    Raises:
        FileReadError: The file is missing, unreadable, or larger than `limit`.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # a null byte in the path is a ValueError
        raise FileReadError(
            f"Cannot read {os.fspath(path)}: {_reason(error)}. Check the path and its permissions."
        ) from error
    if len(data) > limit:
        raise FileReadError(
            f"Expected at most {limit:,} bytes in {os.fspath(path)}, got more. "
            "This library did not write that file."
        )
    return data


def name_error(name: str, error: object) -> str:
    """Return what is wrong with a file, and the file's name once.

    >>> name_error("./a.png", "a.png: not an image"), name_error("a", "There is no such file.")
    ('a.png: not an image', 'a: There is no such file.')
    """
    text = str(error)
    return text if f"{os.path.normpath(name)}:" in text else f"{name}: {text}"


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file atomically: readers see the old content or the new, never a mixture.

    The bytes go to a hidden temporary file in the same folder, are flushed to disk, and replace
    `path` in one step. Missing parent folders are created. Only a killed process leaves its
    temporary file behind.

    Raises:
        FileWriteError: The file cannot be written. `path` is then unchanged.
    """
    target = Path(path)
    if not target.name:
        raise FileWriteError(f"Expected the path of a file, got {os.fspath(path)!r}. Name a file.")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with translate_os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
    return target


def move(path: Path, target: Path) -> None:
    """Move `path` onto `target`, in the same folder, in one step.

    Raises:
        FileWriteError: The folder cannot be written. Both files are then unchanged.
    """
    with translate_os_errors(target):
        path.replace(target)


def remove(path: Path) -> None:
    """Delete a file if it exists.

    Raises:
        FileWriteError: The folder cannot be written.
    """
    with translate_os_errors(path):
        path.unlink(missing_ok=True)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents where they are missing, and return its path.

    Raises:
        FileWriteError: It cannot be created.
    """
    folder = Path(path)
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def translate_os_errors(target: Path) -> Iterator[None]:
    """Raise errors of writing `target` as `FileWriteError`."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise FileWriteError(
            f"Cannot write {target}: {_reason(error)}. "
            "Choose a writable folder with enough free space."
        ) from error


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a folder or file: exclusive, or `shared` with other readers.

    This is an advisory `flock` on the path itself. It leaves no file behind and ends with the
    process. Where the system has no such lock (Windows, some network drives) or the path does
    not exist, nothing is locked.

    Raises:
        FileWriteError: Another process holds the lock, and `wait` is false.
    """
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileWriteError(
                f"Cannot write {path}: another process is using it. "
                "Wait until it ends, or choose another one."
            ) from error
        except OSError:
            pass  # this file system has no locks
        yield
    finally:
        with contextlib.suppress(OSError):  # a forked child would keep the lock
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
