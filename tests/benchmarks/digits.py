"""Write scikit-learn's 1,797 digits as an image folder, and cross-validate recipes on half of it.

Run by hand: `python tests/benchmarks/digits.py FOLDER` writes the images. They are 8×8, in the
order of the original file, writer by writer: the first half becomes `train`, the second half, by
other writers, `test`.

`python tests/benchmarks/digits.py FOLDER SEEDS [weights=NAME] [FIELD=VALUE …]` reads only `train`.
It fine-tunes exp5 on two thirds of it by the recipe `fine-tune`, with settings changed, and prints
the errors and the mean negative log-likelihood of the other third, by other writers, for each third
and seed.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

import mnistzoo
from mnistzoo.training.recipes import FINE_TUNE
from mnistzoo.training.settings import change_settings

FOLDS = 3


def write_digits(folder: Path) -> None:
    """Write the images as PNG files into a subfolder for each split and digit."""
    found = load_digits()
    pixels = np.rint(found.images * 255 / 16).astype(np.uint8)
    for index, (image, label) in enumerate(zip(pixels, found.target, strict=True)):
        split = "train" if index < len(pixels) // 2 else "test"
        place = folder / split / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:04}.png")


def cross_validate(folder: Path, num_seeds: int, weights: str, settings: list[str]) -> None:
    """Print the errors and the negative log-likelihood of each fold, and their means."""
    torch.set_num_threads(1)
    dataset = mnistzoo.load_dataset(folder, split="train")
    files = [file for digit in range(10) for file in sorted((folder / f"train/{digit}").iterdir())]
    writers = torch.tensor([int(file.stem) for file in files]).argsort()
    folds = torch.tensor_split(writers, FOLDS)
    recipe = change_settings(FINE_TUNE, settings)
    results = []
    for seed in range(num_seeds):
        for fold in range(FOLDS):
            train, held_out = torch.cat(folds[:fold] + folds[fold + 1 :]), folds[fold]
            _, result = mnistzoo.train(
                "exp5",
                dataset.take(train),
                test=dataset.take(held_out),
                recipe=recipe,
                pretrained=weights,
                seed=seed,
            )
            results.append((result.total - result.correct, result.nll))
            text = f"seed {seed}, fold {fold}: {results[-1][0]} errors, NLL {result.nll:.4f}"
            print(text, flush=True)
    errors, nll = np.array(results).T
    mean = errors.sum() / num_seeds
    print(f"errors per seed: {mean:.1f} of {len(dataset)}, NLL {nll.mean():.4f}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        write_digits(Path(sys.argv[1]))
    else:
        changes = dict(each.split("=", 1) for each in sys.argv[3:])
        weights = changes.pop("weights", "mnist")
        settings = [f"{name}={value}" for name, value in changes.items()]
        cross_validate(Path(sys.argv[1]), int(sys.argv[2]), weights, settings)
