"""Fields along one axis, in cases that few models reach."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mnistzoo.analysis import algebra
from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.connections import Connections, Kernel, sliding
from mnistzoo.analysis.algebra.window import Window
from mnistzoo.errors import AnalysisError


def moving(units, size, stride):
    """Return a field with a window of a given size and stride."""
    return replace(AxisField.identity(units), window=Window(size, stride))


def test_a_field_without_a_window_is_spread():
    """Units read what their group reads, and still have no window."""
    field = replace(AxisField.identity(6), window=None, local_ranges=None, is_global=True)
    spread = field.spread(3, 1)
    assert spread.ranges.first.tolist() == [0, 0, 0, 3, 3, 3]
    assert spread.ranges.last.tolist() == [2, 2, 2, 5, 5, 5]
    assert (spread.window, spread.local_ranges, spread.is_global) == (None, None, True)


def test_a_window_is_spread():
    """In groups of three units, each 2 pixels from the last, it grows by 4 at either end."""
    spread = moving(6, 5, 2).spread(3, 1)
    assert (spread.window.size, spread.window.stride) == (5 + 2 * 4, 2)
    assert spread.ranges.first.tolist() == [0, 0, 0, 3, 3, 3]


@pytest.mark.parametrize(
    ("units", "size", "stride", "joins"),
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
def test_branches_with_nearly_the_same_stride_join(units, size, stride, joins):
    """Strides may differ by less than half, and drift by less than a window."""
    one, other = moving(units, size, 1), moving(units, size, stride)
    for first, second in ((one, other), (other, one)):
        if not joins:
            with pytest.raises(AnalysisError, match="strides of the branches"):
                first.union(second)
            continue
        window = first.union(second).window
        assert window.stride == 1
        assert window.size == size + (stride - 1) * (units - 1)


def test_connections_without_units():
    """A layer that has no output keeps its stride."""
    inputs = np.empty((0, 2), dtype=np.int64)
    links = Connections.of(inputs, Fraction(3, 2))
    assert links.window == Window(1, Fraction(3, 2), 0)
    assert links.inputs is inputs


def test_a_kernel_connects_its_first_and_last_input():
    """Only those are stored, so that a long kernel costs no more; all are made on demand."""
    for units, *numbers in product((1, 5, 9), (3, 6), (1, 3), (0, 2, 5), (1, 3)):
        kernel = Kernel(*numbers)
        links = sliding(units, max(kernel.output_size(units), 0) + 1, kernel)
        for ends, inputs in zip(links.inputs.tolist(), links.every().tolist(), strict=True):
            real = [i for i in inputs if i >= 0] or [-1]
            assert ends == [min(real), max(real)]


def test_the_algebra_needs_no_torch():
    """The algebra imports the standard library, NumPy, the errors and one another."""
    allowed = {*sys.stdlib_module_names, "numpy"}
    for path in Path(algebra.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                own = name.startswith(("mnistzoo.analysis.algebra.", "mnistzoo.errors"))
                assert own or name.split(".")[0] in allowed, f"{path.name} imports {name}"
