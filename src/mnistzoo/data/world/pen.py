"""A pen that draws the forms of digits, never twice alike."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnistzoo.data.world.forms import Form, Stroke

CANVAS = 80
"""Height and width of the canvas that digits are drawn on, in pixels."""

HEIGHT = 48
"""Height of an unchanged digit on the canvas, in pixels."""

WIDTHS = (2.6, 11.0)
"""Least and greatest width of the pen, in pixels of the canvas: 1.1 to 4.6 pixels of MNIST's."""

WOBBLE = 0.035
"""Standard deviation of the points of a stroke, as a share of the digit's height."""

_SUPERSAMPLING = 2
_STEPS = 8
"""Points drawn between two points of a stroke."""

Points = NDArray[np.float64]


def draw(form: Form, rng: Generator) -> NDArray[np.uint8]:
    """Return a digit in the middle of the canvas: uint8, shape `(CANVAS, CANVAS)`.

    The width of the pen and every point of the form are random.
    """
    paths = [_smooth(_wobble(stroke, rng)) for stroke in form.strokes]
    every = np.concatenate(paths)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = HEIGHT / max(*(high - low), 0.5)
    width = rng.uniform(*WIDTHS) * _SUPERSAMPLING
    page = Image.new("L", (CANVAS * _SUPERSAMPLING,) * 2)
    for path in paths:
        placed = ((path - (low + high) / 2) * scale + CANVAS / 2) * _SUPERSAMPLING
        _draw_path(page, placed, width)
    return np.asarray(page.reduce(_SUPERSAMPLING))


def _wobble(stroke: Stroke, rng: Generator) -> Points:
    """Return the points of a stroke, each moved; both points of a corner stay together."""
    points = np.array(stroke)
    corner = np.r_[False, (points[1:] == points[:-1]).all(axis=1)]
    moves = rng.normal(0, WOBBLE, points.shape)
    moves[corner] = moves[np.flatnonzero(corner) - 1]
    return points + moves


def _smooth(points: Points) -> Points:
    """Return a curve through the points: the spline of Catmull and Rom (1974)."""
    before, start, end, after = (
        np.r_[points[:1], points, points[-1:]][i : len(points) - 1 + i, None] for i in range(4)
    )
    t = np.linspace(0, 1, _STEPS, endpoint=False)[:, None]
    curve = start + 0.5 * t * (
        end
        - before
        + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
    )
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def _draw_path(page: Image.Image, path: Points, width: float) -> None:
    """Draw a line with round joints and ends."""
    pencil, radius = ImageDraw.Draw(page), width / 2
    pencil.line([(x, y) for x, y in path], fill=255, width=round(width))
    for x, y in path:
        pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
