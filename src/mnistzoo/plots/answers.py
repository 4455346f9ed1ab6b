"""Figures of what a network answers for labelled images: confusion, errors, calibration."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mnistzoo.evaluation import Bin, Evaluation
from mnistzoo.plots.style import ALERT, CARD, GRID, INK, MUTED, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = "#1038a8"
"""Bars, whatever the network."""

MOST = 120
"""No more images than these go into one figure of errors."""

COLUMNS = 10


def confusion(evaluation: Evaluation, title: str = "") -> Figure:
    """Which digit is read as which: every count written, colour for the errors alone.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(6.4, 6.2)
    axes = figure.subplots()
    matrix = evaluation.confusion
    wrong = matrix.double().fill_diagonal_(0)
    top = max(1.7 * float(wrong.max()), 1)  # no cell so dark that its count cannot be read
    axes.imshow(wrong.where(wrong > 0, math.nan).numpy(), cmap="Oranges", vmin=0, vmax=top)
    for label, row in enumerate(matrix.tolist()):
        for answer, count in enumerate(row):
            right = label == answer
            axes.text(
                *(answer, label, f"{count:,}" if count else ""),
                ha="center",
                va="center",
                color=MUTED if right else INK,
                fontsize=8 if right else 11,
            )
    _cells(axes, len(matrix))
    axes.set(xlabel="read as", ylabel="labelled")
    axes.set_title(f"{title}: {_count(evaluation)}".removeprefix(": "))
    return figure


def _cells(axes: Axes, count: int) -> None:
    """A number for each row and column, and lines between them."""
    axes.set(xticks=range(count), yticks=range(count), facecolor=CARD)
    between = [n + 0.5 for n in range(count - 1)]
    axes.set_xticks(between, minor=True)
    axes.set_yticks(between, minor=True)
    axes.grid(visible=True, which="minor", color=GRID)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(GRID)


def _count(evaluation: Evaluation) -> str:
    return f"{len(evaluation.errors)} of {evaluation.total:,} images read otherwise than labelled"


def errors(
    evaluation: Evaluation, images: Tensor, disputed: Collection[int] = (), title: str = ""
) -> Figure:
    """The images read otherwise than labelled, those first of which the network is surest.

    Args:
        evaluation: of these images.
        images: uint8, shape `(N, height, width)`.
        disputed: numbers of images to mark, because people dispute their label.
        title: above the figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    wrong = errors_by_confidence(evaluation)
    rows = max(math.ceil(len(wrong[:MOST]) / COLUMNS), 1)
    figure = new_figure(7.8, 0.6 + 1.07 * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.axis("off")
    for axes, index in zip(panels, wrong[:MOST], strict=False):
        _error(axes, evaluation, images[index], index, disputed=index in disputed)
    marked = sum(index in disputed for index in wrong)
    note = f"{marked} with a disputed label (red)"
    note += f"; the {MOST} surest of them" if len(wrong) > MOST else ""
    head = f"{title}: {_count(evaluation)}".removeprefix(": ")
    figure.suptitle(f"{head}\nlabel → answer, and how sure of it; {note}", fontsize=10)
    return figure


def errors_by_confidence(evaluation: Evaluation) -> list[int]:
    """The numbers of the images read otherwise than labelled, surest first."""
    sure = evaluation.confidences
    return sorted(evaluation.errors.tolist(), key=lambda index: -float(sure[index]))


def _error(
    axes: Axes, evaluation: Evaluation, image: Tensor, index: int, *, disputed: bool
) -> None:
    axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    label, answer = int(evaluation.labels[index]), int(evaluation.predictions[index])
    sure = float(evaluation.confidences[index])
    percent = f"{sure:.0%}" if sure < 0.995 else ">99%"  # never "100%" of what is wrong
    axes.set_title(
        f"{label}→{answer}  {percent}", fontsize=8.5, pad=3, color=ALERT if disputed else INK
    )
    below: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, -0.02, f"#{index}", fontsize=7.5, color=MUTED, **below)
    if disputed:
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=ALERT, linewidth=2)


def reliability(evaluation: Evaluation, title: str = "") -> Figure:
    """How often the network is right when it is so sure, and how often it is how sure.

    The error bars are the 95 % intervals of Wilson 1927 (doi:10.1080/01621459.1927.10502953).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    bins = evaluation.reliability()
    figure = new_figure(6.4, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middles, width = [(bin_.low + bin_.high) / 2 for bin_ in bins], 1 / len(bins)
    lower.bar(middles, [bin_.count for bin_ in bins], width * 0.9, color=BAR)
    lower.set_yscale("symlog", linthresh=1)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set(xlabel="how sure: probability of the answer", ylabel="images", xlim=(0, 1))
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle="dashed", label="calibrated")
    full = [bin_ for bin_ in bins if bin_.count]
    upper.errorbar(
        [bin_.confidence for bin_ in full],
        [bin_.accuracy for bin_ in full],
        yerr=list(zip(*map(_margins, full), strict=True)),
        **{"color": BAR, "marker": "o", "linestyle": "none", "capsize": 3, "clip_on": False},
        label="accuracy in each bin, 95 % interval",
    )
    upper.set(ylabel="how often right", ylim=(0, 1.02))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    measured = f"ECE {evaluation.ece:.2%}, NLL {evaluation.nll:.4f} nats"
    upper.set_title(f"{title}: {measured}".removeprefix(": "))
    for axes in (upper, lower):
        plain(axes)
    return figure


def _margins(bin_: Bin) -> tuple[float, float]:
    """How far the 95 % Wilson score interval reaches below and above the accuracy of a bin."""
    z, n, p = 1.96, bin_.count, bin_.accuracy
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(p - (centre - half), 0.0), max(centre + half - p, 0.0)
