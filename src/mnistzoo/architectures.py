"""The five networks of the study, as data: the page to read first.

Every convolution is 3×3 with stride 1 and is followed by a ReLU; every pool is a 2×2 maximum.
A linear layer from all that is left to the classes ends each network.
"""

from __future__ import annotations

from dataclasses import dataclass

INPUT_SHAPE = (1, 28, 28)
"""Channels, height and width of the one image that every network takes."""

NUM_CLASSES = 10

MEAN, STD = 0.1307, 0.3081
"""Mean and standard deviation of the training pixels on a scale of 0 to 1, as in the study."""


@dataclass(frozen=True)
class Conv:
    """A 3×3 convolution with stride 1, and the ReLU behind it."""

    out_channels: int
    padding: int = 0


@dataclass(frozen=True)
class Pool:
    """A 2×2 maximum with stride 2."""


@dataclass(frozen=True)
class Architecture:
    """One network: its layers in order, and what the study documents of it.

    Attributes:
        name: what `get_model` calls it.
        layers: the convolutions and pools, input first.
        batch_norm: whether batch norm stands between each convolution and its ReLU.
        title: the study's name for it.
        documented_params: the study's number of parameters, as printed there.
        documented_accuracy: the study's accuracy, a fraction. It was measured on the 60,000
            *training* images (its log reads `59701/60000 (99.50%)`).
    """

    name: str
    layers: tuple[Conv | Pool, ...]
    batch_norm: bool = False
    title: str = ""
    documented_params: int | None = None
    documented_accuracy: float | None = None


_ROWS = (
    Architecture(
        "exp1",
        (Conv(6), Conv(14), Pool()),
        title="Baseline",
        documented_params=21_000,
        documented_accuracy=0.9173,
    ),
    Architecture(
        "exp2",
        (Conv(64), Conv(32), Pool(), Conv(16), Pool()),
        title="Wide to narrow",
        documented_params=27_700,
        documented_accuracy=0.9422,
    ),
    Architecture(
        "exp3",
        (Conv(64), Conv(32), Pool(), Conv(8), Pool()),
        title="Optimized channels",
        documented_params=23_400,
        documented_accuracy=0.9643,
    ),
    Architecture(
        "exp4",
        (
            *(Conv(32), Conv(16), Conv(16), Pool()),
            *(Conv(16), Conv(16), Pool()),
            *(Conv(16, padding=1), Conv(12, padding=1)),
        ),
        title="Deep",
        documented_params=17_054,
        documented_accuracy=0.9925,
    ),
    Architecture(
        "exp5",
        (
            *(Conv(32), Conv(16), Conv(16), Pool()),
            *(Conv(16), Conv(16), Pool()),
            *(Conv(16, padding=1), Conv(12, padding=1)),
        ),
        batch_norm=True,
        title="Deep, batch norm",
        documented_params=17_302,
        documented_accuracy=0.9950,
    ),
)

ARCHITECTURES: dict[str, Architecture] = {row.name: row for row in _ROWS}

TEACHER = Architecture(
    "teacher",
    (
        *(Conv(32, padding=1), Conv(48), Pool()),
        *(Conv(64, padding=1), Conv(64), Pool()),
        *(Conv(128, padding=1), Conv(128, padding=1), Conv(64, padding=1)),
    ),
    batch_norm=True,
    title="Teacher, not of the study",
)
"""A wider network, on whose answers others are trained; no weights of it ship."""

BUILDABLE: dict[str, Architecture] = {**ARCHITECTURES, TEACHER.name: TEACHER}
"""What training can build and a folder can hold: the five, and the teacher."""
