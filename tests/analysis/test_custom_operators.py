"""Custom operators, registered with a rule: their fields against perturbed inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import mnistzoo
from mnistzoo.analysis import register_operator
from mnistzoo.analysis.algebra.connections import Connections
from mnistzoo.analysis.operators import Call, Kernel, Layout, elementwise, read_all, slide
from mnistzoo.analysis.operators.base import Operator
from mnistzoo.analysis.operators.registry import OPERATORS, overload_of
from mnistzoo.errors import AnalysisError, InputError, UnknownOperatorError


def custom(name, function):
    """Define a custom operator of one tensor."""

    def operator(x: Tensor) -> Tensor:
        return function(x).clone()

    defined = torch.library.custom_op(f"mnistzoo_tests::{name}", operator, mutates_args=())
    defined.register_fake(function)
    return defined


class Between(nn.Module):
    """An operator between two convolutions with positive weights."""

    def __init__(self, operator):
        super().__init__()
        self.operator = operator
        self.before, self.after = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.after(self.operator(self.before(x)))


def perturbed(model, height, width):
    """Yield each unit with the rows and columns of the pixels that change it."""
    model = model.double()
    image = torch.rand(1, 1, height, width, dtype=torch.float64)
    moved = image + torch.eye(height * width).view(-1, 1, height, width)
    with torch.no_grad():
        change = (model(moved) - model(image)).abs().squeeze(1)
    changed = (change > 1e-9).unflatten(0, (height, width))  # below, another order of sums
    for unit in torch.ones(changed.shape[2:]).nonzero().tolist():
        pixels = changed[(..., *unit)].nonzero()
        yield unit, tuple(zip(pixels.amin(0).tolist(), pixels.amax(0).tolist(), strict=True))


def _flip(call: Call) -> Layout:
    units = call.shape[2]
    return call.source.apply({2: Connections.of(np.arange(units)[::-1, None], 1)})


CASES = {
    "blur": (lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0)), slide(Kernel(3, 2, 1), Kernel(2))),
    "squash": (lambda x: x / (1 + x.abs()), elementwise),
    "center": (lambda x: x - x.mean((2, 3), keepdim=True), read_all),
    "flip": (lambda x: x.flip(2), _flip),
}


@pytest.mark.parametrize("name", CASES)
def test_units_read_the_pixels_that_change_them(name):
    """With its rule, a custom operator is analyzed like one of torch's own."""
    function, rule = CASES[name]
    model = Between(custom(name, function))
    register_operator(f"mnistzoo_tests::{name}", rule)
    field = mnistzoo.receptive_field(model, (1, 9, 10), "")
    for unit, pixels in perturbed(model, 9, 10):
        assert field.pixels(unit) == pixels


def test_an_operator_that_writes_to_its_argument():
    """A tensor that is written to, and not returned, gets the layout of the result."""

    @torch.library.custom_op("mnistzoo_tests::add_to", mutates_args=("x",))
    def add_to(x: Tensor, y: Tensor) -> None:
        x.add_(y)

    def write(x):
        out = torch.zeros_like(x)
        add_to(out, F.avg_pool2d(x, 3, 1, 1))
        return out

    register_operator("mnistzoo_tests::add_to", elementwise)
    model = Between(write)
    field = mnistzoo.receptive_field(model, (1, 9, 10), "")
    for unit, pixels in perturbed(model, 9, 10):
        assert field.pixels(unit) == pixels


def test_names_of_other_libraries_are_their_own():
    """A custom operator does not get the rule of torch's operator of the same name."""
    dropout = custom("dropout", lambda x: x.flip(2))
    with pytest.raises(UnknownOperatorError, match=r"mnistzoo_tests\.dropout.*register_operator"):
        mnistzoo.analyze(Between(dropout), (1, 9, 10))


def test_rows_of_a_custom_operator():
    """A custom operator with MACs has a row; one without has a row on request."""
    halve, double = (custom(name, lambda x: x * 1) for name in ("halve", "double_"))
    register_operator("mnistzoo_tests::halve", elementwise, macs=lambda call: call.result.numel())
    register_operator("mnistzoo_tests::double_", elementwise, listed=True)
    rows = mnistzoo.analyze(Between(lambda x: double(halve(x))), (1, 9, 10))
    assert [(row.kind, row.macs) for row in rows[1:3]] == [("halve", 2 * 7 * 8), ("double_", 0)]


def test_values_that_a_custom_operator_needs():
    """The analysis stops at an operator that needs values that depend on the input."""
    count = custom("count", lambda x: x * 1)
    register_operator("mnistzoo_tests::count", read_all, needs_values=True)
    assert "mnistzoo_tests.count" in mnistzoo.analyze(Between(count), (1, 9, 10)).stopped_at


def test_a_kernel_that_does_not_fit():
    """A rule whose kernel gives another shape than the operator is refused."""
    shrink = custom("shrink", lambda x: x[:, :, 1:])
    register_operator("mnistzoo_tests::shrink", slide(Kernel(3), Kernel(1)))
    with pytest.raises(AnalysisError, match=r"a result of \[5, 8\] units, got \[6, 8\]"):
        mnistzoo.analyze(Between(shrink), (1, 9, 10))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda call: call["dim"], "rule failed.*KeyError"),
        (lambda call: (call.source,), "return a Layout, got tuple"),
        (lambda call: [], "return 1 layouts, got 0"),
        (lambda call: call.source.union_over(2), "Expected a layout of shape"),
    ],
)
def test_a_rule_that_is_wrong(rule, message, monkeypatch):
    """The error names the operator and what is wrong with its rule."""
    wrong = custom("wrong", lambda x: x * 1)
    monkeypatch.setitem(OPERATORS, "mnistzoo_tests::wrong", Operator(rule))
    overload_of.cache_clear()
    with pytest.raises(AnalysisError, match=rf"mnistzoo_tests\.wrong.*{message}"):
        mnistzoo.analyze(Between(wrong), (1, 9, 10))


@pytest.mark.parametrize(
    ("macs", "message"),
    [
        (lambda call: 1 // 0, "macs function failed.*ZeroDivisionError"),
        (lambda call: 1.5, "macs function failed.*TypeError"),
        (lambda call: -5, "return 0 or more, got -5"),
    ],
)
def test_macs_that_are_wrong(macs, message, monkeypatch):
    """The error names the operator and what is wrong with its count, and no table has it."""
    wrong = custom("wrong", lambda x: x * 1)
    monkeypatch.setitem(OPERATORS, "mnistzoo_tests::wrong", Operator(elementwise, macs=macs))
    overload_of.cache_clear()
    with pytest.raises(AnalysisError, match=rf"mnistzoo_tests\.wrong.*{message}"):
        mnistzoo.analyze(Between(wrong), (1, 9, 10))


def test_a_rule_is_a_function():
    """Anything that is not a function is refused at registration."""
    with pytest.raises(InputError, match="to be a function"):
        register_operator("mnistzoo_tests::named", "elementwise")
    with pytest.raises(InputError, match="to be a function"):
        register_operator("mnistzoo_tests::named", elementwise, macs=5)


@pytest.mark.parametrize("name", ["aten::relu", "mnistzoo_tests::twice"])
def test_an_operator_is_registered_once(name):
    """A second rule is refused, for torch's operators too."""
    if not name.startswith("aten"):
        register_operator(name, elementwise)
    with pytest.raises(InputError, match=rf"{name}.*once"):
        register_operator(name, elementwise)


@pytest.mark.parametrize("name", ["blur", "mylib::", "::blur", "mylib::blur.default", 3])
def test_names_need_a_namespace(name):
    """A name without one, or with an overload, would match no operator."""
    with pytest.raises(InputError, match="qualified name"):
        register_operator(name, elementwise)
