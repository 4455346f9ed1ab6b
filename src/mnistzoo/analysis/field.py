"""The receptive field of one layer as a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import floor
from operator import index as to_int
from typing import Any

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.algebra.pixel_ranges import PixelRanges
from mnistzoo.analysis.algebra.window import Number, Window
from mnistzoo.errors import InputError

Interval = tuple[int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that each unit of a layer depends on. A unit is one position of its output.

    Every tuple has one entry per axis of the input, in the input's order, even if a layer swaps
    axes. Along each axis unit `i` reads the pixels from `i·stride − padding` to
    `i·stride − padding + size − 1`.

    Attributes:
        size: Pixels from the first to the last one read, image borders ignored. After
            upsampling, where units may differ by a pixel, the larger number.
        stride: Pixels from one unit's window to the next one's, also called effective stride or
            jump. A fraction after upsampling, 0 if all units read the same.
        padding: Pixels by which the window of unit 0 starts before the image.
        is_global: Whether units share part of what they read, as after a global pool,
            squeeze-and-excitation, a flatten, attention, or a norm over the map. `size` then covers
            everything, and `local` describes the part that moves with the unit.

    >>> import mnistzoo
    >>> field = mnistzoo.exp5().receptive_field("features.conv7")
    >>> field.size, field.stride, field.padding
    ((34, 34), (4, 4), (8, 8))
    >>> field.interval(1)  # in an infinite image
    ((-4, 29), (-4, 29))
    >>> field.pixels(1)  # in an MNIST image
    ((0, 25), (0, 25))
    """

    size: tuple[int, ...]
    stride: tuple[Number, ...]
    padding: tuple[Number, ...]
    is_global: bool = False
    _windows: tuple[Window, ...] = field(default=(), repr=False, compare=False)
    _ranges: tuple[PixelRanges, ...] = field(default=(), repr=False, compare=False)
    _local: ReceptiveField | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, layout: Layout) -> ReceptiveField:
        """Return the receptive field of a tensor with this layout."""
        return cls.along(layout.canonical().fields)

    @classmethod
    def along(cls, fields: Sequence[AxisField]) -> ReceptiveField:
        """Return the receptive field of a tensor with these fields along the axes."""
        windows = [field.window for field in fields]
        moving = [
            field.ranges if field.local_ranges is None else field.local_ranges for field in fields
        ]
        local = None if None in windows else cls._from(filter(None, windows), moving)
        if local and not any(field.is_global for field in fields):
            return local
        everything = [
            field.window if field.window and not field.is_global else _constant(field.ranges)
            for field in fields
        ]
        return cls._from(everything, [field.ranges for field in fields], True, local)

    @classmethod
    def _from(
        cls,
        windows: Iterable[Window],
        ranges: Iterable[PixelRanges],
        is_global: bool = False,
        local: ReceptiveField | None = None,
    ) -> ReceptiveField:
        windows = tuple(windows)
        return cls(
            size=tuple(floor(window.size) for window in windows),
            stride=tuple(window.stride for window in windows),
            padding=tuple(window.padding for window in windows),
            is_global=is_global,
            _windows=windows,
            _ranges=tuple(ranges),
            _local=local,
        )

    @property
    def local(self) -> ReceptiveField | None:
        """The part that moves with the unit: the whole field if not global, `None` if nothing."""
        return self._local if self.is_global else self

    @property
    def ranges(self) -> tuple[PixelRanges, ...]:
        """The pixels of the analyzed image that each unit reads, for each axis; see `pixels`."""
        return self._ranges

    def interval(self, index: int | Sequence[int]) -> tuple[Interval, ...]:
        """Return the first and last pixel of a unit's window for each axis, borders ignored.

        Args:
            index: Index of the unit, one number per axis or one for all axes.

        Raises:
            InputError: `index` has another number of axes.
        """
        windows = zip(self._all_windows(), self._per_axis(index), strict=True)
        return tuple(window.interval(i) for window, i in windows)

    def pixels(self, index: int | Sequence[int]) -> tuple[Interval | None, ...]:
        """Return the first and last pixel that a unit reads in the analyzed image, for each axis.

        It is exact at borders, after crops, and where windows are not evenly spaced. Padding is
        not counted. A unit that reads only padding has `None` on every axis.

        Args:
            index: Index of the unit, one number per axis or one for all axes.

        Raises:
            InputError: The unit does not exist, or the field is not the result of an analysis.
        """
        if not self._ranges:
            raise InputError(
                "Expected a receptive field from an analysis, got one made by hand. Use interval()."
            )
        found: list[Interval | None] = []
        for ranges, i in zip(self._ranges, self._per_axis(index), strict=True):
            unit = 0 if len(ranges) == 1 else i
            if not 0 <= unit < len(ranges):
                raise InputError(f"Expected a unit from 0 to {len(ranges) - 1}, got {unit}.")
            first, last = int(ranges.first[unit]), int(ranges.last[unit])
            found.append((first, last) if first <= last else None)
        return (None,) * len(found) if None in found else tuple(found)

    def clipped(self, input_size: int | Sequence[int]) -> tuple[int, ...]:
        """Return the largest number of pixels that a unit can read in an image, for each axis.

        >>> import mnistzoo
        >>> mnistzoo.exp5().receptive_field("features.conv7").clipped(28)
        (28, 28)

        Args:
            input_size: Size of the image, one number per axis or one for all axes.
        """
        sizes = zip(self.size, self._per_axis(input_size), strict=True)
        return tuple(min(size, limit) for size, limit in sizes)

    def center(self, index: int | Sequence[int]) -> tuple[float, ...]:
        """Return the center of what a unit reads, in pixels, for each axis.

        >>> import mnistzoo
        >>> mnistzoo.exp5().receptive_field("features.conv7").center(1)
        (12.5, 12.5)

        Args:
            index: Index of the unit, one number per axis or one for all axes.
        """
        windows = zip(self._all_windows(), self._per_axis(index), strict=True)
        return tuple(window.center(i) for window, i in windows)

    def to_dict(self) -> dict[str, Any]:
        """Return the field as JSON values. Fractions become floats."""
        record: dict[str, Any] = {
            name: [int(x) if x == int(x) else float(x) for x in getattr(self, name)]
            for name in ("size", "stride", "padding")
        }
        record["is_global"] = self.is_global
        if self.is_global:
            record["local"] = self.local and self.local.to_dict()
        return record

    def _all_windows(self) -> tuple[Window, ...]:
        numbers = zip(self.size, self.stride, self.padding, strict=True)
        return self._windows or tuple(Window(*three) for three in numbers)

    def _per_axis(self, value: int | Sequence[int]) -> tuple[int, ...]:
        axes = len(self.size)
        try:
            values = value if isinstance(value, Iterable) else [value] * axes
            numbers = tuple(map(to_int, values))
        except TypeError:
            numbers = ()
        if len(numbers) != axes:
            raise InputError(
                f"Expected one integer, or one for each of {axes} axes, got {value!r}."
            )
        return numbers

    def __str__(self) -> str:
        size = times(self.size)
        if self.local is None:
            return f"{size} (global)"
        return f"{self.local} (global: {size})" if self.is_global else size


def times(numbers: Sequence[object]) -> str:
    """Return sizes as text: `(16, 9, 9)` as `16×9×9`."""
    return "×".join(map(str, numbers))


def _constant(ranges: PixelRanges) -> Window:
    """Return the window of units that all read the same."""
    everything = ranges.union_all()
    first, last = int(everything.first[0]), int(everything.last[0])
    return Window(last - first + 1, 0, -first) if first <= last else Window(0, 0, 0)
