"""Accuracy on MNIST-C's corruptions of the test images: `python tests/benchmarks/robustness.py`.

The 15 corruptions are those of Mu and Gilmer 2019 (arXiv:1906.02337), at the published severities.
They are implemented anew here, so the random numbers differ from the published files. Needs
scikit-image (`pip install scikit-image`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import canny

from mnistzoo import from_pretrained, get_model
from mnistzoo.data.mnist import mnist
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import read_manifest

Levels = NDArray[np.float64]
"""Images from 0 to 1, shape `(N, 28, 28)`."""

SIDE = 28


def main() -> None:
    """Print a row of accuracies for each corruption."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(read_manifest()))
    parser.add_argument("--count", type=int, default=10_000, help="the first test images")
    options = parser.parse_args()
    models = [load(name) for name in options.models]
    digits = mnist(train=False)
    images, labels = digits.images[: options.count].numpy() / 255, digits.labels[: options.count]
    print("| corruption |", *[f"{name} |" for name in options.models])
    print("| --- |", *["---: |"] * len(models))
    rows = []
    for name, corrupt in CORRUPTIONS.items():
        corrupted = corrupt(images, np.random.default_rng(0)).clip(0, 1) * 255
        dataset = torch.from_numpy(corrupted.astype(np.uint8)), labels
        rows.append([accuracy(model, dataset) for model in models])
        print(f"| {name} |", *[f"{value:.2%} |" for value in rows[-1]], flush=True)
    print("| **mean** |", *[f"{value:.2%} |" for value in np.mean(rows, axis=0)])


def load(source: str) -> ConvNet:
    """Load shipped weights by name, or a folder."""
    return from_pretrained(source) if "/" in source else get_model(source, pretrained=True)


@torch.no_grad()
def accuracy(model: torch.nn.Module, dataset: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Return the fraction classified correctly. A light background is not an error here."""
    images, labels = dataset
    normalized = (images[:, None] / 255 - 0.1307) / 0.3081
    predicted = torch.cat([model(batch).argmax(1) for batch in normalized.split(500)])
    return float((predicted == labels).float().mean())


def shot_noise(images: Levels, rng: Generator) -> Levels:
    """Count photons, three for white."""
    return rng.poisson(images * 3) / 3


def impulse_noise(images: Levels, rng: Generator) -> Levels:
    """Set 17 % of the pixels to black or white."""
    chosen, white = rng.random(images.shape) < 0.17, rng.random(images.shape) < 0.5
    return np.where(chosen, white, images)


def glass_blur(images: Levels, rng: Generator) -> Levels:
    """Blur, swap half of the pixels with a neighbor, twice, and blur."""
    shuffled = np.floor(_gaussian(images, 0.7) * 255)
    every = np.arange(len(images))
    for _, row, column in product(range(2), range(27, 1, -1), range(27, 1, -1)):
        swapped = rng.random(len(images)) < 0.5
        near = row + rng.integers(-1, 1, len(images)), column + rng.integers(-1, 1, len(images))
        place = (every, *near)
        here, there = shuffled[:, row, column].copy(), shuffled[place]
        shuffled[:, row, column] = np.where(swapped, there, here)
        shuffled[place] = np.where(swapped, here, shuffled[place])
    return _gaussian(shuffled / 255, 0.7)


def motion_blur(images: Levels, rng: Generator) -> Levels:
    """Blur along one direction within 45° of the rows, as ImageMagick does with radius 10, sigma 3.

    Half of a Gaussian lies behind each pixel.
    """
    weights = np.exp(-(np.arange(21) ** 2) / (2 * 3**2))
    angle = np.radians(rng.uniform(-45, 45, len(images)))[:, None]
    steps = np.arange(21) * np.stack([np.sin(angle), np.cos(angle)])
    offsets = np.ceil(steps - 0.5).astype(int)
    blurred = np.zeros_like(images)
    for weight, rows, columns in zip(weights, *offsets.transpose(0, 2, 1), strict=True):
        row, column = ((np.arange(SIDE) + way[:, None]).clip(0, 27) for way in (rows, columns))
        blurred += (
            weight * images[np.arange(len(images))[:, None, None], row[..., None], column[:, None]]
        )
    return blurred / weights.sum()


def shear(images: Levels, rng: Generator) -> Levels:
    """Shear by 0.4 radians, either way."""
    angle = 0.4 * _signs(rng, len(images))
    return _warp(images, [(1, -np.sin(a), 0, np.cos(a)) for a in angle])


def scale(images: Levels, rng: Generator) -> Levels:
    """Shrink to 70 %."""
    return _warp(images, [(1 / 0.7, 0, 0, 1 / 0.7)] * len(images))


def rotate(images: Levels, rng: Generator) -> Levels:
    """Rotate by 0.4 radians, either way."""
    angle = 0.4 * _signs(rng, len(images))
    return _warp(images, [(np.cos(a), -np.sin(a), np.sin(a), np.cos(a)) for a in angle])


def brightness(images: Levels, rng: Generator) -> Levels:
    """Add half of white."""
    return images + 0.5


def translate(images: Levels, rng: Generator) -> Levels:
    """Move by three pixels along both axes."""
    moves = 3 * _signs(rng, (len(images), 2))
    return np.stack([ndimage.shift(i, m, order=0) for i, m in zip(images, moves, strict=True)])


def stripe(images: Levels, rng: Generator) -> Levels:
    """Invert the seven columns at either side."""
    outside = np.r_[np.ones(7), np.zeros(14), np.ones(7)] > 0
    return np.where(outside, 1 - images, images)


def fog(images: Levels, rng: Generator) -> Levels:
    """Add three times a rough plasma fractal, and rescale."""
    highest = images.max((1, 2), keepdims=True)
    plasma = np.stack([_plasma(1.4, rng)[:SIDE, :SIDE] for _ in images])
    return (images + 3 * plasma) * highest / (highest + 3)


def spatter(images: Levels, rng: Generator) -> Levels:
    """Throw drops of a dark liquid."""
    liquid = _gaussian(rng.normal(0.65, 0.3, images.shape), 1)
    drops = _gaussian((liquid > 0.65).astype(float), 1.5)
    drops[drops < 0.8] = 0
    return images * (1 - drops) + 63 / 255 * drops


def dotted_line(images: Levels, rng: Generator) -> Levels:
    """Draw a dotted line from the left edge to the right."""
    dotted = np.arange(SIDE) // 2 % 2 == 1
    ends = rng.integers(0, 27, (len(images), 2))
    return images + np.stack([dotted * _line(0, start, 27, end) for start, end in ends])


def zigzag(images: Levels, rng: Generator) -> Levels:
    """Draw a zigzag line across, its teeth two pixels long and wide."""
    lines = []
    for _ in images:
        start = rng.integers(0, 27)
        angle = np.arctan(rng.integers(-5, 5) / 23)
        length = 23 / np.cos(angle)
        teeth = np.arange(int((length - 2) // 4) + 1)
        x, y = np.r_[0, 4 * teeth + 2], np.r_[0, 2 * (-1.0) ** teeth]
        whole = 4 * (length // 4)
        if length != whole:
            x, y = np.r_[x, length], np.r_[y, y[-1] / (2 * (length - whole))]
        columns = np.cos(angle) * x - np.sin(angle) * y + 2
        rows = np.sin(angle) * x + np.cos(angle) * y + start
        points = list(zip(columns, rows, strict=True))
        lines.append(sum(_line(*start, *end) for start, end in pairwise(points)))
    return images + np.stack(lines)


def canny_edges(images: Levels, rng: Generator) -> Levels:
    """Keep the edges that Canny's detector finds."""
    return np.stack([canny(image) for image in images]).astype(float)


CORRUPTIONS: dict[str, Callable[[Levels, Generator], Levels]] = {
    corrupt.__name__.replace("_", " "): corrupt
    for corrupt in (
        *(shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness),
        *(translate, stripe, fog, spatter, dotted_line, zigzag, canny_edges),
    )
}


def _gaussian(images: Levels, sigma: float) -> Levels:
    return ndimage.gaussian_filter(images, (0, sigma, sigma), mode="nearest")


def _signs(rng: Generator, shape: int | tuple[int, ...]) -> Levels:
    return rng.choice([-1.0, 1.0], shape)


def _warp(images: Levels, maps: list[tuple[float, float, float, float]]) -> Levels:
    """Sample each image at a linear map of positions around its center: x from x and y, then y."""
    center = (SIDE - 1) / 2
    warped = []
    for image, (xx, xy, yx, yy) in zip(images, maps, strict=True):
        matrix = np.array([[yy, yx], [xy, xx]])  # rows first
        offset = center - matrix @ [center, center]
        warped.append(ndimage.affine_transform(image, matrix, offset, order=1))
    return np.stack(warped)


def _line(x0: float, y0: float, x1: float, y1: float) -> Levels:
    """Return a line between two columns, darker with the distance above or below it."""
    x, y = np.arange(SIDE), np.arange(SIDE)[:, None]
    if x0 == x1:
        return np.zeros((SIDE, SIDE))
    distance = np.abs(y - (y1 - y0) / (x1 - x0) * (x - x0) - y0).clip(0, 2.3 - 1e-10)
    level = (np.log(1 - distance / 2.3) + 1).clip(0, 1)
    return level * ((x >= np.floor(x0)) & (x < np.ceil(x1)))


def _plasma(decay: float, rng: Generator, side: int = 256) -> Levels:
    """Return a height map from 0 to 1, made by the diamond-square algorithm."""
    heights, step, bound = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        pairs = corners + np.roll(corners, -1, 0)
        centers = (pairs + np.roll(pairs, -1, 1)) / 4
        heights[half::step, half::step] = centers + _wibble(bound, corners.shape, rng)
        middle = heights[half::step, half::step]
        across = middle + np.roll(middle, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = across / 4 + _wibble(bound, corners.shape, rng)
        down = middle + np.roll(middle, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = down / 4 + _wibble(bound, corners.shape, rng)
        step, bound = half, bound / decay
    heights -= heights.min()
    return heights / heights.max()


def _wibble(bound: float, shape: tuple[int, ...], rng: Generator) -> Levels:
    return bound * rng.uniform(-bound, bound, shape)


if __name__ == "__main__":
    main()
