"""The algebra of windows, against lists of pixels written out."""

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


def _seen(window, index):
    first, last = window.interval(index)
    return set(range(first, last + 1))


@given(windows)
def test_identity_changes_nothing(window):
    """A layer that moves nothing, before or after, leaves a window as it is."""
    assert IDENTITY.then(window) == window.then(IDENTITY) == window


@given(windows, windows, windows)
def test_composition_is_associative(a, b, c):
    """It does not matter which of three layers are joined first."""
    assert a.then(b).then(c) == a.then(b.then(c))


@given(whole, whole, st.integers(-5, 20))
def test_composition_is_the_union_over_the_units_between(inner, outer, index):
    """A unit of the outer layer sees from the first to the last pixel its inner units see."""
    pixels = set().union(*(_seen(inner, unit) for unit in _seen(outer, index)))
    assert inner.then(outer).interval(index) == (min(pixels), max(pixels))


@given(windows, windows, st.integers(-5, 20))
def test_union_holds_both_and_no_more(one, other, index):
    """A join sees what either branch sees, from the first pixel of one to the last of one."""
    if one.stride != other.stride:
        with pytest.raises(ValueError, match="one stride"):
            one.union(other)
        return
    (a, b), (c, d) = one.interval(index), other.interval(index)
    assert one.union(other) == other.union(one)
    assert one.union(other).interval(index) == (min(a, c), max(b, d))


@given(windows, st.sampled_from([1, 2, Fraction(1, 2)]), st.integers(0, 5), st.integers(1, 12))
def test_another_stride_holds_all_units_and_no_more(window, stride, first, count):
    """Restated at another stride, a window holds what each of some units sees, and just that."""
    units = range(first, first + count)
    restated = window.with_stride(stride, units)
    drifts = [unit * (window.stride - stride) for unit in units]
    assert restated.stride == stride
    assert restated.low == window.low + min(drifts)
    assert restated.high == window.high + max(drifts)


@given(whole, st.integers(0, 9))
def test_center_is_the_middle_of_the_interval(window, index):
    """The centre of a window of whole numbers is the mean of its two ends."""
    assert window.center(index) == sum(window.interval(index)) / 2
