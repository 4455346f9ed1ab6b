"""Components are grouped into digits, and digits into lines: boxes drawn by hand.

The limits are the library's choice. Here they are stated a second time, as geometry.
"""

import itertools
import random

import pytest

from mnistzoo.images.components import Component, bounding_box, drop_border_components
from mnistzoo.images.grouping import group_digits, main_digit, reading_lines

LABELS = itertools.count(1)


def reading_order(groups):
    """Return digits line by line."""
    return [group for line in reading_lines(groups) for group in line]


def component(left, top, width, height, area=None):
    """Return a component by its corner and its sides; default area: half of its box."""
    area = width * height // 2 if area is None else area
    return Component(next(LABELS), (left, top, left + width, top + height), area)


def test_the_bounding_box_contains_all_components():
    """The bounding box reaches from the first column and row to the last."""
    components = [component(5, 7, 3, 11), component(1, 9, 2, 2), component(4, 2, 90, 3)]
    assert components[0].height == 11
    assert bounding_box(components) == (1, 2, 94, 18)


def joined(main, *others):
    """Return which of the others belong to the digit whose largest component is `main`."""
    digit = main_digit([*others, main])
    assert main in digit
    return [other in digit for other in others]


@pytest.mark.parametrize("turned", [False, True])
def test_near_components_belong_to_the_main_digit(turned):
    """A component is near within a quarter of the digit's longer side, in every direction."""

    def at(left, top, width, height):
        box = (top, left, height, width) if turned else (left, top, width, height)
        return component(*box, 400)

    main = component(*((200, 300, 100, 40) if turned else (300, 200, 40, 100)), 2000)
    near = [at(365, 250, 9, 9), at(266, 250, 9, 9), at(310, 325, 9, 9), at(310, 166, 9, 9)]
    far = [at(366, 250, 9, 9), at(265, 250, 9, 9), at(310, 326, 9, 9), at(310, 165, 9, 9)]
    assert joined(main, *near) == [True] * 4
    assert joined(main, *far) == [False] * 4
    assert joined(main, at(355, 320, 9, 9), at(356, 320, 9, 9)) == [True, False]  # 15² + 20²
    assert joined(main, at(310, 210, 9, 9)) == [True]


def test_specks_do_not_belong_to_the_main_digit():
    """Components below 3 % of its area are left out."""
    main = component(0, 0, 40, 100, 2000)
    assert joined(main, component(0, 0, 9, 9, 60), component(0, 0, 9, 9, 59)) == [True, False]


def sizes(*components):
    """Return how many components each digit has."""
    return [len(group) for group in group_digits(list(components))]


ROW = [component(200 * i, 500, 50, 100) for i in range(5)]
"""Five digits of the same height, side by side."""


@pytest.mark.parametrize(("height", "count"), [(60, 6), (59, 6), (40, 6), (39, 5)])
def test_isolated_components_are_digits_from_two_fifths_of_the_height(height, count):
    """Lower ones are dropped."""
    assert sizes(*ROW, component(2000, 500, 50, height)) == [1] * count


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((200, 455, 50, 10), [1, 2, 1, 1, 1]),
        ((200, 454, 50, 10), [1] * 5),
        ((200, 635, 50, 10), [1, 2, 1, 1, 1]),
        ((200, 636, 50, 10), [1] * 5),
        ((460, 550, 10, 10), [1, 1, 2, 1, 1]),
        ((461, 550, 10, 10), [1] * 5),
        ((844, 470, 20, 10), [1, 1, 1, 1, 2]),
        ((845, 470, 20, 10), [1] * 5),
        ((835, 470, 200, 10), [1, 1, 1, 1, 2]),
        ((836, 470, 200, 10), [1] * 5),
    ],
)
def test_small_components_belong_to_the_digit_they_are_near(box, expected):
    """Near is within 35% of the typical height above or below a digit, and 10% beside it.

    Above and below mean that they share 30% of the narrower one's width.
    """
    assert sizes(*ROW, component(*box)) == expected


def test_the_typical_height_is_weighted_by_area():
    """Many dots beside two digits are not digits; alone they are."""
    dots = [component(30 * i, 900, 20, 20) for i in range(20)]
    assert sizes(component(0, 0, 50, 100), component(100, 0, 50, 100), *dots) == [1, 1]
    assert sizes(*dots) == [1] * 20


@pytest.mark.parametrize("slope", [-0.2, 0, 0.2])
def test_digits_are_ordered_line_by_line(slope):
    """The order in which they are found does not matter, and lines may slope."""
    rng = random.Random(0)
    expected = [
        [component(100 * x, int(300 * y + slope * 100 * x) + rng.randrange(20), 50, 100)]
        for y in range(4)
        for x in range(9)
    ]
    for _ in range(5):
        lines = reading_lines(rng.sample(expected, len(expected)))
        assert [len(line) for line in lines] == [9] * 4
        assert [group for line in lines for group in line] == expected


def test_a_digit_beside_another_is_in_its_line():
    """Digits in a line share 40% of the lower one's height."""
    first = [component(0, 100, 50, 100)]
    same, other = [component(100, 160, 50, 100)], [component(100, 161, 50, 100)]
    assert reading_order([same, first]) == [first, same]
    above = [component(100, 39, 50, 100)]
    assert reading_order([above, first]) == [above, first]
    assert reading_order([other, first]) == [first, other]
    small, later = [component(100, 192, 50, 20)], [component(200, 100, 50, 100)]
    assert reading_order([small, later, first]) == [first, small, later]


def test_a_digit_joins_the_line_it_shares_more_rows_with():
    """Between two lines, the larger overlap decides."""
    upper, lower = [component(0, 0, 50, 100)], [component(10, 105, 50, 100)]
    low, high = [component(200, 60, 50, 100)], [component(200, 45, 50, 100)]
    assert reading_order([upper, lower, low]) == [upper, lower, low]
    assert reading_order([upper, lower, high]) == [upper, high, lower]


def test_components_along_the_border_are_dropped():
    """Unless nothing else is long enough to be the digit."""
    along = Component(1, (0, 10, 6, 60), 300, border=50)
    nearly = Component(2, (0, 60, 6, 110), 300, border=49)
    apart = Component(3, (40, 40, 60, 80), 400)
    assert drop_border_components([along, nearly, apart], (400, 300)) == [nearly, apart]
    assert drop_border_components([along, apart], (300, 400)) == [apart]
    assert drop_border_components([along, apart], (410, 300)) == [along, apart]


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 199, 100), False),
        ((250, 201, 300, 400), False),
        ((0, 0, 200, 100), True),
        ((0, 1, 50, 50), True),
        ((0, 0, 300, 50), True),
    ],
)
def test_components_in_a_corner_are_dropped(box, kept):
    """A short component at two adjacent sides is the table beside a sheet, not one at three."""
    corner = Component(1, box, 300, border=3)
    apart = Component(2, (140, 140, 160, 180), 400)
    assert (corner in drop_border_components([corner, apart], (400, 300))) == kept
