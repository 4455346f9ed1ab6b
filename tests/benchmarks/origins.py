"""Accuracy on digits of other origins: `python tests/benchmarks/origins.py exp5`.

The images made from MNIST (`tests/origins.py`) are made from test images, or with `--train` from
training images, to tune on. The optical digits are scikit-learn's `load_digits`, written by 43
other people and reduced to 8×8 pixels. A random half of them, called seen, was used in development.
The other was only evaluated, but about 300 of all digits, not recorded which, had been used before
the split was made.
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
from mnistzoo.models.classify import classify

sys.path.insert(0, str(Path(__file__).parent.parent))
MAKERS = importlib.import_module("origins").MAKERS

Images = list[NDArray[np.uint8]]


def main() -> None:
    """Print a row of accuracies for each origin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list_models())
    parser.add_argument("--count", type=int, default=300, help="images of each made origin")
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    models = [get_model(name, pretrained=True) for name in options.models]
    print("| origin | images | refused |", *[f"{name} |" for name in options.models])
    print("| --- |", *["---: |"] * (2 + len(models)))
    for name, (images, labels) in (made(options.count, options.train) | optical()).items():
        converted = [convert(image) for image in images]
        readable = [image is not None for image in converted]
        shown = [image for image in converted if image is not None]
        wanted = np.array(labels)[readable]
        shares = []
        for model in models:
            predicted = np.argmax(classify(model, shown), axis=1)
            shares.append(np.count_nonzero(predicted == wanted) / len(images))
        refused = readable.count(False)
        print(f"| {name} | {len(images)} | {refused} |", *[f"{share:.1%} |" for share in shares])


def convert(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the model's input, or None if no digit is found."""
    try:
        return to_mnist(image)
    except ImageError:
        return None


def made(count: int, train: bool) -> dict[str, tuple[Images, list[int]]]:
    """Return what `tests/origins.py` makes of MNIST images; training images start at 40,000."""
    data, start = mnist(train=train), 40_000 if train else 0
    digits = data.images[start : start + count].numpy()
    labels = data.labels[start : start + count].tolist()
    rng = np.random.default_rng(0)
    return {name: ([make(i, rng) for i in digits], labels) for name, make in MAKERS.items()}


def optical() -> dict[str, tuple[Images, list[int]]]:
    """Return both halves of scikit-learn's digits, as they are and enlarged to 64×64."""
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
