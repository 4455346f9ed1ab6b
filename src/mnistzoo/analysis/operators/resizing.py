"""Interpolations: what each unit of a resized map is a weighted sum of."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

import numpy as np

from mnistzoo.analysis.algebra.connections import Connections, Ints
from mnistzoo.analysis.algebra.factors import dim_size
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.registry import Call, rule, spatial

Taps = Callable[[int, int, Fraction, bool], tuple[Ints, Ints]]
"""From units in and out, the scale and `align_corners`: the units read, clipped and not."""


def _scale(call: Call, axis: int, units: int, made: int) -> Fraction:
    """Units read per unit made; as torch does, from the factor asked for where there is one."""
    axes = len(call.shape) - 2
    names = ("scales",) if axes == 1 else ("scales_d", "scales_h", "scales_w")[3 - axes :]
    factors = call.get("scale_factors")
    factor = factors[axis] if factors else call.get(names[axis])
    return 1 / Fraction(factor).limit_denominator(10**6) if factor else Fraction(units, made)


@lru_cache(maxsize=256)
def _resize_step(find: Taps, units: int, made: int, scale: Fraction, corners: bool) -> Connections:
    inputs, unclipped = find(units, made, scale, corners)
    stride = Fraction(units - 1, made - 1) if corners and made > 1 and units > 1 else scale
    return Connections.of(inputs, stride, unclipped)


def _nearest(units: int, made: int, scale: Fraction, _: bool) -> tuple[Ints, Ints]:
    inputs = np.array([floor(i * scale) for i in range(made)])[:, None]
    return np.minimum(inputs, units - 1), inputs


def _nearest_exact(units: int, made: int, scale: Fraction, _: bool) -> tuple[Ints, Ints]:
    inputs = np.array([floor((i + Fraction(1, 2)) * scale) for i in range(made)])[:, None]
    return np.minimum(inputs, units - 1), inputs


def _sources(units: int, made: int, scale: Fraction, corners: bool) -> list[Fraction]:
    """Where each unit made lies among the units read."""
    if corners:
        return [i * Fraction(units - 1, max(made - 1, 1)) for i in range(made)]
    half = Fraction(1, 2)
    return [(i + half) * scale - half for i in range(made)]


def _linear(units: int, made: int, scale: Fraction, corners: bool) -> tuple[Ints, Ints]:
    places = _sources(units, made, scale, corners)
    unclipped = np.array([(floor(place), ceil(place)) for place in places])
    return np.clip(unclipped, 0, units - 1), unclipped


def _cubic(units: int, made: int, scale: Fraction, corners: bool) -> tuple[Ints, Ints]:
    places = _sources(units, made, scale, corners)
    around = [range(-1, 3) if place.denominator > 1 else (0, 0, 0, 0) for place in places]
    unclipped = np.array([[floor(p) + t for t in ts] for p, ts in zip(places, around, strict=True)])
    return np.clip(unclipped, 0, units - 1), unclipped


def _antialiased(
    units: int, made: int, scale: Fraction, corners: bool, half: int
) -> tuple[Ints, Ints]:
    """Taps of a filter of `half` units either side, widened where it makes the map smaller."""
    if corners:
        scale = Fraction(units - 1, made - 1) if made > 1 else Fraction(0)
    width = max(scale, Fraction(1))
    middles = [(i + Fraction(1, 2)) * scale for i in range(made)]
    rows = [_weighted(middle, width, half) for middle in middles]
    inner = [[tap for tap in row if 0 <= tap < units] for row in rows]
    return _rectangular(inner), _rectangular(rows)


def _weighted(middle: Fraction, width: Fraction, half: int) -> list[int]:
    """The units that such a filter gives a weight: at whole distances but 0 it has none."""
    first, last = ceil(middle - half * width), floor(middle + half * width)
    distances = {t: (t + Fraction(1, 2) - middle) / width for t in range(first - 1, last + 1)}
    return [t for t, d in distances.items() if abs(d) < half and (d == 0 or d.denominator > 1)]


def _rectangular(rows: list[list[int]]) -> Ints:
    """Rows of numbers made as long as the longest, by their last number again."""
    longest = max(map(len, rows))
    return np.array([row + row[-1:] * (longest - len(row)) for row in rows])


def _linear_aa(units: int, made: int, scale: Fraction, corners: bool) -> tuple[Ints, Ints]:
    return _antialiased(units, made, scale, corners, 1)


def _cubic_aa(units: int, made: int, scale: Fraction, corners: bool) -> tuple[Ints, Ints]:
    return _antialiased(units, made, scale, corners, 2)


_RESIZES: dict[str, Taps] = {
    **{f"upsample_nearest{axes}d": _nearest for axes in (1, 2, 3)},
    **{f"_upsample_nearest_exact{axes}d": _nearest_exact for axes in (1, 2, 3)},
    "upsample_linear1d": _linear,
    "upsample_bilinear2d": _linear,
    "upsample_trilinear3d": _linear,
    "upsample_bicubic2d": _cubic,
    "_upsample_bilinear2d_aa": _linear_aa,
    "_upsample_bicubic2d_aa": _cubic_aa,
}


@rule(*_RESIZES)
def _resize(call: Call) -> Layout:
    find = _RESIZES[call.func._schema.name.removeprefix("aten::")]
    corners = bool(call.get("align_corners", False))
    layout, steps = call.source, {}
    for axis, index in enumerate(spatial(call, len(call.shape) - 2)):
        units, made = dim_size(layout.dims[index]), call.shape[index]
        scale = _scale(call, axis, units, made)
        steps[index] = _resize_step(find, units, made, scale, corners)
    return layout.apply(steps)
