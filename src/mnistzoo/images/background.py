"""Background that looks like foreground: ruled lines, and the surroundings of a sheet.

Both are recognized by shape, so a digit that fills its image is kept.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.images.components import Labels

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

    If a line crosses the image, thin rows cut off by a side of the image are lines, too.
    """
    thickness = int(max(mask.shape) * MAX_LINE_THICKNESS)
    if thickness == 0:
        return np.zeros_like(mask)
    return find_lines(mask, thickness, MIN_LINE_COVERAGE, at_side=True)


def find_lines(
    mask: NDArray[np.bool_], thickness: int, coverage: float, *, at_side: bool = False
) -> NDArray[np.bool_]:
    """Return the foreground pixels of horizontal and vertical lines.

    This is how staff lines are found in sheet music: foreground that is no taller than a line in
    its column is joined into rows. Where a stroke crosses a line, the foreground is taller, and
    stays.

    Args:
        mask: The foreground.
        thickness: Greatest thickness of a line in pixels.
        coverage: A line covers more than this share of the columns, or of the rows if it is
            vertical.
        at_side: Beside such a line, also return shorter ones that start at a side of the image.
    """
    horizontal, vertical = (
        _find_horizontal_lines(np.ascontiguousarray(view), thickness, coverage, at_side)
        for view in (mask, mask.T)
    )
    return horizontal | vertical.T


def _find_horizontal_lines(
    mask: NDArray[np.bool_], thickness: int, coverage: float, at_side: bool
) -> NDArray[np.bool_]:
    width, tall = mask.shape[1], (thickness + 1) | 1
    pixels = mask.view(np.uint8)
    opened = cv2.morphologyEx(pixels, cv2.MORPH_OPEN, np.ones((tall, 1), np.uint8))
    thin = np.asarray(pixels - opened, np.uint8)
    if thin.max(0).mean() <= coverage:
        return np.zeros_like(mask)
    thin = _keep_flat(thin, 2 * thickness)
    bridge = np.ones((thickness | 1, 2 * (width // 8) + 1), np.uint8)  # across strokes on a line
    _, joined = cv2.connectedComponents(cv2.dilate(thin, bridge), connectivity=4)
    rows, columns = joined[thin > 0], np.nonzero(thin)[1]
    covered = np.zeros((joined.max() + 1, width), np.bool_)
    covered[rows, columns] = True
    lines = across = covered.mean(1) > coverage
    if at_side and across.any():
        ends = max(thickness, 1)
        lines = across | covered[:, :ends].any(1) | covered[:, -ends:].any(1)
    return np.asarray((thin > 0) & lines[joined])


def _keep_flat(thin: NDArray[np.uint8], min_width: int) -> NDArray[np.uint8]:
    """Return the components wider than `min_width` and than three times their height."""
    _, labeled, stats, _ = cv2.connectedComponentsWithStats(thin)
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    flat = (width > np.maximum(min_width, 3 * height)).astype(np.uint8)
    flat[0] = 0
    return np.asarray(flat[labeled])


def find_sheet(labels: Labels) -> NDArray[np.bool_] | None:
    """Return where a sheet of paper lies on another surface, without the sheet's rim.

    A sheet that covers less than half of the image is segmented as foreground. It is solid and
    nearly rectangular, and the writing on it makes holes.
    """
    if len(labels.areas) == 1:
        return None
    label = 1 + int(labels.areas[1:].argmax())
    left, top, right, bottom = labels.boxes[label]
    height, width = int(bottom - top), int(right - left)
    if height * width < MIN_SHEET_AREA * labels.pixels.size:
        return None
    largest = (labels.pixels == label).astype(np.uint8)
    outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = cv2.drawContours(np.zeros_like(largest), outlines, -1, 1, cv2.FILLED)
    depth = cv2.distanceTransform(np.pad(largest, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    solid = 2 * depth.max() >= MIN_SHEET_CIRCLE * max(height, width)
    full = filled.sum() >= MIN_SHEET_FILL * height * width
    if not (solid and full) or filled.sum() == labels.areas[label]:
        return None
    rim = 2 + max(largest.shape) // 100
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    eroded = cv2.erode(np.pad(filled, 1), cross, iterations=rim)[1:-1, 1:-1]
    return np.asarray(eroded > 0)
