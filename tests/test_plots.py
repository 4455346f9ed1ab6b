"""Figures: what they show, read back from matplotlib's objects, and that it can be seen."""

import json
from itertools import combinations
from statistics import stdev

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mnistzoo.cli import app
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import MissingExtraError
from mnistzoo.evaluation import evaluate
from mnistzoo.models import get_model, list_models
from mnistzoo.training.metrics import dump_result
from mnistzoo.training.recipes import RECIPES
from samples import result

pytest.importorskip("matplotlib", reason="an extra of the package")

from mnistzoo import plots
from mnistzoo.plots import style
from mnistzoo.plots.answers import BAR
from mnistzoo.plots.runs import FILLS, SIZES

BACKGROUNDS = "#ffffff", "#0d1117"
"""GitHub's, light and dark."""

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
"""What is seen of linear RGB: Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113."""


def linear(colour):
    """Linear RGB of an sRGB colour (IEC 61966-2-1)."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
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


def test_text_and_marks_stand_out():
    """On the figures' own background, text has a contrast of 4.5 and marks of 3 (WCAG 2.2)."""
    for colour in (style.INK, style.MUTED, style.ALERT):
        assert contrast(colour, style.CARD) >= 4.5
    for colour in (BAR, *(look.colour for look in (*style.LOOKS, style.OTHER))):
        assert contrast(colour, style.CARD) >= 3


def test_no_text_colour_serves_both_backgrounds():
    """Why figures bring a background: no grey has a contrast of 4.5 on light and dark at once."""
    greys = [f"#{grey:02x}{grey:02x}{grey:02x}" for grey in range(256)]
    best = max(min(contrast(grey, ground) for ground in BACKGROUNDS) for grey in greys)
    assert 4.2 < best < 4.4


@pytest.mark.parametrize("vision", VISION)
def test_networks_can_be_told_apart(vision):
    """Any two networks' colours are 20 apart in CIELAB whatever the eye; marks and lines differ."""
    for one, other in combinations(style.LOOKS, 2):
        seen = [lab(np.array(VISION[vision]) @ linear(look.colour)) for look in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) >= 20
        assert one.marker != other.marker
        assert one.line != other.line


def run(network, recipe, seed, accuracies):
    """A run with these accuracies after its epochs."""
    losses = [1 / n + seed for n in range(1, len(accuracies) + 1)]
    return result(accuracies, architecture=network, recipe=recipe, seed=seed, losses=losses)


RUNS = [
    run("exp1", "documented", 0, [0.95, 0.97]),
    run("exp5", "record", 0, [0.93, 0.99, 0.991]),
    run("exp5", "record", 1, [0.95, 0.98, 0.994]),
    run("exp5", "record", 2, [0.97, 0.97, 0.996]),
]


def test_every_recipe_has_a_mark_of_its_own():
    """No two recipes' marks are filled alike, and none is hollow as the study's figures are."""
    assert set(FILLS) == set(RECIPES)
    assert len({*FILLS.values(), "none"}) == len(RECIPES) + 1
    assert set(SIZES) == {*FILLS.values(), "none"}
    assert len(style.LOOKS) == len(list_models())


def test_curves_are_mean_and_range():
    """Each recipe has a row; a line is the mean over seeds, the band their smallest and largest."""
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


def test_error_bars_are_the_sd_over_seeds():
    """A mark is at the parameters and the mean, its bar the sd long; the study's are hollow."""
    figure = plots.accuracy_vs_params(RUNS)
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
    assert (accuracy, bars) == (0.97, ())  # one seed has no sd
    hollow = sorted(y for (fill, _), (y, _) in marks.items() if fill == "none")
    assert hollow == [0.9173, 0.9422, 0.9643, 0.9925, 0.995]  # as printed in the study
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "the study's figure, training images" in legend


@pytest.fixture(scope="module")
def read(test_images):
    """What exp1 answers for 1,000 test images, and those images."""
    few = Digits(test_images.images[:1000], test_images.labels[:1000])
    return evaluate(get_model("exp1", pretrained=True), few), few.images


def test_confusion_writes_every_count(read):
    """The numbers in the cells add up to all images, in colour to the errors; all can be read."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    evaluation, _ = read
    (axes,) = plots.confusion(evaluation).axes
    cells = {t.get_position(): int(t.get_text().replace(",", "") or 0) for t in axes.texts}
    assert sum(cells.values()) == 1000
    assert sum(cells[i, i] for i in range(10)) == evaluation.correct
    (image,) = axes.images
    coloured = image.get_array().filled(0)
    assert coloured.sum() == len(evaluation.errors) > 0
    assert not coloured.diagonal().any()
    for (answer, label), count in cells.items():
        assert coloured[label, answer] == (count if answer != label else 0)
    darkest = to_hex(colormaps[image.cmap.name](image.norm(coloured.max())))
    assert contrast(style.INK, darkest) >= 4.5


def test_errors_shows_each_wrong_image(read):
    """Each wrong image is there with label, answer and probability, surest first; disputed red."""
    evaluation, images = read
    probabilities = evaluation.log_probabilities.exp()
    wrong = [n for n in range(1000) if probabilities[n].argmax() != evaluation.labels[n]]
    wrong.sort(key=lambda n: -float(probabilities[n].max()))
    figure = plots.errors(evaluation, images, disputed=wrong[:1])
    used = [axes for axes in figure.axes if axes.images]
    assert len(used) == len(wrong)
    for axes, n in zip(used, wrong, strict=True):
        label, answer = int(evaluation.labels[n]), int(probabilities[n].argmax())
        digits, percent = axes.get_title().rsplit(" ", 1)
        assert digits.strip() == f"{label}→{answer}"
        sure = 100 * float(probabilities[n].max())
        assert percent == ">99%" if sure >= 99.5 else abs(int(percent[:-1]) - sure) <= 0.5
        assert torch.equal(torch.tensor(axes.images[0].get_array().data), images[n])
        assert axes.texts[0].get_text() == f"#{n}"
    assert [axes.axison for axes in used] == [True] + [False] * (len(wrong) - 1)
    assert "1 with a disputed label" in figure.get_suptitle()


def test_reliability_shows_accuracy_and_counts(read):
    """The points are confidence and accuracy of each bin with images; the bars are the counts."""
    evaluation, _ = read
    upper, lower = plots.reliability(evaluation).axes
    bins = evaluation.reliability()
    _, _, (bars,) = upper.containers[0].lines
    full = [b for b in bins if b.count]
    points = [(b.confidence, b.correct / b.count) for b in full]
    np.testing.assert_allclose(upper.containers[0].lines[0].get_xydata(), points)
    assert [patch.get_height() for patch in lower.patches] == [b.count for b in bins]
    from scipy.stats import binomtest

    for b, segment in zip(full, bars.get_segments(), strict=True):
        wilson = binomtest(b.correct, b.count).proportion_ci(method="wilson")
        np.testing.assert_allclose(segment[:, 1], [wilson.low, wilson.high], atol=1e-4)


@pytest.fixture
def folder(tmp_path):
    """A folder with the metrics of RUNS."""
    for r in RUNS:
        name = f"{r.architecture}-{r.recipe.name}-{r.seed}.json"
        (tmp_path / name).write_bytes(dump_result(r))
    return tmp_path


def draw(*args):
    """Run a `plot` command and give what it printed."""
    result = CliRunner().invoke(app, ["plot", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", ["curves", "accuracy-vs-parameters"])
def test_plots_of_runs_are_written(folder, command):
    """The commands write a picture that carries the facts it was drawn from, and print them."""
    from PIL import Image

    path = folder / "figure.png"
    printed = json.loads(draw(command, folder, "-o", path, "--format", "json"))
    assert printed.pop("file") == str(path)
    with Image.open(path) as picture:
        assert json.loads(picture.info["Description"]) == printed
    assert draw(command, folder, "-o", path) == f"{path}: 4 runs\n"
    _, *others = folder.glob("*.json")
    for other in others:
        other.unlink()
    assert draw(command, folder, "-o", path) == f"{path}: 1 run\n"


@pytest.mark.parametrize(
    ("command", "text"), [("confusion", "errors"), ("errors", "errors"), ("reliability", "ECE")]
)
def test_plots_of_answers_are_written(tmp_path, test_images, monkeypatch, command, text):
    """The commands draw the pretrained network's answers, as PNG or as SVG."""
    few = Digits(test_images.images[:500], test_images.labels[:500])
    monkeypatch.setattr("mnistzoo.data.mnist.mnist", lambda train: few)
    path = tmp_path / "figure.svg"
    printed = json.loads(draw(command, "exp1", "-o", path, "--format", "json"))
    assert printed["network"] == "exp1"
    assert b"<svg" in path.read_bytes()
    assert text in draw(command, "exp1", "-o", tmp_path / "figure.png")


@pytest.mark.parametrize("name", ["x.txt", "x.pgf", "x"])
def test_an_unknown_format_is_an_error(folder, name):
    """A file that is no picture is wrong usage, and nothing is written."""
    result = CliRunner().invoke(app, ["plot", "curves", str(folder), "-o", str(folder / name)])
    assert result.exit_code == 2
    assert ".png, .pdf, .svg" in result.output
    assert not (folder / name).exists()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    """Drawing without matplotlib says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"mnistzoo\[plot\]"):
        plots.curves(RUNS)
