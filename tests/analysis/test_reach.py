"""What units see along one axis where nothing moves with them, which few networks come to."""

from __future__ import annotations

from dataclasses import replace

from mnistzoo.analysis.reach import Reach


def test_neighbours_of_what_does_not_move():
    """Units without a window see what the others of their digit see, and still have no window."""
    reach = replace(Reach.identity(6), window=None, local=None, is_global=True)
    smeared = reach.smeared(3, 1)
    assert smeared.whole.first.tolist() == [0, 0, 0, 3, 3, 3]
    assert smeared.whole.last.tolist() == [2, 2, 2, 5, 5, 5]
    assert (smeared.window, smeared.local, smeared.is_global) == (None, None, True)
