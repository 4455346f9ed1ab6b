"""Tell numbers from words of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mnistzoo.images.components import Box
    from mnistzoo.images.preprocessing import DigitImage

WORD_GAP = 0.3
"""Wider gaps separate words, as a share of the height that three in four of a line's pieces do not
exceed. Chosen, not measured."""

EVIDENCE = (-3.0, 0.5)
"""The log-odds of each piece are clipped to these bounds, and summed for each word. The lower bound
is wider: many letters look like digits, but few digits look like anything else. This and `CUT_ODDS`
were chosen on printed words and lines of digits: `python tests/benchmarks/reading.py --tune`."""

CUT_ODDS = 1.0
"""Subtracted from the log-odds of a piece cut from a larger component: the three strokes of an m
look like 1s."""

STROKE = 0.45
"""Narrower cut pieces, as a share of their height, are often strokes of a letter. Each counts
against its word as much as a digit counts for it. Chosen on those lines, and on printed words."""


def in_numbers(line: Sequence[DigitImage], odds: Sequence[float]) -> list[bool]:
    """Return which pieces of a line are digits, and not in a word that reads as text.

    Args:
        line: The pieces, from left to right.
        odds: The log-odds that each one is a digit.
    """
    cut = np.array([piece.cut for piece in line])
    left, top, right, bottom = np.transpose([piece.box for piece in line])
    strokes = cut & (right - left < STROKE * (bottom - top))
    low, high = EVIDENCE
    evidence = np.clip(odds - CUT_ODDS * cut, low, np.where(strokes, -high, high))
    kept = np.zeros(len(line), bool)
    for word in split_words([piece.box for piece in line]):
        if evidence[word].sum() >= 0:
            kept[word] = np.asarray(odds[word]) >= 0
    return kept.tolist()


def split_words(boxes: Sequence[Box]) -> list[slice]:
    """Split a line of boxes, from left to right, into words at its wide gaps."""
    height = float(np.quantile([bottom - top for _, top, _, bottom in boxes], 0.75))
    gaps = [right[0] - left[2] for left, right in pairwise(boxes)]
    starts = [index for index, gap in enumerate(gaps, 1) if gap > WORD_GAP * height]
    return [slice(start, stop) for start, stop in pairwise([0, *starts, len(boxes)])]
