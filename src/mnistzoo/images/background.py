"""Background that a threshold mistakes for foreground: ruled lines, and what surrounds a sheet.

Both are recognized by shape, so that a digit that fills its image is not mistaken for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MAX_LINE_THICKNESS = 1 / 64
"""Greatest thickness of a ruled line, as a share of the image's longer side. Strokes are thicker
where one digit fills the image. Images below 64 pixels have no ruled lines. Chosen, not measured.
"""

MIN_LINE_COVERAGE = 0.5
"""A ruled line covers more than this share of the image's columns, or of its rows if it is
vertical. Chosen, not measured."""

MIN_SHEET_AREA = 0.25
"""Least area of a sheet's bounding box, as a share of the image. Chosen, not measured."""

MIN_SHEET_CIRCLE = 0.4
"""Least diameter of the largest circle that fits on a sheet beside the writing, as a share of the
sheet's longer side. 403 of the first 30,000 training digits are this thick."""

MIN_SHEET_FILL = 0.75
"""Least share of its bounding box that a sheet fills, writing included. 12 of those 403 digits fill
as much, and 8 of the 12 have a hole that could be writing."""


def find_ruled_lines(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the foreground pixels of lines across the image, which may tilt by a few degrees.

    This is how staff lines are found in sheet music: foreground that is no taller than a line in
    its column is joined into rows. Where a stroke crosses a line, the foreground is taller, and
    stays. If a line crosses the image, thin rows cut off by a side of the image are lines, too.
    """
    thickness = int(max(mask.shape) * MAX_LINE_THICKNESS)
    if thickness == 0:
        return np.zeros_like(mask)
    return _find_horizontal_lines(mask, thickness) | _find_horizontal_lines(mask.T, thickness).T


def _find_horizontal_lines(mask: NDArray[np.bool_], thickness: int) -> NDArray[np.bool_]:
    tall = (thickness + 1) | 1
    thick = ndimage.maximum_filter1d(ndimage.minimum_filter1d(mask, tall, 0), tall, 0)
    thin = mask & ~thick
    if thin.any(0).mean() <= MIN_LINE_COVERAGE:
        return np.zeros_like(mask)
    thin = _keep_flat(thin, 2 * thickness)
    bridge = 2 * (mask.shape[1] // 8) + 1  # joins a line on both sides of a stroke
    rows, _ = ndimage.label(ndimage.maximum_filter(thin, (thickness | 1, bridge)))
    rows = np.where(thin, rows, 0)
    width = mask.shape[1]
    across, at_side = np.zeros((2, rows.max() + 1), np.bool_)
    for label, place in enumerate(ndimage.find_objects(rows), 1):
        columns = np.flatnonzero((rows[place] == label).any(0))
        across[label] = len(columns) > MIN_LINE_COVERAGE * width
        at_side[label] = place[1].start < thickness or place[1].stop > width - thickness
    return np.asarray((across | (at_side & across.any()))[rows])


def _keep_flat(thin: NDArray[np.bool_], min_width: int) -> NDArray[np.bool_]:
    """Return the components wider than `min_width` and than three times their height."""
    labeled, _ = ndimage.label(thin, np.ones((3, 3)))
    sides = [(x.stop - x.start, y.stop - y.start) for y, x in ndimage.find_objects(labeled)]
    flat = np.array([False, *(width > max(min_width, 3 * height) for width, height in sides)])
    return np.asarray(flat[labeled])


def find_sheet(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return where a sheet of paper lies on another surface, without the sheet's rim.

    A sheet that covers less than half of the image is segmented as foreground. It is solid and
    nearly rectangular, and the writing on it makes holes.
    """
    labeled, count = ndimage.label(mask)
    if count == 0:
        return None
    largest = labeled == 1 + int(np.argmax(np.bincount(labeled.ravel())[1:]))
    rows, columns = (np.flatnonzero(largest.any(axis)) for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    if height * width < MIN_SHEET_AREA * mask.size:
        return None
    filled = np.asarray(ndimage.binary_fill_holes(largest))
    diameter = 2 * float(ndimage.distance_transform_edt(np.pad(largest, 1)).max())
    solid = diameter >= MIN_SHEET_CIRCLE * max(height, width)
    full = filled.sum() >= MIN_SHEET_FILL * height * width
    if not (solid and full) or filled.sum() == largest.sum():
        return None
    return np.asarray(ndimage.binary_erosion(filled, iterations=2 + max(mask.shape) // 100))
