"""Ruled lines and sheets are found to the pixel, at the limits that `images.background` states."""

import numpy as np
import pytest

from mnistzoo.data.mnist import mnist
from mnistzoo.images.background import find_ruled_lines
from mnistzoo.images.background import find_sheet as find_sheet_of
from mnistzoo.images.components import Labels

WIDTH = 256
"""In an image this wide, a line has at most 4 pixels and covers more than 128 columns."""


def find_sheet(mask):
    """Return the sheet of a mask, or None."""
    return find_sheet_of(Labels.from_mask(mask))


def mask_of(*boxes):
    """Return a mask with foreground in boxes of `(top, bottom, left, right)`."""
    mask = np.zeros((200, WIDTH), bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


LINE = (20, 22, 0, WIDTH)


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize(
    ("box", "found"),
    [
        ((80, 84, 0, 256), True),
        ((80, 85, 0, 256), False),
        ((80, 82, 60, 189), True),
        ((80, 82, 60, 188), False),
        ((80, 82, 3, 60), True),
        ((80, 82, 4, 60), False),
        ((80, 82, 200, 253), True),
        ((80, 82, 200, 252), False),
        ((80, 82, 0, 9), True),
        ((80, 82, 0, 8), False),
        ((80, 84, 0, 13), True),
        ((80, 84, 0, 12), False),
    ],
)
def test_beside_a_line_others_may_be_short(box, found, vertical):
    """Shorter lines beside a long one are thin, and cross the image or touch its side."""
    mask, expected = mask_of(LINE, box), mask_of(LINE, *([box] if found else []))
    if vertical:
        mask, expected = mask.T, expected.T
    assert np.array_equal(find_ruled_lines(mask), expected)


@pytest.mark.parametrize(("columns", "found"), [(129, True), (128, False)])
def test_a_single_line_covers_half_the_columns(columns, found):
    """A line need not touch a side, and a stroke that touches one is not a line."""
    assert find_ruled_lines(mask_of((80, 82, 50, 50 + columns))).any() == found
    assert not find_ruled_lines(mask_of((80, 82, 0, 120))).any()


@pytest.mark.parametrize(("gap", "found"), [(64, True), (65, False)])
def test_strokes_may_interrupt_a_line(gap, found):
    """The parts of a line are joined across at most a quarter of the width."""
    mask = mask_of((80, 82, 0, 96), (80, 82, 96 + gap, WIDTH))
    assert np.array_equal(find_ruled_lines(mask), mask & found)


def test_a_line_may_climb_by_single_pixels():
    """Parts too short to be lines are joined where they touch at their corners."""
    mask = mask_of(*((40 + i, 41 + i, 8 * i, 8 * i + 8) for i in range(WIDTH // 8)))
    assert np.array_equal(find_ruled_lines(mask), mask)


def test_strokes_stay_where_lines_cross_them():
    """Nothing is taken from an upright stroke across a line."""
    mask = np.zeros((200, 300), bool)
    mask[100:103] = True
    mask[60:150, 120:128] = True
    lines = find_ruled_lines(mask)
    assert not lines[:, 120:128].any()
    assert lines[100:103, :110].all()


def test_small_images_have_no_lines():
    """Lines are found from 64 pixels on."""
    for side, found in ((63, False), (64, True)):
        mask = np.zeros((side, side), bool)
        mask[10] = True
        assert find_ruled_lines(mask).any() == found


def sheet(shape, top, left, height, width):
    """Return a mask with a sheet that has two pixels of writing in its upper left corner."""
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    mask[top + 2 : top + 4, left + 2] = False
    return mask


@pytest.mark.parametrize(
    ("shape", "rim"), [((99, 80), 2), ((99, 100), 3), ((150, 199), 3), ((200, 150), 4)]
)
def test_a_sheet_is_found_without_its_rim(shape, rim):
    """The writing is included; the rim is two pixels, plus one per hundred of the image."""
    height, width = shape[0] - 20, shape[1] - 20
    expected = np.zeros(shape, bool)
    expected[10 + rim : 10 + height - rim, 10 + rim : 10 + width - rim] = True
    assert np.array_equal(find_sheet(sheet(shape, 10, 10, height, width)), expected)


@pytest.mark.parametrize(
    ("shape", "size", "found"),
    [
        ((80, 80), (40, 40), True),
        ((80, 80), (39, 40), False),
        ((80, 80), (40, 39), False),
        ((60, 120), (40, 100), True),
        ((60, 120), (40, 101), False),
        ((120, 60), (100, 40), True),
        ((120, 60), (101, 40), False),
    ],
)
def test_a_sheet_is_large_and_solid(shape, size, found):
    """A sheet takes a quarter of the image, and is at most 2.5 times as long as wide."""
    assert (find_sheet(sheet(shape, 8, 8, *size)) is not None) == found


def test_a_sheet_is_nearly_rectangular():
    """A sheet fills three quarters of its bounding box; one pixel fewer is not enough."""
    mask = sheet((100, 100), 10, 10, 80, 80)
    mask[50:90, 50:90] = False
    assert find_sheet(mask) is not None
    mask[49, 89] = False
    assert find_sheet(mask) is None


def test_a_sheet_has_writing():
    """A rectangle without holes is not a sheet; a speck outside of one changes nothing."""
    mask = mask_of((50, 180, 60, 240))
    assert find_sheet(mask) is None
    mask[100:130, 100:110] = False
    found = find_sheet(mask)
    assert found[60:170, 70:230].all()
    mask[5:8, 5:8] = True
    assert np.array_equal(find_sheet(mask), found)


def test_digits_are_neither_lines_nor_sheets():
    """Of 500 training images, enlarged to fill the image, at most one loses foreground."""
    taken = 0
    for image in mnist(train=True).images[:500].numpy():
        rows, columns = (np.flatnonzero((image > 127).any(axis)) for axis in (1, 0))
        crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        mask = np.kron(crop > 127, np.ones((4, 4), bool))
        taken += find_ruled_lines(mask).any() or find_sheet(mask) is not None
    assert taken <= 1
