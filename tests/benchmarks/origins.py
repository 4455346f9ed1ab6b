"""Accuracy on digits of other origins: `python tests/benchmarks/origins.py exp5`.

Those made from MNIST's images (tests/origins.py) take test images; `--train` takes training images,
to tune anything. Optical digits are scikit-learn's `load_digits`, 43 other people's, 8×8: the half
called seen, drawn with a seed, was used in development. The other was scored only, but some 300 of
all, not recorded which, had served to develop what this work began with.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from mnistzoo import get_model, list_models
from mnistzoo.data.mnist import mnist
from mnistzoo.errors import ImageError
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.models.prediction import classify

sys.path.insert(0, str(Path(__file__).parent.parent))
MAKERS = importlib.import_module("origins").MAKERS

Pictures = list[NDArray[np.uint8]]


def main() -> None:
    """Print a row of accuracies for each origin."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("networks", nargs="*", default=list_models())
    options.add_argument("--count", type=int, default=300, help="of each that is made")
    options.add_argument("--train", action="store_true")
    chosen = options.parse_args()
    models = [get_model(name, pretrained=True) for name in chosen.networks]
    print("| origin | pictures | refused |", *[f"{name} |" for name in chosen.networks])
    print("| --- |", *["---: |"] * (2 + len(models)))
    for name, (pictures, labels) in (made(chosen.count, chosen.train) | optical()).items():
        styled = [style(picture) for picture in pictures]
        refused = sum(digit is None for digit in styled)
        shares = []
        for model in models:
            read = classify(
                model, [np.zeros((28, 28), np.uint8) if d is None else d for d in styled]
            )
            right = [
                digit is not None and prediction.label == label
                for digit, prediction, label in zip(styled, read, labels, strict=True)
            ]
            shares.append(sum(right) / len(right))
        print(f"| {name} | {len(pictures)} | {refused} |", *[f"{share:.1%} |" for share in shares])


def style(picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """What a network would see, or None where no ink is found."""
    try:
        return to_mnist(picture)
    except ImageError:
        return None


def made(count: int, train: bool) -> dict[str, tuple[Pictures, list[int]]]:
    """What tests/origins.py makes of the first images, or of training images from 40,000 on."""
    data, start = mnist(train=train), 40_000 if train else 0
    images = data.images[start : start + count].numpy()
    labels = data.labels[start : start + count].tolist()
    rng = np.random.default_rng(0)
    return {n: ([make(i, rng) for i in images], labels) for n, make in MAKERS.items()}


def optical() -> dict[str, tuple[Pictures, list[int]]]:
    """scikit-learn's digits as they are and enlarged to 64×64, both halves apart."""
    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)
    order = np.random.default_rng(2024).permutation(len(images))
    sets = {}
    for half, chosen in {"seen": order[:900], "unseen": order[900:]}.items():
        small, labels = list(images[chosen]), digits.target[chosen].tolist()
        large = [np.asarray(Image.fromarray(i).resize((64, 64))) for i in small]
        sets[f"optical digits, 8×8, {half}"] = small, labels
        sets[f"optical digits, 64×64, {half}"] = large, labels
    return sets


if __name__ == "__main__":
    main()
