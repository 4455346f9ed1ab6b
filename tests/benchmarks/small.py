"""Accuracy on small digits, with their strokes redrawn and with their gray levels kept.

Run by hand: `python tests/benchmarks/small.py`. The digits are the first 898 of scikit-learn's, 8×8
pixels, and 1,000 MNIST training images, shrunk so that the longer side of the digit has 6 to 18
pixels. It prints the errors and the mean negative log-likelihood of five shipped weights, averaged.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import mnistzoo
from mnistzoo.images import rendering
from mnistzoo.images.preprocessing import to_mnist

MODELS = ("exp2", "exp4", "exp4.world", "exp5", "exp5.world")

NUM_OPTICAL = 898

MARGIN = 2


def main() -> None:
    """Print a row for each size."""
    torch.set_num_threads(1)
    print("| digits | strokes redrawn: errors | NLL | gray levels kept: errors | NLL |")
    print("| --- | ---: | ---: | ---: | ---: |")
    found = load_digits()
    optical = np.rint(found.images[:NUM_OPTICAL] * 255 / 16).astype(np.uint8)
    report("scikit-learn's, 8×8", list(optical), found.target[:NUM_OPTICAL])
    images, labels = mnistzoo.mnist(train=True)
    chosen = range(30_000, 31_000)
    for side in range(6, 19, 2):
        shrunk = [shrink(images[index].numpy(), side) for index in chosen]
        report(f"MNIST's, {side} pixels", shrunk, labels[list(chosen)].numpy())


def report(name: str, images: Sequence[NDArray[np.uint8]], labels: NDArray[np.int64]) -> None:
    """Print the mean over the models, for both ways."""
    cells = []
    for limit in (0, rendering.BOX):
        rendering.MAX_SMALL = limit
        inputs = torch.from_numpy(np.stack([to_mnist(image) for image in images]))
        results = [
            mnistzoo.evaluate(mnistzoo.get_model(model, pretrained=True), (inputs, labels))
            for model in MODELS
        ]
        errors = np.mean([result.total - result.correct for result in results])
        cells.append(f"{errors:.1f} | {np.mean([result.nll for result in results]):.4f} |")
    print(f"| {name} |", *cells, flush=True)


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the digit with its longer side at `side` pixels, averaged over areas."""
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    digit = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = [max(1, round(length * side / max(digit.shape))) for length in digit.shape[::-1]]
    return np.pad(cv2.resize(digit, size, interpolation=cv2.INTER_AREA), MARGIN)


if __name__ == "__main__":
    main()
