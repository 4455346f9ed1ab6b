"""Two models side by side, layer by layer."""

from __future__ import annotations

from difflib import SequenceMatcher

from mnistzoo.analysis.row import Row
from mnistzoo.analysis.table import Analysis

Pair = tuple[Row | None, Row | None]


def align(one: Analysis, other: Analysis) -> list[Pair]:
    """Return the rows of two analyses in pairs whose paths agree, in order.

    A row without a counterpart is paired with `None`.

    >>> from mnistzoo.models import exp1, exp3
    >>> pairs = align(exp1().summary(), exp3().summary())
    >>> [(one and one.path, other and other.path) for one, other in pairs[4:6]]
    [('features.pool1', 'features.pool1'), (None, 'features.conv3')]
    """
    keys, other_keys = list(map(_key, one)), list(map(_key, other))
    pairs: list[Pair] = []
    matcher = SequenceMatcher(None, keys, other_keys, autojunk=False)
    for kind, start, stop, other_start, other_stop in matcher.get_opcodes():
        if kind == "equal":
            pairs += zip(one[start:stop], other[other_start:other_stop], strict=True)
        else:
            pairs += [(row, None) for row in one[start:stop]]
            pairs += [(None, row) for row in other[other_start:other_stop]]
    return pairs


def _key(row: Row) -> tuple[str, str]:
    """Return what agrees in counterparts: the path, and for a function its name."""
    return row.path, "" if row.kind[:1].isupper() else row.kind
