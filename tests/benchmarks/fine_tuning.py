"""Fine-tuning against training from scratch on parts of Fashion-MNIST, by number of images.

Run by hand: `python tests/benchmarks/fine_tuning.py FASHION OUTPUT [FIELD=VALUE …]`. FASHION is the
folder of its IDX files; the rest changes settings of the recipe. It trains on the first 100, 1,000
and 10,000 images with seed 0, and evaluates on the 10,000 test images. Both runs have the recipe
`fine-tune`, one from the shipped MNIST features, the other from random ones. The classes are named,
so that both train a new classifier. OUTPUT keeps the runs, and becomes a figure by

    mnistzoo plot fine-tuning OUTPUT
"""

import shutil
import sys
from pathlib import Path
from typing import Literal

import torch

import mnistzoo
from mnistzoo.data.datasets import ImageDataset
from mnistzoo.training.recipes import FINE_TUNE
from mnistzoo.training.settings import change_settings

SIZES = (100, 1_000, 10_000)

CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""The names of the classes (Xiao et al. 2017). The files have only numbers."""


def load(fashion: Path, split: Literal["train", "test"]) -> ImageDataset:
    """Return a split with named classes."""
    found = mnistzoo.load_dataset(fashion, split=split)
    return ImageDataset(found.images, found.labels, CLOTHES, style=found.style)


def main(fashion: Path, output: Path, settings: list[str]) -> None:
    """Train on each part, twice, and print the accuracies."""
    torch.set_num_threads(1)
    recipe = change_settings(FINE_TUNE, settings)
    train, test = load(fashion, "train"), load(fashion, "test")
    for size in SIZES:
        part = train.take(torch.arange(size))
        for start, pretrained in (("scratch", False), ("pretrained", True)):
            folder = output / f"{start}-{size}"
            _, result = mnistzoo.train(
                "exp5",
                part,
                test=test,
                recipe=recipe,
                pretrained=pretrained,
                output=folder,
            )
            shutil.copy(folder / "metrics.json", output / f"{start}-{size}.json")
            print(f"{size:6,} images, {start:10}: {result.accuracy:.2%}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
