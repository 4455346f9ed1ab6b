"""Digits are rendered with MNIST's stroke width, size and place."""

import numpy as np
import pytest
from scipy import ndimage

from mnistzoo.images.components import find_components
from mnistzoo.images.grouping import main_digit
from mnistzoo.images.rendering import _center, _normalize_strokes, render
from mnistzoo.images.segmentation import segment
from strokes import SEVEN, overlap, photograph, strokes


def rendered(mask):
    """Return the main digit of a page in MNIST format, from 0 to 1."""
    foreground = segment(photograph(mask, 0.9, 0.8))
    return render(foreground, main_digit(find_components(foreground))) / 255


def stroke_width(image):
    """Return the width of strokes in pixels: four times the median depth, nearly."""
    mask = np.kron(image, np.ones((8, 8))) > 0.5
    depth = ndimage.distance_transform_edt(mask)
    return 4 * np.median(depth[mask]) / 8


def box(mask):
    """Return the part of a mask inside its bounding box."""
    return mask[np.ix_(mask.any(1), mask.any(0))]


@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize("thickness", [1, 4, 12, 24])
def test_strokes_become_as_wide_as_mnists(scale, thickness):
    """Hairlines and broad pens come out 2 to 4 pixels wide, in a centered box 20 pixels long."""
    seven = [[(x * scale, y * scale) for x, y in SEVEN[0]]]
    image = rendered(strokes(240 * scale, 200 * scale, seven, thickness * scale))
    assert 1.5 < stroke_width(image) < 4.5
    height, width = box(image > 0.5).shape
    assert height in (19, 20)
    assert width < 20
    assert ndimage.center_of_mass(image) == pytest.approx((14, 14), abs=0.6)
    assert image.max() > 0.95


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(200, 100, (20, 10)), (100, 200, (10, 20))]
)
def test_the_aspect_ratio_stays(height, width, expected):
    """A frame twice as high as wide stays so, and one twice as wide as high."""
    mask = np.zeros((300, 300), bool)
    mask[50 : 50 + height, 50 : 50 + width] = True
    mask[70 : 30 + height, 70 : 30 + width] = False
    assert box(rendered(mask) > 0.5).shape == pytest.approx(expected, abs=1)


def test_strokes_stay_in_place():
    """Strokes of the usual width, scaled to 20 pixels, cover the rendered ones."""
    mask = strokes(240, 200, SEVEN, 16)
    ours = box(rendered(mask) > 0.5)
    theirs = ndimage.zoom(box(mask) * 1.0, 20 / max(box(mask).shape)) > 0.5
    height, width = np.minimum(ours.shape, theirs.shape)
    assert overlap(ours[:height, :width], theirs[:height, :width]) > 0.75


def test_other_components_are_left_out():
    """Only the given components are rendered, even if others lie inside their box."""
    mask = strokes(240, 200, [*SEVEN, [(60, 150), (80, 150)]], 9)
    foreground = segment(photograph(mask, 0.9, 0.8))
    components = find_components(foreground)
    assert [c.area for c in components] == sorted((c.area for c in components), reverse=True)
    assert len(components) == 2
    alone = render(foreground, components[:1]) / 255
    assert np.abs(alone - rendered(strokes(240, 200, SEVEN, 9))).max() < 0.05
    assert np.abs(render(foreground, components) / 255 - alone).max() > 0.5


@pytest.mark.parametrize(
    ("gray", "rows", "kept"),
    [(0.6, 33, True), (0.6, 32, False), (0.3, 17, True), (0.3, 16, False), (0.75, 60, False)],
)
def test_blurred_wide_strokes_keep_their_gray_levels(gray, rows, kept):
    """Strokes count as blurred if half as many pixels are gray as are in the mask."""
    density = np.concatenate([np.full((32, 64), 1.0), np.full((rows, 64), gray)])
    unchanged = np.pad(np.clip((density - 0.1) / 0.8, 0, 1), 16)
    found = _normalize_strokes(density.astype(np.float32))
    assert np.allclose(found, unchanged, atol=1e-6) == kept


@pytest.mark.parametrize(("length", "width"), [(8, 3), (10, 4), (10, 1)])
def test_small_digits_keep_their_strokes(length, width):
    """Strokes of few pixels are enlarged with the digit, however wide they are."""
    digit = np.zeros((length, length - 2))
    digit[:, :width] = digit[-width:] = 1.0
    digit[: length // 2, width] = 0.4  # blurred
    foreground = segment(1 - np.pad(digit, 4).astype(np.float32))
    image = render(foreground, main_digit(find_components(foreground))) / 255
    assert box(image > 0.3).shape[0] == 20
    assert image.sum() == pytest.approx(digit.sum() * (20 / length) ** 2, rel=0.1)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (19, 19), (0, 19), (10, 9)])
def test_an_unbalanced_digit_stays_whole(row, column):
    """The center of mass moves to the center as far as the image allows."""
    digit = np.zeros((20, 20), np.float32)
    digit[row, column] = 1
    expected = [side + min(max(14 - side, 0), 8) for side in (row, column)]
    assert np.argwhere(_center(digit)).tolist() == [expected]
