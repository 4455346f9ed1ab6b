"""Connected components of the foreground, without noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import ImageError

if TYPE_CHECKING:
    from mnistzoo.images.segmentation import Foreground

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""

PAGE_SIDE = 128
"""Images from this longer side on, in pixels, may show more than a digit: a sheet on a table, or
dark surroundings along the border. Chosen, not measured."""

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

CORNER_LENGTH = 0.5
"""Longest component in a corner that is dropped, as a share of the image's longer side: a digit
that fills the image is longer. Chosen, not measured."""


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


@dataclass(frozen=True)
class Labels:
    """The connected components of a mask. Pixels that touch at a corner are connected.

    Attributes:
        pixels: int32, the shape of the mask: the label of each pixel, 0 for background.
        boxes: Left, top, right and bottom of each label, shape `(labels, 4)`; row 0 is background.
        areas: The number of pixels of each label.
    """

    pixels: NDArray[np.int32]
    boxes: NDArray[np.int32]
    areas: NDArray[np.int32]

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> Labels:
        """Label the connected components of a mask.

        Raises:
            ImageError: The mask is empty, which would crash OpenCV 5.0.0.
        """
        if not mask.size:
            raise no_foreground_error()
        _, pixels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
        left, top, width, height, areas = stats.T
        boxes = np.stack([left, top, left + width, top + height], axis=1)
        return cls(np.asarray(pixels, np.int32), boxes, areas)

    def components(self, shortest: float = 0) -> list[Component]:
        """Return the components whose longer side is at least `shortest`, largest first."""
        outermost = [self.pixels[[0, -1]].ravel(), self.pixels[:, [0, -1]].ravel()]
        borders = np.bincount(np.concatenate(outermost), minlength=len(self.areas))
        sides = self.boxes[1:, 2:] - self.boxes[1:, :2]
        chosen = 1 + np.flatnonzero(sides.max(1, initial=0) >= shortest)
        ordered = chosen[np.argsort(-self.areas[chosen], kind="stable")]
        rows = zip(
            ordered.tolist(),
            map(tuple, self.boxes[ordered].tolist()),
            self.areas[ordered].tolist(),
            borders[ordered].tolist(),
            strict=True,
        )
        return [Component(*row) for row in rows]


def find_components(foreground: Foreground) -> list[Component]:
    """Return the components of the foreground without noise, largest first.

    Raises:
        ImageError: No component is left.
    """
    side = max(foreground.mask.shape)
    shortest = MIN_LENGTH_SHARE * side
    if foreground.contrast >= WEAK_CONTRAST:
        shortest = min(shortest, MIN_LENGTH_PIXELS)
    components = foreground.labels.components(shortest)
    if not components:
        raise no_foreground_error()
    if side >= PAGE_SIDE:
        components = drop_border_components(components, foreground.mask.shape)
    return components


def drop_border_components(components: list[Component], shape: tuple[int, ...]) -> list[Component]:
    """Return the components that do not run along the image's border, as a table's edge does.

    Return all of them if no other is long enough to be the digit: a tightly cropped digit touches
    the border, too.

    Args:
        components: The components of an image.
        shape: The image's height and width.
    """
    inner = [
        part for part in components if part.border < part.length and not _in_corner(part, shape)
    ]
    long_enough = any(part.length >= DIGIT_LENGTH * max(shape) for part in inner)
    return inner if long_enough else components


def _in_corner(component: Component, shape: tuple[int, ...]) -> bool:
    """Return whether a component lies in one corner, as the table does beside a tilted sheet."""
    left, top, right, bottom = component.box
    horizontal, vertical = (left == 0) + (right == shape[1]), (top == 0) + (bottom == shape[0])
    return horizontal == vertical == 1 and component.length < CORNER_LENGTH * max(shape)


def bounding_box(components: list[Component]) -> Box:
    """Return the smallest box around all components."""
    lefts, tops, rights, bottoms = zip(*(part.box for part in components), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def no_foreground_error() -> ImageError:
    """Return the error for an image that shows no digit."""
    return ImageError(
        "No digit was found: nothing stands out from the background as pen strokes do. Check that "
        "the digit is in the image, sharp, and darker or lighter than the background."
    )
