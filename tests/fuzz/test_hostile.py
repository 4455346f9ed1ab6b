"""Sound bytes with some changed: nothing but this library's errors escapes its readers.

The same targets run for a million inputs each by hand: see `fuzz.py`.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets import TARGETS, seeds


@st.composite
def spoiled(draw, target):
    """A seed of a target, with up to four places changed, cut out or filled up."""
    data = bytearray(draw(st.sampled_from(seeds(target))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150)
@given(data=st.data())
def test_spoiled_bytes_are_refused_or_read(target, data):
    """Whatever is changed in a sound input, the reader accepts it or raises its own error."""
    TARGETS[target](data.draw(spoiled(target)))


@pytest.mark.parametrize("target", TARGETS)
def test_the_search_begins_with_what_is_accepted(target):
    """Every seed is accepted, so that changing it reaches all that comes after the first check."""
    assert all(map(TARGETS[target], seeds(target)))
    assert not TARGETS[target](b"anything")
