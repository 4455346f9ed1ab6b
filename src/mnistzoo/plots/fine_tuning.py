"""Figure of accuracy by number of training images, with and without pretrained features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mnistzoo.errors import InputError
from mnistzoo.intervals import wilson_interval
from mnistzoo.plots.style import accuracy_axis, clip, new_figure, style_axes, style_of
from mnistzoo.training.metrics import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = dict[str, list[dict[str, Any]]]


def fine_tuning(results: Iterable[Result]) -> Figure:
    """Draw accuracy by number of training images: from pretrained features, and from scratch.

    Lines are solid and markers filled for runs from pretrained features; lines are dashed and
    markers hollow for runs from random weights. Error bars are 95% intervals.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: There are no results.
    """
    lines = facts_of_fine_tuning(results)
    if not lines:
        raise InputError("Expected the results of one run or more, got none. Pass some.")
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for name, points in lines.items():
        _line(axes, name, points)
    accuracy_axis(axes, [bound for line in lines.values() for p in line for bound in p["interval"]])
    style_axes(axes)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training images")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False)
    return figure


def _line(axes: Axes, name: str, points: list[dict[str, Any]]) -> None:
    style = style_of(name.partition(",")[0])
    pretrained = name.endswith("pretrained features")
    values = [clip(point["accuracy"]) for point in points]
    lows, highs = zip(*(map(clip, point["interval"]) for point in points), strict=True)
    axes.errorbar(
        [point["images"] for point in points],
        values,
        yerr=[
            [value - low for value, low in zip(values, lows, strict=True)],
            [high - value for value, high in zip(values, highs, strict=True)],
        ],
        color=style.color,
        marker=style.marker,
        fillstyle="full" if pretrained else "none",
        linestyle="solid" if pretrained else "dashed",
        capsize=4,
        label=name,
    )


def facts_of_fine_tuning(results: Iterable[Result]) -> Points:
    """Return the data that `fine_tuning` is drawn from, as JSON values, by the label of a line."""
    lines: Points = defaultdict(list)
    for result in sorted(results, key=lambda result: result.run.num_train - result.holdout):
        start = "from scratch" if result.initial is None else "from pretrained features"
        lines[f"{result.architecture}, {start}"].append(
            {
                "images": result.run.num_train - result.holdout,
                "accuracy": result.accuracy,
                "interval": list(wilson_interval(result.correct, result.total)),
            }
        )
    return dict(lines)
