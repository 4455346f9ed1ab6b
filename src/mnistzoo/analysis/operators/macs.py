"""Multiply-accumulates of one call: what `torch.utils.flop_counter` counts, halved."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from mnistzoo.analysis.operators.registry import Call


def _convolution(call: Call) -> int:
    """One for each weight at each place: of the result, or of the input if transposed."""
    places = call.args[0].shape if call["transposed"] else call.shape
    return int(prod(call["weight"].shape) * prod(places[2:]) * places[0])


def _deformed(call: Call) -> int:
    """One for each weight at each place; the bilinear sampling is not counted."""
    batch, _, *places = call.shape
    return int(prod(call["weight"].shape) * prod(places) * batch)


def _matmul(one: Any, other: Any) -> int:
    return int(prod(one.shape) * other.shape[-1])


_FORMULAS: dict[str, Callable[[Call], int]] = {
    "convolution": _convolution,
    "deform_conv2d": _deformed,
    "mm": lambda call: _matmul(*call.args[:2]),
    "bmm": lambda call: _matmul(*call.args[:2]),
    "addmm": lambda call: _matmul(*call.args[1:3]),
    "baddbmm": lambda call: _matmul(*call.args[1:3]),
}


def macs_of(name: str, call: Call) -> int:
    """Multiply-accumulates of an operator, the bias not counted; 0 for one that only adds."""
    formula = _FORMULAS.get(name)
    return formula(call) if formula else 0
