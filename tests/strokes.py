"""Pages of strokes whose foreground is known, because it is drawn here."""

import numpy as np
from PIL import Image, ImageDraw

SEVEN = [[(60, 60), (140, 60), (90, 180)]]
"""The lines of a 7, each a list of points, on a page 240 high and 200 wide."""


def strokes(height, width, lines, thickness):
    """Return where lines lie on a page: bool, shape `(height, width)`."""
    page = Image.new("L", (width, height))
    for line in lines:
        ImageDraw.Draw(page).line(line, fill=255, width=thickness, joint="curve")
    return np.asarray(page) > 127


def photograph(mask, light, contrast):
    """Return gray levels: the light, less a share of it where the mask is true; float32."""
    return np.asarray(light * (1 - contrast * mask), dtype=np.float32)


def overlap(one, other):
    """Return the intersection of two masks over their union."""
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)
