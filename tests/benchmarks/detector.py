"""Train the detector of digits that `Prediction.is_digit` uses, and set its threshold.

Run by hand, with the fonts of `mnistzoo.data.world` and the Debian package dataset-fashion-mnist:
`python tests/benchmarks/detector.py`. It writes `src/mnistzoo/images/detector.safetensors`. Digits
are MNIST's training images and those of the world set. The others are letters and signs of the same
fonts, shapes, silhouettes, noise, and pairs of digits. The threshold comes from held-out training
images, fonts left out, and a quarter of scikit-learn's digits. Fashion-MNIST is only evaluated.
"""

from __future__ import annotations

import argparse
import gzip
import string
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Generator, Tensor
from torch.nn import functional as F

from mnistzoo.data.labeled import Digits
from mnistzoo.data.mnist import mnist
from mnistzoo.data.world import fonts, world
from mnistzoo.data.world.distortions import distort, to_format
from mnistzoo.data.world.pen import CANVAS
from mnistzoo.errors import ImageError
from mnistzoo.images.detector import DETECTOR, WEIGHTS
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.images.transforms import normalize
from mnistzoo.models.convnet import ConvNet

Pixels = NDArray[np.uint8]

LETTERS = "".join(sorted(set(string.ascii_letters) - set("OoIlSsZzBbGgqi"))) + "+?!=%&@#*$€<>~"
"""Letters and signs that are not written like a digit."""

FASHION = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")
"""Where Debian's package has them."""

KEPT = 0.99
"""Share of held-out digits that are kept: the threshold is the median over origins."""

EPOCHS, BATCH = 12, 250


def main() -> None:
    """Train, set the threshold, print the figures and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the training images")
    share = parser.parse_args().share
    torch.manual_seed(0)
    digits = positives(share)
    others = torch.cat(list(negatives(fonts.TRAINING, 0, share).values()))
    print(f"{len(digits):,} digits, {len(others):,} others")
    model = trained(digits, others)
    kept = {name: scores(model, images) for name, images in held_out_digits().items()}
    least = float(np.median([torch.quantile(found, 1 - KEPT) for found in kept.values()]))
    model.classifier.bias.data -= torch.tensor([0.0, least])  # the threshold becomes 0
    for name, found in kept.items():
        print(f"| {name} | {(found >= least).float().mean():.2%} kept |")
    fashion = np.frombuffer(gzip.decompress(FASHION.read_bytes())[16:], np.uint8)
    evaluated = {"Fashion-MNIST": converted(fashion.reshape(-1, 28, 28)[:500])}
    for name, images in (negatives(fonts.HELD_OUT, 1, 0.1) | evaluated).items():
        print(f"| {name} | {(scores(model, images) < 0).float().mean():.1%} refused |")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, WEIGHTS)


def trained(digits: Tensor, others: Tensor) -> ConvNet:
    """Return the detector: class 1 is a digit."""
    images = normalize(torch.cat([digits, others]))
    labels = (torch.arange(len(images)) < len(digits)).long()
    model = ConvNet(DETECTOR, num_classes=2)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        total = 0.0
        for chosen in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            loss = F.nll_loss(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * EPOCHS / steps:.4f}", flush=True)
    return model.eval()


@torch.no_grad()
def scores(model: ConvNet, images: Tensor) -> Tensor:
    """Return the log-odds that each image is a digit."""
    found = torch.cat([model(batch) for batch in normalize(images).split(500)])
    return found[:, 1] - found[:, 0]


def positives(share: float) -> Tensor:
    """Return digits: MNIST's and those of the world set."""
    data = mnist(train=True)
    chosen = torch.arange(0, 50_000, round(4 / share))
    made, count = Digits(data.images[chosen], data.labels[chosen]), int(14_000 * share)
    images = world(made, count).images
    return images[: len(chosen) + int(0.74 * count)]  # those behind are degraded


def held_out_digits() -> dict[str, Tensor]:
    """Return digits that the training has not seen, by origin."""
    data, drawn = mnist(train=True), load_digits().images[::4]
    glyphs = np.stack([fonts.draw(font, digit) for font in fonts.HELD_OUT for digit in range(10)])
    optical = [np.rint(image * 255 / 16).astype(np.uint8) for image in drawn]
    large = [np.asarray(Image.fromarray(image).resize((64, 64))) for image in optical]
    return {
        "MNIST, held out": data.images[50_000::5],
        "MNIST, drawn and converted": converted(map(enlarged, data.images[50_001:50_201].numpy())),
        "fonts left out": bent(glyphs, 2),
        "optical digits, 64×64": converted(large),
    }


def negatives(letters: tuple[fonts.Font, ...], seed: int, share: float) -> dict[str, Tensor]:
    """Return images of anything but a digit, by kind."""
    rng, digits = np.random.default_rng(seed), mnist(train=True).images[:50_000].numpy()
    glyphs = [fonts.draw(font, letter) for font in letters for letter in LETTERS]
    chosen = rng.choice(len(glyphs), int(8000 * share))
    return {
        "letters and signs": bent(np.stack(glyphs)[chosen], seed),
        "shapes": bent(np.stack([shape(rng) for _ in range(int(4000 * share))]), seed),
        "pairs of digits": bent(np.stack([pair(digits, rng) for _ in range(int(2000 * share))]), 0),
        "silhouettes": converted(silhouette(rng) for _ in range(int(2500 * share))),
        "noise": converted(noise(rng) for _ in range(int(600 * share))),
    }


def bent(canvases: Pixels, seed: int) -> Tensor:
    """Return canvases distorted as the world set's digits are, in MNIST format."""
    generator = Generator().manual_seed(seed)
    batches = (torch.from_numpy(canvases)[:, None] / 255).split(BATCH)
    return torch.cat([to_format(distort(batch, generator)) for batch in batches])


def converted(images: Iterable[Pixels]) -> Tensor:
    """Return images in MNIST format; those that are refused are left out."""
    found = []
    for image in images:
        try:
            found.append(to_mnist(image))
        except ImageError:  # noqa: PERF203 - few are
            continue
    return torch.from_numpy(np.stack(found))


def enlarged(digit: Pixels) -> Pixels:
    """Return a drawing of a digit."""
    return 255 - np.asarray(Image.fromarray(digit).resize((112, 112), Image.Resampling.BICUBIC))


def shape(rng: np.random.Generator) -> Pixels:
    """Return a polygon, a star, an arrow or a scribble, drawn with a pen."""
    canvas, sides = np.zeros((CANVAS, CANVAS), np.uint8), int(rng.integers(2, 9))
    radius = rng.uniform(8, 26, sides) if rng.random() < 0.5 else np.full(sides, 22)
    angles = np.sort(rng.uniform(0, 2 * np.pi, sides))
    if rng.random() < 0.5:
        angles = np.arange(sides) * 2 * np.pi * rng.integers(1, 4) / sides + rng.uniform(0, 6)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.int32(CANVAS / 2 + radius[:, None] * around)
    closed, width = bool(rng.random() < 0.6), int(rng.integers(3, 8))
    if rng.random() < 0.3:
        start = tuple(points[rng.integers(sides)].tolist())
        cv2.line(canvas, start, (int(rng.integers(15, 65)), int(rng.integers(15, 65))), 255, width)
    cv2.polylines(canvas, [points], closed, 255, width)
    return canvas


def pair(digits: Pixels, rng: np.random.Generator) -> Pixels:
    """Return two digits, or three, that touch."""
    canvas, left = np.zeros((CANVAS, 2 * CANVAS), np.uint8), 10
    for image in digits[rng.integers(0, len(digits), rng.integers(2, 4))]:
        columns = np.flatnonzero(image.any(0))
        crop = image[:, columns[0] : columns[-1] + 1]
        place = canvas[26:54, left : left + crop.shape[1]]
        np.maximum(place, crop, out=place)
        left += crop.shape[1] - int(rng.integers(0, 4))
    scale = min(1, 50 / (left - 10))
    middle = cv2.getRotationMatrix2D(((left + 10) / 2, 40), 0, scale)
    middle[0, 2] += CANVAS / 2 - (left + 10) / 2
    return np.asarray(cv2.warpAffine(canvas, middle, (CANVAS, CANVAS)), np.uint8)


def silhouette(rng: np.random.Generator) -> Pixels:
    """Return a garment-like patch: a few overlapping solid parts with texture, 28×28."""
    side, levels = 112, np.zeros((112, 112), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        corners = np.int32(rng.uniform(6, side - 6, (int(rng.integers(3, 6)), 2)))
        if rng.random() < 0.5:
            center, axes = tuple(map(int, rng.integers(30, 82, 2))), rng.integers(10, 50, 2)
            cv2.ellipse(levels, center, tuple(map(int, axes)), 0, 0, 360, rng.uniform(0.3, 1), -1)
        else:
            cv2.fillPoly(levels, [cv2.convexHull(corners)], rng.uniform(0.3, 1))
    if rng.random() < 0.5:
        levels = np.maximum(levels, levels[:, ::-1])
    texture = cv2.GaussianBlur(rng.normal(0, 1, levels.shape), None, rng.uniform(1, 6))
    levels *= 1 + rng.uniform(0, 0.4) * texture / texture.std()
    small = cv2.resize(levels.clip(0, 1), (28, 28), interpolation=cv2.INTER_AREA)
    return np.asarray(small * 255, np.uint8)


def noise(rng: np.random.Generator) -> Pixels:
    """Return blurred noise, 64×64."""
    levels = cv2.GaussianBlur(rng.normal(0, 1, (64, 64)), None, rng.uniform(0.8, 6))
    return np.asarray(np.clip(128 + 80 * levels / levels.std(), 0, 255), np.uint8)


if __name__ == "__main__":
    main()
