"""The training set of recipe `world`: reproducible, in MNIST format, of the digits it says."""

from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch

from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.data.world import BATCH, fonts, pen, world
from mnistzoo.data.world.degradations import DEGRADATIONS, degrade
from mnistzoo.data.world.distortions import coarsen, enlarge, to_format
from mnistzoo.data.world.forms import FORMS
from mnistzoo.errors import DataError

DEJAVU = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture
def few(monkeypatch):
    """500 MNIST images; one font that is installed everywhere stands for all."""
    monkeypatch.setattr(fonts, "TRAINING", (fonts.Font(str(DEJAVU), "python3-matplotlib", "free"),))
    return Digits(*(part[:500] for part in mnist(train=True)))


def test_the_set_depends_on_the_seed_alone(few):
    """Equal seeds give equal images, others do not; MNIST's own images come first."""
    one, again, other = (world(few, 4 * BATCH, seed=seed) for seed in (0, 0, 1))
    assert len(one.labels) == 500 + 4 * BATCH
    assert torch.equal(one.images[:500], few.images)
    assert torch.equal(one.images, again.images)
    assert torch.equal(one.labels, again.labels)
    changed = (one.images[500:] != other.images[500:]).flatten(1).any(1).float().mean()
    assert changed > 0.99


@pytest.mark.parametrize("count", [0, 249, 725, 1001])
def test_the_number_of_images_is_rounded_down_to_batches(few, count):
    """The shares of the sources are rounded, but their sum is not exceeded."""
    assert len(world(few, count).labels) == 500 + count // BATCH * BATCH


def test_synthetic_images_are_in_mnist_format(few):
    """All but the degraded ones are 20 pixels long, with the center of mass at pixel 14."""
    images = world(few, 4 * BATCH).images[500:-BATCH].numpy()
    used = images > 0
    sides = np.array([np.ptp(np.argwhere(mask), axis=0) + 1 for mask in used])
    assert (np.abs(sides.max(1) - 20) <= 1).mean() > 0.98
    mass = images.astype(float)
    for axis in (1, 2):
        center = (mass.sum(3 - axis) * np.arange(28)).sum(1) / mass.sum((1, 2))
        assert (np.abs(center - 14) <= 0.51).mean() > 0.98


def test_enlarged_images_come_back():
    """An MNIST image that is enlarged and fitted again is nearly the same."""
    images = mnist(train=True).images[:200]
    again = to_format(enlarge(images))
    assert (again.float() - images.float()).abs().mean() < 10
    coarse = to_format(coarsen(enlarge(images), torch.Generator().manual_seed(0)))
    assert (coarse.float() - images.float()).abs().mean() < 40


def test_the_pen_draws_every_form_equally_often(few, monkeypatch):
    """Digits with more forms are drawn more often."""
    monkeypatch.setattr("mnistzoo.data.world.DISTORTED", 0.0)
    monkeypatch.setattr("mnistzoo.data.world.DRAWN", 1.0)
    monkeypatch.setattr("mnistzoo.data.world.PRINTED", 0.0)
    drawn, draw = Counter(), pen.draw
    monkeypatch.setattr(pen, "draw", lambda form, rng: drawn.update([form]) or draw(form, rng))
    world(few, 12 * BATCH)  # each form about 28 times
    assert set(drawn) == set(FORMS)
    assert max(drawn.values()) < 50  # one of a digit's six forms, if digits were equally frequent


def test_half_of_the_coarse_batches_are_cropped():
    """Cropped batches have no foreground outside of the bounding box; others do."""
    digits = torch.zeros(1, 1, pen.CANVAS, pen.CANVAS)
    digits[..., 20:60, 31:50] = 1
    uncut = 0
    for seed in range(20):
        coarse = coarsen(digits, torch.Generator().manual_seed(seed))
        uncut += bool(coarse[digits == 0].any())
    assert 4 <= uncut <= 16


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_degradations_change_images(kind):
    """Each changes most images, by the seed alone, and leaves uint8 of the same shape."""
    images = mnist(train=True).images[:100]
    one, again = (degrade(images, kind, torch.Generator().manual_seed(0)) for _ in range(2))
    assert (one.dtype, one.shape) == (torch.uint8, images.shape)
    assert torch.equal(one, again)
    assert (one != images).flatten(1).any(1).float().mean() > 0.9


def test_each_digit_has_forms():
    """Names are unique, and the digits in which writers differ most have many forms."""
    assert len({form[:2] for form in FORMS}) == len(FORMS)
    counts = [sum(form.digit == digit for form in FORMS) for digit in range(10)]
    assert min(counts) >= 5
    assert min(counts[digit] for digit in (1, 4, 7, 9)) >= 10


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.digit} {form.name}")
def test_the_pen_draws_inside_the_canvas(form):
    """A drawn form is in one piece of the canvas, with a margin, and about as high as stated."""
    image = pen.draw(form, np.random.default_rng(0))
    rows, columns = (np.flatnonzero((image > 127).any(axis)) for axis in (1, 0))
    longest = max(np.ptp(rows), np.ptp(columns))
    assert pen.HEIGHT - 2 <= longest <= pen.HEIGHT + pen.WIDTHS[1] + 2
    assert min(rows[0], columns[0]) > 4
    assert max(rows[-1], columns[-1]) < pen.CANVAS - 5


def test_missing_fonts_are_named(monkeypatch, tmp_path):
    """Without the fonts, the error names the Debian packages."""
    monkeypatch.setattr(fonts, "FOLDER", tmp_path)
    with pytest.raises(DataError, match="apt-get install fonts-breip fonts-bwht"):
        world(mnist(train=False), 1000)


def test_fonts_for_evaluation_are_held_out():
    """Each font is either trained on or evaluated on."""
    assert not set(fonts.HELD_OUT) & set(fonts.TRAINING)
    assert sorted((*fonts.HELD_OUT, *fonts.TRAINING)) == sorted(fonts.FONTS)
    assert len({font.file for font in fonts.FONTS}) == len(fonts.FONTS)


def test_a_font_draws_ten_digits():
    """A font draws ten different digits, in black and white, on the canvas."""
    font = fonts.Font(str(DEJAVU), "", "")
    drawn = np.stack([fonts.draw(font, digit) for digit in range(10)])
    assert len(np.unique(drawn, axis=0)) == 10
    assert drawn.shape[1:] == (pen.CANVAS, pen.CANVAS)
    assert (drawn.max((1, 2)) == 255).all()
