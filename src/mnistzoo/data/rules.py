"""Ruled and squared paper: printed lines right across a picture, told from strokes of a pen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

THICKEST = 1 / 64
"""A rule is thinner than this share of the longer side of its picture; a pen's stroke is not, where
one digit fills the picture. Pictures of fewer than 64 pixels thus have no rules."""

COVERED = 0.5
"""A rule is seen in this share of all columns (rows, if it is upright): no digit is so wide, but
one that fills its picture."""


def find_rules(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels of the ink belong to lines right across the picture; they may tilt a little.

    The way of music readers, who take staff lines away: in each column, ink that is no taller than
    a rule. Where a stroke crosses, ink is taller, and stays.
    """
    thickest = int(max(mask.shape) * THICKEST)
    if thickest == 0:
        return np.zeros_like(mask)
    return _level(mask, thickest) | _level(mask.T, thickest).T


def _level(mask: NDArray[np.bool_], thickest: int) -> NDArray[np.bool_]:
    """The rules that run from left to right."""
    thin = mask & ~ndimage.binary_opening(mask, np.ones((thickest + 1, 1)))
    bands, _ = ndimage.label(_bridged(_long(thin, 2 * thickest), thickest))
    bands = np.where(thin, bands, 0)
    covered = [
        np.count_nonzero((bands[place] == number).any(0)) if place else 0
        for number, place in enumerate(ndimage.find_objects(bands), 1)
    ]
    rule = np.array([False, *(columns > COVERED * mask.shape[1] for columns in covered)])
    return np.asarray(rule[bands])


def _long(thin: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """The pieces that are wider than `least`, and far wider than high."""
    labelled, _ = ndimage.label(thin, np.ones((3, 3)))
    sizes = [
        (x.stop - x.start, y.stop - y.start) for y, x in ndimage.find_objects(labelled)
    ]
    return np.array([False, *(w > least and w > 4 * h for w, h in sizes)])[labelled]


def _bridged(pieces: NDArray[np.bool_], thickest: int) -> NDArray[np.bool_]:
    """Pieces joined to those beside them, across the strokes that cut a rule in two."""
    reach = pieces.shape[1] // 8
    return np.asarray(ndimage.maximum_filter(pieces, (thickest | 1, 2 * reach + 1)))
