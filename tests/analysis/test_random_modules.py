"""Receptive fields against perturbed pixels, on random modules of views, writes and gathers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from analysis.oracle import Function
from mnistzoo.analysis.algebra.factors import unit_numbers
from mnistzoo.analysis.tracing.arguments import read_arguments
from mnistzoo.analysis.tracing.trace import trace
from mnistzoo.errors import MnistZooError

SIZE = 6
DRAW = st.integers(0, 2**16)


def read_by_layout(layout):
    """Return, for each axis, the first and last pixel that each entry reads."""
    for axis, field in enumerate(layout.fields):
        units = np.zeros(layout.shape, dtype=int)
        for index, dim in enumerate(layout.dims):
            factors = tuple(f if f.axis == axis else f._replace(stride=0) for f in dim)
            along = [-1 if index == other else 1 for other in range(len(layout.dims))]
            units += np.asarray(unit_numbers(factors)).reshape(along)
        units = units if len(field.ranges) > 1 else np.zeros_like(units)
        yield field.ranges.first[units], field.ranges.last[units]


def assert_holds(function):
    """Assert that an entry that changes with a pixel has it in its field."""
    torch.manual_seed(0)
    image = torch.rand(1, 2, SIZE, SIZE, dtype=torch.float64)
    module = Function(function)
    layout = trace(module, read_arguments(module, image)).outputs[""]
    before = function(image.clone())
    ranges = [] if layout is None else list(read_by_layout(layout))
    for row in range(SIZE):
        for column in range(SIZE):
            perturbed = image.clone()
            perturbed[0, :, row, column] += torch.tensor([0.37, 0.61])
            changed = (function(perturbed) != before).numpy()
            read = np.zeros_like(changed)
            if ranges:
                read = np.ones_like(changed)
                for pixel, (first, last) in zip((row, column), ranges, strict=True):
                    read &= (first <= pixel) & (pixel <= last)
            assert not np.any(changed & ~read), (row, column)


class Program:
    """Operators on a list of tensors. Each takes one of them, and a number that it draws from."""

    def __init__(self, steps):
        self.steps = steps

    def run(self, image):
        """Return the last tensor that the steps make."""
        tensors = [image * 2]
        for name, which, number in self.steps:
            tensor = tensors[which % len(tensors)]
            made = STEPS[name](tensor, tensors, number)
            if made is not None:
                tensors.append(made)
        return tensors[-1]


def _dim(tensor, number):
    return 1 + number % (tensor.ndim - 1)


def _slice(tensor, _, number):
    dim = _dim(tensor, number)
    size, step = tensor.shape[dim], 1 + number // 7 % 2
    start = number // 3 % size
    return tensor[(slice(None),) * dim + (slice(start, None, step),)]


def _select(tensor, _, number):
    return tensor.select(_dim(tensor, number), 0) if tensor.ndim > 2 else None


def _transpose(tensor, _, number):
    return tensor.transpose(_dim(tensor, number), _dim(tensor, number // 5))


def _transpose_in_place(tensor, _, number):
    tensor.transpose_(_dim(tensor, number), _dim(tensor, number // 5))


def _unsqueeze_in_place(tensor, _, number):
    if tensor.ndim < 6:
        tensor.unsqueeze_(_dim(tensor, number))


def _squeeze_in_place(tensor, _, number):
    if tensor.ndim > 2:
        tensor.squeeze_(_dim(tensor, number))


def _flatten(tensor, _, number):
    return tensor.flatten(_dim(tensor, number)) if tensor.is_contiguous() else None


def _split(tensor, _, number):
    dim = _dim(tensor, number)
    size = tensor.shape[dim]
    return tensor.unflatten(dim, (2, size // 2)) if size % 2 == 0 and tensor.ndim < 6 else None


def _clone(tensor, _, number):
    return tensor.flip(_dim(tensor, number)) if number % 2 else tensor.contiguous().clone()


def _zeros(tensor, _, number):
    return torch.zeros_like(tensor, memory_format=torch.contiguous_format)


def _write(tensor, tensors, number):
    source = tensors[number % len(tensors)]
    if source.shape == tensor.shape:
        tensor.copy_(source.clone())


def _write_row(tensor, _, number):
    dim = _dim(tensor, number)
    source = tensor.flip(dim).narrow(dim, 0, 1)
    tensor.narrow(dim, number // 3 % tensor.shape[dim], 1).add_(source)


def _fill(tensor, _, number):
    tensor.narrow(_dim(tensor, number), 0, 1).zero_()


def _mask(tensor, _, number):
    tensor[tensor < 0.5] = number


def _write_diagonal(tensor, _, number):
    one, other = _dim(tensor, number), _dim(tensor, number // 5)
    if one != other:
        diagonal = tensor.diagonal(0, one, other)
        diagonal.add_(diagonal.flip(-1))


def _write_frames(tensor, _, number):
    dim = _dim(tensor, number)
    if tensor.shape[dim] > 1:
        frames = tensor.unfold(dim, 2, 2)
        frames.add_(frames.flip(-1))


def _written_strided(tensor, _, number):
    out, half = _zeros(tensor, _, number), tensor.numel() // 2
    out.as_strided((half,), (2,), number % 2).copy_(tensor.flatten()[:half])
    return out


def _gather(tensor, _, number):
    dim = _dim(tensor, number)
    index = torch.arange(number, number + tensor.numel()).view(tensor.shape) * 7 % tensor.shape[dim]
    return tensor.gather(dim, index)


def _gather_few(tensor, _, number):
    dim = _dim(tensor, number)
    index = torch.tensor([number % tensor.shape[dim], 0])
    return tensor.index_select(dim, index)


def _scatter_slice(tensor, _, number):
    dim = _dim(tensor, number)
    source = tensor.flip(dim).narrow(dim, 0, 1)
    start = number // 3 % tensor.shape[dim]
    return tensor.slice_scatter(source, dim, start, start + 1)


def _scatter_entry(tensor, _, number):
    dim = _dim(tensor, number)
    source = tensor.select(dim, number // 3 % tensor.shape[dim]) * 3
    return tensor.select_scatter(source, dim, number // 11 % tensor.shape[dim])


def _resize(tensor, _, number):
    if tensor.ndim != 4 or max(tensor.shape) > 24:
        return None
    mode = ("nearest", "bilinear", "nearest-exact")[number % 3]
    return nn.functional.interpolate(tensor, size=(3 + number % 7, 2 + number % 9), mode=mode)


STEPS = {
    function.__name__[1:]: function
    for function in (
        *(_slice, _select, _transpose, _transpose_in_place, _unsqueeze_in_place, _flatten, _split),
        *(_squeeze_in_place, _clone, _zeros, _write, _write_row, _fill, _mask, _gather),
        *(_write_diagonal, _write_frames, _written_strided),
        *(_gather_few, _scatter_slice, _scatter_entry, _resize),
    )
}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), DRAW, DRAW), min_size=1, max_size=8))
def test_fields_hold_every_pixel_that_changes_a_unit(steps):
    """No field of a random module is too small, unless the analysis refuses it."""
    try:
        assert_holds(Program(steps).run)
    except MnistZooError:
        assume(False)


@pytest.mark.parametrize(
    "steps",
    [
        [("flatten", 0, 0), ("transpose_in_place", 0, 7), ("write_row", 1, 0)],
        [("split", 0, 28468), ("transpose_in_place", 31066, 59510)],
        [("transpose", 0, 5), ("unsqueeze_in_place", 0, 0), ("fill", 1, 0)],
    ],
)
def test_views_from_before_a_change_of_geometry(steps):
    """Random modules that once had fields that were too small, or were refused."""
    assert_holds(Program(steps).run)


def _transposed_into_nothing(x):
    made = x * 2
    made[:, :, 6:, 1:4] = x[:, :, :3, 6:].transpose(2, 3)
    return made


@pytest.mark.parametrize(
    "function",
    [
        _transposed_into_nothing,
        lambda x: x.slice_scatter(x[:, :, 4:4].transpose(1, 3).transpose(1, 3), 2, 4, 4),
    ],
)
def test_writes_to_empty_slices(function):
    """A write to no entry changes no field."""
    assert_holds(function)
