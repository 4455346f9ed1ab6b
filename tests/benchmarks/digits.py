"""Write scikit-learn's 1,797 digits as an image folder, and cross-validate recipes on half of it.

Run by hand: `python tests/benchmarks/digits.py FOLDER` writes the images. They are 8×8, in the
order of the original file, writer by writer: the first half becomes `train`, the second half, by
other writers, `test`.

`python tests/benchmarks/digits.py FOLDER SEEDS [OPTION=VALUE …]` reads only `train`. It fine-tunes
exp5 on two thirds of it, and evaluates the other third, by other writers, for each third and seed.
It prints the errors, the Brier score (Brier 1950), summed over the images as errors are, and the
mean negative log-likelihood. Options are settings of the recipe, and

- `recipe=NAME`: the recipe, by default `adapt`.
- `weights=NAME`: the weights to start from, by default those trained on MNIST.
- `classifier=new`: names the classes "zero" to "nine", so that the classifier is not kept.
- `first=N`: trains on the first N images only.
- `soup=N`: evaluates the mean of the weights of N runs, each of another seed (Wortsman et al. 2022,
  arXiv:2203.05482). SEEDS then counts these means.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

import mnistzoo
from mnistzoo.data.datasets import ImageDataset
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.settings import Recipe, change_settings

FOLDS = 3

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_digits(folder: Path) -> None:
    """Write the images as PNG files into a subfolder for each split and digit."""
    found = load_digits()
    pixels = np.rint(found.images * 255 / 16).astype(np.uint8)
    for index, (image, label) in enumerate(zip(pixels, found.target, strict=True)):
        split = "train" if index < len(pixels) // 2 else "test"
        place = folder / split / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:04}.png")


def load_folds(folder: Path, new_classifier: bool) -> list[ImageDataset]:
    """Return the training half in parts by different writers."""
    dataset = mnistzoo.load_dataset(folder, split="train")
    files = [file for digit in range(10) for file in sorted((folder / f"train/{digit}").iterdir())]
    writers = torch.tensor([int(file.stem) for file in files]).argsort()
    classes = WORDS if new_classifier else dataset.classes
    dataset = ImageDataset(dataset.images, dataset.labels, classes, style=dataset.style)
    return [dataset.take(fold) for fold in torch.tensor_split(writers, FOLDS)]


def scores(model: ConvNet, dataset: ImageDataset) -> tuple[int, float, float]:
    """Return the errors, the summed Brier score and the mean negative log-likelihood."""
    result = mnistzoo.evaluate(model, dataset)
    truth = torch.nn.functional.one_hot(result.labels, num_classes=10)
    brier = (result.log_probabilities.exp() - truth).square().sum()
    return result.total - result.correct, float(brier), result.nll


def cross_validate(
    folds: list[ImageDataset],
    num_seeds: int,
    first: int | None,
    weights: str,
    recipe: Recipe,
    soup: int,
) -> None:
    """Print the scores of each seed and fold, and their means over the seeds."""
    torch.set_num_threads(1)
    results = []
    for seed in range(num_seeds):
        for number, held_out in enumerate(folds):
            others = [fold for fold in folds if fold is not held_out]
            train = ImageDataset(
                torch.cat([fold.images for fold in others])[:first],
                torch.cat([fold.labels for fold in others])[:first],
                held_out.classes,
                style=held_out.style,
            )
            options = {"recipe": recipe, "pretrained": weights, "test": held_out}
            seeds = range(seed * soup, (seed + 1) * soup)
            models = [mnistzoo.train("exp5", train, seed=each, **options)[0] for each in seeds]
            model = mnistzoo.average(models) if soup > 1 else models[0]
            results.append(scores(model, held_out))
            errors, brier, nll = results[-1]
            text = f"{errors} errors, Brier {brier:.2f}, NLL {nll:.4f}"
            print(f"seed {seed}, fold {number}: {text}", flush=True)
    errors, brier, nll = np.array(results).sum(0) / num_seeds
    print(f"per seed: {errors:.1f} errors, Brier {brier:.2f}, NLL {nll / FOLDS:.4f}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        write_digits(Path(sys.argv[1]))
    else:
        changes = dict(each.split("=", 1) for each in sys.argv[3:])
        weights = changes.pop("weights", "mnist")
        first = int(changes.pop("first")) if "first" in changes else None
        soup = int(changes.pop("soup", 1))
        recipe = get_recipe(changes.pop("recipe", "adapt"), "exp5")
        folds = load_folds(Path(sys.argv[1]), changes.pop("classifier", None) == "new")
        recipe = change_settings(recipe, [f"{name}={value}" for name, value in changes.items()])
        cross_validate(folds, int(sys.argv[2]), first, weights, recipe, soup)
