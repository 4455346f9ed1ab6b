"""Frames, boxes and rings around digits are not foreground."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from frames import MAKERS
from mnistzoo.data.mnist import mnist
from mnistzoo.images.frames import remove_frame
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.inference import load_model


@pytest.fixture(scope="module")
def digits():
    """Return training images, since test images decide nothing, and their labels."""
    images, labels = mnist(train=True)
    return images[50_100:50_400].numpy(), labels[50_100:50_400].numpy()


@pytest.mark.parametrize("kind", MAKERS)
def test_framed_digits_are_predicted_and_read(digits, kind):
    """Nineteen of twenty, whatever is drawn around them; `read` finds more, or refuses, in some."""
    model, rng = load_model("exp5"), np.random.default_rng(0)
    images = [MAKERS[kind](digit, rng) for digit in digits[0][:20]]
    predicted = [model.predict(image).label for image in images]
    assert np.count_nonzero(predicted == digits[1][:20]) >= 19
    read = [[digit.label for digit in model.read(image)] for image in images[:10]]
    assert sum(found == [label] for found, label in zip(read, digits[1], strict=False)) >= 8


@pytest.mark.parametrize("side", [16, 28, 60, 140])
def test_a_tight_crop_is_not_a_frame(digits, side):
    """No digit that fills its image is taken for a frame, as it is and with a margin of a pixel."""
    for image in digits[0]:
        rows, columns = (np.flatnonzero((image > 60).any(axis)) for axis in (1, 0))
        crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        levels = np.asarray(Image.fromarray(crop).resize((side, side)), np.float32) / 255
        for filling in (levels, np.pad(levels, 1)):
            assert remove_frame(filling) is filling


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_frame_is_replaced_by_what_it_frames(level):
    """Frames may differ in thickness from side to side; the image keeps its size."""
    levels = np.full((100, 80), 0.9, np.float32)
    levels[30:70, 38:42] = 0.1
    framed = np.full_like(levels, level)
    framed[4:97, 2:74] = levels[4:97, 2:74]
    assert np.array_equal(remove_frame(framed), levels)


@pytest.mark.parametrize("sides", [1, 3])
def test_a_frame_has_four_sides(sides):
    """Dark strips along fewer sides are left to the search for components along the border."""
    framed = np.full((100, 100), 0.9, np.float32)
    for side in range(sides):
        np.rot90(framed, side)[:5] = 0.1
    assert remove_frame(framed) is framed


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
def test_an_empty_box_or_ring_is_a_digit(shape):
    """With nothing inside, it may be a 0."""
    page = Image.new("L", (200, 240), 255)
    getattr(ImageDraw.Draw(page), shape)((60, 60, 130, 170), outline=0, width=9)
    assert load_model("exp5").predict(page).label == 0
    assert np.count_nonzero(to_mnist(page) > 127) > 80
