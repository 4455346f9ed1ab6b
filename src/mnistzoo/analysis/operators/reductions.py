"""Reductions, norms, softmax and Fourier transforms: units that read along whole dimensions."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from mnistzoo.analysis.algebra.factors import untracked
from mnistzoo.analysis.algebra.joins import union
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import (
    Call,
    Operator,
    dims_of,
    elementwise,
    positive,
    read_all,
)


def _reduce(call: Call) -> Layout:
    layout = call.source
    dim, keep = call.get("dim"), bool(call.get("keepdim", False))
    if isinstance(dim, Tensor):  # the overload max.other takes two tensors
        return layout
    dims = dims_of(dim, len(layout.dims))
    for index in dims:
        layout = layout.union_over(index)
    if keep:
        return layout
    return layout.with_dims(dim for index, dim in enumerate(layout.dims) if index not in dims)


def _loss(call: Call) -> Layout | None:
    reduced = call.shape != call.tensors[0].shape
    return read_all(call) if reduced else elementwise(call)


def _spread(call: Call) -> Layout:
    return call.source.spread_over([positive(call["dim"], len(call.shape))])


def _topk(call: Call) -> Layout:
    index = positive(call["dim"], len(call.shape))
    return call.source.untrack(index).with_dim(index, untracked(call.shape[index]))


def _fourier(call: Call) -> Layout:
    """Untrack the transformed dimensions: each frequency reads everything along them."""
    layout = call.source
    for index in dims_of(call["dim"], len(call.shape)):
        layout = layout.untrack(index).with_dim(index, untracked(call.shape[index]))
    return layout


def _normalize(call: Call, dims: Iterable[int]) -> Layout | None:
    """Return the layout of a norm over `dims`, whose weights may depend on the input."""
    first, *others = call.tensors
    layout = call.layout_of(first)
    weights = map(call.union_of, others)
    return union([layout and layout.spread_over(dims), *weights], call.shape)


def _layer_norm(call: Call) -> Layout | None:
    ndim = len(call.shape)
    return _normalize(call, range(ndim - len(call["normalized_shape"]), ndim))


def _group_norm(call: Call) -> Layout | None:
    return _normalize(call, range(1, len(call.shape)))


def _batch_norm(call: Call) -> Layout | None:
    """Return a pointwise layout, or that of an instance norm, which takes its own statistics."""
    always = call.name.endswith("_with_update")
    own_statistics = call.get("training", call.get("train", always))
    dims = range(len(call.shape)) if own_statistics else ()
    return _normalize(call, (index for index in dims if index != 1))


def _renorm(call: Call) -> Layout:
    kept, dims = positive(call["dim"], len(call.shape)), range(len(call.shape))
    return call.source.spread_over(index for index in dims if index != kept)


OPERATORS = {
    "mean": Operator(_reduce, listed=True, fake=fakes.reduction),
    "sum": Operator(_reduce, fake=fakes.reduction),
    "nansum prod amax amin max min aminmax argmax argmin any all var std var_mean std_mean "
    "median nanmedian mode kthvalue count_nonzero logsumexp norm linalg_vector_norm": (
        Operator(_reduce)
    ),
    "mse_loss l1_loss smooth_l1_loss huber_loss soft_margin_loss "
    "binary_cross_entropy binary_cross_entropy_with_logits": Operator(_loss),
    "_softmax _log_softmax": Operator(_spread, fake=fakes.softmax),
    "_safe_softmax": Operator(_spread),
    "sort cumsum cumprod cummax cummin logcumsumexp": Operator(_spread),
    "topk": Operator(_topk),
    "_fft_r2c _fft_c2c _fft_c2r": Operator(_fourier),
    "native_layer_norm": Operator(_layer_norm, fake=fakes.layer_norm),
    "_fused_rms_norm": Operator(_layer_norm),
    "native_group_norm": Operator(_group_norm),
    "native_batch_norm": Operator(_batch_norm, fake=fakes.batch_norm),
    "_native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
    "miopen_batch_norm _batch_norm_with_update _batch_norm_no_update": Operator(_batch_norm),
    "renorm": Operator(_renorm),
    "dist histc multinomial segment_reduce nll_loss_forward nll_loss2d_forward "
    "multi_margin_loss multilabel_margin_loss_forward": Operator(read_all),
}
