"""Which pieces of ink make a digit, and in which order digits are read: boxes drawn by hand.

The limits are the library's own choice; here they are stated once more, as geometry.
"""

import itertools
import random

import pytest

from mnistzoo.images.components import Component, bounding_box, drop_border_components
from mnistzoo.images.grouping import group_digits, main_digit, reading_order


def piece(left, top, width, height, area=None):
    """A piece of ink by its corner and its sides; half of its box is ink unless stated."""
    number = next(piece.numbers)
    area = width * height // 2 if area is None else area
    return Component(number, (left, top, left + width, top + height), area)


piece.numbers = itertools.count(1)


def together(main, *others):
    """Which of the others are part of the digit whose largest piece is `main`."""
    kept = main_digit([*others, main])
    assert main in kept
    return [other in kept for other in others]


def test_height_and_common_box():
    """A piece is as high as its box, and several have the box around all."""
    assert piece(5, 7, 3, 11).height == 11
    assert bounding_box([piece(5, 7, 3, 11), piece(1, 9, 2, 2), piece(4, 2, 90, 3)]) == (
        1,
        2,
        94,
        18,
    )


@pytest.mark.parametrize("turned", [False, True])
def test_a_digit_has_what_is_near_its_largest_piece(turned):
    """Near is a quarter of its longer side, corner to corner, in every direction."""

    def at(left, top, width, height):
        return piece(*((top, left, height, width) if turned else (left, top, width, height)), 400)

    main = piece(*((200, 300, 100, 40) if turned else (300, 200, 40, 100)), 2000)
    near = [at(365, 250, 9, 9), at(266, 250, 9, 9), at(310, 325, 9, 9), at(310, 166, 9, 9)]
    far = [at(366, 250, 9, 9), at(265, 250, 9, 9), at(310, 326, 9, 9), at(310, 165, 9, 9)]
    assert together(main, *near) == [True] * 4
    assert together(main, *far) == [False] * 4
    assert together(main, at(355, 320, 9, 9), at(356, 320, 9, 9)) == [True, False]  # 15² + 20²
    assert together(main, at(310, 210, 9, 9)) == [True]


def test_a_digit_has_no_specks():
    """What has under three hundredths of the largest piece's ink is left out."""
    main = piece(0, 0, 40, 100, 2000)
    assert together(main, piece(0, 0, 9, 9, 60), piece(0, 0, 9, 9, 59)) == [True, False]


def sizes(*pieces):
    """How many pieces each digit has."""
    return [len(group) for group in group_digits(list(pieces))]


def test_each_high_piece_is_a_digit():
    """From three fifths of the usual height on; what is lower, and two fifths, if it is apart."""
    row = [piece(200 * i, 0, 50, 100) for i in range(5)]
    assert sizes(*row, piece(2000, 0, 50, 60)) == [1] * 6
    assert sizes(*row, piece(2000, 0, 50, 59)) == [1] * 6
    assert sizes(*row, piece(2000, 0, 50, 40)) == [1] * 6
    assert sizes(*row, piece(2000, 0, 50, 39)) == [1] * 5


def test_low_pieces_belong_to_what_is_near():
    """Above or below a digit to 35 of 100 of the usual height, beside it to a tenth.

    Above means that they share three tenths of the narrower one's width.
    """
    row = [piece(200 * i, 500, 50, 100) for i in range(5)]
    assert sizes(*row, piece(200, 455, 50, 10)) == [1, 2, 1, 1, 1]
    assert sizes(*row, piece(200, 454, 50, 10)) == [1] * 5
    assert sizes(*row, piece(200, 635, 50, 10)) == [1, 2, 1, 1, 1]
    assert sizes(*row, piece(200, 636, 50, 10)) == [1] * 5
    assert sizes(*row, piece(460, 550, 10, 10)) == [1, 1, 2, 1, 1]
    assert sizes(*row, piece(461, 550, 10, 10)) == [1] * 5
    for width, shared, count in ((20, 6, 2), (20, 5, 1), (200, 15, 2), (200, 14, 1)):
        low = piece(850 - shared, 470, width, 10)
        assert sizes(*row, low) == [1, 1, 1, 1, count]


def test_the_usual_height_is_that_of_most_ink():
    """Many low dots are no digits beside two of full height; they weigh little."""
    dots = [piece(30 * i, 900, 20, 20) for i in range(20)]
    assert sizes(piece(0, 0, 50, 100), piece(100, 0, 50, 100), *dots) == [1, 1]
    assert sizes(*dots) == [1] * 20


@pytest.mark.parametrize("slope", [-0.2, 0, 0.2])
def test_lines_are_read_from_the_top_each_from_the_left(slope):
    """Whatever the order in which the pieces are found, and where lines climb or fall."""
    chance = random.Random(0)
    page = [
        [[piece(100 * x, int(300 * y + slope * 100 * x) + chance.randrange(20), 50, 100)]]
        for y in range(4)
        for x in range(9)
    ]
    expected = [group for (group,) in page]
    for _ in range(5):
        shuffled = chance.sample(expected, len(expected))
        assert reading_order(shuffled) == expected


def test_what_stands_beside_is_in_the_line():
    """Two fifths of the lower one's height beside the other are enough; less is another line."""
    first = [piece(0, 100, 50, 100)]
    same, other = [piece(100, 160, 50, 100)], [piece(100, 161, 50, 100)]
    assert reading_order([same, first]) == [first, same]
    above = [piece(100, 39, 50, 100)]
    assert reading_order([above, first]) == [above, first]
    assert reading_order([other, first]) == [first, other]
    small = [piece(100, 192, 50, 20)]
    later = [piece(200, 100, 50, 100)]
    assert reading_order([small, later, first]) == [first, small, later]


def test_a_digit_goes_to_the_line_that_it_is_most_beside():
    """Of two lines that both stand beside it, the one with more of its height."""
    upper, lower = [piece(0, 0, 50, 100)], [piece(10, 105, 50, 100)]
    between = [piece(200, 60, 50, 100)]
    assert reading_order([upper, lower, between]) == [upper, lower, between]
    between = [piece(200, 45, 50, 100)]
    assert reading_order([upper, lower, between]) == [upper, between, lower]


def test_what_lies_all_along_the_edge_is_no_digit():
    """A piece of ink goes whose every place along its length is at the edge, if others are left."""
    along = Component(1, (0, 0, 6, 50), 300, border=50)
    nearly = Component(2, (0, 60, 6, 110), 300, border=49)
    apart = Component(3, (40, 40, 60, 80), 400)
    assert drop_border_components([along, nearly, apart], 40) == [nearly, apart]
    assert drop_border_components([along, apart], 41) == [along, apart]
    assert drop_border_components([along, apart], 40) == [apart]
