"""Pointwise operators, reductions, norms, products of matrices: what joins or sees everything."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from mnistzoo.analysis.algebra.factors import untracked
from mnistzoo.analysis.algebra.joins import matmul, union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.registry import Call, dims_of, positive, rule


def pointwise(call: Call) -> Layout | None:
    """Each unit of the result is made of one unit of each argument."""
    return union([call.layout_of(tensor) for tensor in call.tensors], call.shape)


POINTWISE = [
    "alias",
    "contiguous",
    "detach",
    "dropout",
    "hardswish",
    "hardtanh",
    "hardsigmoid",
    "leaky_relu",
    "elu",
    "celu",
    "selu",
    "mish",
    "threshold",
    "rrelu_with_noise",
    "log_sigmoid_forward",
    "ldexp",
    "_to_copy",
    "lift_fresh",
    "native_dropout",
    "nan_to_num",
    "_prelu_kernel",
    "clamp",
    "where",
    "masked_fill",
    "complex",
    "_conj",
    "polar",
    "rsub",
    "floor_divide",
    "tril",
    "triu",
]
"""Pointwise operators that torch does not tag as such; in 2.6, some only in their in-place form."""

rule(*POINTWISE)(pointwise)

CONSTANT = frozenset(
    [
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "randint_like",
        "new_empty",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty_strided",
        "zero",
        "uniform",
        "random",
        "exponential",
        "geometric",
        "cauchy",
        "log_normal",
    ]
)
"""What takes no more than a shape from its argument."""


@rule("fill", "bernoulli", "normal")
def _drawn(call: Call) -> Layout | None:
    """Made of the tensors that say of what; that which is written to only gives a shape."""
    only_shape = call.func._schema.is_mutable or call.func._schema.name == "aten::fill"
    return union([call.layout_of(x) for x in call.tensors[only_shape:]], call.shape)


@rule(
    *["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss"],
    *["binary_cross_entropy", "binary_cross_entropy_with_logits"],
)
def _loss(call: Call) -> Layout | None:
    if call.shape == call.tensors[0].shape:
        return pointwise(call)
    return union([call.whole(x) for x in call.tensors], call.shape)


@rule("copy")
def _copy(call: Call) -> Layout | None:
    return union([call.layout_of(call["src"])], call.shape)


@rule(
    *[
        "mean",
        "sum",
        "amax",
        "amin",
        "max",
        "min",
        "prod",
        "var",
        "std",
        "var_mean",
        "std_mean",
        "linalg_vector_norm",
        "norm",
    ],
    *["logsumexp", "argmax", "argmin", "any", "all", "median", "nanmedian", "kthvalue", "mode"],
    *["count_nonzero", "nansum", "aminmax"],
)
def _reduction(call: Call) -> Layout:
    layout = call.source
    dim, keep = call.get("dim"), bool(call.get("keepdim", False))
    if isinstance(dim, Tensor):  # the overload max.other: two tensors, unit by unit
        return layout
    dims = dims_of(dim, len(layout.dims))
    for index in dims:
        layout = layout.union_over(index)
    return (
        layout
        if keep
        else layout.with_dims(dim for index, dim in enumerate(layout.dims) if index not in dims)
    )


@rule(
    *["_softmax", "_log_softmax", "_safe_softmax", "sort"],
    *["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"],
)
def _along(call: Call) -> Layout:
    return call.source.spread_over([positive(call["dim"], len(call.shape))])


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r")
def _fourier(call: Call) -> Layout:
    """Frequencies, each made of all places, are no places; nor are what is made of them."""
    layout = call.source
    for index in dims_of(call["dim"], len(call.shape)):
        layout = layout.untrack(index).with_dim(index, untracked(call.shape[index]))
    return layout


@rule("view_as_real")
def _view_as_real(call: Call) -> Layout:
    return call.source.with_dims([*call.source.dims, untracked(2)])


@rule("view_as_complex")
def _view_as_complex(call: Call) -> Layout:
    layout = call.source.union_over(len(call.source.dims) - 1)
    return layout.with_dims(layout.dims[:-1])


@rule("topk")
def _topk(call: Call) -> Layout:
    index = positive(call["dim"], len(call.shape))
    return call.source.untrack(index).with_dim(index, untracked(call.shape[index]))


@rule("native_layer_norm", "_fused_rms_norm")
def _layer_norm(call: Call) -> Layout | None:
    ndim = len(call.shape)
    return _normed(call, range(ndim - len(call["normalized_shape"]), ndim))


@rule("native_group_norm")
def _group_norm(call: Call) -> Layout | None:
    return _normed(call, range(1, len(call.shape)))


def _normed(call: Call, dims: Iterable[int]) -> Layout | None:
    """A norm over some dimensions, its weights perhaps made of the input."""
    first, *others = call.tensors
    layout = call.layout_of(first)
    return union([layout and layout.spread_over(dims), *map(call.whole, others)], call.shape)


@rule(
    *["native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"],
    *["cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update"],
)
def _batch_norm(call: Call) -> Layout | None:
    """Pointwise, unless its statistics come from the images at hand (as in instance norm)."""
    always = call.func._schema.name.endswith("_with_update")
    of_these = call.get("training", call.get("train", always))
    dims = range(len(call.shape)) if of_these else ()
    return _normed(call, (index for index in dims if index != 1))


@rule("mm", "bmm")
def _matmul(call: Call) -> Layout | None:
    second = call.get("mat2")
    return matmul(call.layout_of(call.args[0]), call.layout_of(second), call.shape)


@rule("_cdist_forward", "_euclidean_dist")
def _distances(call: Call) -> Layout | None:
    """Each row of one with each row of another."""
    one, other = (call.layout_of(tensor) for tensor in call.args[:2])
    if other is not None:
        *front, rows, columns = other.dims
        other = other.with_dims([*front, columns, rows])
    return matmul(one, other, call.shape)


@rule("addmm", "baddbmm")
def _addmm(call: Call) -> Layout | None:
    bias, one, other = (call.layout_of(tensor) for tensor in call.args[:3])
    return union([matmul(one, other, call.shape), bias], call.shape)


@rule("mv", "dot")
def _matvec(call: Call) -> Layout | None:
    layouts = [call.layout_of(tensor) for tensor in call.args[:2]]
    summed = [x and x.union_over(len(x.dims) - 1) for x in layouts]
    return union([x and x.with_dims(x.dims[:-1]) for x in summed], call.shape)


@rule("_trilinear")
def _trilinear(call: Call) -> Layout | None:
    """The matmul of three tensors, broadcast and then summed, as `torch.nn.Bilinear` has it."""
    summed = call["sumdim"]
    parts = []
    for tensor, added in zip(call.args[:3], (call[f"expand{n}"] for n in (1, 2, 3)), strict=True):
        layout = call.layout_of(tensor)
        if layout is not None:
            dims = list(layout.dims)
            for index in sorted(added):
                dims.insert(index, untracked(1))
            layout = layout.with_dims(dims)
            for index in summed:
                layout = layout.union_over(index)
            layout = layout.with_dims(d for i, d in enumerate(layout.dims) if i not in summed)
        parts.append(layout)
    return union(parts, call.shape)


@rule("renorm")
def _renorm(call: Call) -> Layout:
    dims = range(len(call.shape))
    return call.source.spread_over(
        index for index in dims if index != positive(call["dim"], len(dims))
    )


@rule(
    *["max_unpool2d", "max_unpool3d", "fractional_max_pool2d", "fractional_max_pool3d"],
    *["deform_conv2d", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"],
    *["_linalg_det", "_linalg_slogdet", "linalg_inv_ex", "linalg_pinv", "linalg_matrix_exp"],
    *["_linalg_solve_ex", "linalg_solve_triangular", "linalg_lu_solve", "cholesky_solve"],
    *["_linalg_svd", "_linalg_eigh", "linalg_eig", "linalg_qr", "linalg_cholesky_ex"],
    *["linalg_lu", "linalg_lu_factor_ex", "vdot", "dist", "trace", "histc"],
)
def _anywhere(call: Call) -> Layout | None:
    """Values decide where these read, or they read everything: each unit may see all."""
    return union([call.whole(tensor) for tensor in call.tensors], call.shape)


@rule("_linalg_check_errors")
def _nothing(_: Call) -> list[Layout | None]:
    """It makes nothing."""
    return []


@rule("grid_sampler_2d", "grid_sampler_3d")
def _grid_sampler(call: Call) -> Layout | None:
    """Where it reads depends on values, so that each unit may see everything."""
    source, grid = (call.layout_of(tensor) for tensor in call.args[:2])
    ndim = len(call.shape)
    everything = source and source.with_dims([*source.dims[:2], *[untracked(1)] * (ndim - 2)])
    if grid is not None:
        *places, _ = grid.union_over(ndim - 1).dims
        grid = grid.union_over(ndim - 1).with_dims([places[0], untracked(1), *places[1:]])
    return union([everything, grid], call.shape)
