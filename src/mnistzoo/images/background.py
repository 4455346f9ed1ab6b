"""What stands out in a picture and is no writing: ruled lines, and the desk around a sheet.

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


def find_ruled_lines(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels of the ink are lines right across the picture; they may tilt by a few degrees.

    Found as readers of music find the staff: ink that is no taller than a rule in its column, in
    rows of such pieces across the picture. Where a stroke crosses, ink is taller, and stays.
    Where there is one, rules cut short by a corner of the picture are others.
    """
    thickest = int(max(mask.shape) * THICKEST_RULE)
    if thickest == 0:
        return np.zeros_like(mask)
    return _level_rules(mask, thickest) | _level_rules(mask.T, thickest).T


def _level_rules(mask: NDArray[np.bool_], thickest: int) -> NDArray[np.bool_]:
    tall = (thickest + 1) | 1
    thick = ndimage.maximum_filter1d(ndimage.minimum_filter1d(mask, tall, 0), tall, 0)
    thin = mask & ~thick
    if thin.any(0).mean() <= COVERED:
        return np.zeros_like(mask)
    thin = _flat(thin, 2 * thickest)
    bridge = 2 * (mask.shape[1] // 8) + 1  # across the strokes that cut a rule in two
    rows, _ = ndimage.label(ndimage.maximum_filter(thin, (thickest | 1, bridge)))
    rows = np.where(thin, rows, 0)
    width = mask.shape[1]
    across, aside = np.zeros((2, rows.max() + 1), np.bool_)
    for number, place in enumerate(ndimage.find_objects(rows), 1):
        columns = np.flatnonzero((rows[place] == number).any(0))
        across[number] = len(columns) > COVERED * width
        aside[number] = place[1].start < thickest or place[1].stop > width - thickest
    return np.asarray((across | (aside & across.any()))[rows])


def _flat(thin: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """The pieces that are wider than `least`, and far wider than high."""
    labelled, _ = ndimage.label(thin, np.ones((3, 3)))
    sides = [(x.stop - x.start, y.stop - y.start) for y, x in ndimage.find_objects(labelled)]
    flat = np.array([False, *(width > max(least, 3 * height) for width, height in sides)])
    return np.asarray(flat[labelled])


def find_sheet(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Where a sheet lies that was taken for ink, as more of the picture is desk; without its rim.

    A sheet is solid and nearly rectangular, takes a quarter of the picture or more, and what is
    written on it are holes.
    """
    labelled, count = ndimage.label(mask)
    if count == 0:
        return None
    largest = labelled == 1 + int(np.argmax(np.bincount(labelled.ravel())[1:]))
    rows, columns = (np.flatnonzero(largest.any(axis)) for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    if 4 * height * width < mask.size:
        return None
    filled = np.asarray(ndimage.binary_fill_holes(largest))
    across = 2 * float(ndimage.distance_transform_edt(np.pad(largest, 1)).max())
    solid = across >= SOLID * max(height, width) and filled.sum() >= FULL * height * width
    if not solid or filled.sum() == largest.sum():
        return None
    return np.asarray(ndimage.binary_erosion(filled, iterations=2 + max(mask.shape) // 100))
