"""What stands out in a picture and is no writing: lines of ruled paper, and the desk around a sheet.

Both are told by shape alone, so a digit that fills its picture must not look like them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

THICKEST_RULE = 1 / 64
"""A rule is thinner than this share of the longer side of its picture. A pen's stroke is not where
one digit fills the picture; pictures of fewer than 64 pixels have no rules."""

COVERED = 0.5
"""A rule is seen in this share of all columns, or rows if it is upright: chosen, not measured."""

SOLID, FULL = 0.4, 0.75
"""A circle of this share of a sheet's longer side fits on it beside the writing, and sheet and
writing together fill this share of its box. Of the first 30,000 training digits 403 are so thick,
and 12 of those so full; 8 of the 12 have a hole that could be writing."""


def find_rules(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels of the ink are lines right across the picture; they may tilt by a few degrees.

    Found as readers of music find the staff: ink that is no taller than a rule in its column, in
    rows of such pieces from one side to the other. Where a stroke crosses, ink is taller, and stays.
    """
    thickest = int(max(mask.shape) * THICKEST_RULE)
    if thickest == 0:
        return np.zeros_like(mask)
    return _level_rules(mask, thickest) | _level_rules(mask.T, thickest).T


def _level_rules(mask: NDArray[np.bool_], thickest: int) -> NDArray[np.bool_]:
    thin = _flat(mask & ~ndimage.binary_opening(mask, np.ones((thickest + 1, 1))), 2 * thickest)
    bridge = 2 * (mask.shape[1] // 8) + 1  # across the strokes that cut a rule in two
    rows, _ = ndimage.label(ndimage.maximum_filter(thin, (thickest | 1, bridge)))
    rows = np.where(thin, rows, 0)
    rule = np.zeros(rows.max() + 1, np.bool_)
    for number, place in enumerate(ndimage.find_objects(rows), 1):
        rule[number] = (rows[place] == number).any(0).sum() > COVERED * mask.shape[1]
    return np.asarray(rule[rows])


def _flat(thin: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """The pieces that are wider than `least`, and far wider than high."""
    labelled, _ = ndimage.label(thin, np.ones((3, 3)))
    sides = [(x.stop - x.start, y.stop - y.start) for y, x in ndimage.find_objects(labelled)]
    return np.array([False, *(width > max(least, 3 * height) for width, height in sides)])[labelled]


def find_sheet(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The rows and columns of a sheet that was taken for ink, as the desk is taken for paper.

    A sheet is solid and nearly rectangular, takes a quarter of the picture or more, and what is
    written on it are holes.
    """
    labelled, count = ndimage.label(mask)
    if count == 0:
        return None
    number = 1 + int(np.argmax(np.bincount(labelled.ravel())[1:]))
    place = ndimage.find_objects(labelled)[number - 1]
    sheet = np.pad(labelled[place] == number, 1)
    height, width = labelled[place].shape
    if 4 * height * width < mask.size:
        return None
    filled = np.count_nonzero(ndimage.binary_fill_holes(sheet))
    across = 2 * float(ndimage.distance_transform_edt(sheet).max())
    solid = across >= SOLID * max(height, width) and filled >= FULL * height * width
    return place if solid and filled > np.count_nonzero(sheet) else None
