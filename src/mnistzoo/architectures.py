"""The five architectures of the study, as rows of data. Read this module first.

Every convolution is 3×3 with stride 1, followed by a ReLU. Every pool is a 2×2 max pool. One linear
layer maps the flattened features to the classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mnistzoo.errors import InputError

INPUT_SHAPE = (1, 28, 28)
"""Channels, height and width of the image that every model takes."""

NUM_CLASSES = 10

MEAN, STD = 0.1307, 0.3081
"""Mean and standard deviation of the training pixels on a scale of 0 to 1, from the study."""

Style = Literal["mnist", "plain"]
MNIST_STYLE: Style = "mnist"
"""How images become 28×28 pixels: "mnist" redraws the one character in MNIST format, "plain" only
converts them to gray levels and scales them."""


@dataclass(frozen=True)
class Conv:
    """A 3×3 convolution with stride 1, followed by a ReLU."""

    out_channels: int
    padding: int = 0


@dataclass(frozen=True)
class Pool:
    """A 2×2 max pool with stride 2."""


@dataclass(frozen=True)
class Architecture:
    """A model as data: its layers, and the figures that the study documents.

    Attributes:
        name: The name that `get_model` takes.
        layers: Convolutions and pools, from the input on.
        batch_norm: Whether batch norm comes between each convolution and its ReLU.
        title: What the study calls it.
        documented_num_params: Parameters as the study prints them.
        documented_accuracy: Accuracy as the study prints it, a fraction. It was measured on the
            60,000 *training* images (the study's log reads `59701/60000 (99.50%)`).
    """

    name: str
    layers: tuple[Conv | Pool, ...]
    batch_norm: bool = False
    title: str = ""
    documented_num_params: int | None = None
    documented_accuracy: float | None = None

    @property
    def display_name(self) -> str:
        """Name and title, for readers.

        >>> ARCHITECTURES["exp5"].display_name
        'exp5 · Deep CNN + BatchNorm'
        """
        return f"{self.name} · {self.title}" if self.title else self.name

    @property
    def rows_read(self) -> int:
        """Number of rows, from the top, that the output depends on. Columns are the same.

        >>> ARCHITECTURES["exp4"].rows_read, ARCHITECTURES["exp1"].rows_read
        (26, 28)
        """
        sides = [INPUT_SHAPE[-1]]
        for layer in self.layers:
            side = sides[-1]
            sides.append(side // 2 if isinstance(layer, Pool) else side - 2 + 2 * layer.padding)
        read = sides.pop()
        for layer in reversed(self.layers):
            needed = read * 2 if isinstance(layer, Pool) else read + 2 - layer.padding
            read = min(needed, sides.pop())
        return read


_ROWS = (
    Architecture(
        "exp1",
        (Conv(6), Conv(14), Pool()),
        title="Baseline CNN",
        documented_num_params=21_000,
        documented_accuracy=0.9173,
    ),
    Architecture(
        "exp2",
        (Conv(64), Conv(32), Pool(), Conv(16), Pool()),
        title="Wide-to-Narrow",
        documented_num_params=27_700,
        documented_accuracy=0.9422,
    ),
    Architecture(
        "exp3",
        (Conv(64), Conv(32), Pool(), Conv(8), Pool()),
        title="Optimized Channels",
        documented_num_params=23_400,
        documented_accuracy=0.9643,
    ),
    Architecture(
        "exp4",
        (
            *(Conv(32), Conv(16), Conv(16), Pool()),
            *(Conv(16), Conv(16), Pool()),
            *(Conv(16, padding=1), Conv(12, padding=1)),
        ),
        title="Deep CNN",
        documented_num_params=17_054,
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
        title="Deep CNN + BatchNorm",
        documented_num_params=17_302,
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
    title="Teacher for distillation",
)
"""A wider architecture that the others are distilled from. It ships without weights."""

BUILDABLE: dict[str, Architecture] = {**ARCHITECTURES, TEACHER.name: TEACHER}
"""Every architecture that can be built, trained and saved: the five and the teacher."""


def check_style_name(style: object) -> None:
    """Check that there is such a style.

    Raises:
        InputError: There is none.
    """
    if style not in get_args(Style):
        raise InputError(f"Expected the style 'mnist' or 'plain', got {style!r}. Set model.style.")
