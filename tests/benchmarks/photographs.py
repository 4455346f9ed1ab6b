"""Accuracy on photographs made from MNIST images: `python tests/benchmarks/photographs.py`.

The figure is measured on test images. `--train` makes the photographs from training images, to tune
on.
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

sys.path.insert(0, str(Path(__file__).parent.parent))
photograph = importlib.import_module("photographs").photograph


def main() -> None:
    """Print how many of the photographs each model predicts correctly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["exp5"])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    digits = mnist(train=options.train)
    rng = np.random.default_rng(options.seed)
    models = {name: get_model(name, pretrained=True) for name in options.models}
    correct, refused, seconds = dict.fromkeys(models, 0), 0, 0.0
    for image, label in zip(digits.images[: options.count].numpy(), digits.labels, strict=False):
        data = photograph(image, rng)
        start = time.perf_counter()
        try:
            for name, model in models.items():
                correct[name] += model.predict(data).label == int(label)
        except ImageError:
            refused += 1
        seconds += time.perf_counter() - start
    count = min(options.count, len(digits.labels))
    for name, right in correct.items():
        print(f"{name}: {right:,} of {count:,} photographs ({right / count:.2%})")
    print(f"refused: {refused}; {seconds / count / len(models) * 1000:.1f} ms per photograph")


if __name__ == "__main__":
    main()
