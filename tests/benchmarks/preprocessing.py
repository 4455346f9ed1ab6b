"""Time the conversion of images against an earlier commit's, taking turns in one run.

Run by hand in a clone: `python tests/benchmarks/preprocessing.py`. Images are photographs of one
digit and drawings, at two sizes. Processor time is compared, since it hardly depends on other
work on the machine. The commit's code needs the packages that it depended on: SciPy until 4b0f1cb.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnistzoo.data.mnist import mnist

SOURCE = Path(__file__).parents[2]

CHILD = """
import sys, time
import numpy as np
from PIL import Image
start = time.process_time()
from mnistzoo.images.preprocessing import to_mnist
to_mnist(np.pad(np.full((60, 20), 255, np.uint8), 40))  # imports what it needs
print(time.process_time() - start, flush=True)
for line in sys.stdin:
    pixels = np.load(line.strip())
    to_mnist(pixels)
    start = time.process_time()
    for _ in range(3): to_mnist(pixels)
    print((time.process_time() - start) / 3, flush=True)
"""


def main() -> None:
    """Print the median times, and the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", default="4b0f1cb")
    parser.add_argument("--count", type=int, default=10, help="images of each kind and size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = ["git", "archive", options.commit, "src"]
        packed = subprocess.run(archive, cwd=SOURCE, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter="data")
        children = [start(Path(folder) / "src"), start(SOURCE / "src")]
        report("import", [[answer(child) for child in children]])
        for side in (280, 1000):
            for make in (drawing, photograph):
                rng, times = np.random.default_rng(0), []
                for digit in mnist(train=True).images[: options.count].numpy():
                    file = Path(folder) / "image.npy"
                    np.save(file, make(digit, side, rng))
                    times.append([answer(child, f"{file}\n") for child in children])
                report(f"{make.__name__} {side}×{side}", times)
        for child in children:
            child.communicate()


def start(source: Path) -> subprocess.Popen[str]:
    """Start a process that converts images with the code in a folder."""
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    command, pipe = [sys.executable, "-c", CHILD], subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def answer(child: subprocess.Popen[str], question: str = "") -> float:
    """Return the seconds that the process reports."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(question)
    child.stdin.flush()
    return float(child.stdout.readline())


def report(name: str, times: list[list[float]]) -> None:
    """Print a row of medians."""
    before, after = (1000 * median(column) for column in zip(*times, strict=True))
    ratio = median(old / new for old, new in times)
    print(f"{name:22} {before:7.1f} ms before {after:7.1f} ms now {ratio:5.1f} × as fast")


def drawing(digit: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the digit in black on white."""
    size = int(side * rng.uniform(0.5, 0.9))
    large = np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC))
    page, margin = np.full((side, side), 255, np.uint8), (side - size) // 2
    page[margin : margin + size, margin : margin + size] -= large
    return page


def photograph(digit: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the digit on paper lit from one side, blurred, with noise."""
    light = np.linspace(0.9, rng.uniform(0.5, 0.9), side)
    levels = cv2.GaussianBlur((0.3 + 0.7 / 255 * drawing(digit, side, rng)) * light, None, 0.8)
    noisy = levels + rng.normal(0, 0.015, levels.shape)
    return np.asarray(np.clip(noisy * 255, 0, 255), dtype=np.uint8)


if __name__ == "__main__":
    main()
