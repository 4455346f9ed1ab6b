"""What each ATen operator does to windows, and what it costs."""

from mnistzoo.analysis.operators import indexing as indexing
from mnistzoo.analysis.operators import mixing as mixing
from mnistzoo.analysis.operators import resizing as resizing
from mnistzoo.analysis.operators import shapes as shapes
from mnistzoo.analysis.operators import sliding as sliding
from mnistzoo.analysis.operators.macs import macs_of as macs_of
from mnistzoo.analysis.operators.registry import RULES as RULES
from mnistzoo.analysis.operators.registry import Call as Call

MOVING = frozenset(
    name for name, rule in RULES.items() if rule.__module__ in (sliding.__name__, resizing.__name__)
)
"""Operators that move a window along an axis; those that were called as functions have rows."""
