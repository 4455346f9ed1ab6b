"""Train the detector of digits that `Prediction.is_digit` uses, and set its threshold.

Run by hand, with the fonts of `mnistzoo.data.world` and those of `tests/nondigits.py`, and the
Debian package dataset-fashion-mnist: `python tests/benchmarks/detector.py`. It writes
`src/mnistzoo/images/detector.safetensors` and prints its SHA-256. Digits are MNIST's training
images, those of the world set, drawings and photographs of both as `images/` converts them, digits
that cross a box, printed digits, and correctly cut pieces of touching digits. The others
are letters and signs, single, joined and cut into pieces, Fashion-MNIST's training images, shapes,
silhouettes, noise, and pairs and wrong pieces of digits. The threshold comes from digits that the
training has not seen. Fashion-MNIST's test images are only evaluated.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import string
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save
from sklearn.datasets import load_digits
from torch import Generator, Tensor
from torch.nn import functional as F

from mnistzoo.data.labeled import Digits
from mnistzoo.data.mnist import mnist
from mnistzoo.data.world import fonts, pen, world
from mnistzoo.data.world.distortions import distort, to_format
from mnistzoo.data.world.forms import FORMS
from mnistzoo.errors import ImageError
from mnistzoo.files import sha256
from mnistzoo.images.detector import DETECTOR, WEIGHTS
from mnistzoo.images.preprocessing import find_digits, to_mnist
from mnistzoo.images.transforms import normalize
from mnistzoo.models.convnet import ConvNet

sys.path.insert(0, str(Path(__file__).parent.parent))
cuts = importlib.import_module("cuts")
frames = importlib.import_module("frames")
nondigits = importlib.import_module("nondigits")
photograph = importlib.import_module("photographs").photograph

Pixels = NDArray[np.uint8]
Random = np.random.Generator

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package has them."""

KEPT = 0.99
"""Share of held-out digits that are kept, the mean over their origins."""

EPOCHS, BATCH = 20, 250

PRINTED = tuple(fonts.Font(file, "", "") for file in nondigits.TRAINING)
"""Printed fonts of the training."""

TRAINED = 40_000
"""MNIST's first training images are trained on. The next 10,000 set the constants of
`mnistzoo.images.splitting`, and the last 10,000 are held out."""


def main() -> None:
    """Train, set the threshold, print the figures and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the training images")
    parser.add_argument("-o", "--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    right, wrong = cut_digits(options.share)
    digits = torch.cat([*positives(options.share).values(), right])
    others = torch.cat([*negatives(options.share).values(), wrong])
    print(f"{len(digits):,} digits, {len(others):,} others", flush=True)
    model = trained(digits, others)
    kept = {name: scores(model, images) for name, images in held_out_digits().items()}
    model.classifier.bias.data -= torch.tensor([0.0, threshold(list(kept.values()))])
    for name, images in (held_out_digits() | framed_and_printed()).items():
        print(f"| {name} | {(scores(model, images) >= 0).float().mean():.2%} kept |")
    for name, images in held_out_others().items():
        print(f"| {name} | {(scores(model, images) < 0).float().mean():.1%} refused |")
    data = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    options.output.write_bytes(data)
    print(f"SHA-256: {sha256(data)}")


def threshold(kept: list[Tensor]) -> float:
    """Return the log-odds that the wanted share of digits reaches, averaged over their origins."""
    every = torch.cat(kept).unique()
    shares = torch.stack([(found[None] >= every[:, None]).float().mean(1) for found in kept])
    return float(every[shares.mean(0) >= KEPT].max())


def trained(digits: Tensor, others: Tensor) -> ConvNet:
    """Return the detector: class 1 is a digit."""
    torch.manual_seed(0)
    images = normalize(torch.cat([digits, others]))
    labels = (torch.arange(len(images)) < len(digits)).long()
    model = ConvNet(DETECTOR, num_classes=2).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
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


def positives(share: float) -> dict[str, Tensor]:
    """Return digits by kind: MNIST's, those of the world set, and both as `images/` has them."""
    rng, other, data = np.random.default_rng(2), np.random.default_rng(4), mnist(train=True)
    chosen = torch.arange(0, TRAINED, round(2 / share))
    images, count = data.images[:TRAINED].numpy(), int(16_000 * share)
    made = world(Digits(data.images[chosen], data.labels[chosen]), count).images
    drawn = (pen.draw(FORMS[rng.integers(len(FORMS))], rng) for _ in range(int(5000 * share)))
    taken = images[rng.integers(0, len(images), int(12_000 * share))]
    third = len(taken) // 3
    return {
        "MNIST and world": made[: len(chosen) + int(0.74 * count)],  # those behind are degraded
        "forms": converted(255 - page for page in drawn),
        "fonts": lettered(fonts.TRAINING + PRINTED, string.digits, int(8000 * share), 4),
        "photographs": converted(photograph(digit, rng) for digit in taken[:third]),
        "drawings": converted(map(enlarged, taken[third : 2 * third])),
        "small": converted(map(reduced, taken[2 * third :])),
        "crossing boxes": converted(frames.crossed_box(digit, other) for digit in taken[::4]),
        "printed": found(nondigits.number(other) for _ in range(int(2500 * share))),
    }


def negatives(share: float) -> dict[str, Tensor]:
    """Return images of anything but a digit, by kind."""
    rng, digits = np.random.default_rng(0), mnist(train=True).images[:TRAINED].numpy()
    fashion = fashion_mnist("train")[: int(14_000 * share)]
    joined = [nondigits.joined_letters(rng) for _ in range(int(1500 * share))]
    words = [nondigits.word(rng) for _ in range(int(4000 * share))]
    pairs = np.stack([nondigits.pair(digits, rng) for _ in range(int(2500 * share))])
    return {
        "letters and signs": lettered(
            2 * fonts.TRAINING + PRINTED, nondigits.LETTERS, int(28_000 * share), 0
        ),
        "joined letters": found(joined),
        "printed": found(words),
        "pieces of letters": cut(cuts.cut_text(page, rng) for page in joined + words[::4]),
        "Fashion-MNIST": converted(fashion),
        "shapes": bent(np.stack([nondigits.shape(rng) for _ in range(int(4000 * share))]), 0),
        "pairs": bent(pairs, 0),
        "silhouettes": converted(nondigits.silhouette(rng) for _ in range(int(2500 * share))),
        "noise": converted(nondigits.noise(rng) for _ in range(int(800 * share))),
    }


def cut_digits(share: float) -> tuple[Tensor, Tensor]:
    """Return pieces of touching digits: right cuts, which are digits, and wrong ones."""
    rng, digits = np.random.default_rng(5), mnist(train=True).images[:TRAINED].numpy()
    pages = [cuts.cut_digits(digits, rng) for _ in range(int(2500 * share))]
    right, wrong = (cut(pieces) for pieces in zip(*pages, strict=True))
    return right, wrong


def held_out_digits() -> dict[str, Tensor]:
    """Return digits that the training has not seen, by origin."""
    data, drawn = mnist(train=True), load_digits().images[::4]
    glyphs = np.stack([fonts.draw(font, digit) for font in fonts.HELD_OUT for digit in range(10)])
    optical = [np.rint(image * 255 / 16).astype(np.uint8) for image in drawn]
    large = [np.asarray(Image.fromarray(image).resize((64, 64))) for image in optical]
    rng, taken = np.random.default_rng(3), data.images[50_001:51_001].numpy()
    return {
        "MNIST, held out": data.images[50_000::5],
        "MNIST, photographed": converted(photograph(digit, rng) for digit in taken),
        "fonts left out": converted(255 - glyphs),
        "fonts left out, distorted": bent(glyphs, 2),
        "optical digits, 64×64": converted(large),
    }


def framed_and_printed() -> dict[str, Tensor]:
    """Return digits of kinds that do not set the threshold, and that the training has not seen."""
    rng, digits = np.random.default_rng(3), mnist(train=True).images[50_001:50_301].numpy()
    printed = [
        nondigits.typed(digit, font, size)
        for font in nondigits.HELD_OUT
        for digit in string.digits
        for size in (24, 60, 120)
    ]
    return {
        "crossing boxes": converted(frames.crossed_box(digit, rng) for digit in digits),
        "printed digits, fonts left out": converted(printed),
    }


def held_out_others() -> dict[str, Tensor]:
    """Return images of anything but a digit that the training has not seen, by kind."""
    pages = [
        nondigits.typed(letter, font, 60)
        for font in nondigits.HELD_OUT
        for letter in nondigits.LETTERS
    ]
    return {
        "Fashion-MNIST, test images": converted(fashion_mnist("t10k")[:2000]),
        "letters and signs, fonts left out": lettered(fonts.HELD_OUT, nondigits.LETTERS, 1000, 1),
        "printed letters and signs, fonts left out": converted(pages),
    }


def fashion_mnist(split: str) -> Pixels:
    """Return the images of a split, "train" or "t10k"."""
    data = gzip.decompress((FASHION / f"{split}-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(data[16:], np.uint8).reshape(-1, 28, 28)


def lettered(chosen: tuple[fonts.Font, ...], signs: str, count: int, seed: int) -> Tensor:
    """Return random signs of the fonts, distorted."""
    glyphs = [fonts.draw(font, sign) for font in chosen for sign in signs]
    places = np.random.default_rng(seed).choice(len(glyphs), count)
    return bent(np.stack(glyphs)[places], seed)


def bent(canvases: Pixels, seed: int) -> Tensor:
    """Return canvases distorted as the world set's digits are, in MNIST format."""
    generator = Generator().manual_seed(seed)
    batches = (torch.from_numpy(canvases)[:, None] / 255).split(BATCH)
    return torch.cat([to_format(distort(batch, generator)) for batch in batches])


def converted(images: Iterable[Pixels | bytes]) -> Tensor:
    """Return images in MNIST format; those that are refused are left out."""
    return torch.from_numpy(np.stack(list(_each(images, lambda image: [to_mnist(image)]))))


def found(pages: Iterable[Pixels]) -> Tensor:
    """Return what `read` finds on pages."""
    pieces = _each(pages, lambda page: [each.pixels for row in find_digits(page) for each in row])
    return torch.from_numpy(np.stack(list(pieces)))


def cut(pieces: Iterable[list[Pixels]]) -> Tensor:
    """Return all pieces."""
    return torch.from_numpy(np.stack(list(chain.from_iterable(pieces))))


def _each(
    images: Iterable[Pixels | bytes], convert: Callable[..., list[Pixels]]
) -> Iterator[Pixels]:
    for image in images:
        try:
            yield from convert(image)
        except ImageError:  # noqa: PERF203 - few are
            continue


def enlarged(digit: Pixels) -> Pixels:
    """Return a drawing of a digit."""
    return 255 - np.asarray(Image.fromarray(digit).resize((112, 112), Image.Resampling.BICUBIC))


def reduced(digit: Pixels) -> Pixels:
    """Return a digit reduced to 8×8 pixels and enlarged, as scikit-learn's digits are."""
    rows, columns = (np.flatnonzero(digit.any(axis)) for axis in (1, 0))
    crop = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    width = max(3, round(8 * crop.width / max(crop.size)))
    small = crop.resize((width, 8), Image.Resampling.BOX)
    page = Image.new("L", (width + 2, 10))
    page.paste(small, (1, 1))
    return np.asarray(page.resize((8 * page.width, 8 * page.height)))


if __name__ == "__main__":
    main()
