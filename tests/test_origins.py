"""Digits from other pens, papers, scanners and people are predicted correctly."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from mnistzoo import exp5, get_model, list_models
from mnistzoo.data.mnist import mnist
from mnistzoo.errors import ImageError
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.models.classify import classify
from origins import MAKERS

LEAST = {"pencil": 0.89, "graph paper": 0.97, "on a table": 0.97}
"""Least accuracies that are not 0.95. Noise hides some of a pencil's faint strokes."""


@pytest.fixture(scope="module")
def digits():
    """Return training images, since test images decide nothing, and their labels."""
    images, labels = mnist(train=True)
    return images[50_000:50_100].numpy(), labels[50_000:50_100].numpy()


def accuracies(names, images, labels):
    """Return the accuracy of each model on images that are converted once."""
    converted = [to_mnist(image) for image in images]
    for name in names:
        probabilities = classify(get_model(name, pretrained=True), converted)
        yield np.mean(np.argmax(probabilities, axis=1) == labels)


ALL_MODELS = pytest.param(list_models(), 100, marks=pytest.mark.slow)


@pytest.mark.parametrize(("names", "count"), [(["exp5"], 20), ALL_MODELS])
@pytest.mark.parametrize("origin", MAKERS)
def test_digits_of_every_origin_are_predicted(names, count, digits, origin):
    """At least 95 % are predicted of digits made small, coarse, thin, thick or on other paper."""
    rng = np.random.default_rng(0)
    images = [MAKERS[origin](digit, rng) for digit in digits[0][:count]]
    assert min(accuracies(names, images, digits[1][:count])) >= LEAST.get(origin, 0.95)


@pytest.mark.parametrize(
    ("names", "step", "least"),
    [(["exp5"], 9, 0.95), pytest.param(list_models(), 2, 0.92, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("side", [8, 64, 128])
def test_other_peoples_digits_are_predicted(names, step, least, side):
    """Scikit-learn's digits, written by 43 people, are predicted at any size."""
    data = load_digits()
    small = np.rint(data.images[::step] * 255 / 16).astype(np.uint8)
    images = [Image.fromarray(image).resize((side, side)) for image in small]
    assert min(accuracies(names, images, data.target[::step])) >= least


@pytest.mark.parametrize("origin", ["ruled paper", "graph paper"])
def test_lines_hardly_change_the_digit(digits, origin):
    """Most digits are rendered nearly the same on ruled paper and on plain paper."""
    changes = []
    for digit in digits[0][:10]:
        plain = to_mnist(MAKERS["pen"](digit, np.random.default_rng(1)))
        lined = to_mnist(MAKERS[origin](digit, np.random.default_rng(1)))
        changes.append(np.abs(lined - plain.astype(float)).mean())
    assert np.median(changes) < 5


@pytest.mark.parametrize("slope", [0, 0.01, -0.03])
@pytest.mark.parametrize("vertical", [False, True])
def test_blank_ruled_paper_is_blank(slope, vertical):
    """Lines alone are not foreground, in either direction and slightly tilted."""
    y, x = np.mgrid[:300, :400]
    page = np.where((y + slope * x) % 30 < 2, 150, 230).astype(np.uint8)
    with pytest.raises(ImageError, match="No digit"):
        to_mnist(np.ascontiguousarray(page.T if vertical else page))


def test_a_dark_border_is_ignored(digits):
    """A dark strip along a side is not the digit, but a tightly cropped digit is."""
    three = Image.fromarray(digits[0][0][4:24, 4:24]).resize((160, 160))
    page = np.full((300, 400), 230, np.uint8)
    page[70:230, 150:310] -= (np.asarray(three) * 0.7).astype(np.uint8)
    strip, crop = page.copy(), page[70:230, 150:310]
    strip[:, :50] = 40
    rows, columns = (np.flatnonzero((crop < 140).any(axis)) for axis in (1, 0))
    crop = crop[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    for image in (strip, crop):
        assert np.abs(to_mnist(image) - to_mnist(page).astype(float)).mean() < 8


@pytest.fixture(scope="module")
def model():
    """Return the shipped exp5."""
    return exp5(pretrained=True)


@pytest.mark.parametrize("dpi", [75, 150, 300])
def test_every_digit_of_a_page_is_read(model, digits, dpi):
    """Ten digits 5 mm high on an A4 page are found at any resolution; one may be misread."""
    width, height, side = (round(dpi * mm / 25.4) for mm in (210, 297, 7))
    page = Image.new("L", (width, height), 255)
    for place, digit in enumerate(digits[0][:10]):
        drawn = Image.fromarray(255 - digit).resize((side, side), Image.Resampling.BICUBIC)
        page.paste(drawn, (width * (place + 1) // 12, height // 8))
    read = [digit.label for digit in model.read(page)]
    assert len(read) == 10
    assert np.count_nonzero(read == digits[1][:10]) >= 9


def test_jpeg_blocks_are_not_foreground(model):
    """A blank sheet in uneven light with a little noise stays blank when it is compressed."""
    noise = np.random.default_rng(1).normal(0, 2, (2200, 1600))
    sheet = Image.fromarray((np.linspace(200, 140, 1600) + noise).astype(np.uint8))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=75)
    with pytest.raises(ImageError, match="No digit"):
        model.read(file.getvalue())
