"""Connected components of the foreground, without noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnistzoo.images.segmentation import PAGE_SIDE, Foreground, no_foreground_error

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""

MIN_LENGTH_PIXELS = 8
"""Shorter components of strong contrast are noise, in pixels. Chosen, not measured."""

MIN_LENGTH_SHARE = 0.03
"""Shorter components of weak contrast are noise, such as JPEG blocks on blank paper; as a share of
the image's longer side. In small images it bounds strong contrast, too. Chosen, not measured."""

WEAK_CONTRAST = 0.1
"""Upper bound of weak contrast, as a share of the background's brightness. JPEG blocks on a blank
sheet stay below it in `tests/test_origins.py`."""

DIGIT_LENGTH = 0.1
"""Shortest component that may be the digit where another lies along the image's border, as a share
of the image's longer side. Chosen, not measured."""


@dataclass(frozen=True)
class Component:
    """A connected component of the foreground.

    Attributes:
        label: Its value in the labeled image.
        box: Its bounding box.
        area: Its number of pixels.
        border: How many of them lie in the image's outermost rows and columns.
    """

    label: int
    box: Box
    area: int
    border: int = 0

    @property
    def height(self) -> int:
        """Height of the box in pixels."""
        return self.box[3] - self.box[1]

    @property
    def length(self) -> int:
        """Longer side of the box in pixels."""
        return max(self.box[2] - self.box[0], self.height)


def find_components(foreground: Foreground) -> tuple[NDArray[np.int32], list[Component]]:
    """Return the labeled image and its components without noise, largest first.

    Pixels that touch at a corner are connected.

    Raises:
        ImageError: No component is left.
    """
    labeled, _ = ndimage.label(foreground.mask, structure=np.ones((3, 3)))
    areas = np.bincount(labeled.ravel())
    outermost = np.concatenate([labeled[0], labeled[-1], labeled[:, 0], labeled[:, -1]])
    borders = np.bincount(outermost, minlength=len(areas))
    side = max(foreground.mask.shape)
    components = [
        Component(label, (x.start, y.start, x.stop, y.stop), int(areas[label]), int(borders[label]))
        for label, (y, x) in enumerate(ndimage.find_objects(labeled), 1)
    ]
    shortest = MIN_LENGTH_SHARE * side
    if foreground.contrast >= WEAK_CONTRAST:
        shortest = min(shortest, MIN_LENGTH_PIXELS)
    components = [component for component in components if component.length >= shortest]
    if not components:
        raise no_foreground_error()
    if side >= PAGE_SIDE:
        components = drop_border_components(components, DIGIT_LENGTH * side)
    return labeled, sorted(components, key=lambda component: -component.area)


def drop_border_components(components: list[Component], shortest: float) -> list[Component]:
    """Return the components that do not run along the image's border, as a table's edge does.

    Return all of them if no other is at least `shortest` long: a tightly cropped digit touches the
    border, too.
    """
    inner = [component for component in components if component.border < component.length]
    return inner if any(component.length >= shortest for component in inner) else components


def bounding_box(components: list[Component]) -> Box:
    """Return the smallest box around all components."""
    lefts, tops, rights, bottoms = zip(*(part.box for part in components), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
