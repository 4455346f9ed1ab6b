"""Products of matrices and linear algebra."""

from __future__ import annotations

from math import prod

from torch import Tensor

from mnistzoo.analysis.algebra.joins import matmul, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Operator, read_all


def _matmul(call: Call) -> Layout | None:
    one, other = call.layout_of(call.args[0]), call.layout_of(call["mat2"])
    return matmul(one, other, call.shape)


def _macs(one: Tensor, other: Tensor) -> int:
    return prod(one.shape) * int(other.shape[-1])


def _matmul_macs(call: Call) -> int:
    return _macs(call.args[0], call["mat2"])


def _addmm_macs(call: Call) -> int:
    return _macs(*call.args[1:3])


def _addmm(call: Call) -> Layout | None:
    bias, one, other = (call.layout_of(tensor) for tensor in call.args[:3])
    return union([matmul(one, other, call.shape), bias], call.shape)


def _addmv(call: Call) -> Layout | None:
    return union([_vector_product(call, 1), call.layout_of(call.args[0])], call.shape)


def _addmv_macs(call: Call) -> int:
    return int(call.args[1].numel())


def _outer(call: Call) -> Layout | None:
    """Return the layout of the outer product of two vectors, added to a matrix."""
    column, row = (call.layout_of(vector) for vector in call.args[1:3])
    column, row = column and column.unsqueeze(1), row and row.unsqueeze(0)
    return union([call.layout_of(call.args[0]), column, row], call.shape)


def _outer_macs(call: Call) -> int:
    return prod(call.shape)


def _distances(call: Call) -> Layout | None:
    """Return the layout of the distances from each row of one matrix to each row of another."""
    one, other = (call.layout_of(tensor) for tensor in call.args[:2])
    if other is not None:
        *front, rows, columns = other.dims
        other = other.with_dims([*front, columns, rows])
    return matmul(one, other, call.shape)


def _matvec(call: Call) -> Layout | None:
    return _vector_product(call, 0)


def _vector_product(call: Call, first: int) -> Layout | None:
    """Return the layout of a matrix or vector, an argument, times the next one, a vector."""
    layouts = [call.layout_of(tensor) for tensor in call.args[first : first + 2]]
    sums = [x and x.union_over(len(x.dims) - 1) for x in layouts]
    return union([x and x.with_dims(x.dims[:-1]) for x in sums], call.shape)


def _matvec_macs(call: Call) -> int:
    return int(call.args[0].numel())


def _trilinear(call: Call) -> Layout | None:
    """Return the layout of a product of three tensors, broadcast and summed (`nn.Bilinear`)."""
    parts = []
    for number, tensor in enumerate(call.args[:3], start=1):
        layout = call.layout_of(tensor)
        if layout is not None:
            for index in sorted(call[f"expand{number}"]):
                layout = layout.unsqueeze(index)
            parts.append(_sum_over(layout, call["sumdim"]))
    return union(parts, call.shape)


def _trilinear_macs(call: Call) -> int:
    """Count the product of the first two tensors, and the product of its sum with the third."""
    one, two, three = shapes = [[*map(int, tensor.shape)] for tensor in call.args[:3]]
    for number, shape in enumerate(shapes, start=1):
        for index in sorted(call[f"expand{number}"]):
            shape.insert(index, 1)
    both = [max(sizes) for sizes in zip(one, two, strict=True)]
    early = set(call["sumdim"]) & set(call["expand3"])  # summed before the second product
    left = [1 if index in early else size for index, size in enumerate(both)]
    last = [max(sizes) for sizes in zip(left, three, strict=True)]
    return prod(both) + prod(last)


def _grouped_macs(call: Call) -> int:
    """Count each row times the matrix of its group, as in a mixture of experts."""
    one, other = call.tensors[:2]
    groups = len(one) if one.ndim == other.ndim == 3 else 1
    return groups * _macs(one[0] if one.ndim == 3 else one, other)


def _sum_over(layout: Layout, summed: list[int]) -> Layout:
    for index in summed:
        layout = layout.union_over(index)
    return layout.with_dims(dim for i, dim in enumerate(layout.dims) if i not in summed)


OPERATORS = {
    "mm": Operator(_matmul, macs=_matmul_macs, fake=fakes.mm),
    "bmm": Operator(_matmul, macs=_matmul_macs, fake=fakes.bmm),
    "addmm": Operator(_addmm, macs=_addmm_macs, fake=fakes.addmm),
    "baddbmm": Operator(_addmm, macs=_addmm_macs),
    "_int_mm": Operator(_matmul, macs=_matmul_macs),
    "_scaled_mm": Operator(read_all, macs=_matmul_macs),
    "addbmm": Operator(read_all, macs=_addmm_macs),
    "mv dot": Operator(_matvec, macs=_matvec_macs),
    "addmv": Operator(_addmv, macs=_addmv_macs),
    "addr": Operator(_outer, macs=_outer_macs),
    "_grouped_mm": Operator(read_all, macs=_grouped_macs, fake=fakes.grouped_mm),
    "_cdist_forward _euclidean_dist": Operator(_distances),
    "_trilinear": Operator(_trilinear, macs=_trilinear_macs),
    "vdot": Operator(read_all, macs=_matvec_macs),
    "trace _linalg_det _linalg_slogdet linalg_inv_ex linalg_pinv linalg_matrix_exp "
    "_linalg_solve_ex linalg_solve_triangular linalg_lu_solve cholesky_solve "
    "_linalg_svd _linalg_eigh linalg_eig linalg_qr linalg_cholesky_ex "
    "linalg_lu linalg_lu_factor_ex lu_unpack linalg_householder_product cholesky_inverse "
    "linalg_cross _pdist_forward": Operator(read_all),
}
