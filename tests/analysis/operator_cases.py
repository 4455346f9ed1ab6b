"""Functions of a map of shape `(1, 4, 12, 11)`, one or more for each rule of an operator."""

from __future__ import annotations

import torch
import torchvision
from torch.nn import functional as F


def written_in_strides(x):
    out = torch.zeros(1, 4, 12, 2 * x.shape[3], dtype=x.dtype)
    out.transpose(2, 3)[:, :, ::2] = x.transpose(2, 3)
    return out


def space_to_depth(x):
    n, c, h, w = x.shape
    x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, 4 * c, h // 2, w // 2)


def _shuffle(x):
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _mean_over_blocks(x):
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w).mean(3)


def _rows_in_another_order(x):
    """Rows 0, 4, 8, 1, …, joined with a pool of them."""
    y = x.unflatten(2, (3, 4)).transpose(2, 3).flatten(2, 3)
    return y + F.avg_pool2d(y, 1) ** 2


def _channels_last_linear(x):
    return F.linear(x.permute(0, 2, 3, 1), torch.ones(4, 4, dtype=x.dtype)).permute(0, 3, 1, 2)


def _window_attention(x):
    n, c, h, w = x.shape
    tokens = x.view(n, c, h // 4, 4, w // 5, 5).permute(0, 2, 4, 3, 5, 1).reshape(-1, 20, c)
    tokens = F.scaled_dot_product_attention(tokens, tokens, tokens)
    tokens = tokens.view(n, h // 4, w // 5, 4, 5, c)
    return tokens.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


def _written_in_place(x):
    out = x.new_zeros(x.shape)
    out[:, :, 1:] = x[:, :, :-1]
    out[:, 2:] += x[:, :2]
    return out


def _written_row(x):
    out = x.new_zeros(x.shape)
    out[:, :, -3] = x[:, :, 2]
    return out


def _written_column(x):
    out = x * 1
    out.permute(0, 1, -1, -2)[:, :, 1].add_(x[..., 10])
    out.transpose(-1, -2)[:, :, -2].add_(x[..., 0])
    return out


def _view_of_what_is_written(x):
    out = x * 1
    rows, tokens = out[:, :, 2:], out.flatten(2)
    part = rows[:, :, :-1]
    out += F.avg_pool2d(x, 3, 1, 1)
    return part * tokens.view(x.shape)[:, :, 2:-1]


def _view_of_the_same_rows(x):
    out = x * 1
    rows, others = out[:, :, 2:], out[:, :, :5]
    rows += F.avg_pool2d(x, (3, 1), 1, (1, 0))[:, :, 2:]
    return others * 2


def _view_of_what_is_not_written(x):
    out = x * 1
    half, other = out[:, :2], out[:, 2:]
    half += F.avg_pool2d(x[:, :2], 3, 1, 1)
    return other.repeat(1, 2, 1, 1)


def _outer(x):
    """Multiply every second row with columns: one axis, of two lengths, in two dimensions."""
    return (x.unsqueeze(4) * x[:, :, ::2].permute(0, 1, 3, 2).unsqueeze(2)).sum(4)


def _mean_beside(x):
    return torch.cat([x.mean(2, keepdim=True), x, x.new_ones(1, 4, 2, x.shape[3])], dim=2)


def _masked(x):
    out = x * 1
    out[out < 0] = 0
    return out


def _unfolded(x):
    n, c, h, _ = x.shape
    columns = F.unfold(x, 3, padding=1, stride=(1, 2))
    return columns.view(n, c, 9, h, -1).sum(2)


def _folded(x):
    columns = torch.ones(24, 24, dtype=x.dtype) @ F.unfold(x, (2, 3), stride=2)
    return F.fold(columns, x.shape[2:], (2, 3), stride=2)


def _filtered(x):
    """Filter frequencies along the rows, as spectral networks do."""
    weights = torch.arange(1, 8, dtype=x.dtype).sin()
    return torch.fft.irfft(torch.fft.rfft(x, dim=2) * weights[:, None], x.shape[2], dim=2) + x


def _turned(x):
    """Rotate pairs of channels as complex numbers, as rotary embeddings do."""
    pairs = torch.view_as_complex(x.permute(0, 2, 3, 1).unflatten(3, (2, 2)).contiguous())
    turned = torch.polar(torch.ones(2), torch.ones(2)).to(pairs.dtype)
    return torch.view_as_real(pairs * turned).flatten(3).permute(0, 3, 1, 2)


EXACT = {
    "glu": lambda x: F.glu(x, 1),
    "glu along rows": lambda x: F.glu(x, 2),
    "slice": lambda x: x[:, :, 2:-1, 1::3],
    "split": lambda x: torch.cat([part * 2 for part in x.split(3, dim=2)], dim=2),
    "chunk": lambda x: sum(x.chunk(2, dim=2)),
    "concatenate along an axis": lambda x: torch.cat([x[:, :, 4:], x[:, :, :3]], dim=2),
    "concatenate strides": lambda x: torch.cat(
        [x[:, :, :1], F.interpolate(x[:, :, 1:], scale_factor=(2, 1)), F.avg_pool2d(x, (2, 1))], 2
    ),
    "stack": lambda x: torch.stack([x[:, :, 1:], x[:, :, :-1]]).sum(0),
    "transpose": lambda x: F.avg_pool2d(x.transpose(2, 3), (3, 2)).transpose(2, 3),
    "flip": lambda x: x.flip(3),
    "roll": lambda x: x.roll((2, -3), (2, 3)),
    "repeat": lambda x: x.repeat(1, 1, 2, 1),
    "repeat each": lambda x: x.unsqueeze(3).expand(-1, -1, -1, 2, -1).flatten(2, 3),
    "index": lambda x: x[:, :, :, torch.tensor([0, 2, 5, 6])],
    "index by a mask": lambda x: x[:, :, torch.arange(12) % 3 == 1],
    "distances of rows": lambda x: torch.cdist(
        x.permute(0, 2, 3, 1), torch.ones(7, 4, dtype=x.dtype)
    ).permute(0, 3, 1, 2)[:, :4],
    "bilinear of two": lambda x: F.bilinear(
        x.permute(0, 2, 3, 1).contiguous(),
        x.permute(0, 2, 3, 1).contiguous(),
        torch.ones(4, 4, 4, dtype=x.dtype),
    ).permute(0, 3, 1, 2),
    "index fill": lambda x: x.index_fill(1, torch.tensor([1]), 0.0),
    "quarter turns": lambda x: F.avg_pool2d(x.rot90(1, (2, 3)), (3, 2)).rot90(3, (2, 3)),
    "half turn": lambda x: x.rot90(2, (3, 2)),
    "sum but for NaN": lambda x: x + x.nansum(3, keepdim=True),
    "triangle": lambda x: x.transpose(1, 3).tril(20).transpose(1, 3),
    "frequencies": _filtered,
    "complex numbers": _turned,
    "index select": lambda x: x.index_select(2, torch.tensor([1, 1, 7])),
    "unfold a dimension": lambda x: x.unfold(2, 3, 2).sum(-1),
    "unfold": _unfolded,
    "gather of known rows": lambda x: x.gather(
        2, torch.tensor([7, 2, 2, 0]).view(1, 1, 4, 1).expand(1, 4, 4, x.shape[3])
    ),
    "fold": _folded,
    "constant padding": lambda x: F.pad(x, (1, 2, 0, 3)),
    "negative padding": lambda x: F.pad(x, (-1, 2, 1, -2)),
    "reflection padding": lambda x: F.pad(x, (3, 2, 1, 4), mode="reflect"),
    "replication padding": lambda x: F.pad(x, (3, 2, 1, 4), mode="replicate"),
    "circular padding": lambda x: F.pad(x, (3, 2, 1, 4), mode="circular"),
    "interpolate nearest": lambda x: F.interpolate(x, scale_factor=(2, 1.5)),
    "interpolate exactly": lambda x: F.interpolate(x, (17, 7), mode="nearest-exact"),
    "interpolate bicubic": lambda x: F.interpolate(x, (29, 9), mode="bicubic"),
    "interpolate corners": lambda x: F.interpolate(
        x, (19, 23), mode="bilinear", align_corners=True
    ),
    "interpolate smaller": lambda x: F.interpolate(x, (5, 6), mode="bilinear", antialias=True),
    "interpolate smaller corners": lambda x: F.interpolate(
        x, (5, 4), mode="bicubic", antialias=True, align_corners=True
    ),
    "interpolate linear": lambda x: F.interpolate(x.flatten(0, 1), 20, mode="linear")[None],
    "interpolate by factors": lambda x: F.interpolate(x, scale_factor=(1.3, 0.7), mode="bilinear"),
    "channel shuffle": _shuffle,
    "channel shuffle of torch": lambda x: F.channel_shuffle(x, 2),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x[..., :10], 2),
    "pixel shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "space to depth": lambda x: space_to_depth(x[..., :10]),
    "mean over blocks": _mean_over_blocks,
    "rows in another order": _rows_in_another_order,
    "mean across blocks": lambda x: x.unflatten(2, (3, 4)).mean(2),
    "mean over a middle factor": lambda x: x.unflatten(2, (2, 3, 2)).mean(3).flatten(2, 3),
    "mean over an axis": lambda x: x * x.mean(2, keepdim=True),
    "sum over both": lambda x: x + x.sum((2, 3), keepdim=True),
    "softmax over an axis": lambda x: x.softmax(3) ** 2,
    "softmax in blocks": lambda x: x.unflatten(2, (3, 4)).softmax(3).flatten(2, 3) ** 2,
    "softmax over a mean": lambda x: (
        x + x.mean(3, keepdim=True).unflatten(2, (4, 3)).softmax(3).flatten(2, 3)
    ),
    "instance norm": F.instance_norm,
    "group norm": lambda x: F.group_norm(x, 2),
    "layer norm": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), [4]).permute(0, 3, 1, 2) ** 3,
    "linear over channels": _channels_last_linear,
    "attention in windows": lambda x: _window_attention(x[..., :10]),
    "einsum": lambda x: torch.einsum("nchw,hk->nckw", x, torch.ones(12, 5, dtype=x.dtype)),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x, (5, 1)),
    "power pool": lambda x: F.lp_pool2d(x, 2, (3, 2), ceil_mode=True),
    "in place": _written_in_place,
    "in place, in strides": written_in_strides,
    "in place, a view of it": _view_of_what_is_written,
    "in place, a view of the same": _view_of_the_same_rows,
    "in place, a view of the other half": _view_of_what_is_not_written,
    "in place, a row": _written_row,
    "in place, a column": _written_column,
    "outer product": _outer,
    "mean beside": _mean_beside,
    "a value written by a mask": _masked,
    "larger of two": lambda x: torch.max(x, x / 2),
    "squeeze and unsqueeze": lambda x: x.unsqueeze(2).unsqueeze(5).squeeze(2).squeeze((0, 4))[None],
    "no rows beside all": lambda x: torch.cat([x[:, :, torch.tensor([]).long()], x], 2),
    "where": lambda x: torch.where(x > 9, x, x.roll(1, 3)) + x,
}
"""Each unit reads exactly the pixels that have a gradient."""

CHANNELS = {"glu": 2, "pixel unshuffle": 16, "space to depth": 16}
"""Of the result, where they are not 4."""

FOLDED_BACK = {"roll", "where", "reflection padding", "replication padding"}
"""No evenly moving window holds what their units read."""


def _volume(x):
    """Turn a map of 12 rows into a volume."""
    return x.unflatten(2, (3, 4))


def _positive_definite(x):
    return x[..., :11, :] @ x[..., :11, :].mT + torch.eye(11)


def _put(x):
    made = x * 1
    made[:, :, torch.tensor([3, 0])] = F.avg_pool2d(x, 3, 1, 1)[:, :, 5:7]
    return made


BOUNDED = {
    "slice scatter": lambda x: x.slice_scatter(x[:, :, :1].flip(3) * 2, 2, 3, 4),
    "select scatter": lambda x: x.select_scatter(x[:, :, 2], 2, 5),
    "frames added up": lambda x: torch.ops.aten.unfold_backward(
        x.unfold(2, 4, 2) * 2, list(x.shape), 2, 4, 2
    ),
    "taken by a mask of two axes": lambda x: x[:, torch.eye(4, 12).bool()].unsqueeze(2) + x,
    "index put": _put,
    "index put anywhere": lambda x: x.index_put(
        (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]), torch.tensor([3])),
        x[0, 0, 9, 9],
        accumulate=True,
    ),
    "index copy": lambda x: x.index_copy(2, torch.tensor([3, 0]), x[:, :, 5:7] * 2),
    "index add": lambda x: x.index_add(3, torch.tensor([1]), x[..., 4:5]),
    "scatter": lambda x: x.scatter(2, torch.zeros(1, 4, 1, 11, dtype=torch.long), x[:, :, 4:5]),
    "scatter add": lambda x: x.scatter_add(2, x.argsort(2)[:, :, :3], x[:, :, 4:7]),
    "index fill by a value": lambda x: x.index_fill(2, torch.tensor([1]), x.mean()),
    "index fill where it says": lambda x: x.index_fill(2, x[0, 0, 0].argsort()[:2], 0.0) * x,
    "bins": lambda x: torch.bucketize(x, x[0, 0, 0].detach().sort()[0]) * x,
    "a table that depends on the input": lambda x: (
        F.embedding((x[0, 0] > 0).long(), x[0, :2, 0]).permute(2, 0, 1)[None, :1] + x
    ),
    "layer norm by weights that depend on the input": lambda x: F.layer_norm(x, [11], x[0, 0, 0]),
    "batch norm by weights that depend on the input": lambda x: F.batch_norm(
        x, torch.zeros(4).double(), torch.ones(4).double(), x[0, :, 0, 0]
    ),
    "a bias that depends on the input": lambda x: F.conv2d(
        x, torch.ones(4, 4, 1, 1).double(), x.mean((0, 2, 3))
    ),
    "filled": lambda x: torch.zeros_like(x).fill_(x.mean()) + x,
    "inverse": lambda x: torch.linalg.inv(x[..., :11, :] @ x[..., :11, :].mT + torch.eye(11)),
    "eigenvectors": lambda x: torch.linalg.eigh(x[..., :11, :] + x[..., :11, :].mT)[1],
    "singular values": lambda x: torch.linalg.svdvals(x)[..., None] * x[..., :11, :],
    "numbers alone": lambda x: x * x.mean().softmax(0),
    "copies of views": lambda x: torch.transpose_copy(torch.permute_copy(x, (0, 1, 3, 2)), 2, 3),
    "no dimension squeezed": lambda x: x.squeeze(()),
    "a loss": lambda x: x + F.mse_loss(x, x.roll(1, 2)),
    "masked scatter": lambda x: x.masked_scatter(torch.eye(12, 11).bool(), x.roll(3, 2)),
    "unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x[..., :10], 2, return_indices=True), 2),
    "fractional pool": lambda x: F.fractional_max_pool2d(x, 2, output_size=5),
    "deformable": lambda x: torchvision.ops.deform_conv2d(
        x, x.mean().expand(1, 18, 12, 11), torch.ones(4, 4, 3, 3, dtype=x.dtype), padding=1
    ),
    "regions": lambda x: torchvision.ops.roi_align(
        x, [torch.tensor([[0.0, 1, 5, 6]], dtype=x.dtype)], (3, 4)
    ),
    "distances": lambda x: torch.cdist(x.transpose(1, 3), x.transpose(1, 3) * 2)[:, :4],
    "diagonal": lambda x: x.diagonal(1, 2, 3)[..., None] * x[:, :, :10],
    "taken": lambda x: x.take(torch.tensor([[[[1, 99], [200, 3]]]])).expand(1, 4, 2, 2),
    "running maxima": lambda x: x.cummax(2)[0],
    "third smallest": lambda x: x + x.kthvalue(3, 2, keepdim=True)[0],
    "scatter a number": lambda x: x.scatter(2, torch.zeros(1, 4, 1, 11, dtype=torch.long), 0.0),
    "gather": lambda x: x.gather(2, x.argsort(2)[:, :, :5]),
    "take along": lambda x: torch.take_along_dim(x, x.argsort(3)[..., :5], 3),
    "largest": lambda x: x.topk(5, 2)[0],
    "roll of all entries": lambda x: x.roll(5),
    "reshape across axes": lambda x: x.reshape(1, 4, 11, 12),
    "matrix of vectors": lambda x: x + x[0, 0, 0].t()[:, None].t(),
    "gather along part of an axis": lambda x: (
        _volume(x).gather(3, torch.tensor([0, 3]).view(1, 1, 1, 2, 1).expand(1, 4, 2, 2, 11))
    ).flatten(2, 3),
    "grid sample of a space to depth": lambda x: F.grid_sample(
        F.pixel_unshuffle(x[..., :10], 2)[:, :4],
        x.permute(0, 2, 3, 1)[..., :2].tanh(),
        align_corners=False,
    ),
    "grid sample": lambda x: F.grid_sample(
        x, x.permute(0, 2, 3, 1)[..., :2].tanh(), align_corners=False
    ),
    "grid sample of a volume": lambda x: F.grid_sample(
        _volume(x), _volume(x).permute(0, 2, 3, 4, 1)[..., :3].tanh(), align_corners=False
    ).flatten(2, 3),
    "unpool a volume": lambda x: F.max_unpool3d(
        *F.max_pool3d(_volume(x[..., :10]), (1, 2, 2), return_indices=True), (1, 2, 2)
    ).flatten(2, 3),
    "fractional pool of a volume": lambda x: F.fractional_max_pool3d(
        _volume(x), (1, 2, 2), output_size=(2, 2, 5)
    ).flatten(2, 3),
    "pools of a volume": lambda x: (
        F.avg_pool3d(_volume(x), (2, 1, 3)) + F.adaptive_avg_pool3d(_volume(x), (2, 4, 3))
    ).flatten(2, 3),
    "adaptive maxima": lambda x: (
        F.adaptive_max_pool2d(x, (6, 5))
        + F.adaptive_max_pool3d(_volume(x), (3, 2, 5)).flatten(2, 3)
    ),
    "paddings of a volume": lambda x: (
        F.pad(_volume(x), (1, 1, 2, 0, 0, 1), mode="reflect")
        + F.pad(_volume(x), (1, 1, 2, 0, 0, 1), mode="replicate")
    ).flatten(2, 3),
    "interpolations of a volume": lambda x: sum(
        F.interpolate(_volume(x), (5, 3, 7), mode=mode).flatten(2, 3)
        for mode in ("nearest", "nearest-exact", "trilinear")
    ),
    "interpolate a sequence exactly": lambda x: F.interpolate(
        x.flatten(0, 1), 20, mode="nearest-exact"
    )[None],
    "pool a sequence": lambda x: F.avg_pool1d(x.flatten(0, 1), 3)[None],
    "frames": lambda x: x.as_strided((*x.shape[:3], 5, 3), (*x.stride()[:3], 2, 1)).sum(-1),
    "shuffled rows": lambda x: F.channel_shuffle(x.transpose(1, 2), 3).transpose(1, 2),
    "split unevenly": lambda x: torch.cat(x.split([5, 4, 3], 2)[::-1], 2),
    "unbind": lambda x: torch.stack(x.unbind(2)[7:2:-1], 2),
    "upper triangle": lambda x: x.triu(3),
    "other reductions": lambda x: (
        x
        + sum(
            function(x, dim=2, keepdim=True)
            for function in (
                torch.prod,
                torch.logsumexp,
                torch.var,
                torch.std,
                torch.norm,
                torch.amin,
            )
        )
    ),
    "reductions with places": lambda x: (
        x
        + sum(
            function(x, dim=2, keepdim=True)[0]
            for function in (torch.max, torch.min, torch.median, torch.nanmedian, torch.mode)
        )
    ),
    "two reductions at once": lambda x: (
        x
        + sum(part for f in (torch.var_mean, torch.std_mean) for part in f(x, dim=2, keepdim=True))
    ),
    "running sums": lambda x: x.cumsum(2) + x.cumprod(2) + x.logcumsumexp(2) + x.cummin(2)[0],
    "sorted": lambda x: x.sort(3)[0] + x.log_softmax(3),
    "renormalized": lambda x: x.renorm(2, 2, 0.1),
    "root mean square": lambda x: F.rms_norm(x, [11]),
    "batch norm of the map": lambda x: F.batch_norm(x, None, None, training=True),
    "losses": lambda x: (
        x
        + sum(
            loss(x.sigmoid(), x.sigmoid().roll(1, 2), reduction=reduction)
            for loss in (F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy)
            for reduction in ("none", "sum")
        )
    ),
    "losses of logits": lambda x: (
        x
        + F.binary_cross_entropy_with_logits(x, x.sigmoid().roll(1, 2), reduction="none")
        + F.soft_margin_loss(x, torch.ones_like(x), reduction="none")
    ),
    "matrix times vector": lambda x: x + (x[0, 0] @ x[0, 1, 0])[None, None, :, None],
    "dot products": lambda x: x + x[0, 0, 0].dot(x[0, 1, 1]) + x[0, 0, 1].vdot(x[0, 1, 2]),
    "matrix times vector, added": lambda x: (
        x + torch.addmv(x[0, 2, :, 3], x[0, 0], x[0, 1, 0])[None, None, :, None]
    ),
    "an outer product, added": lambda x: torch.addr(x[0, 3], x[0, 1, :, 3], x[0, 2, 5]).expand(
        1, 4, 12, 11
    ),
    "a sum of matrix products, added": lambda x: torch.addbmm(
        x[0, 0], x[0], torch.ones(4, 11, 11).double()
    ).expand(1, 4, 12, 11),
    "matrices of blocks": lambda x: (
        torch.block_diag(x[0, 0, :6, :4], x[0, 1, :6, :7]) + torch.diag_embed(x[0, 0, 0])[0]
    ).expand(1, 4, 12, 11),
    "written to a diagonal": lambda x: x.diagonal_scatter(x[:, :, :11, 4] ** 2, 0, 2, 3),
    "put": lambda x: x.put(torch.tensor([3, 140]), x[0, 1, 2, 3:5] ** 2),
    "in a list": lambda x: torch.isin(x, x[0, 0, 0].detach()) * x,
    "a number in a list": lambda x: torch.isin(3, x[0, 0]) * x,
    "the bin of a number": lambda x: torch.bucketize(3, x[0, 0, 0].detach().sort()[0]) * x,
    "one row, by a number": lambda x: x.index_select(2, torch.tensor(3)),
    "a product of integers": lambda x: (
        torch._int_mm((x[0, 0].repeat(2, 2)[:18] * 9).char(), torch.ones(22, 8).char())[:12]
        * x[:, :, :, :8]
    ),
    "bags of tokens": lambda x: F.embedding_bag(torch.arange(12).view(6, 2), x[0, 0]).expand(
        1, 4, 6, 11
    ),
    "cross product": lambda x: torch.linalg.cross(x[:, :3], x[:, 1:], dim=1).mean(1, True) + x,
    "a matrix product and a bias": lambda x: torch.baddbmm(
        x[0], x[0], torch.ones(4, 11, 11).double()
    )[None],
    "a transposed matrix": lambda x: x + (x[0, 0].t() @ x[0, 1]).mean(0),
    "decompositions": lambda x: (
        x[..., :11, :]
        + sum(
            function(_positive_definite(x))
            for function in (
                torch.linalg.cholesky,
                torch.linalg.inv,
                torch.linalg.matrix_exp,
                torch.linalg.pinv,
                lambda matrix: torch.linalg.qr(matrix)[0],
                lambda matrix: torch.linalg.lu_factor(matrix)[0],
            )
        )
    ),
    "solutions": lambda x: torch.linalg.solve(_positive_definite(x), x[..., :11, :]),
    "determinants": lambda x: (
        x
        + (_positive_definite(x).logdet() + _positive_definite(x).det())[..., None, None]
        + x[0, 0].trace()
    ),
    "the inverse of one matrix": lambda x: (
        x[..., :11, :] + torch.linalg.inv(_positive_definite(x)[0, 0])
    ),
    "distance": lambda x: x + x.dist(x.roll(1, 2)),
    "frequencies of complex numbers": lambda x: torch.fft.fft(x * (1 + 2j), dim=2).abs(),
    "pools of regions": lambda x: torchvision.ops.roi_pool(
        x, [torch.tensor([[0.0, 1, 5, 6]], dtype=x.dtype)], (3, 4)
    ),
}
"""Each unit reads no more than the analysis reports, which may be an upper bound."""
