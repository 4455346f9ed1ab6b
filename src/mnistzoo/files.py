"""Files that are either whole or absent: digests and atomic writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from mnistzoo.errors import FileReadError, FileWriteError


def sha256(data: bytes) -> str:
    """The SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_dir(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a folder; a path that the system refuses is none."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def read_bytes(path: str | os.PathLike[str], *, limit: int) -> bytes:
    """The whole of a file that holds at most `limit` bytes.

    The bound is kept while reading, so neither a file that grows nor a device is read without end.

    Raises:
        FileReadError: it is missing, not a readable file, or larger than `limit`.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # a null byte in the path is a ValueError
        raise FileReadError(
            f"cannot read {os.fspath(path)}: {_reason(error)}; check the path and its permissions."
        ) from error
    if len(data) > limit:
        raise FileReadError(
            f"{os.fspath(path)} is larger than the {limit:,} bytes expected at most; "
            "it is not a file that this library wrote."
        )
    return data


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the
    place of `path` in one step. Missing parent folders are made. A process that is killed meanwhile
    may leave that temporary file, a hidden one that nothing reads.

    Raises:
        FileWriteError: the folder or the disk refuses; `path` is then as it was before.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with _refusal_of(target):
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
    """Let a file take the place of another in the same folder, in one step.

    Raises:
        FileWriteError: the folder refuses; both files are then as they were before.
    """
    with _refusal_of(target):
        path.replace(target)


def remove(path: Path) -> None:
    """Delete a file, if it is there.

    Raises:
        FileWriteError: the folder refuses.
    """
    with _refusal_of(path):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _refusal_of(target: Path) -> Iterator[None]:
    """What the folder or the disk refuses, as an error that says what to do."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise FileWriteError(
            f"cannot write {target}: {_reason(error)}; "
            "choose a folder that exists or can be made, is writable, and has room."
        ) from error


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Have a folder for oneself, or with `shared` together with others that only read it.

    The lock is the system's, on the folder itself: it leaves no file behind, and it ends with the
    process, however that ends. It holds among those that ask for it. Where there is no such lock
    (on Windows, on some network drives, for a folder that does not exist), nothing is held.

    Raises:
        FileWriteError: another process has it, and `wait` is off.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileWriteError(
                f"cannot write {folder}: another process is at work there; "
                "wait until it ends, or choose another folder."
            ) from error
        except OSError:
            pass  # no locks here
        yield
    finally:
        with contextlib.suppress(OSError):  # a child forked meanwhile would go on holding it
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder at `path`, made with its parents where it is missing.

    Raises:
        FileWriteError: it cannot be made.
    """
    folder = Path(path)
    with _refusal_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
