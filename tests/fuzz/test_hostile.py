"""Readers of untrusted bytes raise only this library's errors.

`fuzz.py` runs the same targets on a million inputs each.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import TARGETS, seeds


@st.composite
def altered(draw, target):
    """Draw a seed with bytes changed, removed or inserted in up to four places."""
    data = bytearray(draw(st.sampled_from(seeds(target))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150)
@given(data=st.data())
def test_altered_bytes_are_refused_or_read(target, data):
    """A reader accepts altered bytes, or raises an error of this library."""
    TARGETS[target](data.draw(altered(target)))


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_accepted(target):
    """Every seed passes all checks of its reader, so altered ones reach each of them."""
    assert all(map(TARGETS[target], seeds(target)))
    assert not TARGETS[target](b"anything")
