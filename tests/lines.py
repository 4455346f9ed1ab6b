"""Lines of digits as people write them, composed of MNIST images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

FORMS = ("#####", "## ## ####", "###.##", "### ### ####", "#.###.##", "##.##.##")
"""Postcodes, dates, sums of money and telephone numbers: # is a digit, . a dot on the line."""

SPACINGS = (10, 4, 1, -1, -3)
"""Gaps between the columns of digits, in MNIST's pixels; the last two make most digits touch."""


def write_line(
    images: Pixels, labels: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Pixels, str, list[int]]:
    """Return a page with one line, what it says, and which digits touch the next.

    Args:
        images: MNIST images to choose from, uint8, shape `(N, 28, 28)`.
        labels: Their labels.
        rng: The random generator.
    """
    form, spacing = FORMS[rng.integers(len(FORMS))], SPACINGS[rng.integers(len(SPACINGS))]
    canvas, left = np.zeros((60, 28 * len(form) + 60), np.uint8), 20
    masks: list[Pixels] = []
    text = ""
    for sign in form:
        if sign != "#":
            if sign == ".":
                canvas[38:41, left + 3 : left + 6] = 255
            left += 10
            masks.append(np.zeros_like(canvas))
            continue
        chosen = rng.integers(len(images))
        digit = images[chosen][:, images[chosen].any(0)]
        top = 15 + int(rng.integers(-2, 3))
        drawn = np.zeros_like(canvas)
        drawn[top : top + 28, left : left + digit.shape[1]] = digit
        canvas, text = np.maximum(canvas, drawn), text + str(labels[chosen])
        masks.append(drawn)
        left += max(2, digit.shape[1] + spacing)
    pairs = [n for n, c in enumerate(form) if c == "#"]
    touching = [
        place
        for place, (one, other) in enumerate(pairwise(pairs))
        if _touch(masks[one], masks[other])
    ]
    scale = rng.uniform(2, 4)
    size = (round(canvas.shape[1] * scale), round(canvas.shape[0] * scale))
    large = Image.fromarray(canvas).resize(size, Image.Resampling.BICUBIC)
    return 255 - np.asarray(large), text, touching


def _touch(one: Pixels, other: Pixels) -> bool:
    """Return whether strong pixels of two digits are side by side or meet at a corner."""
    near = np.pad(one > 127, 1)
    grown = np.zeros(one.shape, bool)
    for y in range(3):
        for x in range(3):
            grown |= near[y : y + one.shape[0], x : x + one.shape[1]]
    return bool((grown & (other > 127)).any())
