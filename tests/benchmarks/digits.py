"""Write scikit-learn's 1,797 digits as an image folder, split by writer.

Run by hand: `python tests/benchmarks/digits.py FOLDER`. The images are 8×8, in the order of the
original file, writer by writer: the first half becomes `train`, the second half, by other writers,
`test`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(folder: Path) -> None:
    """Write the images as PNG files into a subfolder for each split and digit."""
    found = load_digits()
    pixels = np.rint(found.images * 255 / 16).astype(np.uint8)
    for index, (image, label) in enumerate(zip(pixels, found.target, strict=True)):
        split = "train" if index < len(pixels) // 2 else "test"
        place = folder / split / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:04}.png")


if __name__ == "__main__":
    write_digits(Path(sys.argv[1]))
