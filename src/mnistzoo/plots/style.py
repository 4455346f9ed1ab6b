"""What all figures share: their own light background, a colour and a mark for each network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = "#fafaf7"
"""The background that every figure brings along.

On a transparent one, no colour of text has the contrast of 4.5 that WCAG 2.2 asks for on white and
on GitHub's dark #0d1117 at once: the best that any can have on both is 4.3.
"""

INK = "#1f2328"
"""Text, and what stands for no network."""

MUTED = "#656d76"
"""Text and lines that step back."""

GRID = "#e4e4de"
"""Lines to read values by."""

ALERT = "#b3261e"
"""Images whose label is disputed."""


class Look(NamedTuple):
    """How a network is drawn, in every figure: never by its colour alone."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[int, int]]


LOOKS = (
    Look("#262626", "s", "dotted"),
    Look("#ac6cc8", "^", "dashdot"),
    Look("#028970", "v", (0, (6, 2))),
    Look("#dd5500", "D", (0, (3, 1))),
    Look("#1038a8", "o", "solid"),
)
"""Of the networks, in their order."""

OTHER = Look(MUTED, "P", (0, (1, 2)))
"""Of networks that were added."""

ACCURACIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
"""Where an axis of accuracy has its marks."""


def look(network: str) -> Look:
    """How the network of that name is drawn."""
    return dict(zip(ARCHITECTURES, LOOKS, strict=False)).get(network, OTHER)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, outside of pyplot's global state.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("Drawing figures", "plot") from error
    figure = Figure(figsize=(width, height), facecolor=CARD)
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.98))
    return figure


def plain(axes: Axes) -> None:
    """Axes on the card: a quiet grid, and no box around."""
    axes.set_facecolor(CARD)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, length=3)


def accuracy_axis(axes: Axes, low: float, high: float) -> None:
    """Accuracy upwards on a logit scale, on which 99 to 99.5 % takes the room it deserves.

    Args:
        axes: whose vertical axis it becomes.
        low: the smallest accuracy to show, a fraction above 0.
        high: the largest, below 1.
    """
    from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

    axes.set_yscale("logit")
    axes.yaxis.set_major_locator(FixedLocator(ACCURACIES))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set_ylim(low, high)


def within(accuracy: float) -> float:
    """An accuracy that a logit scale can show: 0 and 1 lie at infinity there."""
    return min(max(accuracy, 1e-4), 1 - 1e-5)
