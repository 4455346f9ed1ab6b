"""Figures of finished runs: their accuracy and loss by epoch, and accuracy by parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.models import get_model
from mnistzoo.plots.style import CARD, INK, MUTED, accuracy_axis, look, new_figure, plain, within
from mnistzoo.training.metrics import Epoch, Result
from mnistzoo.training.recipes import RECIPES
from mnistzoo.training.summary import Summary, summarize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILLS = {"record": "full", "documented": "left", "fast": "bottom"}
"""How a mark is filled for each recipe; what the study documents is hollow."""

SIZES = {"full": 8, "left": 8, "bottom": 8, "none": 12}
"""In points: a hollow mark goes round a filled one of the same accuracy."""


def curves(results: Iterable[Result]) -> Figure:
    """Accuracy and training loss after each epoch: a row of two axes for each recipe.

    A line is the mean over seeds, the band around it their range.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: runs under one name are not repetitions of each other.
    """
    runs = sorted(results, key=attrgetter("key"))
    summarize(runs)  # refuses runs that have no mean
    recipes = [name for name in RECIPES if any(run.recipe.name == name for run in runs)]
    figure = new_figure(8.4, 3.6 * len(recipes))
    panels = figure.subplots(len(recipes), 2, squeeze=False)
    for name, (left, right) in zip(recipes, panels, strict=True):
        chosen = [run for run in runs if run.recipe.name == name]
        for network, group in groupby(chosen, key=attrgetter("architecture")):
            seeds = list(group)
            _line(left, network, seeds, lambda row: within(row.accuracy))
            _line(right, network, seeds, lambda row: row.loss)
        _finish(left, right, name, chosen)
    lines = {str(line.get_label()): line for axes in panels.flat for line in axes.lines}
    names = sorted(lines)
    handles = [lines[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False)
    return figure


def facts_of_runs(results: Iterable[Result]) -> dict[str, Any]:
    """Return what `curves` is drawn from, in types that JSON has."""
    return {"runs": [[r.architecture, r.recipe.name, r.seed, r.correct] for r in results]}


def facts_of_summaries(results: Iterable[Result]) -> dict[str, Any]:
    """Return what `accuracy_vs_params` is drawn from, in types that JSON has."""
    return {"points": to_builtins(summarize(results))}


def _line(
    axes: Axes, network: str, seeds: Sequence[Result], value: Callable[[Epoch], float]
) -> None:
    drawn = look(network)
    columns = [list(map(value, rows)) for rows in zip(*(r.epochs for r in seeds), strict=True)]
    epochs = range(1, len(columns) + 1)
    means = [sum(column) / len(column) for column in columns]
    style: dict[str, Any] = {"linestyle": drawn.line, "marker": drawn.marker, "markevery": [-1]}
    axes.plot(epochs, means, color=drawn.colour, label=network, **style)
    if len(seeds) > 1:
        low, high = list(map(min, columns)), list(map(max, columns))
        axes.fill_between(epochs, low, high, color=drawn.colour, alpha=0.2, linewidth=0)


def _finish(left: Axes, right: Axes, recipe: str, runs: Sequence[Result]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    judged = " and ".join(sorted({run.split for run in runs}))
    counts = [summary.seeds for summary in summarize(runs)]
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    last = [run.accuracy for run in runs]
    accuracy_axis(left, within(min(0.9, *last)), within(1 - (1 - max(last)) / 1.5))
    left.set_title(f"{recipe} recipe: accuracy, {judged} images", loc="left", fontsize=10)
    right.set_title(f"training loss; seeds: {seeds}", loc="left", fontsize=10)
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        plain(axes)
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)


def accuracy_vs_params(results: Iterable[Result]) -> Figure:
    """Accuracy over the number of parameters: ours with ± the sd over seeds, the study's hollow.

    The error bars are the sample's standard deviation; one seed has none.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: runs under one name are not repetitions of each other.
    """
    summaries = summarize(results)
    figure = new_figure(8.4, 4.6)
    axes = figure.subplots()
    for name, row in ARCHITECTURES.items():
        if row.documented_accuracy is not None:
            _mark(axes, name, row.documented_accuracy, "none")
    for summary in summaries:
        _mark(axes, summary.architecture, summary.mean, FILLS[summary.recipe], summary.sd)
    for name in ARCHITECTURES:
        _name(axes, name, summaries)
    best = max((summary.max for summary in summaries), default=0.995)
    accuracy_axis(axes, 0.9, within(1 - (1 - best) / 1.5))
    plain(axes)
    axes.set_xlabel("parameters")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.08)
    axes.set_ylabel("accuracy")
    _legend(axes, summaries)
    return figure


def _mark(axes: Axes, network: str, accuracy: float, fill: str, sd: float | None = None) -> None:
    drawn = look(network)
    axes.errorbar(
        get_model(network).num_params(),
        within(accuracy),
        yerr=sd,
        color=drawn.colour,
        marker=drawn.marker,
        markersize=SIZES[fill],
        fillstyle=fill,
        zorder=3 if fill == "none" else 2,
        markerfacecoloralt=CARD,
        capsize=4,
        linestyle="none",
    )


def _name(axes: Axes, network: str, summaries: Sequence[Summary]) -> None:
    """A network's name above the highest of its marks."""
    tops = [s.mean + (s.sd or 0.0) for s in summaries if s.architecture == network]
    top = max([*tops, ARCHITECTURES[network].documented_accuracy or 0.0])
    axes.annotate(
        network,
        (get_model(network).num_params(), within(top)),
        xytext=(0, 8),
        textcoords="offset points",
        ha={"exp4": "right", "exp5": "left"}.get(network, "center"),  # those two are close
        color=INK,
        fontweight="bold",
    )


def _legend(axes: Axes, summaries: Sequence[Summary]) -> None:
    names = {f"{s.recipe} recipe, {s.split} images": FILLS[s.recipe] for s in summaries}
    names["the study's figure, training images"] = "none"
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecoloralt": CARD}
    for name, fill in names.items():
        axes.plot([], [], color=MUTED, fillstyle=fill, markersize=SIZES[fill], label=name, **style)
    axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
