"""Interpolation: the units that each unit of a resized map is a weighted sum of."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt

from mnistzoo.analysis.algebra.connections import Connections, Ints
from mnistzoo.analysis.algebra.factors import dim_size
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Operator, Rule, last_dims

Mode = Callable[[int, int, Fraction, bool], tuple[Ints, Ints]]
"""Function from units in and out, scale and `align_corners` to the units read, clipped and not."""


def _scale(call: Call, axis: int, units_in: int, units_out: int) -> Fraction:
    """Return input units per output unit, from the scale factor if one was given, as in torch."""
    axes = len(call.shape) - 2
    names = ("scales",) if axes == 1 else ("scales_d", "scales_h", "scales_w")[3 - axes :]
    factors = call.get("scale_factors")
    factor = factors[axis] if factors else call.get(names[axis])
    return (
        1 / Fraction(factor).limit_denominator(10**6) if factor else Fraction(units_in, units_out)
    )


@lru_cache(maxsize=256)
def _connect(mode: Mode, units: int, made: int, scale: Fraction, corners: bool) -> Connections:
    inputs, unclipped = mode(units, made, scale, corners)
    stride = Fraction(units - 1, made - 1) if corners and made > 1 and units > 1 else scale
    return Connections.of(inputs, stride, unclipped)


def _nearest(units: int, made: int, scale: Fraction, _: bool) -> tuple[Ints, Ints]:
    if made not in (units, 2 * units) or scale == Fraction(units, made):
        return _rounded(np.arange(made), units, scale)
    # torch takes the scale factor on a GPU, but the ratio of the sizes on the CPU
    ways = [_rounded(np.arange(made), units, each) for each in (scale, Fraction(units, made))]
    clipped, unclipped = (np.hstack(pair) for pair in zip(*ways, strict=True))
    return clipped, unclipped


def _nearest_exact(units: int, made: int, scale: Fraction, _: bool) -> tuple[Ints, Ints]:
    return _rounded(np.arange(made) + 0.5, units, scale)


def _rounded(places: npt.NDArray[Any], units: int, scale: Fraction) -> tuple[Ints, Ints]:
    """Return the units at `places · scale`, computed in float32 like torch's kernels."""
    products = places.astype(np.float32) * np.float32(float(scale))
    inputs = np.floor(products).astype(np.int64)[:, None]
    return np.minimum(inputs, units - 1), inputs


def _sources(units: int, made: int, scale: Fraction, corners: bool) -> list[Fraction]:
    """Return the position of each output unit among the input units."""
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
    """Return the units under a filter that reaches `half` units, wider where the map shrinks."""
    if corners:
        scale = Fraction(units - 1, made - 1) if made > 1 else Fraction(0)
    width = max(scale, Fraction(1))
    middles = [(i + Fraction(1, 2)) * scale for i in range(made)]
    rows = [_weighted(middle, width, half) for middle in middles]
    inner = [[tap for tap in row if 0 <= tap < units] for row in rows]
    return _rectangular(inner), _rectangular(rows)


def _weighted(middle: Fraction, width: Fraction, half: int) -> list[int]:
    """Return the units with a weight that is not 0, as it is at whole distances other than 0."""
    first, last = ceil(middle - half * width), floor(middle + half * width)
    distances = {t: (t + Fraction(1, 2) - middle) / width for t in range(first - 1, last + 1)}
    return [t for t, d in distances.items() if abs(d) < half and (d == 0 or d.denominator > 1)]


def _rectangular(rows: list[list[int]]) -> Ints:
    """Return rows padded to the longest one with their last number."""
    longest = max(map(len, rows))
    return np.array([row + row[-1:] * (longest - len(row)) for row in rows])


def _resize(mode: Mode) -> Rule:
    def rule(call: Call) -> Layout:
        corners = bool(call.get("align_corners", False))
        layout, links = call.source, {}
        for axis, index in enumerate(last_dims(call, len(call.shape) - 2)):
            units, made = dim_size(layout.dims[index]), call.shape[index]
            scale = _scale(call, axis, units, made)
            links[index] = _connect(mode, units, made, scale, corners)
        return layout.apply(links)

    return rule


_MODES: dict[str, Mode] = {
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d": _nearest,
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d": _nearest_exact,
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d": _linear,
    "upsample_bicubic2d": _cubic,
    "_upsample_bilinear2d_aa": partial(_antialiased, half=1),
    "_upsample_bicubic2d_aa": partial(_antialiased, half=2),
}

OPERATORS = {
    names: Operator(_resize(mode), listed=True, fake=fakes.resize) for names, mode in _MODES.items()
}
