"""Remove what surrounds digits: frames along the image's edges, boxes and rings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnistzoo.images.background import find_lines
from mnistzoo.images.components import Component, Labels
from mnistzoo.images.grayscale import GrayLevels, quantiles, subsample

MAX_FRAME = 1 / 8
"""Greatest thickness of a frame along the image's edges, as a share of the shorter side. This and
what follows was chosen on digits in frames made from training images (`tests/frames.py`)."""

MIN_FRAME_CONTRAST = 0.1
"""Least difference between the frame's gray level and that of what it frames."""

FRAME_SHARE = 0.75
"""A row of a frame has the frame's level in more than this share of its pixels. The first row
inside has it in less than 1 minus this share."""

BOX_SHARE = 0.65
"""Seen from outside, a box is straight along more than this share of each side."""

BOX_LINE = 0.5
"""A line of a box is not crossed along more than this share of its side."""

MAX_BOX_THICKNESS = 1 / 8
"""Greatest thickness of a box's line, as a share of the box's shorter side."""

MIN_INSIDE = 0.1
"""Least height of what a box contains, as a share of the box's height. In a square 0 or 8 nothing
is that high once the lines are gone."""

MIN_RINGED = 0.3
"""Least length of what a ring contains, as a share of the ring's length."""

RING_SHARE = 0.8
"""A ring is seen from its center in more than this share of all directions."""


def remove_frame(levels: GrayLevels) -> GrayLevels:
    """Return the image without a frame along all four edges, its inside extended to the border.

    A frame has one gray level. The pixels just inside it mostly have another.
    """
    shape, limit = levels.shape, int(min(levels.shape) * MAX_FRAME)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    inner = levels[limit : shape[0] - limit, limit : shape[1] - limit]
    if limit == 0:
        return levels
    (outside,), (inside,) = quantiles(border, 0.5), quantiles(subsample(inner), 0.5)
    if abs(outside - inside) < MIN_FRAME_CONTRAST:
        return levels
    framed = np.abs(levels - outside) < np.abs(levels - inside)
    left, top, right, bottom = (
        _frame_thickness(side, limit) for side in (framed.T, framed, framed.T[::-1], framed[::-1])
    )
    if not (left and top and right and bottom):
        return levels
    content = levels[top : shape[0] - bottom, left : shape[1] - right]
    return np.pad(content, ((top, bottom), (left, right)), mode="edge")


def _frame_thickness(framed: NDArray[np.bool_], limit: int) -> int:
    """Return how many rows from the top belong to the frame and its soft edge, or 0."""
    shares = framed[: 2 * limit + 2, limit : framed.shape[1] - limit].mean(axis=1)
    thickness = int(np.argmin(shares > FRAME_SHARE))
    soft = int(np.argmax(shares[thickness:] < 1 - FRAME_SHARE))
    abrupt = soft <= max(1, limit // 6) and shares[thickness + soft] < 1 - FRAME_SHARE
    return thickness + soft + (limit >= 5) if 0 < thickness <= limit and abrupt else 0


def find_boxes(mask: NDArray[np.bool_], labels: Labels, shortest: float) -> NDArray[np.bool_]:
    """Return the foreground pixels of the lines of boxes at least `shortest` pixels long.

    A box is a component that is straight on all four sides and has something inside. Where a
    stroke crosses a line, the foreground is thicker than the line, and stays.
    """
    lines = np.zeros_like(mask)
    for component in labels.components(shortest):
        left, top, right, bottom = component.box
        window = np.s_[top:bottom, left:right]
        thickness = _box_thickness(labels.pixels[window] == component.label)
        if thickness:
            found = find_lines(mask[window], thickness, BOX_LINE)
            inside = Labels.from_mask(mask[window] & ~found)
            least = max(MIN_INSIDE * (bottom - top), 3 * thickness)
            if any(part.height >= least for part in inside.components()):
                lines[window] |= found
    return lines


def _box_thickness(own: NDArray[np.bool_]) -> int:
    """Return how thick the lines around a component are at most, or 0 if it is not a box.

    Seen from each side, the first foreground in each column has to lie on a line that tilts by a
    few degrees at most.
    """
    thickness = 0
    for view in (own, own[::-1], own.T, own.T[::-1]):
        height, first = len(view), view.argmax(0)
        below = view | (np.arange(height)[:, None] < first)
        runs = np.where(below.all(0), height, below.argmin(0)) - first
        straight = np.abs(first - np.median(first)) <= max(1, 0.05 * height)
        if straight.mean() < BOX_SHARE or np.median(first) > height / 4:
            return 0
        thickness = max(thickness, int(np.median(runs[straight])))
    return thickness + 1 if thickness <= MAX_BOX_THICKNESS * min(own.shape) else 0


def drop_rings(components: list[Component], pixels: NDArray[np.int32]) -> list[Component]:
    """Return the components without those drawn around another, such as a circle around a digit."""
    rings = {
        outer.label
        for outer in components
        for inner in components
        if _contains(outer, inner) and _surrounds(pixels, outer, inner)
    }
    return [component for component in components if component.label not in rings]


def _contains(outer: Component, inner: Component) -> bool:
    a, b = outer.box, inner.box
    inside = a[0] < b[0] and a[1] < b[1] and a[2] > b[2] and a[3] > b[3]
    return inside and inner.length >= MIN_RINGED * outer.length


def _surrounds(pixels: NDArray[np.int32], outer: Component, inner: Component) -> bool:
    """Return whether the outer component surrounds the inner one's center."""
    left, top, right, bottom = outer.box
    y, x = np.nonzero(pixels[top:bottom, left:right] == outer.label)
    center_x, center_y = (inner.box[0] + inner.box[2]) / 2, (inner.box[1] + inner.box[3]) / 2
    angles = np.arctan2(y + top + 0.5 - center_y, x + left + 0.5 - center_x)
    sectors = np.unique(np.floor(angles * (24 / np.pi)))
    return len(sectors) > RING_SHARE * 48
