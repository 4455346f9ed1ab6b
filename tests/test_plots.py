"""Figures: what they show, read back from matplotlib's objects, and whether it can be seen."""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations
from statistics import stdev

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from mnistzoo.cli import app
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import InputError, MissingExtraError
from mnistzoo.evaluation import evaluate
from mnistzoo.models import get_model, list_models
from mnistzoo.records import to_json
from mnistzoo.training.recipes import RECIPES
from samples import result

pytest.importorskip("matplotlib", reason="an extra of the package")

from matplotlib.font_manager import findfont
from matplotlib.text import Text

from mnistzoo import plots
from mnistzoo.plots import style
from mnistzoo.plots.predictions import BAR
from mnistzoo.plots.runs import FILLS, OTHER_FILL, SIZES

BACKGROUNDS = "#ffffff", "#0d1117"
"""GitHub's light and dark backgrounds."""

VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Color vision as matrices on linear RGB (Machado et al. 2009, doi:10.1109/TVCG.2009.113)."""


def linear(color):
    """Linear RGB of an sRGB color (IEC 61966-2-1)."""
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """The contrast ratio of WCAG 2.2."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb):
    """CIELAB of linear RGB, D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ np.clip(rgb, 1e-3, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_text_and_marks_have_contrast():
    """Text has a contrast of 4.5 with the background, and marks one of 3 (WCAG 2.2)."""
    for color in (style.TEXT, style.MUTED, style.ALERT):
        assert contrast(color, style.BACKGROUND) >= 4.5
    for color in (BAR, *(look.color for look in (*style.STYLES, style.OTHER))):
        assert contrast(color, style.BACKGROUND) >= 3
    grays = [f"#{gray:02x}{gray:02x}{gray:02x}" for gray in range(256)]
    best = max(min(contrast(gray, ground) for ground in BACKGROUNDS) for gray in grays)
    assert best < 4.4  # why figures bring a background of their own


@pytest.mark.parametrize("vision", VISION)
def test_models_are_distinguishable(vision):
    """Any two colors are 20 apart in CIELAB for every kind of vision; markers and lines differ."""
    for one, other in combinations(style.STYLES, 2):
        seen = [lab(np.array(VISION[vision]) @ linear(look.color)) for look in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) >= 20
        assert one.marker != other.marker
        assert one.line != other.line


def test_every_recipe_has_its_own_marker():
    """No two recipes are filled alike, and none is hollow like the study's figures."""
    assert set(FILLS) < set(RECIPES)
    assert len({*FILLS.values(), OTHER_FILL, "none"}) == len(FILLS) + 2
    assert set(SIZES) == {*FILLS.values(), OTHER_FILL, "none"}
    assert len(style.STYLES) == len(list_models())


def run(model, recipe, seed, accuracies):
    """A run with these accuracies after its epochs."""
    losses = [1 / n + seed for n in range(1, len(accuracies) + 1)]
    return result(accuracies, architecture=model, recipe=recipe, seed=seed, losses=losses)


RUNS = [
    run("exp1", "documented", 0, [0.95, 0.97]),
    run("exp5", "record", 0, [0.93, 0.99, 0.991]),
    run("exp5", "record", 1, [0.95, 0.98, 0.994]),
    run("exp5", "record", 2, [0.97, 0.97, 0.996]),
]


def test_curves_are_mean_and_range():
    """Each recipe has a row. A line is the mean over seeds, the band their range."""
    figure = plots.curves(RUNS)
    above, _, below, loss = figure.axes
    assert [line.get_label() for line in above.lines] == ["exp1"]
    assert not above.collections  # one seed has no range
    (line,), (band,) = below.lines, below.collections
    accuracies = np.array([[row.accuracy for row in r.epochs] for r in RUNS[1:]])
    np.testing.assert_allclose(line.get_ydata(), accuracies.mean(0))
    assert list(line.get_xdata()) == [1, 2, 3]
    edge = band.get_paths()[0].vertices
    for epoch, column in enumerate(accuracies.T, 1):
        heights = edge[edge[:, 0] == epoch, 1]
        assert (heights.min(), heights.max()) == (column.min(), column.max())
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [2, 1.5, 4 / 3])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["exp1", "exp5"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_epochs_are_whole_numbers(epochs):
    """The ticks of the horizontal axis are whole numbers, however short the run."""
    figure = plots.curves([run("exp1", "record", 0, [0.5] * epochs)])
    for axes in figure.axes:
        ticks = axes.get_xticks()
        assert list(ticks) == [round(tick) for tick in ticks]


ACCURACY = st.integers(0, 10_000).map(lambda correct: correct / 10_000)


def inside(axes, x, y):
    """Whether a point in the coordinates of the data lies within the axes."""
    across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
    return 0 <= across <= 1 and 0 <= up <= 1


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(list_models()), ACCURACY, ACCURACY), max_size=8))
@example([("exp1", 0.9873, 0.9873)])
@example([("exp1", 0.0, 0.0), ("exp5", 1.0, 1.0)])
def test_no_point_vanishes(made):
    """Wherever runs lie, each mark, error bar and curve lies inside the axes, between two ticks."""
    results = [run(model, "record", seed, found) for seed, (model, *found) in enumerate(made)]
    shown = plots.accuracy_vs_parameters(results)
    (axes,) = shown.axes
    assert len(axes.containers) == len(list_models()) + len({model for model, *_ in made})
    for drawn in axes.containers:
        point, _, bars = drawn.lines
        assert inside(axes, *point.get_xydata()[0])
        assert all(inside(axes, *end) for bar in bars for end in bar.get_segments()[0])
    assert np.isfinite(axes.get_yticks()).all()
    if not made:
        return
    axes, _ = plots.curves(results).axes
    assert all(inside(axes, *point) for line in axes.lines for point in line.get_xydata())
    assert sum(inside(axes, 1, tick) for tick in axes.get_yticks()) >= 2


def test_error_bars_are_the_sd_over_seeds():
    """A mark is at the mean, its bar the standard deviation; the study's marks are hollow."""
    figure = plots.accuracy_vs_parameters(RUNS)
    (axes,) = figure.axes
    marks = {}
    for drawn in axes.containers:
        point, _, bars = drawn.lines
        marks[point.get_fillstyle(), point.get_xdata()[0]] = point.get_ydata()[0], bars
    params = get_model("exp5").num_params()
    mean, (bar,) = marks["full", params]
    (low, high) = bar.get_segments()[0][:, 1]
    sd = stdev([0.991, 0.994, 0.996])
    assert mean == pytest.approx((0.991 + 0.994 + 0.996) / 3)
    assert (high - mean, mean - low) == pytest.approx((sd, sd))
    accuracy, bars = marks["left", 21_000]
    assert (accuracy, bars) == (0.97, ())  # one seed has no standard deviation
    hollow = sorted(y for (fill, _), (y, _) in marks.items() if fill == "none")
    assert hollow == [0.9173, 0.9422, 0.9643, 0.9925, 0.995]  # as the study prints them


@pytest.fixture(scope="module")
def evaluated(test_images):
    """An evaluation of exp1 on 1,000 test images, and those images."""
    few = Digits(test_images.images[:1000], test_images.labels[:1000])
    return evaluate(get_model("exp1", pretrained=True), few), few.images


def test_confusion_writes_every_count(evaluated):
    """The counts add up to all images, the colored ones to the errors, and all are legible."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    evaluation, _ = evaluated
    (axes,) = plots.confusion(evaluation).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted label", "true label")
    cells = {t.get_position(): int(t.get_text().replace(",", "") or 0) for t in axes.texts}
    assert sum(cells.values()) == 1000
    assert sum(cells[i, i] for i in range(10)) == evaluation.correct
    (image,) = axes.images
    colored = image.get_array().filled(0)
    assert colored.sum() == len(evaluation.errors) > 0
    assert not colored.diagonal().any()
    for (prediction, label), count in cells.items():
        assert colored[label, prediction] == (count if prediction != label else 0)
    darkest = to_hex(colormaps[image.cmap.name](image.norm(colored.max())))
    assert contrast(style.TEXT, darkest) >= 4.5


def test_errors_shows_each_misclassified_image(evaluated):
    """Each has its labels and confidence, the most confident first; disputed ones are red."""
    evaluation, images = evaluated
    probabilities = evaluation.log_probabilities.exp()
    wrong = [n for n in range(1000) if probabilities[n].argmax() != evaluation.labels[n]]
    wrong.sort(key=lambda n: -float(probabilities[n].max()))
    figure = plots.errors(evaluation, images, disputed=wrong[:1])
    used = [axes for axes in figure.axes if axes.images]
    assert len(used) == len(wrong)
    for axes, n in zip(used, wrong, strict=True):
        label, prediction = int(evaluation.labels[n]), int(probabilities[n].argmax())
        digits, percent = axes.get_title().rsplit(" ", 1)
        assert digits.strip() == f"{label}→{prediction}"
        confidence = 100 * float(probabilities[n].max())
        assert percent == ">99%" if confidence >= 99.5 else abs(int(percent[:-1]) - confidence) < 1
        assert torch.equal(torch.tensor(axes.images[0].get_array().data), images[n])
        assert axes.texts[0].get_text() == f"#{n}"
    assert [axes.axison for axes in used] == [True] + [False] * (len(wrong) - 1)
    assert "1 with a disputed label" in figure.get_suptitle()


def test_reliability_shows_accuracy_and_counts(evaluated):
    """Points are each bin's confidence and accuracy, bars its count, error bars 95% intervals."""
    from scipy.stats import binomtest

    evaluation, _ = evaluated
    upper, lower = plots.reliability(evaluation).axes
    assert (upper.get_ylabel(), lower.get_xlabel()) == ("accuracy", "confidence")
    bins = evaluation.reliability()
    _, _, (bars,) = upper.containers[0].lines
    full = [b for b in bins if b.count]
    points = [(b.confidence, b.correct / b.count) for b in full]
    np.testing.assert_allclose(upper.containers[0].lines[0].get_xydata(), points)
    assert [patch.get_height() for patch in lower.patches] == [b.count for b in bins]
    for b, segment in zip(full, bars.get_segments(), strict=True):
        wilson = binomtest(b.correct, b.count).proportion_ci(method="wilson")
        np.testing.assert_allclose(segment[:, 1], [wilson.low, wilson.high], atol=1e-4)


@pytest.fixture
def folder(tmp_path):
    """A folder with the metrics of RUNS."""
    for r in RUNS:
        name = f"{r.architecture}-{r.recipe.name}-{r.seed}.json"
        (tmp_path / name).write_bytes(to_json(r))
    return tmp_path


def draw(*args):
    """Run a `plot` command and give what it printed."""
    result = CliRunner().invoke(app, ["plot", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", ["curves", "accuracy-vs-parameters", "fine-tuning"])
def test_plots_of_runs_are_written(folder, command):
    """The commands write an image that carries the facts it was drawn from, and print them."""
    path = folder / "figure.png"
    printed = json.loads(draw(command, folder, "-o", path, "--format", "json"))
    assert printed.pop("file") == str(path)
    with Image.open(path) as image:
        assert json.loads(image.info["Description"]) == printed
    _, *others = folder.glob("*.json")
    for other in others:
        other.unlink()
    assert draw(command, folder, "-o", path) == f"{path}: 1 run\n"


@pytest.mark.parametrize(
    ("command", "text"), [("confusion", "errors"), ("errors", "errors"), ("reliability", "ECE")]
)
def test_plots_of_predictions_are_written(tmp_path, test_images, monkeypatch, command, text):
    """The commands draw a pretrained model's predictions under its title, as SVG or PNG."""
    few = Digits(test_images.images[:500], test_images.labels[:500])
    monkeypatch.setattr("mnistzoo.data.mnist.mnist", lambda train: few)
    path = tmp_path / "figure.svg"
    printed = json.loads(draw(command, "exp1", "-o", path, "--format", "json"))
    assert printed["model"] == "exp1"
    assert b"<svg" in path.read_bytes()
    assert text in draw(command, "exp1", "-o", tmp_path / "figure.png")


@pytest.mark.parametrize("draw", [plots.confusion, plots.reliability])
def test_a_title_is_no_formula(evaluated, draw, tmp_path):
    """A folder may be named like mathematics that matplotlib cannot read."""
    figure = draw(evaluated[0], "runs/$^_$")
    plots.save(figure, tmp_path / "figure.png", {})
    assert figure.axes[0].get_title().startswith("runs/$^_$: ")


def test_a_title_of_errors_is_no_formula(evaluated, tmp_path):
    """The same holds for the title above all panels."""
    figure = plots.errors(*evaluated, title="runs/$^_$")
    plots.save(figure, tmp_path / "figure.png", {})
    assert figure.get_suptitle().startswith("runs/$^_$: ")


@pytest.mark.parametrize("character", ["\u65e5", "\ud55c", "\u3042", "\U00013000"])
def test_class_names_in_any_script(evaluated, tmp_path, character):
    """Characters missing from the font get a fallback font; without one, matplotlib warns."""
    from mnistzoo.plots.fonts import characters_of, font_with

    evaluation = replace(evaluated[0], classes=(character * 2, *"123456789"))
    figure, font = plots.confusion(evaluation), font_with(character)
    missing = nullcontext() if font else pytest.warns(UserWarning, match="missing from font")
    with missing:
        plots.save(figure, tmp_path / "figure.png", {})
    label = figure.axes[0].get_yticklabels()[0]
    assert label.get_text() == character * 2
    if font:
        assert label.get_fontfamily()[-1] == font
        assert character in characters_of(findfont(font))


def test_text_that_its_font_covers_gets_no_fallback(evaluated, tmp_path):
    """Latin text keeps its font family."""
    figure = plots.confusion(evaluated[0])
    plots.save(figure, tmp_path / "figure.png", {})
    assert {tuple(text.get_fontfamily()) for text in figure.findobj(Text)} == {("sans-serif",)}


@pytest.mark.parametrize("name", ["figure", "figure.xyz"])
def test_a_figure_needs_a_known_suffix(evaluated, tmp_path, name):
    """Paths are strings or path objects, and other formats are refused."""
    figure = plots.confusion(evaluated[0])
    plots.save(figure, f"{tmp_path}/figure.svg", {})
    with pytest.raises(InputError, match=rf"figure\.png, .*, got '.*{name}'"):
        plots.save(figure, tmp_path / name, {})
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


def test_curves_need_a_run():
    """Without one there is nothing to draw."""
    with pytest.raises(InputError, match="one run or more, got none"):
        plots.curves([])


def test_a_loss_of_zero_does_not_vanish():
    """A logarithmic scale cannot show 0, so the point lies at the bottom."""
    drawn = result([0.5, 0.6], architecture="exp1", losses=[1.0, 0.0])
    _, axes = plots.curves([drawn]).axes
    assert all(inside(axes, *point) for line in axes.lines for point in line.get_xydata())


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    """Drawing without matplotlib says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "mnistzoo.plots.fonts", raising=False)
    with pytest.raises(MissingExtraError, match=r"mnistzoo\[plot\]"):
        plots.curves(RUNS)
