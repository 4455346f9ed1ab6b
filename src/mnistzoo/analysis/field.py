"""The receptive field of one layer, as a record that needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Any

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.pixel_ranges import PixelRanges
from mnistzoo.analysis.algebra.window import Number, Window
from mnistzoo.errors import InputError

Interval = tuple[int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """What one unit of a layer sees of the input; every tuple has one entry an axis.

    Axes are the input's, in its order, also where a layer has swapped them. Along each axis unit
    `i` sees the pixels `i·stride − padding … i·stride − padding + size − 1`.

    Attributes:
        size: pixels from the first to the last, not cut off at the image's border. Behind an
            upsampling units differ by a pixel; it is then the most that any sees.
        stride: pixels from one unit's window to the next one's ("effective stride", "jump"), a
            fraction behind an upsampling, 0 where all units see the same.
        padding: pixels by which the window of unit 0 starts before the image.
        is_global: whether part of what a unit sees is the same for all units, as behind a global
            pool, squeeze-and-excite, a flatten, attention or a norm over the map. `size` is then
            of all that is seen, and `local` has the part that moves with the unit.
    """

    size: tuple[int, ...]
    stride: tuple[Number, ...]
    padding: tuple[Number, ...]
    is_global: bool = False
    _windows: tuple[Window, ...] = field(default=(), repr=False, compare=False)
    _spans: tuple[PixelRanges, ...] = field(default=(), repr=False, compare=False)
    _local: ReceptiveField | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, reaches: Sequence[AxisField]) -> ReceptiveField:
        """The record of what the axes of a tensor see."""
        local = _record(
            [reach.window for reach in reaches],
            [
                reach.ranges if reach.local_ranges is None else reach.local_ranges
                for reach in reaches
            ],
        )
        if not any(reach.is_global for reach in reaches) and local is not None:
            return local
        windows = [reach.window if not reach.is_global else None for reach in reaches]
        spans = [reach.ranges for reach in reaches]
        found = [w or _constant(s) for w, s in zip(windows, spans, strict=True)]
        whole = _record(found, spans)
        assert whole is not None
        return cls(
            whole.size, whole.stride, whole.padding, True, whole._windows, whole._spans, local
        )

    @property
    def local(self) -> ReceptiveField | None:
        """The part that moves with the unit; itself if that is all, `None` if nothing moves."""
        return self._local if self.is_global else self

    def interval(self, index: int | Sequence[int]) -> tuple[Interval, ...]:
        """The first and last pixel that a unit would see of an endless image, for each axis.

        Args:
            index: of the unit, one number an axis; one number alone is taken for all axes.
        """
        windows = zip(self._all_windows(), self._index(index), strict=True)
        return tuple(window.interval(i) for window, i in windows)

    def pixels(self, index: int | Sequence[int]) -> tuple[Interval | None, ...]:
        """The first and last pixel that a unit sees of the image analysed, for each axis.

        Exact at borders, after crops and where windows are unevenly spaced: paddings of every
        layer on the way are left out. `None`, on every axis, for a unit that sees only padding.

        Raises:
            InputError: the unit does not exist, or this record was not made by an analysis.
        """
        if not self._spans:
            raise InputError("expected a receptive field of an analysis, got one made by hand.")
        seen: list[Interval | None] = []
        for spans, i in zip(self._spans, self._index(index), strict=True):
            unit = 0 if len(spans) == 1 else i
            if not 0 <= unit < len(spans):
                raise InputError(f"expected a unit from 0 to {len(spans) - 1}, got {unit}.")
            first, last = int(spans.first[unit]), int(spans.last[unit])
            seen.append((first, last) if first <= last else None)
        return (None,) * len(seen) if None in seen else tuple(seen)

    def clipped(self, input_size: int | Sequence[int]) -> tuple[int, ...]:
        """The most pixels that any unit can see of an image of this size, for each axis."""
        sizes = zip(self.size, self._index(input_size), strict=True)
        return tuple(min(size, limit) for size, limit in sizes)

    def center(self, index: int | Sequence[int]) -> tuple[float, ...]:
        """The middle of what a unit sees, in pixels, for each axis."""
        windows = zip(self._all_windows(), self._index(index), strict=True)
        return tuple(window.center(i) for window, i in windows)

    def _all_windows(self) -> tuple[Window, ...]:
        numbers = zip(self.size, self.stride, self.padding, strict=True)
        return self._windows or tuple(Window(*three) for three in numbers)

    def _index(self, index: int | Sequence[int]) -> tuple[int, ...]:
        values = (index,) * len(self.size) if isinstance(index, int) else tuple(index)
        if len(values) != len(self.size):
            raise InputError(
                f"expected one number for each of {len(self.size)} axes, got {values}."
            )
        return values

    def to_dict(self) -> dict[str, Any]:
        """Return the field in types that JSON has; fractions become floats."""
        record: dict[str, Any] = {
            name: [int(x) if x == int(x) else float(x) for x in getattr(self, name)]
            for name in ("size", "stride", "padding")
        }
        record["is_global"] = self.is_global
        if self.is_global:
            record["local"] = self.local and self.local.to_dict()
        return record

    def __str__(self) -> str:
        size = times(self.size)
        if self.local is None:
            return f"{size} (global)"
        return f"{self.local} (global: {size})" if self.is_global else size


def times(numbers: Sequence[object]) -> str:
    """Return sizes as text: `(16, 9, 9)` as `16×9×9`."""
    return "×".join(map(str, numbers))


def _record(
    windows: Sequence[Window | None], spans: Sequence[PixelRanges]
) -> ReceptiveField | None:
    if any(window is None for window in windows):
        return None
    found = tuple(window for window in windows if window is not None)
    return ReceptiveField(
        tuple(floor(window.size) for window in found),
        tuple(window.stride for window in found),
        tuple(window.padding for window in found),
        _windows=found,
        _spans=tuple(spans),
    )


def _constant(spans: PixelRanges) -> Window:
    """The window of units that all see the same."""
    everything = spans.union_all()
    first, last = int(everything.first[0]), int(everything.last[0])
    return Window(last - first + 1, 0, -first) if first <= last else Window(0, 0, 0)
