"""Pieces that `read` tries when it cuts touching digits and text: right cuts and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnistzoo.images.segmentation import segment
from mnistzoo.images.splitting import Part, _crop, _edges_and_seams, _pieces_from
from nondigits import touching_digits

Pixels = NDArray[np.uint8]
Random = np.random.Generator

RIGHT, WRONG = 0.85, 0.65
"""A right cut shares at least this much of its foreground with one digit, a wrong one less than
that with any, as intersection over union. Those between are left out."""

NARROW = 0.4
"""Narrower strokes of letters look like a 1, as a share of their height."""

PER_PAGE = 3
"""Greatest number of right and of wrong cuts taken from a page."""


def cut_digits(digits: Pixels, rng: Random) -> tuple[list[Pixels], list[Pixels]]:
    """Return pieces of digits that touch, in MNIST format: right cuts, and wrong ones."""
    whole, drawn = touching_digits(digits, rng)
    scale = rng.uniform(2, 4)
    page, *truths = (_enlarged(pixels, scale) for pixels in [whole, *drawn])
    right, wrong = [], []
    for piece in _pieces(255 - page, rng):
        (x, y), mask = piece.offset, piece.foreground.mask
        window = np.s_[y : y + mask.shape[0], x : x + mask.shape[1]]
        overlap = max(_overlap(mask, truth[window] > 127) for truth in truths)
        if overlap >= RIGHT:
            right.append(piece)
        elif overlap < WRONG:
            wrong.append(piece)
    return _chosen(right, rng), _chosen(wrong, rng)


def cut_text(page: Pixels, rng: Random) -> list[Pixels]:
    """Return pieces of a page of text, in MNIST format. Strokes that look like a 1 are left out."""
    return _chosen([piece for piece in _pieces(page, rng) if piece.aspect >= NARROW], rng)


def _pieces(page: Pixels, rng: Random) -> Iterator[Part]:
    """Yield pieces of the largest component, from its left edge and two random seams on."""
    foreground = segment((page / 255).astype(np.float32))
    alone = _crop(Part(foreground, foreground.labels.components()[:1]))
    seams = _edges_and_seams(alone)
    starts = rng.integers(0, len(seams) - 1, 2).tolist()
    for start in dict.fromkeys([0, *starts]):
        yield from (piece for _, piece in _pieces_from(alone, seams, start))


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other)))


def _chosen(pieces: list[Part], rng: Random) -> list[Pixels]:
    order = rng.permutation(len(pieces))[:PER_PAGE]
    return [pieces[index].pixels for index in order]


def _enlarged(pixels: Pixels, scale: float) -> Pixels:
    size = [round(side * scale) for side in pixels.shape[::-1]]
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
