"""Figures of receptive fields, drawn from what the library computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mnistzoo.analysis.algebra.window import IDENTITY, Window
from mnistzoo.models.convnet import ConvNet

BLUE = "#0072b2"

MAPS = ("Conv2d", "MaxPool2d")
"""Layers that enlarge the receptive field."""

Layer = tuple[str, int, int]
"""A name, a kernel and a stride."""


def progression(model: ConvNet, image: npt.NDArray[Any]) -> Figure:
    """Draw the receptive field of the middle unit of each convolution and pool, over a digit."""
    rows = [row for row in model.summary() if row.kind in MAPS]
    columns = 3
    height = math.ceil(len(rows) / columns)
    figure = Figure(figsize=(5.8, 2.1 * height), layout="constrained")
    grid = list(figure.subplots(height, columns, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, row in zip(grid, rows, strict=False):
        assert row.output_shape is not None
        field = model.receptive_field(row.path)
        _window(axes, image, field.interval([side // 2 for side in row.output_shape[1:]]))
        axes.set_title(f"{row.path.removeprefix('features.')}: {field}")
    return figure


def _window(axes: Axes, image: npt.NDArray[Any], window: Sequence[tuple[int, int]]) -> None:
    """Draw a digit, its border, and a window that may reach beyond it."""
    axes.imshow(image, cmap="gray_r")
    axes.add_patch(Rectangle((-0.5, -0.5), 28, 28, fill=False, edgecolor="0.6", linewidth=1))
    (top, bottom), (left, right) = window
    size = right - left + 1, bottom - top + 1
    corner = left - 0.5, top - 0.5
    axes.add_patch(Rectangle(corner, *size, alpha=0.18, facecolor=BLUE))
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=BLUE, linewidth=2))
    axes.set_xlim(-6, 34)
    axes.set_ylim(34, -6)


def cone(layers: Sequence[Layer], pixels: int) -> Figure:
    """Draw one unit at the top of a stack of layers, and every unit it reads, along one axis.

    Args:
        layers: From the input on, without padding.
        pixels: Width of the input.
    """
    windows, widths = [IDENTITY], [pixels]
    for _, kernel, stride in layers:
        windows.append(windows[-1].then(Window(kernel, stride, 0)))
        widths.append((widths[-1] - kernel) // stride + 1)
    figure = Figure(figsize=(5.8, 0.85 * len(windows)), layout="constrained")
    axes = figure.subplots()
    first = last = widths[-1] // 2
    for level in reversed(range(len(windows))):
        _units(axes, level, windows[level], widths[level], (first, last))
        name = layers[level - 1][0] if level else "input"
        window = windows[level]
        reads = "" if level == 0 else f"\nreads {window.size}, stride {window.stride}"
        axes.text(-1.2, level, name + reads, ha="right", va="center")
        if level:
            _, kernel, stride = layers[level - 1]
            first, last = first * stride, last * stride + kernel - 1
    axes.set_xlim(-5.5, pixels + 0.2)
    axes.set_ylim(-0.6, len(windows) - 0.4)
    axes.axis("off")
    return figure


def _units(axes: Axes, level: int, window: Window, width: int, read: tuple[int, int]) -> None:
    """Draw a row of units, each above the center of its window. Those in `read` are filled."""
    for unit in range(width):
        color = BLUE if read[0] <= unit <= read[1] else "none"
        corner = window.center(unit) - 0.4, level - 0.28
        axes.add_patch(Rectangle(corner, 0.8, 0.56, facecolor=color, edgecolor="0.5"))
