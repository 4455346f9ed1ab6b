"""Devices: how many multiply-accumulates and bytes per second they reach at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from mnistzoo.errors import InputError, UnknownNameError

KIB, MIB, GIGA, TERA = 2**10, 2**20, 1e9, 1e12
Bandwidths = tuple[tuple[int, float], ...]
Figures = tuple[Mapping[str, float], Bandwidths, str]
"""Peaks by dtype, bandwidths, and their source, as in `Device`."""


def _published(tf32: float, half: float, gigabytes: float, source: str) -> Figures:
    """Return published figures: dense peaks in 10¹² operations per second, two for each MAC."""
    peaks = {"float32": tf32, "float16": half, "bfloat16": half}
    macs = {dtype: teraflops * TERA / 2 for dtype, teraflops in peaks.items()}
    return macs, ((0, gigabytes * GIGA),), source


PRESETS = {
    "A100": _published(156, 312, 2039, "NVIDIA A100 data sheet, 80 GB SXM"),
    "H100": _published(494.7, 989.4, 3352, "NVIDIA H100 architecture white paper, SXM5"),
    "H200": _published(494.5, 989.5, 4800, "NVIDIA H200 data sheet, SXM"),
}
"""Published figures of devices, by name.

The peaks are those of the tensor cores without sparsity, for float32 in TF32.
"""


@dataclass(frozen=True, init=False)
class Device:
    """A device that a model may run on: its peak and its bandwidth.

    `Device("cpu")` measures this machine with the threads that torch has now, in about a second.
    The names of `PRESETS` have published figures. Any other name needs both figures.

    Args:
        name: `"cpu"`, the name of a preset, or a name of your own.
        macs_per_second: For a device of your own: peak by dtype, such as `{"float32": 1e13}`.
        bandwidth: For a device of your own: bytes per second.

    Attributes:
        name: Name of the device.
        macs_per_second: Peak multiply-accumulates per second by dtype.
        bandwidths: Pairs of a size in bytes and bytes per second, for working sets of at least
            that size. Smaller ones fit in a cache and are faster.
        source: Where the figures are from.

    Raises:
        UnknownNameError: There is no such preset.
        InputError: A figure is not positive, or only one is given.

    >>> Device("A100").macs_per_second["bfloat16"]
    156000000000000.0
    >>> Device("mine", {"float32": 1e12}, 1e11).bandwidth(4096)
    100000000000.0
    """

    name: str
    macs_per_second: Mapping[str, float]
    bandwidths: Bandwidths
    source: str

    def __init__(
        self,
        name: str,
        macs_per_second: Mapping[str, float] | None = None,
        bandwidth: float | None = None,
    ) -> None:
        if (macs_per_second is None) != (bandwidth is None):
            raise InputError("Expected macs_per_second and bandwidth, got one. Give both.")
        if macs_per_second is not None and bandwidth is not None:
            if not macs_per_second or min(*macs_per_second.values(), bandwidth) <= 0:
                raise InputError("Expected positive macs_per_second and bandwidth. Check both.")
            figures: Figures = dict(macs_per_second), ((0, float(bandwidth)),), "given"
        elif name == "cpu":
            figures = _measure()
        elif name in PRESETS:
            figures = PRESETS[name]
        else:
            raise UnknownNameError("device", name, ("cpu", *PRESETS))
        peaks, bandwidths, source = figures
        known = {"name": name, "macs_per_second": dict(peaks)}
        vars(self).update(known, bandwidths=bandwidths, source=source)

    def peak(self, dtype: str) -> float:
        """Return the peak multiply-accumulates per second in a dtype.

        Raises:
            InputError: It has no figure for this dtype.
        """
        if dtype not in self.macs_per_second:
            raise InputError(
                f"Expected a model in {' or '.join(self.macs_per_second)} on {self.name}, got "
                f"{dtype}. Give the peak: Device(name, {{{dtype!r}: …}}, bandwidth)."
            )
        return self.macs_per_second[dtype]

    def bandwidth(self, size: int) -> float:
        """Return the bytes per second at which a working set of a size moves at most."""
        fitting = [speed for least, speed in self.bandwidths if least <= size]
        return fitting[-1] if fitting else self.bandwidths[0][1]


def _measure() -> Figures:
    with torch.inference_mode():
        peak = max(_gemm_speed(size) for size in (256, 512, 1024))
        sizes = [32 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 16 * MIB, 64 * MIB]
        speeds = [_bandwidth(size) for size in sizes]
    hull = [max(speeds[number:]) for number in range(len(speeds))]
    threads = torch.get_num_threads()
    bandwidths = tuple(zip([0, *sizes[1:]], hull, strict=True))
    return {"float32": peak}, bandwidths, f"measured on this machine, {threads} threads"


def _gemm_speed(size: int) -> float:
    one, other, out = (torch.ones(size, size) for _ in range(3))
    return size**3 / _fastest(lambda: torch.mm(one, other, out=out), 0.15)


def _bandwidth(size: int) -> float:
    """Return the bytes per second of the fastest of three operators on a working set of a size."""
    whole = torch.ones(size // 4)
    one, other = whole.chunk(2)
    first, second, third = torch.ones(size // 12 * 3).chunk(3)
    return max(
        size / _fastest(whole.sum, 0.03),
        size / _fastest(lambda: one.copy_(other), 0.03),
        third.nbytes * 3 / _fastest(lambda: torch.add(first, second, out=third), 0.03),
    )


def _fastest(function: Callable[[], object], seconds: float) -> float:
    """Return the seconds of the fastest of as many calls as fit in a time, and at least three."""
    function()
    fastest, count, end = float("inf"), 0, time.perf_counter() + seconds
    while count < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        fastest = min(fastest, time.perf_counter() - start)
        count += 1
    return fastest
