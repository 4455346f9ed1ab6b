"""Figures of predictions for labeled images: confusion, errors, calibration."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mnistzoo.evaluation import Bin, Evaluation, wilson_interval
from mnistzoo.plots.style import ALERT, BACKGROUND, GRID, MUTED, TEXT, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR = "#1038a8"

MAX_ERRORS = 120
"""The most images in one figure of errors."""

COLUMNS = 10


def confusion(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the confusion matrix. Only errors are colored.

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
        for prediction, count in enumerate(row):
            right = label == prediction
            axes.text(
                *(prediction, label, f"{count:,}" if count else ""),
                ha="center",
                va="center",
                color=MUTED if right else TEXT,
                fontsize=8 if right else 11,
            )
    _grid(axes, evaluation.classes)
    axes.set(xlabel="predicted label", ylabel="true label")
    axes.set_title(_headed(title, _count(evaluation)), parse_math=False)
    return figure


def _grid(axes: Axes, names: Sequence[str]) -> None:
    """Draw names beside the rows and columns, and lines between them."""
    count = len(names)
    axes.set(facecolor=BACKGROUND)
    rotation = 90 if max(map(len, names)) > 2 else 0
    axes.set_xticks(range(count), names, rotation=rotation, parse_math=False)
    axes.set_yticks(range(count), names, parse_math=False)
    between = [n + 0.5 for n in range(count - 1)]
    axes.set_xticks(between, minor=True)
    axes.set_yticks(between, minor=True)
    axes.grid(visible=True, which="minor", color=GRID)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(GRID)


def _headed(title: str, text: str) -> str:
    return f"{title}: {text}" if title else text


def _count(evaluation: Evaluation) -> str:
    return f"{len(evaluation.errors)} errors in {evaluation.total:,} images"


def errors(
    evaluation: Evaluation, images: Tensor, disputed: Collection[int] = (), title: str = ""
) -> Figure:
    """Draw the misclassified images, the most confident errors first.

    Args:
        evaluation: The evaluation of these images.
        images: uint8, shape `(N, height, width)`.
        disputed: Indices of images to mark because people dispute their label.
        title: Title of the figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    wrong = errors_by_confidence(evaluation)
    rows = max(math.ceil(len(wrong[:MAX_ERRORS]) / COLUMNS), 1)
    figure = new_figure(7.8, 0.6 + 1.07 * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.axis("off")
    for axes, index in zip(panels, wrong[:MAX_ERRORS], strict=False):
        _error(axes, evaluation, images[index], index, disputed=index in disputed)
    marked = sum(index in disputed for index in wrong)
    note = f"; {marked} with a disputed label (red)" if disputed else ""
    note += f"; the {MAX_ERRORS} most confident are shown" if len(wrong) > MAX_ERRORS else ""
    head = _headed(title, _count(evaluation))
    text = f"{head}\ntrue label → predicted label, confidence{note}"
    figure.suptitle(text, fontsize=10, parse_math=False)
    return figure


def errors_by_confidence(evaluation: Evaluation) -> list[int]:
    """Return the indices of the misclassified images, the most confident error first."""
    confidences = evaluation.confidences
    return sorted(evaluation.errors.tolist(), key=lambda index: -float(confidences[index]))


def _error(
    axes: Axes, evaluation: Evaluation, image: Tensor, index: int, *, disputed: bool
) -> None:
    axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
    numbers = int(evaluation.labels[index]), int(evaluation.predictions[index])
    label, prediction = (evaluation.classes[number] for number in numbers)
    confidence = float(evaluation.confidences[index])
    percent = f"{confidence:.0%}" if confidence < 0.995 else ">99%"  # never "100%" of an error
    color = ALERT if disputed else TEXT
    text = f"{label}→{prediction}  {percent}"
    axes.set_title(text, fontsize=8.5, pad=3, color=color, parse_math=False)
    below: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, -0.02, f"#{index}", fontsize=7.5, color=MUTED, **below)
    if disputed:
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=ALERT, linewidth=2)


def reliability(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw the reliability diagram: accuracy by confidence, and the images in each bin.

    Error bars are 95% intervals of Wilson 1927 (doi:10.1080/01621459.1927.10502953).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    bins = evaluation.reliability()
    figure = new_figure(6.4, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    centers, width = [(bin_.low + bin_.high) / 2 for bin_ in bins], 1 / len(bins)
    lower.bar(centers, [bin_.count for bin_ in bins], width * 0.9, color=BAR)
    lower.set_yscale("symlog", linthresh=1)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    lower.set(xlabel="confidence", ylabel="images", xlim=(0, 1))
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle="dashed", label="perfect calibration")
    full = [bin_ for bin_ in bins if bin_.count]
    upper.errorbar(
        [bin_.confidence for bin_ in full],
        [bin_.accuracy for bin_ in full],
        yerr=list(zip(*map(_margins, full), strict=True)),
        **{"color": BAR, "marker": "o", "linestyle": "none", "capsize": 3, "clip_on": False},
        label="accuracy in each bin, with 95% interval",
    )
    upper.set(ylabel="accuracy", ylim=(0, 1.02))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    text = f"ECE {evaluation.ece:.2%}, NLL {evaluation.nll:.4f} nats"
    upper.set_title(_headed(title, text), parse_math=False)
    for axes in (upper, lower):
        style_axes(axes)
    return figure


def _margins(bin_: Bin) -> tuple[float, float]:
    """Return how far the 95% interval reaches below and above a bin's accuracy."""
    low, high = wilson_interval(bin_.correct, bin_.count)
    return max(bin_.accuracy - low, 0.0), max(high - bin_.accuracy, 0.0)
