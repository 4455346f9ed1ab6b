"""Windows, against sets of pixels written out."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistzoo.analysis.algebra.window import IDENTITY, Window

whole = st.builds(Window, st.integers(1, 9), st.integers(1, 4), st.integers(-3, 6))
fractions = st.builds(
    Window.between,
    st.fractions(-4, 0, max_denominator=4),
    st.fractions(0, 4, max_denominator=4),
    st.sampled_from([1, 2, Fraction(1, 2), Fraction(3, 2), Fraction(1, 3)]),
)
windows = whole | fractions


def pixels_of(window, unit):
    """Return the pixels that a unit reads, as a set."""
    first, last = window.interval(unit)
    return set(range(first, last + 1))


@given(windows, windows, windows)
def test_composition_is_associative(a, b, c):
    """The order in which layers are composed does not matter, and a layer of one pixel is none."""
    assert a.then(b).then(c) == a.then(b.then(c))
    assert IDENTITY.then(a) == a.then(IDENTITY) == a


@given(whole, whole, st.integers(-5, 20))
def test_composition_is_the_union_over_the_units_between(inner, outer, unit):
    """A unit reads from the first to the last pixel of the units that it is computed from."""
    read = set().union(*(pixels_of(inner, between) for between in pixels_of(outer, unit)))
    window = inner.then(outer)
    assert window.interval(unit) == (min(read), max(read))
    assert window.center(unit) == (min(read) + max(read)) / 2


@given(windows, windows, st.integers(-5, 20))
def test_a_union_is_the_smallest_window_that_holds_both(one, other, unit):
    """A union reaches from the first pixel of either window to the last of either."""
    if one.stride != other.stride:
        with pytest.raises(ValueError, match="one stride"):
            one.union(other)
        return
    (a, b), (c, d) = one.interval(unit), other.interval(unit)
    assert one.union(other) == other.union(one)
    assert one.union(other).interval(unit) == (min(a, c), max(b, d))


@given(windows, st.sampled_from([1, 2, Fraction(1, 2)]), st.integers(0, 5), st.integers(1, 12))
def test_another_stride_gives_the_smallest_window(window, stride, first, count):
    """A window of another stride holds what the given units read, and no more."""
    units = range(first, first + count)
    restated = window.with_stride(stride, units)
    drifts = [unit * (window.stride - stride) for unit in units]
    assert restated.stride == stride
    assert restated.low == window.low + min(drifts)
    assert restated.high == window.high + max(drifts)
