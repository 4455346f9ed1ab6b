"""Group connected components into digits, and digits into reading order."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from mnistzoo.images.components import Box, Component, bounding_box

Group: TypeAlias = list[Component]
"""The components of one digit."""


def main_digit(components: list[Component]) -> Group:
    """Return the largest component, and behind it those near it that are not too small."""
    main = max(components, key=lambda component: component.area)
    return [main] + [
        component
        for component in components
        if component is not main
        and component.area >= 0.03 * main.area
        and _distance(component.box, main.box) <= 0.25 * main.length
    ]


def group_digits(components: list[Component]) -> list[Group]:
    """Return the components of each digit: a tall one, and the small ones that belong to it.

    A small component that belongs to no tall one is a digit of its own if its height is at least
    0.4 of the typical height. Smaller ones are dropped.
    """
    typical = _typical_height(components)
    groups = [[component] for component in components if component.height >= 0.6 * typical]
    for small in (component for component in components if component.height < 0.6 * typical):
        nearest = min(groups, key=lambda group: _distance(small.box, group[0].box))
        if _belongs_to(small.box, nearest[0].box, typical):
            nearest.append(small)
        elif small.height >= 0.4 * typical:
            groups.append([small])
    return groups


def _typical_height(components: list[Component]) -> float:
    """Return the median height of foreground pixels: specks have few, so they hardly count."""
    ordered = sorted(components, key=lambda component: component.height)
    pixels = np.cumsum([component.area for component in ordered])
    return ordered[int(np.searchsorted(pixels, pixels[-1] / 2))].height


def _belongs_to(small: Box, tall: Box, typical: float) -> bool:
    """Return whether a small component lies above or below a tall one, or almost touches it."""
    overlap = min(small[2], tall[2]) - max(small[0], tall[0])
    stacked = overlap >= 0.3 * min(small[2] - small[0], tall[2] - tall[0])
    return _distance(small, tall) <= (0.35 if stacked else 0.1) * typical


def _distance(a: Box, b: Box) -> float:
    """Return the distance between two boxes, 0 where they overlap."""
    across = max(a[0], b[0]) - min(a[2], b[2])
    down = max(a[1], b[1]) - min(a[3], b[3])
    return float(np.hypot(max(across, 0), max(down, 0)))


def reading_lines(groups: list[Group]) -> list[list[Group]]:
    """Return the lines of digits from the top, each from left to right.

    Going from left to right, a digit joins the line whose last digit is beside it. Lines may
    therefore slope.
    """
    lines: list[list[Group]] = []
    for group in sorted(groups, key=lambda group: bounding_box(group)[0]):
        box = bounding_box(group)
        beside = [line for line in lines if _vertical_overlap(box, bounding_box(line[-1])) >= 0.4]
        if beside:
            nearest = max(beside, key=lambda line: _vertical_overlap(box, bounding_box(line[-1])))
            nearest.append(group)
        else:
            lines.append([group])
    lines.sort(key=lambda line: float(np.mean([sum(bounding_box(group)[1::2]) for group in line])))
    return lines


def _vertical_overlap(a: Box, b: Box) -> float:
    """Return the rows that two boxes share, as a share of the lower box's height."""
    return (min(a[3], b[3]) - max(a[1], b[1])) / min(a[3] - a[1], b[3] - b[1])
