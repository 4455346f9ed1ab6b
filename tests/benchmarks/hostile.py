"""Memory that each reader needs for the largest input that it accepts.

    python tests/benchmarks/hostile.py

Each input is read in its own process. The figure is the growth of the peak resident memory.
"""

import gzip
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

import mnistzoo
from mnistzoo.data.mnist import TEST_LABELS, read_idx
from mnistzoo.errors import MnistZooError
from mnistzoo.images import loading
from mnistzoo.storage.manifest import MAX_MANIFEST_BYTES, read_manifest
from mnistzoo.storage.model_folder import CONFIG, LIMITS, WEIGHTS, unpack
from mnistzoo.storage.state_dict import MAX_BYTES, read_state_dict


def tensors() -> bytes:
    """Return a file of weights with one tensor that fills it."""
    count = MAX_BYTES // 4 - 64
    table = f'{{"a":{{"dtype":"F32","shape":[{count}],"data_offsets":[0,{4 * count}]}}}}'
    padded = table.ljust(MAX_BYTES - 8 - 4 * count).encode()
    return len(padded).to_bytes(8, "little") + padded + bytes(4 * count)


def brackets(size: int) -> bytes:
    """Return the JSON of this size that holds the most objects."""
    return b"[" + b"[]," * (size // 3 - 1) + b"[]]"


def pixels(path: Path) -> None:
    """Write an image of the most pixels, with 16 bits each, which no decoder shrinks on reading."""
    side = int(loading.MAX_PIXELS**0.5)
    Image.fromarray(np.zeros((side, side), np.uint16)).save(path, "PNG", compress_level=1)


MAKE = {
    "weights": lambda path: path.write_bytes(tensors()),
    "config.json": lambda path: path.write_bytes(brackets(LIMITS[CONFIG])),
    "manifest.json": lambda path: path.write_bytes(brackets(MAX_MANIFEST_BYTES)),
    f"{TEST_LABELS.name}.gz": lambda path: path.write_bytes(gzip.compress(bytes(10_000_000))),
    "image": pixels,
}
READ = {
    "weights": read_state_dict,
    "config.json": lambda path: unpack({CONFIG: path.read_bytes(), WEIGHTS: b""}, "it"),
    "manifest.json": lambda path: read_manifest(path.parent),
    f"{TEST_LABELS.name}.gz": lambda path: read_idx(TEST_LABELS, path.parent),
    "image": mnistzoo.transforms(),
}


def peak() -> int:
    """Return the peak resident memory so far, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure every reader, or read the one file that is given."""
    if len(sys.argv) > 1:
        path, before = Path(sys.argv[1]), peak()
        with suppress(MnistZooError):
            READ[path.name](path)
        print(f"{path.name}: {path.stat().st_size:,} bytes, {(peak() - before) / 1024:.0f} MiB")
        return
    for name, make in MAKE.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder) / name)
            subprocess.run([sys.executable, __file__, Path(folder) / name], check=True)


if __name__ == "__main__":
    main()
