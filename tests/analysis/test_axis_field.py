"""What units see along one axis, in cases that few networks come to."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.algebra.window import Window
from mnistzoo.errors import AnalysisError


def test_neighbours_of_what_does_not_move():
    """Units without a window see what the others of their digit see, and still have no window."""
    reach = replace(AxisField.identity(6), window=None, local_ranges=None, is_global=True)
    spread = reach.spread(3, 1)
    assert spread.ranges.first.tolist() == [0, 0, 0, 3, 3, 3]
    assert spread.ranges.last.tolist() == [2, 2, 2, 5, 5, 5]
    assert (spread.window, spread.local_ranges, spread.is_global) == (None, None, True)


def moving(units, size, stride):
    """Units whose window moves by `stride`."""
    return replace(AxisField.identity(units), window=Window(size, stride))


@pytest.mark.parametrize(
    ("units", "size", "stride", "together"),
    [
        (2, 3, 2, False),
        (50, 1, Fraction(51, 50), True),
        (51, 1, Fraction(51, 50), False),
        (51, 2, Fraction(51, 50), True),
        (3, 9, Fraction(7, 5), True),
        (3, 9, Fraction(9, 5), True),
        (3, 9, 2, False),
        (1, 1, Fraction(9, 4), True),
    ],
)
def test_strides_that_are_nearly_one(units, size, stride, together):
    """Branches join if their strides are less than half apart, and drift less than a window."""
    one, other = moving(units, size, 1), moving(units, size, stride)
    for first, second in ((one, other), (other, one)):
        if not together:
            with pytest.raises(AnalysisError, match="strides of the branches"):
                first.union(second)
            continue
        window = first.union(second).window
        assert window.stride == 1
        assert window.size == size + (stride - 1) * (units - 1)


def test_a_step_without_units():
    """Reading nothing, it keeps its stride, and its inputs."""
    inputs = np.empty((0, 2), dtype=np.int64)
    links = Connections.of(inputs, Fraction(3, 2))
    assert links.window == Window(1, Fraction(3, 2), 0)
    assert links.inputs is inputs


def test_neighbours_of_what_moves_by_two():
    """Of blocks of three units, each 2 pixels from the last, a unit sees 4 more on either side."""
    reach = moving(6, 5, 2).spread(3, 1)
    assert (reach.window.size, reach.window.stride) == (5 + 2 * 4, 2)
    assert reach.ranges.first.tolist() == [0, 0, 0, 3, 3, 3]
