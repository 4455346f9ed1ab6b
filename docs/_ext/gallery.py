"""The figures of the gallery: `python docs/_ext/gallery.py FIGURE -o FILE [--dark]`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import mnistzoo
from mnistzoo.analysis import Analysis, Device, ReceptiveField
from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.tracing.arguments import Arguments
from mnistzoo.analysis.tracing.execution import execute
from mnistzoo.analysis.tracing.memory import LiveMemory
from mnistzoo.images.transforms import normalize
from mnistzoo.plots.style import BACKGROUND
from scene import landscape

MODELS = (
    *("alexnet", "vgg16", "googlenet", "inception_v3", "resnet50", "densenet121"),
    *("squeezenet1_1", "mobilenet_v2", "efficientnet_b0", "regnet_y_400mf"),
    *("convnext_tiny", "vit_b_16"),
)
"""Twelve models of torchvision, by year."""

SHAPE = (3, 224, 224)

ROBUSTNESS = Path(__file__).parent.parent / "explanation" / "world.md"
"""The page with the accuracies under corruptions."""

torchvision: Any = import_module("torchvision.models")  # it ships no type hints


class Theme(NamedTuple):
    """Colors of a figure: text, faint lines, three accents, and the color map of feature maps."""

    text: str
    faint: str
    accents: tuple[str, str, str]
    colormap: str


THEMES = {
    "light": Theme("#1f2328", "#b8bcc2", ("#1038a8", "#dd5500", "#028970"), "Blues"),
    "dark": Theme("#e6e8eb", "#5a6069", ("#8fb0ff", "#ff9d5c", "#4fd0b3"), "bone"),
}


LETTERS = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
"""Settings of matplotlib that get the color of the text."""


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure on a transparent background."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def _plain(axes: Axes, theme: Theme) -> None:
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=theme.faint, linewidth=0.5, alpha=0.5)
    axes.set_axisbelow(True)


def _analyze(name: str) -> Analysis:
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return mnistzoo.analyze(torchvision.get_model(name, **extra), SHAPE)


def receptive_fields(theme: Theme) -> Figure:
    """Draw the receptive field of the last feature map's central unit, for twelve models."""
    figure = _figure(7.6, 6.4)
    image = landscape()
    for axes, name in zip(figure.subplots(3, 4).flat, MODELS, strict=True):
        field = _analyze(name).receptive_field
        assert field is not None
        axes.imshow(image, extent=(0, 224, 224, 0))
        _window(axes, field.local or field, theme)
        mark = " + global" if field.is_global else ""
        axes.set_title(f"{name}\n{field.local or field}{mark}", fontsize=8.5)
        axes.axis("off")
    return figure


def _window(axes: Axes, field: ReceptiveField, theme: Theme) -> None:
    """Draw a window around the middle of the image, dim what is outside, and show all of it."""
    size = field.size[0]
    low, high = 112 - size / 2, 112 + size / 2
    for corner, width, height in (
        ((0, 0), 224, max(low, 0)),
        ((0, min(high, 224)), 224, 224 - min(high, 224)),
        ((0, max(low, 0)), max(low, 0), min(size, 224)),
        ((min(high, 224), max(low, 0)), 224 - min(high, 224), min(size, 224)),
    ):
        axes.add_patch(Rectangle(corner, width, height, facecolor="black", alpha=0.55, linewidth=0))
    color = theme.accents[1]
    axes.add_patch(Rectangle((low, low), size, size, facecolor=color, alpha=0.1))
    axes.add_patch(Rectangle((low, low), size, size, fill=False, edgecolor=color, linewidth=1.8))
    reach = max(112, size / 2) * 1.04
    axes.set_xlim(112 - reach, 112 + reach)
    axes.set_ylim(112 + reach, 112 - reach)


def stages(theme: Theme) -> Figure:
    """Draw the receptive field of each stage of ResNet-50, one inside the other."""
    figure = _figure(3.2, 3.3)
    figure.patch.set(alpha=1, facecolor=BACKGROUND)
    axes = figure.subplots()
    axes.axis("off")
    axes.imshow(landscape(), extent=(0, 224, 224, 0))
    rows = {row.path: row.receptive_field for row in _analyze("resnet50")}
    for path in ("conv1", "layer1.2", "layer2.3", "layer3.5", "layer4.2"):
        field = rows[f"{path}.relu" if "." in path else path]
        assert field is not None
        size, name = field.size[0], path.partition(".")[0]
        box = Rectangle((112 - size / 2, 112 - size / 2), size, size, fill=False)
        box.set(edgecolor=theme.accents[1], linewidth=1.6)
        axes.add_patch(box)
        if size > 30:
            place = (112, 112 - size / 2 - 3)
            white = {"facecolor": BACKGROUND, "alpha": 0.8, "linewidth": 0, "pad": 1.5}
            axes.text(*place, f"{name} {field}", fontsize=7.5, ha="center", va="bottom", bbox=white)
    axes.set_xlim(112 - 220, 112 + 220)
    axes.set_ylim(112 + 218, 112 - 240)
    return figure


class Timeline(LiveMemory):
    """The bytes that are alive after each call of an operator."""

    def __init__(self, training: bool) -> None:
        super().__init__(training)
        self.steps: list[int] = []

    def observe(self, call: Call, running: object) -> None:
        """Count what an operator returned, and take note of the sum."""
        super().observe(call, running)
        self.steps.append(self.bytes)


def memory(theme: Theme) -> Figure:
    """Draw the memory of a training step of ResNet-50 on 32 images, operator by operator."""
    model = torchvision.resnet50()
    images = torch.zeros(1, *SHAPE)
    given, passes = Arguments((images,), {}, images, 1), []
    for training in (False, True):
        timeline = Timeline(training)
        execute(model, given, timeline, 32, training)
        passes.append([step / 1e9 for step in timeline.steps])
    forward, both = passes
    figure = _figure(7.6, 3.2)
    axes = figure.subplots()
    _plain(axes, theme)
    axes.fill_between(range(len(both)), both, color=theme.accents[0], alpha=0.25, linewidth=0)
    axes.plot(both, color=theme.accents[0], label="training: forward and backward")
    axes.plot(forward, color=theme.accents[1], label="inference")
    peak = max(both)
    place = both.index(peak), peak
    axes.annotate(f"peak {peak:.2f} GB", place, (0, 5), textcoords="offset points", ha="center")
    axes.set(xlabel="operator", ylabel="memory (GB)", ylim=(0, 1.15 * peak), xlim=(0, len(both)))
    axes.legend(frameon=False, loc="lower center")
    return figure


def roofline(theme: Theme) -> Figure:
    """Draw the operators of three models under the roofline of an A100."""
    figure = _figure(7.6, 3.6)
    axes = figure.subplots()
    _plain(axes, theme)
    device = Device("A100")
    names = ("resnet50", "mobilenet_v2", "vit_b_16")
    for name, color, marker in zip(names, theme.accents, "o^s", strict=True):
        rows = [row for row in _analyze(name).roofline(device, batch_size=32) if row.macs]
        rates = [row.macs / row.seconds / 1e12 for row in rows]
        intensities = [row.intensity for row in rows]
        axes.plot(intensities, rates, marker, color=color, label=name, alpha=0.75, markersize=5)
    peak = device.macs_per_second["float32"] / 1e12
    bandwidth = device.bandwidths[-1][1] / 1e12
    bound = [0.1, peak / bandwidth, 1e3], [0.1 * bandwidth, peak, peak]
    axes.plot(*bound, color=theme.faint, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="MACs per byte", ylabel="at most, TMAC/s")
    axes.legend(frameon=False, loc="lower right")
    return figure


def feature_maps(theme: Theme) -> Figure:
    """Draw the first channels of every convolution of the five models, for one test image."""
    image = mnistzoo.mnist(train=False).images[:1]
    names = mnistzoo.list_models()
    figure = _figure(7.6, 4.9)
    parts: Any = figure.subfigures(len(names), 1)
    for part, name in zip(parts, names, strict=True):
        part.patch.set_alpha(0)
        maps = _activations(mnistzoo.get_model(name, pretrained=True), normalize(image))
        row = part.subplots(1, 12)
        for axes in row:
            axes.axis("off")
        row[0].imshow(image[0], cmap=theme.colormap)
        row[0].set_title(name, fontsize=9, loc="left")
        for axes, (layer, found) in zip(row[1:], _spread(maps, 11), strict=False):
            axes.imshow(found, cmap=theme.colormap)
            axes.set_title(layer, fontsize=7, color=theme.text)
    return figure


def _activations(model: mnistzoo.ConvNet, images: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Return each convolution's maps after its ReLU, by the convolution's name."""
    found, name = [], ""
    with torch.inference_mode():
        for path, layer in model.features.named_children():
            images = layer(images)
            name = path if path.startswith("conv") else name
            if path.startswith("relu"):
                found.append((name, images[0]))
    return found


def _spread(maps: list[tuple[str, torch.Tensor]], count: int) -> list[tuple[str, torch.Tensor]]:
    """Return so many maps, the strongest of each layer in turn."""
    picked = []
    for place, (layer, channels) in enumerate(maps):
        each = count * (place + 1) // len(maps) - count * place // len(maps)
        strongest = channels.amax((1, 2)).argsort(descending=True, stable=True)
        picked += [(layer, channels[index]) for index in strongest[:each]]
    return picked


def robustness(theme: Theme) -> Figure:
    """Draw the accuracy of both weights of exp5 under each corruption, as the page states it."""
    table = ROBUSTNESS.read_text("utf8").partition("## Corruptions")[2].partition("| **mean**")[0]
    lines = [re.split(r" *\| *", line)[1:-1] for line in table.splitlines() if line.startswith("|")]
    names = lines[0]
    rows = {line[0]: dict(zip(names, line, strict=True)) for line in lines[2:]}
    figure = _figure(7.6, 4.2)
    axes = figure.subplots()
    _plain(axes, theme)
    found = [[float(row[m].rstrip("%")) for row in rows.values()] for m in ("exp5", "exp5.world")]
    axes.hlines(range(len(rows)), found[0], found[1], color=theme.faint, linewidth=2)
    for values, label, color in zip(found, ("mnist", "world"), theme.accents[1::-1], strict=True):
        axes.plot(values, range(len(rows)), "o", color=color, label=f"weights: {label}")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlabel="accuracy (%)", xlim=(0, 101))
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="lower left")
    return figure


FIGURES: dict[str, Callable[[Theme], Figure]] = {
    "receptive-fields": receptive_fields,
    "stages": stages,
    "memory": memory,
    "roofline": roofline,
    "feature-maps": feature_maps,
    "robustness": robustness,
}


def save(name: str, path: Path, theme: str) -> None:
    """Draw a figure and write it. Its suffix is the format."""
    colors: Any = dict.fromkeys(LETTERS, THEMES[theme].text)
    with matplotlib.rc_context(colors):
        FIGURES[name](THEMES[theme]).savefig(path, dpi=150)


def write(folder: Path) -> None:
    """Write every figure in both themes."""
    for name in FIGURES:
        for theme in THEMES:
            save(name, folder / f"{name}-{theme}.webp", theme)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    save(given.figure, given.output, "dark" if given.dark else "light")
