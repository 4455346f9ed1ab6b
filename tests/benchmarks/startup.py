"""Processor time of whole processes: `import torch`, loading a pretrained model, commands.

Run by hand: `python tests/benchmarks/startup.py [RUNS]`. The processes take turns, so the ratios
hold while other work slows all of them.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from mnistzoo.data.mnist import mnist

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 10

PHOTO = str(Path(tempfile.mkdtemp()) / "photo.png")

PROCESSES = {
    "import torch": ["-c", "import torch"],
    "exp5(pretrained=True)": ["-c", "from mnistzoo import exp5; exp5(pretrained=True)"],
    "mnistzoo --help": ["-m", "mnistzoo", "--help"],
    "mnistzoo list": ["-m", "mnistzoo", "list"],
    "mnistzoo predict": ["-m", "mnistzoo", "predict", PHOTO],
    "torchvision's resnet50()": ["-c", "from torchvision.models import resnet50; resnet50()"],
    "mnistzoo analyze it": ["-m", "mnistzoo", "analyze", "torchvision:resnet50"],
}
"""Arguments of Python by name. "analyze" is compared with the entry before it."""


def seconds(arguments: list[str]) -> float:
    """Return the processor time that one process takes from start to end."""
    start = _children()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return _children() - start


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the median and range of each, and its median ratio to `import torch`."""
    digit = np.pad(mnist(train=False).images[0].numpy(), 10)
    Image.fromarray(255 - digit).resize((280, 280)).save(PHOTO)
    for arguments in PROCESSES.values():
        seconds(arguments)
    rounds = [{name: seconds(args) for name, args in PROCESSES.items()} for _ in range(RUNS)]
    for name in PROCESSES:
        times = [taken[name] for taken in rounds]
        ratio = median(taken[name] / taken["import torch"] for taken in rounds)
        spread = f"({min(times):.3f} to {max(times):.3f})"
        print(f"{name:26}{median(times):7.3f} s {spread:20} {ratio:6.3f} × import torch")
    *_, build, analyze = PROCESSES
    ratio = median(taken[analyze] / taken[build] for taken in rounds)
    print(f"{analyze}: {ratio:.3f} × {build}")


if __name__ == "__main__":
    main()
