"""Accuracy on digits of unseen origins: `python tests/benchmarks/world.py`.

- Fonts that `mnistzoo.data.world` holds out of training, under five conditions.
- scikit-learn's digits, as 8×8 pixels and enlarged to 64×64.
- 1s with a flag and crossed 7s, constructed here from straight lines and arcs.

Every image is read as `model.predict` reads a file. Needs the fonts' Debian packages.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.datasets import load_digits

from mnistzoo.cli.source import load
from mnistzoo.data.world.fonts import FOLDER, HELD_OUT, Font, check_installed
from mnistzoo.errors import ImageError
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.models.classify import classify
from mnistzoo.storage.manifest import read_manifest

Pixels = NDArray[np.uint8]
Point = tuple[float, float]
Origin = Callable[[Generator], Iterator[tuple[Pixels, int, str]]]
"""Function that yields images, their labels and descriptions."""

SIDE = 160
"""Height and width of a page, in pixels."""


def main() -> None:
    """Print a row of accuracies for each origin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(read_manifest()))
    parser.add_argument("--errors", action="store_true", help="list what is misread")
    parser.add_argument("--seed", type=int, default=0, help="seed of the constructed digits")
    options = parser.parse_args()
    models = {name: load(name) for name in options.models}
    print("| origin | images |", *[f"{name} |" for name in models])
    print("| --- | ---: |", *["---: |"] * len(models))
    for origin, make in ORIGINS.items():
        images, labels, names = zip(*make(np.random.default_rng(options.seed)), strict=True)
        inputs = [convert(image) for image in images]
        cells = []
        for model in models.values():
            predicted = np.argmax(classify(model, inputs), axis=1)
            cells.append(f"{np.mean(predicted == labels):.2%} |")
        print(f"| {origin} | {len(images)} |", *cells, flush=True)
        if options.errors:  # of the last model
            wrong = np.flatnonzero(predicted != labels)
            print([f"{names[i]}: {labels[i]} as {predicted[i]}" for i in wrong])


def convert(image: Pixels) -> Pixels:
    """Return the model's input; an image without a digit counts as an error."""
    try:
        return to_mnist(image)
    except ImageError:
        return np.zeros((28, 28), np.uint8)


def fonts(rng: Generator) -> Iterator[tuple[Pixels, int, str]]:
    """Yield every digit of the held-out fonts, under each condition."""
    check_installed(HELD_OUT)
    for font in HELD_OUT:
        for digit in range(10):
            for name, condition in CONDITIONS.items():
                page = condition(glyph(font, digit, bold=name == "bold"), rng)
                yield np.asarray(page), digit, f"{font.file} {name}"


def glyph(font: Font, digit: int, *, bold: bool) -> Image.Image:
    """Return a digit in black on white, about 80 pixels high."""
    page = Image.new("L", (SIDE, SIDE), 255)
    style = ImageFont.truetype(FOLDER / font.file, 96)
    middle = (SIDE / 2, SIDE / 2)
    ImageDraw.Draw(page).text(middle, str(digit), 0, style, "mm", stroke_width=2 if bold else 0)
    return page


def rotated(page: Image.Image, rng: Generator) -> Image.Image:
    """Rotate by up to 12°."""
    return page.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, fillcolor=255)


def slanted(page: Image.Image, rng: Generator) -> Image.Image:
    """Slant by up to 17°, either way."""
    slope = rng.uniform(-0.3, 0.3)
    map_ = (1, slope, -slope * SIDE / 2, 0, 1, 0)
    return page.transform(page.size, Image.Transform.AFFINE, map_, fillcolor=255)


def photographed(page: Image.Image, rng: Generator) -> Image.Image:
    """Blur, darken one side and add noise."""
    levels = np.asarray(page.filter(ImageFilter.GaussianBlur(1.5)), dtype=float)
    light = np.linspace(0.9, rng.uniform(0.6, 0.9), SIDE)
    noisy = (levels * 0.7 + 70) * light + rng.normal(0, 5, levels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


CONDITIONS: dict[str, Callable[[Image.Image, Generator], Image.Image]] = {
    "plain": lambda page, rng: page,
    "bold": lambda page, rng: page,
    "rotated": rotated,
    "slanted": slanted,
    "photographed": photographed,
}


def optical(size: int) -> Origin:
    """Return a function that yields scikit-learn's digits, `size` pixels high."""

    def make(rng: Generator) -> Iterator[tuple[Pixels, int, str]]:
        digits = load_digits()
        for index, (levels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            image = Image.fromarray(np.rint(levels * 255 / 16).astype(np.uint8))
            yield np.asarray(image.resize((size, size))), int(label), str(index)

    return make


def flagged_ones(low: float, high: float) -> Origin:
    """Return a function that yields 500 1s without a foot.

    The flag is 25 to 80% as long as the stem. It leaves the vertical by `low` to `high` degrees.
    """

    def make(rng: Generator) -> Iterator[tuple[Pixels, int, str]]:
        for _ in range(500):
            length, angle = rng.uniform(0.25, 0.8), np.radians(rng.uniform(low, high))
            top, lean = (0.0, 0.0), rng.uniform(-0.15, 0.25)
            flag = (-length * np.sin(angle), length * np.cos(angle))
            lines = [[flag, top, (-lean, 1.0)]]
            yield write(lines, rng), 1, f"flag {length:.2f} at {np.degrees(angle):.0f}°"

    return make


def crossed_sevens(rng: Generator) -> Iterator[tuple[Pixels, int, str]]:
    """Yield 500 7s with a bar across the middle of a straight or bent stem."""
    for _ in range(500):
        width, foot, height = rng.uniform(0.4, 0.75), rng.uniform(0.0, 0.4), rng.uniform(0.42, 0.62)
        bend, tilt = rng.uniform(-0.08, 0.02), rng.uniform(-0.06, 0.1)
        share = np.linspace(0, 1, 12)
        stem = [(width * (1 - t) + foot * width * t + bend * np.sin(np.pi * t), t) for t in share]
        middle, half = np.interp(height, share, [x for x, _ in stem]), rng.uniform(0.16, 0.32)
        bar = [(middle - half, height + tilt), (middle + half, height - tilt)]
        yield write([[(0.0, rng.uniform(-0.03, 0.08)), *stem], bar], rng), 7, f"bar {half:.2f}"


def write(lines: list[list[Point]], rng: Generator) -> Pixels:
    """Draw dark lines on a light background, with a pen 2 to 9% as wide as the digit is high."""
    page = Image.new("L", (4 * SIDE, 4 * SIDE), 235)
    pen, pencil = round(rng.uniform(0.02, 0.09) * 320), ImageDraw.Draw(page)
    for line in lines:
        points = [
            (260 + 320 * x + rng.normal(0, 3), 160 + 320 * y + rng.normal(0, 3)) for x, y in line
        ]
        pencil.line(points, 40, pen, joint="curve")
    return np.asarray(page.reduce(4))


ORIGINS: dict[str, Origin] = {
    "fonts left out": fonts,
    "scikit-learn's digits, 8×8": optical(8),
    "scikit-learn's digits, 64×64": optical(64),
    "1s with a flag": flagged_ones(28, 52),
    "1s with a flatter flag": flagged_ones(52, 62),
    "crossed 7s": crossed_sevens,
}

if __name__ == "__main__":
    main()
