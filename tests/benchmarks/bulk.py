"""Time `mnistzoo predict FOLDER -o FILE` on one core and on all cores.

Run by hand: `python tests/benchmarks/bulk.py [FILES [RUNS]]`. It predicts so many of the test
images, enlarged and dark on light as on paper, as PNG files. Both take turns, so the ratio holds
while other work slows all of them. It also prints the peak memory of the command's own process.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from mnistzoo.cli.bulk import count_cores
from mnistzoo.data.mnist import mnist

FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 3


def seconds(folder: Path, jobs: int) -> float:
    """Return the time of the whole command."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.jsonl"
        command = ["-m", "mnistzoo", "predict", folder, "-o", out, "--jobs", jobs]
        start = time.perf_counter()
        subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
        taken = time.perf_counter() - start
        assert out.read_bytes().count(b"\n") == FILES
    return taken


def main() -> None:
    """Print the rates and the median ratio."""
    cores = count_cores()
    images = mnist(train=False).images.numpy()
    with tempfile.TemporaryDirectory() as place:
        for index in range(FILES):
            paper = Image.fromarray(255 - np.pad(images[index % len(images)], 6))
            paper.resize((80, 80)).save(Path(place) / f"{index}.png")
        rounds = [{jobs: seconds(Path(place), jobs) for jobs in (1, cores)} for _ in range(RUNS)]
    for jobs in (1, cores):
        rate = FILES / median(taken[jobs] for taken in rounds)
        print(f"{jobs:3} processes: {rate:7.1f} files/s")
    print(f"ratio: {median(taken[1] / taken[cores] for taken in rounds):.2f}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
