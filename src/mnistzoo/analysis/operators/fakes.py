"""Results on the meta device, quicker than torch's own kernels, which are written in Python.

Each function takes the arguments of an operator, the first tensor a floating-point one that is not
empty. It returns `None` for arguments that it does not cover; then torch's kernel runs, and says
what is wrong with them. Torch's kernels import its compiler and sympy, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.algebra.connections import Kernel

META = torch.device("meta")
Ints = Sequence[int]
Two = tuple[Tensor, Tensor] | None
Three = tuple[Tensor, Tensor, Tensor] | None


def is_filled_float(args: Sequence[Any]) -> bool:
    """Return whether the first of an operator's arguments is what the functions here expect."""
    first = args[0] if args else None
    first = first[0] if isinstance(first, list | tuple) and first else first
    return isinstance(first, Tensor) and first.is_floating_point() and first.numel() > 0


def _empty(shape: Ints, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=META)


def _in_range(dims: Ints, ndim: int) -> bool:
    """Return whether dimensions exist and differ."""
    return all(-ndim <= dim < ndim for dim in dims) and len({d % ndim for d in dims}) == len(dims)


def _broadcast(one: Ints, other: Ints) -> list[int] | None:
    """Return the shape to which both are broadcast."""
    missing = len(one) - len(other)
    pairs = zip([*[1] * -missing, *one], [*[1] * missing, *other], strict=True)
    sizes = [(max(pair), min(pair)) for pair in pairs]
    return [most for most, _ in sizes] if all(b in (a, 1) for a, b in sizes) else None


def pointwise(first: Tensor, *others: Any, **_: Any) -> Tensor | None:
    """Return the result of an operator that computes in the dtype of its arguments."""
    shape: Ints | None = first.shape
    if not first.is_contiguous():
        return None
    for other in others:
        if isinstance(other, Tensor):
            if other.dtype != first.dtype or shape is None:
                return None
            if other.shape != shape:
                shape = _broadcast(shape, other.shape) if other.is_contiguous() else None
        elif isinstance(other, complex):
            return None
    return None if shape is None else _empty(shape, first.dtype)


def clone(x: Tensor, *, memory_format: torch.memory_format | None = None) -> Tensor | None:
    """Return a contiguous copy."""
    asked = memory_format == torch.contiguous_format
    keeps = memory_format in (None, torch.preserve_format) and x.is_contiguous()
    return _empty(x.shape, x.dtype) if asked or keeps else None


def softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor | None:
    """Return the result of a softmax."""
    covered = x.is_contiguous() and _in_range([dim], x.ndim) and not half_to_float
    return _empty(x.shape, x.dtype) if covered else None


def roll(x: Tensor, shifts: Ints, dims: Ints = ()) -> Tensor | None:
    """Return the result of `torch.roll`."""
    covered = x.is_contiguous() and len(shifts) == len(dims) > 0 and _in_range(dims, x.ndim)
    return _empty(x.shape, x.dtype) if covered else None


def reduction(
    x: Tensor, dim: Ints | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor | None:
    """Return the result of a sum or mean."""
    dims = dim or range(x.ndim)
    if dtype is not None or not x.is_contiguous() or not _in_range(dims, x.ndim):
        return None
    reduced = {each % x.ndim for each in dims}
    sizes = [1 if i in reduced else n for i, n in enumerate(x.shape) if keepdim or i not in reduced]
    return _empty(sizes, x.dtype)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    """Return a concatenation of contiguous tensors."""
    first = tensors[0]
    ndim, dtype = first.ndim, first.dtype
    if not _in_range([dim], ndim):
        return None
    dim %= ndim
    sizes = list(first.shape)
    others = sizes[:dim] + sizes[dim + 1 :]
    sizes[dim] = 0
    for x in tensors:
        shape = list(x.shape)
        alike = x.dtype == dtype and x.ndim == ndim and x.is_contiguous()
        if not alike or shape[:dim] + shape[dim + 1 :] != others:
            return None
        sizes[dim] += shape[dim]
    return _empty(sizes, dtype)


def mm(one: Tensor, other: Tensor, ndim: int = 2) -> Tensor | None:
    """Return a product of two matrices."""
    alike = one.dtype == other.dtype and one.shape[:-2] == other.shape[:-2]
    if not alike or not one.ndim == other.ndim == ndim or one.shape[-1] != other.shape[-2]:
        return None
    return _empty((*one.shape[:-1], other.shape[-1]), one.dtype)


def bmm(one: Tensor, other: Tensor) -> Tensor | None:
    """Return the products of two batches of matrices."""
    return mm(one, other, ndim=3)


def addmm(bias: Tensor, one: Tensor, other: Tensor, **_: Any) -> Tensor | None:
    """Return a product of two matrices plus a vector."""
    fits = bias.dtype == one.dtype and bias.shape == other.shape[1:]
    return mm(one, other) if fits else None


def grouped_mm(one: Tensor, other: Tensor, *options: Any) -> Tensor | None:
    """Return each row times the matrix of its group. Torch's meta kernel refuses float32."""
    covered = one.dtype == other.dtype and one.shape[1:] == other.shape[-2:-1] and len(options) == 1
    groups = [len(ends) for ends in options if covered and other.ndim == 2]  # in a backward pass
    return _empty([*groups, len(one), other.shape[-1]], one.dtype) if covered else None


def embedding(weight: Tensor, indices: Tensor, *_: Any) -> Tensor | None:
    """Return the rows of a table."""
    covered = indices.dtype in (torch.int32, torch.int64) and weight.ndim == 2
    return _empty((*indices.shape, weight.shape[1]), weight.dtype) if covered else None


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, *others: Any
) -> Three:
    """Return the result of a batch norm with its running statistics."""
    variance, training = others[:2]
    given = [each for each in (weight, bias, mean, variance) if each is not None]
    channels = x.shape[1:2]
    fits = x.ndim > 1 and all(each.shape == channels for each in given)
    if training or mean is None or variance is None or not fits or not x.is_contiguous():
        return None
    nothing = _empty((0,), x.dtype)
    return _empty(x.shape, x.dtype), nothing, nothing


def layer_norm(
    x: Tensor, shape: Ints, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Three:
    """Return the result of a layer norm, and the shape of its statistics."""
    front = x.ndim - len(shape)
    given = [each for each in (weight, bias) if each is not None]
    fits = all(each.dtype == x.dtype and list(each.shape) == list(shape) for each in given)
    if front < 0 or list(x.shape[front:]) != list(shape) or not fits or not x.is_contiguous():
        return None
    sizes = [*x.shape[:front], *[1] * len(shape)]
    dtype = torch.promote_types(x.dtype, torch.float32)
    return _empty(x.shape, x.dtype), _empty(sizes, dtype), _empty(sizes, dtype)


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
) -> Tensor | None:
    """Return the result of a convolution of contiguous images."""
    ways = (stride, padding, dilation, output_padding)
    read, made = weight.shape[:2] if transposed else weight.shape[1::-1]
    read, made = (read, made * groups) if transposed else (read * groups, made)
    alike = weight.ndim == x.ndim > 2 and weight.dtype == x.dtype and x.is_contiguous()
    if not alike or read != x.shape[1] or any(len(way) != x.ndim - 2 for way in ways):
        return None
    if weight.shape[0] % groups or not (bias is None or tuple(bias.shape) == (made,)):
        return None
    places = zip(x.shape[2:], weight.shape[2:], *ways, strict=True)
    if transposed:
        sizes = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in places]
    else:
        sizes = [Kernel(k, s, p, d).output_size(n) for n, k, s, p, d, _ in places]
    return _empty((x.shape[0], made, *sizes), x.dtype) if min(sizes) > 0 else None


def max_pool(
    x: Tensor,
    kernel_size: Ints,
    stride: Ints = (),
    padding: Ints = (0,),
    dilation: Ints = (1,),
    ceil_mode: bool = False,
) -> Two:
    """Return the maxima and their indices."""
    made = _pooled(x, ceil_mode, kernel_size, stride or kernel_size, padding, dilation)
    return None if made is None else (made, _empty(made.shape, torch.int64))


def avg_pool(
    x: Tensor,
    kernel_size: Ints,
    stride: Ints = (),
    padding: Ints = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    """Return the means."""
    covered = divisor_override is None
    return _pooled(x, ceil_mode, kernel_size, stride or kernel_size, padding) if covered else None


def _pooled(x: Tensor, ceil: bool, *given: Ints) -> Tensor | None:
    """Return the result of a pool, given kernel, stride, padding and dilation."""
    axes = x.ndim - 2
    ways = [list(way) * axes if len(way) == 1 else way for way in given]
    if axes < 1 or any(len(way) != axes for way in ways) or not x.is_contiguous():
        return None
    sizes = []
    for n, *numbers in zip(x.shape[2:], *ways, strict=True):
        kernel = Kernel(*numbers)
        size = kernel.output_size(n + (kernel.stride - 1 if ceil else 0))
        size -= ceil and (size - 1) * kernel.stride >= n + kernel.padding  # starts in the padding
        if 2 * kernel.padding > kernel.size or size < 1:
            return None
        sizes.append(size)
    return _empty((*x.shape[:2], *sizes), x.dtype)


def resize(x: Tensor, output_size: Ints | None, *_: Any) -> Tensor | None:
    """Return a map of another size, from an interpolation or an adaptive pool."""
    if not output_size or len(output_size) != x.ndim - 2 or min(output_size) < 1:
        return None
    return _empty((*x.shape[:2], *output_size), x.dtype) if x.is_contiguous() else None
