"""Accuracy on photographs made from MNIST's images: `python tests/benchmarks/photographs.py`.

The test images, for the figure; `--train` makes them from training images, to tune anything.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

import numpy as np

from mnistzoo import get_model
from mnistzoo.data.mnist import mnist
from mnistzoo.errors import ImageError
from mnistzoo.models.prediction import predict

sys.path.insert(0, str(Path(__file__).parent.parent))
photograph = importlib.import_module("photographs").photograph


def main() -> None:
    """Print how many of the photographs each network reads rightly."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("networks", nargs="*", default=["exp5"])
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--train", action="store_true")
    chosen = options.parse_args()
    digits = mnist(train=chosen.train)
    rng = np.random.default_rng(chosen.seed)
    models = {name: get_model(name, pretrained=True) for name in chosen.networks}
    correct, refused, seconds = dict.fromkeys(models, 0), 0, 0.0
    for image, label in zip(digits.images[: chosen.count].numpy(), digits.labels, strict=False):
        data = photograph(image, rng)
        start = time.perf_counter()
        try:
            for name, model in models.items():
                correct[name] += predict(model, data).label == int(label)
        except ImageError:
            refused += 1
        seconds += time.perf_counter() - start
    count = min(chosen.count, len(digits.labels))
    for name, right in correct.items():
        print(f"{name}: {right:,} of {count:,} photographs ({right / count:.2%})")
    print(f"refused: {refused}; {seconds / count / len(models) * 1000:.1f} ms a photograph")


if __name__ == "__main__":
    main()
