"""Pointwise operators, and those that use only the shape of their argument."""

from __future__ import annotations

from mnistzoo.analysis.algebra.joins import union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Operator, constant, elementwise


def _fill(call: Call) -> Layout | None:
    """Return the layout of the values or probabilities; the target only gives a shape."""
    target = bool(call.overload.written) or call.name == "fill"
    return union([call.layout_of(x) for x in call.tensors[target:]], call.shape)


def _copy(call: Call) -> Layout | None:
    return union([call.layout_of(call["src"])], call.shape)


UNNAMED = Operator(elementwise)
"""The record of an operator that torch tags as pointwise, and no table names."""

OPERATORS = {
    "relu sigmoid silu gelu hardswish hardsigmoid hardtanh tanh leaky_relu elu mul add sub div "
    "neg abs exp sqrt rsqrt": Operator(elementwise, fake=fakes.pointwise),
    "clone": Operator(elementwise, fake=fakes.clone),
    # not tagged as pointwise by torch; in 2.6, some only in their in-place form
    "celu selu mish threshold rrelu_with_noise log_sigmoid_forward _prelu_kernel "
    "dropout native_dropout where masked_fill clamp nan_to_num ldexp rsub floor_divide "
    "tril triu complex polar _conj poisson _standard_gamma "
    "contiguous lift_fresh _to_copy": UNNAMED,
    "empty_like zeros_like ones_like full_like rand_like randn_like randint_like "
    "new_empty new_zeros new_ones new_full new_empty_strided "
    "zero uniform random exponential geometric cauchy log_normal": Operator(constant),
    "fill bernoulli normal": Operator(_fill),
    "copy": Operator(_copy),
}
