"""The common style of all figures: background, colors, and a style for each model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKGROUND = "#fafaf7"
"""The background of every figure.

It is not transparent, because WCAG 2.2 asks for a contrast of 4.5, and no text color reaches more
than 4.3 on both white and GitHub's dark #0d1117.
"""

TEXT = "#1f2328"
MUTED = "#656d76"
GRID = "#e4e4de"

ALERT = "#b3261e"
"""Marks images whose label is disputed."""


class Style(NamedTuple):
    """The style of a model in every figure. Models never differ by color alone."""

    color: str
    marker: str
    line: str | tuple[int, tuple[int, int]]


STYLES = (
    Style("#262626", "s", "dotted"),
    Style("#ac6cc8", "^", "dashdot"),
    Style("#028970", "v", (0, (6, 2))),
    Style("#dd5500", "D", (0, (3, 1))),
    Style("#1038a8", "o", "solid"),
)
"""One for each model of the study, in order."""

OTHER = Style(MUTED, "P", (0, (1, 2)))
"""For every other model."""

LOWEST, HIGHEST = 1e-4, 1 - 1e-5
"""The accuracies shown for 0 and 1, which lie at infinity on a logit scale."""

TICKS = (
    *(0.0001, 0.001, 0.01, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95),
    *(0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 0.99999),
)
"""Accuracies that an axis labels, where it is wide enough for three of them."""


def style_of(model: str) -> Style:
    """Return the style of a model, by its name."""
    return dict(zip(ARCHITECTURES, STYLES, strict=False)).get(model, OTHER)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, outside of pyplot's global state.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from mnistzoo.plots.fonts import FontFallbackFigure
    except ImportError as error:
        raise MissingExtraError("Drawing figures", "plot") from error
    figure = FontFallbackFigure(figsize=(width, height), facecolor=BACKGROUND)
    figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.98))
    return figure


def style_axes(axes: Axes) -> None:
    """Give axes a light grid and no box."""
    axes.set_facecolor(BACKGROUND)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=TEXT, length=3)


def accuracy_axis(axes: Axes, shown: Iterable[float]) -> None:
    """Make the vertical axis a logit scale of accuracy with room for all values of `shown`.

    A logit scale gives the step from 99% to 99.5% as much room as the one from 90% to 95%.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    logits = [math.log(a / (1 - a)) for a in map(clip, shown)] or [0.0]
    low, high = min(logits), max(logits)
    margin = 0.08 * max(high - low, 1.0)
    bottom, top = (1 / (1 + math.exp(-edge)) for edge in (low - margin, high + margin))
    axes.set_yscale("logit")
    axes.yaxis.set_major_locator(FixedLocator(_ticks(bottom, top)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{100 * tick:.6g}%"))
    axes.set_ylim(bottom, top)


def _ticks(bottom: float, top: float) -> list[float]:
    """Return at least three accuracies between two others, as round as they can be."""
    from matplotlib.ticker import MaxNLocator

    evenly = [float(tick) for tick in MaxNLocator(6, min_n_ticks=3).tick_values(bottom, top)]
    known, even = ([t for t in ticks if bottom <= t <= top] for ticks in (TICKS, evenly))
    return known if len(known) >= 3 else even


def clip(accuracy: float) -> float:
    """Return the nearest accuracy that a logit scale can show."""
    return min(max(accuracy, LOWEST), HIGHEST)
