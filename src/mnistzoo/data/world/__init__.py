"""A training set of digits as people around the world write them: MNIST and synthetic images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from mnistzoo.data.mnist import Digits
from mnistzoo.data.world import fonts, pen
from mnistzoo.data.world.degradations import DEGRADATIONS, degrade
from mnistzoo.data.world.distortions import coarsen, distort, enlarge, to_format
from mnistzoo.data.world.forms import FORMS

BATCH = 250
"""Images that are distorted together. The width of their strokes changes by the same amount."""

DISTORTED, DRAWN, PRINTED = 0.24, 0.32, 0.18
"""Shares of the synthetic images: distorted MNIST images, digits drawn by the pen, digits of fonts.
The rest are degraded images."""

KINDS = (*DEGRADATIONS, "light", "lines", "cover", "hollow")
"""The degradations, applied in turn. The harder ones come twice."""

COARSE = 0.3
"""Share of the batches that are reduced to a low resolution."""

Canvases = Iterator[tuple[Tensor, Tensor]]
"""Batches of canvases, float of shape `(N, 1, CANVAS, CANVAS)`, and labels."""


def world(digits: Digits, count: int, *, seed: int = 0) -> Digits:
    """Make the training set: the MNIST images, then `count` synthetic ones, all in MNIST format.

    Equal arguments give equal images on the same machine with the same versions of torch and
    Pillow.

    Args:
        digits: The MNIST images to use.
        count: Number of synthetic images, rounded down to a multiple of `BATCH`.
        seed: Seed of every random change.

    Raises:
        DataError: A font is not installed. The message names its Debian package.
    """
    fonts.check_installed(fonts.TRAINING)
    generator, rng = Generator().manual_seed(seed), np.random.default_rng(seed)
    sources = (
        (_enlarged(digits, generator), DISTORTED),
        (_drawn(rng), DRAWN),
        (_printed(rng), PRINTED),
    )
    parts = [digits]
    for canvases, share in sources:
        for canvas, labels in islice(canvases, round(count * share / BATCH)):
            changed = distort(canvas, generator)
            if float(torch.rand((), generator=generator)) < COARSE:
                changed = coarsen(changed, generator)
            parts.append(Digits(to_format(changed), labels))
    parts = parts[: count // BATCH + 1]  # the shares are rounded
    rest = count // BATCH + 1 - len(parts)
    clean = _joined(parts)
    return _joined([clean, *_degraded(clean, rest, generator)])


def _joined(parts: list[Digits]) -> Digits:
    images, labels = zip(*parts, strict=True)
    return Digits(torch.cat(images), torch.cat(labels))


def _enlarged(digits: Digits, generator: Generator) -> Canvases:
    """Yield MNIST images in random order, enlarged."""
    while True:
        order = torch.randperm(len(digits.labels), generator=generator)
        for chosen in torch.split(order, BATCH):
            yield enlarge(digits.images[chosen]), digits.labels[chosen]


def _drawn(rng: np.random.Generator) -> Canvases:
    """Yield digits drawn by the pen, in forms chosen uniformly at random."""
    while True:
        chosen = [FORMS[number] for number in rng.integers(len(FORMS), size=BATCH)]
        canvases = np.stack([pen.draw(form, rng) for form in chosen])
        yield _to_canvases(canvases), torch.tensor([form.digit for form in chosen])


def _printed(rng: np.random.Generator) -> Canvases:
    """Yield random digits of the training fonts."""
    glyphs = np.stack([fonts.draw(font, digit) for font in fonts.TRAINING for digit in range(10)])
    while True:
        chosen = rng.integers(len(glyphs), size=BATCH)
        yield _to_canvases(glyphs[chosen]), torch.from_numpy(chosen % 10)


def _to_canvases(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images)[:, None] / 255


def _degraded(clean: Digits, count: int, generator: Generator) -> Iterator[Digits]:
    """Yield batches of the clean images, degraded in each way in turn."""
    for kind in islice(cycle(KINDS), count):
        chosen = torch.randint(len(clean.labels), (BATCH,), generator=generator)
        yield Digits(degrade(clean.images[chosen], kind, generator), clean.labels[chosen])
