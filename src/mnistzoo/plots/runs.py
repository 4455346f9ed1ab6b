"""Figures of finished runs: accuracy and loss by epoch, and accuracy by parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import InputError
from mnistzoo.models import get_model
from mnistzoo.plots.style import (
    BACKGROUND,
    MUTED,
    TEXT,
    accuracy_axis,
    clip,
    new_figure,
    style_axes,
    style_of,
)
from mnistzoo.training.metrics import Epoch, Result
from mnistzoo.training.recipes import RECIPES
from mnistzoo.training.summary import Summary, summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILLS = {"record": "full", "documented": "left", "fast": "bottom", "world": "right"}
"""How a marker is filled for each recipe on MNIST. The study's figures are hollow."""

OTHER_FILL = "top"
"""How a marker is filled for recipes for your own images."""

LOWEST_LOSS = 1e-9
"""The loss shown for 0, which a logarithmic scale cannot show."""

SIZES = {"full": 8, "left": 8, "bottom": 8, "right": 8, "top": 8, "none": 12}
"""Sizes of markers in points. A hollow one encloses a filled one of the same accuracy."""


def curves(results: Iterable[Result]) -> Figure:
    """Draw accuracy and training loss by epoch, with a row of two axes for each recipe.

    A line is the mean over seeds, the band around it their range.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: Runs of one model and recipe differ in more than their seed, or there are none.
    """
    runs = sorted(results, key=attrgetter("key"))
    if not runs:
        raise InputError("Expected the results of one run or more, got none.")
    summarize(runs)  # refuses runs that have no mean
    recipes = [name for name in RECIPES if any(run.recipe.name == name for run in runs)]
    figure = new_figure(8.4, 3.6 * len(recipes))
    panels = figure.subplots(len(recipes), 2, squeeze=False)
    for name, (left, right) in zip(recipes, panels, strict=True):
        chosen = [run for run in runs if run.recipe.name == name]
        for model, group in groupby(chosen, key=attrgetter("architecture")):
            seeds = list(group)
            _line(left, model, seeds, lambda row: clip(row.accuracy))
            _line(right, model, seeds, lambda row: max(row.loss, LOWEST_LOSS))
        _finish(left, right, name, chosen)
    lines = {str(line.get_label()): line for axes in panels.flat for line in axes.lines}
    names = sorted(lines)
    handles = [lines[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False)
    return figure


def facts_of_runs(results: Iterable[Result]) -> dict[str, Any]:
    """Return the data that `curves` is drawn from, as JSON values."""
    runs = [
        {"model": r.architecture, "recipe": r.recipe.name, "seed": r.seed, "correct": r.correct}
        for r in results
    ]
    return {"runs": runs}


def facts_of_summaries(results: Iterable[Result]) -> dict[str, Any]:
    """Return the data that `accuracy_vs_parameters` is drawn from, as JSON values."""
    return {"points": to_builtins(summarize(results))}


def _line(axes: Axes, model: str, seeds: Sequence[Result], value: Callable[[Epoch], float]) -> None:
    style = style_of(model)
    columns = [list(map(value, rows)) for rows in zip(*(r.epochs for r in seeds), strict=True)]
    epochs = range(1, len(columns) + 1)
    means = [sum(column) / len(column) for column in columns]
    drawn: dict[str, Any] = {"linestyle": style.line, "marker": style.marker, "markevery": [-1]}
    axes.plot(epochs, means, color=style.color, label=model, **drawn)
    if len(seeds) > 1:
        low, high = list(map(min, columns)), list(map(max, columns))
        axes.fill_between(epochs, low, high, color=style.color, alpha=0.2, linewidth=0)


def _finish(left: Axes, right: Axes, recipe: str, runs: Sequence[Result]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    split = " and ".join(sorted({run.split for run in runs}))
    counts = [summary.seeds for summary in summarize(runs)]
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    accuracy_axis(left, [row.accuracy for run in runs for row in run.epochs])
    left.set_title(f"{recipe} recipe, seeds: {seeds}", loc="left", fontsize=10)
    left.set_ylabel(f"accuracy on {split} images")
    right.set_ylabel("training loss (nats)")
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        style_axes(axes)
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def accuracy_vs_parameters(results: Iterable[Result]) -> Figure:
    """Draw accuracy by number of parameters, with the study's figures as hollow markers.

    Runs on your own images are drawn without the study's figures, which are of MNIST. Error bars
    are the standard deviation over seeds; a single seed has none.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: Runs of one model and recipe differ in more than their seed.
    """
    runs = list(results)
    summaries = summarize(runs)
    documented = _documented(runs)
    figure = new_figure(8.4, 4.6)
    axes = figure.subplots()
    for name, accuracy in documented.items():
        _mark(axes, name, accuracy, "none")
    for summary in summaries:
        _mark(axes, summary.model, summary.mean, _fill(summary.recipe), summary.sd)
    spans = {name: _span(name, summaries, documented) for name in ARCHITECTURES}
    for name, span in spans.items():
        _name(axes, name, span)
    accuracy_axis(axes, [accuracy for span in spans.values() for accuracy in span])
    style_axes(axes)
    axes.set_xlabel("parameters")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.08)
    axes.set_ylabel("accuracy")
    _legend(axes, summaries, bool(documented))
    return figure


def _documented(runs: Sequence[Result]) -> dict[str, float]:
    """Return the study's accuracies, unless there are runs on other images than MNIST's."""
    if any(run.dataset for run in runs):
        return {}
    found = {name: row.documented_accuracy for name, row in ARCHITECTURES.items()}
    return {name: accuracy for name, accuracy in found.items() if accuracy is not None}


def _fill(recipe: str) -> str:
    return FILLS.get(recipe, OTHER_FILL)


def _span(model: str, summaries: Sequence[Summary], documented: Mapping[str, float]) -> list[float]:
    """Return the accuracies between which the marks and error bars of a model lie."""
    ends = [
        summary.mean + sign * (summary.sd or 0.0)
        for summary in summaries
        for sign in (-1, 1)
        if summary.model == model
    ]
    ends += [documented[model]] if model in documented else []
    return [min(ends), max(ends)] if ends else []


def _mark(axes: Axes, model: str, accuracy: float, fill: str, sd: float | None = None) -> None:
    style, center = style_of(model), clip(accuracy)
    ends = [] if sd is None else [clip(accuracy - sd), clip(accuracy + sd)]
    axes.errorbar(
        get_model(model).num_params(),
        center,
        yerr=[[abs(end - center)] for end in ends] or None,
        color=style.color,
        marker=style.marker,
        markersize=SIZES[fill],
        fillstyle=fill,
        zorder=3 if fill == "none" else 2,
        markerfacecoloralt=BACKGROUND,
        capsize=4,
        linestyle="none",
    )


def _name(axes: Axes, model: str, span: Sequence[float]) -> None:
    """Write a model's name above the highest of its marks."""
    if span:
        axes.annotate(
            model,
            (get_model(model).num_params(), clip(span[-1])),
            xytext=(0, 8),
            textcoords="offset points",
            ha={"exp4": "right", "exp5": "left"}.get(model, "center"),  # those two are close
            color=TEXT,
            fontweight="bold",
        )


def _legend(axes: Axes, summaries: Sequence[Summary], documented: bool) -> None:
    names = {f"{s.recipe} recipe, {s.split} images": _fill(s.recipe) for s in summaries}
    if documented:
        names["documented in the study, training images"] = "none"
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecoloralt": BACKGROUND}
    for name, fill in names.items():
        axes.plot([], [], color=MUTED, fillstyle=fill, markersize=SIZES[fill], label=name, **style)
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
