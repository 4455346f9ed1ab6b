"""Readers of untrusted bytes, each as a function that may only raise this library's errors.

`fuzz.py` runs them under atheris, `test_hostile.py` under Hypothesis; both start from `corpus/`. A
target fails when anything but a `MnistZooError` escapes, or when it accepts something malformed.
"""

import atexit
import functools
import gzip
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.data.mnist import IDXFile, read_idx
from mnistzoo.errors import MnistZooError, WeightsError
from mnistzoo.images import loading
from mnistzoo.storage.manifest import Entry, read_manifest
from mnistzoo.storage.model_folder import CONFIG, WEIGHTS, unpack
from mnistzoo.storage.state_dict import check_state_dict, parse_state_dict

CORPUS = Path(__file__).parent / "corpus"

IDX_CONTENT = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)])
"""Two rows of three bytes, in IDX format."""


@functools.cache
def folder() -> Path:
    """Return a folder for files, in memory where possible."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    made = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory))
    atexit.register(shutil.rmtree, made)
    return made


TARGETS: dict[str, Callable[[bytes], bool]] = {}


def target(read: Callable[[bytes], None]) -> Callable[[bytes], bool]:
    """Register a target; it returns whether it accepts bytes, and lets other errors through."""

    @functools.wraps(read)
    def run(data: bytes) -> bool:
        try:
            read(data)
        except MnistZooError:
            return False
        return True

    TARGETS[read.__name__] = run
    return run


@target
def weights(data: bytes) -> None:
    """Read a file of weights; after a J, its table, a zero byte and its tensors."""
    if data[:1] == b"J":
        table, _, tensors = data[1:].partition(b"\0")
        data = len(table).to_bytes(8, "little") + table + tensors
    state = parse_state_dict(data, "it")
    assert all(isinstance(array, np.ndarray) for array in state.values())
    with suppress(WeightsError):
        check_state_dict(ARCHITECTURES["exp1"], 10, state, "it")


@target
def config(data: bytes) -> None:
    """Read a config, a zero byte and weights; DIGEST stands for the digest of the weights."""
    text, _, tensors = data.partition(b"\0")
    text = text.replace(b"DIGEST", hashlib.sha256(tensors).hexdigest().encode())
    try:
        unpack({CONFIG: text, WEIGHTS: tensors}, "it")
    except WeightsError as error:
        if "does not fit the model" not in str(error):  # as small seeds never do
            raise


@target
def idx(data: bytes) -> None:
    """Read an IDX file, or after a Z its uncompressed content."""
    if data[:1] == b"Z":
        data = gzip.compress(data[1:], 1)
    (folder() / "x.gz").write_bytes(data)
    digest = hashlib.sha256(IDX_CONTENT).hexdigest()
    assert read_idx(IDXFile("x", (2, 3), digest), folder()).tolist() == [[0, 1, 2], [3, 4, 5]]


@target
def image(data: bytes) -> None:
    """Read an image; gray levels from 0 to 1 come out.

    Images above 2**14 pixels are refused here, so that a million of them take minutes.
    """
    usual, loading.MAX_PIXELS = loading.MAX_PIXELS, 2**14
    try:
        levels = loading.load_grayscale(data).levels
    finally:
        loading.MAX_PIXELS = usual
    assert levels.dtype == np.float32
    assert levels.ndim == 2
    assert 0 <= levels.min() <= levels.max() <= 1.0001


@target
def manifest(data: bytes) -> None:
    """Read a manifest; a table of entries comes out."""
    (folder() / "manifest.json").write_bytes(data)
    table = read_manifest.__wrapped__(folder())
    assert all(type(entry) is Entry for entry in table.values())
    assert all(type(entry.correct) is int for entry in table.values())


def seeds(target: str) -> list[bytes]:
    """Return where the search starts: valid inputs, and those that once failed."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
