"""The connected components of the foreground, without dust."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnistzoo.images.grouping import Part, inside
from mnistzoo.images.segmentation import PAGE, Ink, no_foreground

SPECK, SPECK_PIXELS, FAINT = 0.03, 8, 0.1
"""Ink shorter than this share of the longer side of its picture is dust, or blocks of JPEG, which
differ from their paper by less than the last share. Ink that differs by more is dust if it is also
shorter than so many pixels; what else is dust, beside digits, is told by their height."""

DIGIT = 0.1
"""Ink as long as this share of its picture may be the digit, where other ink is at the edge."""


def parts(ink: Ink) -> tuple[NDArray[np.int32], list[Part]]:
    """The connected pieces of ink, largest first, without specks; and the labelled picture.

    Raises:
        ImageError: there are none.
    """
    labelled, _ = ndimage.label(ink.mask, structure=np.ones((3, 3)))
    areas = np.bincount(labelled.ravel())
    rim = np.concatenate([labelled[0], labelled[-1], labelled[:, 0], labelled[:, -1]])
    edges = np.bincount(rim, minlength=len(areas))
    side = max(ink.mask.shape)
    found = [
        Part(number, (x.start, y.start, x.stop, y.stop), int(areas[number]), int(edges[number]))
        for number, (y, x) in enumerate(ndimage.find_objects(labelled), 1)
    ]
    least = SPECK * side if ink.contrast < FAINT else min(SPECK * side, SPECK_PIXELS)
    found = [part for part in found if part.length >= least]
    if not found:
        raise no_foreground()
    if side >= PAGE:
        found = inside(found, DIGIT * side)
    return labelled, sorted(found, key=lambda part: -part.area)
