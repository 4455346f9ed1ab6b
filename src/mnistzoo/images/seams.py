"""Find seams along which touching digits can be cut apart.

A seam runs from top to bottom with one column in each row, and may move by one column from row to
row. Its cost is the foreground that it crosses plus its steps to the side.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.images.grayscale import GrayLevels

Seam = NDArray[np.int64]
"""For each row, the first column to the right of the seam."""

MIN_DIFFERENCE = 0.03
"""Two seams divide the foreground differently if at least this share of a digit lies between them.
This and the constants below were chosen on lines made from training images."""

SEAMS_PER_DIGIT = 16
"""Maximum number of seams for each stretch that is as wide as the foreground is high."""

MAX_SEAMS = 40
"""Maximum number of seams, however wide the foreground is."""

_ROWS = 48
"""The foreground is scaled to this height, in pixels, for the search. Set by hand."""

_STARTS = (6, 18, 30, 42)
"""The cheapest seam through each pixel of these rows is a candidate."""

_SIDESTEP = 0.8
"""Cost of a step to the side, where crossing a pixel of foreground costs 1."""


def find_seams(mask: NDArray[np.bool_]) -> list[Seam]:
    """Return cheap seams that divide the foreground differently, from left to right.

    Candidates are taken in order of cost, except those whose foreground on the left is nearly that
    of a seam already taken.
    """
    height, width = mask.shape
    columns = max(4, round(width * _ROWS / height))
    small = cv2.resize(mask.astype(np.float32), (columns, _ROWS), interpolation=cv2.INTER_AREA)
    seams, costs = _candidates(np.asarray(small, np.float32))
    before = np.pad(np.cumsum(small, axis=1), ((0, 0), (1, 0)))
    left = before[np.arange(_ROWS), seams]  # foreground left of each seam, by row
    total, digit = float(small.sum()), float(small.sum()) * min(1, height / width)
    chosen: list[int] = []
    for index in np.argsort(costs, kind="stable").tolist():
        if min(left[index].sum(), total - left[index].sum()) < MIN_DIFFERENCE * digit:
            continue
        differences = np.abs(left[index] - left[chosen]).sum(axis=1)
        if differences.min(initial=np.inf) >= MIN_DIFFERENCE * digit:
            chosen.append(index)
        if len(chosen) >= min(MAX_SEAMS, SEAMS_PER_DIGIT * width / height):
            break
    chosen.sort(key=lambda index: float(left[index].sum()))
    rows = np.minimum(np.arange(height) * _ROWS // height, _ROWS - 1)
    return [np.rint((seam[rows] + 0.5) * width / columns).astype(int) for seam in seams[chosen]]


def _candidates(cost: GrayLevels) -> tuple[NDArray[np.int64], GrayLevels]:
    """Return the cheapest seam through each pixel of `_STARTS`, and its cost."""
    columns = np.arange(cost.shape[1])
    above, upward = _cheapest_to(cost)
    below, downward = (part[::-1] for part in _cheapest_to(cost[::-1]))
    seams, costs = [], []
    for start in _STARTS:
        seam = np.zeros(cost.shape, np.int64)
        seam[start] = columns
        for row in range(start, 0, -1):
            seam[row - 1] = upward[row, seam[row]]
        for row in range(start, len(cost) - 1):
            seam[row + 1] = downward[row, seam[row]]
        seams.append(seam.T)
        costs.append((above + below - cost)[start])
    return np.concatenate(seams), np.concatenate(costs)


def _cheapest_to(cost: GrayLevels) -> tuple[GrayLevels, NDArray[np.int64]]:
    """Return the cost of the cheapest seam from the top to each pixel, and its previous column."""
    total, before = cost.copy(), np.zeros(cost.shape, np.int64)
    columns = np.arange(cost.shape[1])
    for row in range(1, len(cost)):
        beside = np.pad(total[row - 1], 1, constant_values=np.inf)
        options = np.stack([beside[1:-1], beside[:-2] + _SIDESTEP, beside[2:] + _SIDESTEP])
        before[row] = columns + np.array([0, -1, 1])[options.argmin(0)]
        total[row] += options.min(0)
    return total, before
