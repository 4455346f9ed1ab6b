"""The record of a receptive field."""

from __future__ import annotations

import numpy as np
import pytest

from mnistzoo import ReceptiveField
from mnistzoo.errors import InputError
from mnistzoo.models import exp5

FIELD = ReceptiveField(size=(34, 5), stride=(4, 1), padding=(8, 2))


def test_a_field_made_by_hand():
    """A field made by hand has intervals, centers and clipped sizes, and compares by value."""
    assert FIELD.interval((1, 0)) == ((-4, 29), (-2, 2))
    assert FIELD.interval(0) == ((-8, 25), (-2, 2))
    assert FIELD.center((1, 0)) == (12.5, 0.0)
    assert FIELD.clipped(28) == (28, 5)
    assert FIELD.local is FIELD
    assert repr(FIELD) == (
        "ReceptiveField(size=(34, 5), stride=(4, 1), padding=(8, 2), is_global=False)"
    )
    assert ReceptiveField((34, 5), (4, 1), (8, 2)) == FIELD
    assert FIELD.interval(np.int64(1)) == FIELD.interval(np.array([1, 1]))


@pytest.mark.parametrize("index", [(1, 2, 3), 1.5, "1", None, (0.5, 1), "ab"])
def test_an_index_that_does_not_fit(index):
    """An index is one integer, or one per axis."""
    with pytest.raises(InputError, match="Expected one integer, or one for each of 2 axes"):
        FIELD.interval(index)


def test_pixels_need_an_analysis():
    """A field made by hand knows no image, and an analyzed one knows how many units there are."""
    with pytest.raises(InputError, match="made by hand"):
        FIELD.pixels(0)
    with pytest.raises(InputError, match="from 0 to 2, got 3"):
        exp5().receptive_field("features.conv7").pixels(3)
    with pytest.raises(InputError, match="from 0 to 2, got -1"):
        exp5().receptive_field("features.conv7").pixels(-1)
