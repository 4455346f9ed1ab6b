"""Ruled lines and sheets on a desk, to the pixel, at the limits that `data/clutter.py` states."""

import numpy as np
import pytest

from mnistzoo.images.background import find_ruled_lines, find_sheet

WIDTH = 256
"""A rule in a picture as wide has 4 pixels at most, and covers more than 128 columns."""


def ruled(*pieces):
    """A mask with ink in some `(first row, last, first column, last)`, the last ones outside."""
    mask = np.zeros((200, WIDTH), bool)
    for top, bottom, left, right in pieces:
        mask[top:bottom, left:right] = True
    return mask


RULE = (20, 22, 0, WIDTH)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("piece", "taken"),
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
def test_what_is_a_rule_beside_a_rule(piece, taken, turned):
    """It is thin and right across, or reaches a side and is longer than it is high."""
    mask, expected = ruled(RULE, piece), ruled(RULE, *([piece] if taken else []))
    if turned:
        mask, expected = mask.T, expected.T
    assert np.array_equal(find_ruled_lines(mask), expected)


@pytest.mark.parametrize(("columns", "taken"), [(129, True), (128, False)])
def test_a_rule_alone_covers_half_the_columns(columns, taken):
    """One that does is a rule, and reaches no side; a stroke at the side alone is none."""
    mask = ruled((80, 82, 50, 50 + columns))
    assert find_ruled_lines(mask).any() == taken
    assert not find_ruled_lines(ruled((80, 82, 0, 120))).any()


@pytest.mark.parametrize(("gap", "taken"), [(64, True), (65, False)])
def test_a_rule_goes_on_behind_strokes(gap, taken):
    """Its pieces are one if a quarter of the width or less is between them."""
    mask = ruled((80, 82, 0, 96), (80, 82, 96 + gap, WIDTH))
    assert np.array_equal(find_ruled_lines(mask), mask & taken)


def test_a_rule_may_climb_by_single_pixels():
    """Pieces too short to be rules are one where they touch at their corners."""
    mask = ruled(*((40 + i, 41 + i, 8 * i, 8 * i + 8) for i in range(WIDTH // 8)))
    assert np.array_equal(find_ruled_lines(mask), mask)


def test_pictures_of_few_pixels_have_no_rules():
    """With 63 pixels along its longer side a picture has none, with 64 it has."""
    for side, found in ((63, False), (64, True)):
        mask = np.zeros((side, side), bool)
        mask[10] = True
        assert find_ruled_lines(mask).any() == found


def sheet(shape, top, left, height, width):
    """A mask with a sheet, on which two pixels in its upper left corner are written on."""
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    mask[top + 2 : top + 4, left + 2] = False
    return mask


@pytest.mark.parametrize(
    ("shape", "rim"), [((99, 80), 2), ((99, 100), 3), ((150, 199), 3), ((200, 150), 4)]
)
def test_a_sheet_without_its_rim(shape, rim):
    """Of the sheet, writing included, two pixels are left out all around, and 1 in 100."""
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
def test_how_large_and_how_solid_a_sheet_is(shape, size, found):
    """It takes a quarter of the picture, and is not longer than 5 times half its width."""
    assert (find_sheet(sheet(shape, 8, 8, *size)) is not None) == found


def test_how_full_a_sheet_is():
    """It fills three quarters of its box; one pixel less, and it is none."""
    mask = sheet((100, 100), 10, 10, 80, 80)
    mask[50:90, 50:90] = False
    assert find_sheet(mask) is not None
    mask[49, 89] = False
    assert find_sheet(mask) is None
