"""The theoretical and the effective receptive field of a unit, over an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mnistzoo.plots.style import new_figure

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mnistzoo.analysis.effective import EffectiveReceptiveField

THEORETICAL = "#0072b2"
"""A blue that color-blind readers can distinguish from the heat map."""


def receptive_field(
    effective: EffectiveReceptiveField, image: npt.NDArray[Any], title: str = ""
) -> Figure:
    """Draw a unit's theoretical receptive field over an image, and its effective one beside it.

    Args:
        effective: A result of `mnistzoo.effective_receptive_field`.
        image: Shape `(height, width)`, drawn under both.
        title: Title of the figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(8.4, 4.4)
    left, right = figure.subplots(1, 2)
    left.imshow(image, cmap="gray_r")
    left.set_title("theoretical")
    right.imshow(image, cmap="gray_r")
    energy = effective.energy.cpu().numpy()
    heat = right.imshow(energy, cmap="inferno", alpha=0.75)
    right.set_title(f"effective: {effective.share_in_half:.0%} in the middle half")
    figure.colorbar(heat, ax=right, label="share of squared gradient", shrink=0.8)
    for axes in (left, right):
        _outline(axes, effective)
    field = effective.field.local or effective.field
    figure.suptitle(f"{title}  {field}".strip(), parse_math=False)
    return figure


def _outline(axes: Axes, effective: EffectiveReceptiveField) -> None:
    """Draw the border of the window, including what lies outside the image."""
    from matplotlib.patches import Rectangle

    (top, bottom), (start, end) = effective.window
    height, width = effective.energy.shape
    corner, size = (start - 0.5, top - 0.5), (end - start + 1, bottom - top + 1)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=THEORETICAL, linewidth=2))
    axes.set_xlim(min(start, 0) - 1.5, max(end + 1, width) + 0.5)
    axes.set_ylim(max(bottom + 1, height) + 0.5, min(top, 0) - 1.5)
    axes.set_xlabel("pixel")
