"""Check the analysis on torch's own samples of its operators, one pixel perturbed at a time.

Needs `pip install expecttest`, for torch's samples:

    python tests/benchmarks/operators.py [NAME ...]

The floats of each sample lie along one axis of the input: all tensors, the first, or all but the
first. The others are constants. Every entry of the result that changes with a pixel must have it in
its receptive field. The script prints how many samples held, how many were refused with an error,
and each that did not hold. It skips operators whose result has no defined value.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

from mnistzoo.analysis.algebra.factors import unit_numbers
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.tracing.arguments import read_arguments
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.trace import trace
from mnistzoo.errors import MnistZooError

SAMPLES = 5
"""Samples of each operator."""

MAX_PIXELS = 150
"""Samples of more numbers are skipped."""


class Applied(nn.Module):
    """An operator on a sample, some tensors of which are parts of the input."""

    def __init__(self, operator: Callable[..., Any], sample: Any, parts: tuple[int, ...]) -> None:
        super().__init__()
        self.operator, self.parts = operator, parts
        self.leaves, self.spec = tree_flatten(sample)

    def image(self) -> Tensor:
        """Return the input, shape `(1, 1, pixels)`."""
        return torch.cat([self.leaves[index].reshape(-1) for index in self.parts])[None, None]

    def forward(self, image: Tensor) -> Any:
        """Run the operator."""
        leaves = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        numbers = image[0, 0].split([self.leaves[index].numel() for index in self.parts])
        for index, part in zip(self.parts, numbers, strict=True):
            leaves[index] = part.reshape(self.leaves[index].shape).to(self.leaves[index].dtype)
        first, args, kwargs = tree_unflatten(leaves, self.spec)
        return self.operator(first, *args, **kwargs)


def samples(info: Any) -> Iterator[Applied]:
    """Yield a few samples of an operator, for each choice of the parts of the input."""
    found = 0
    for sample in info.sample_inputs("cpu", torch.float64, requires_grad=False):
        given = (sample.input, list(sample.args), dict(sample.kwargs))
        leaves, _ = tree_flatten(given)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        floats = [
            index
            for index, leaf in enumerate(leaves)
            if isinstance(leaf, Tensor) and leaf.dtype == torch.float64 and leaf.numel()
        ]
        pixels = sum(leaves[index].numel() for index in floats)
        dense = all(tensor.layout == torch.strided for tensor in tensors)
        if dense and 0 < pixels <= MAX_PIXELS and found < SAMPLES:
            found += 1
            for parts in {tuple(floats), (floats[0],), tuple(floats[1:])} - {()}:
                yield Applied(info.op, given, parts)


def first_result(module: nn.Module, image: Tensor, shape: tuple[int, ...] | None) -> Tensor | None:
    """Return the first result of a shape, with the same random numbers in each call."""
    torch.manual_seed(0)
    found = [x for x in tensors_of(module(image)) if shape is None or tuple(x.shape) == shape]
    return found[0].clone() if found else None


def reported(layout: Layout) -> tuple[Any, Any]:
    """Return the first and last pixel that each entry reads."""
    (field,) = layout.fields
    units = np.zeros(layout.shape, dtype=int)
    for index, dim in enumerate(layout.dims):
        along = [-1 if index == other else 1 for other in range(len(layout.dims))]
        units += np.asarray(unit_numbers(dim)).reshape(along)
    units = units if len(field.ranges) > 1 else np.zeros_like(units)
    return field.ranges.first[units], field.ranges.last[units]


def holds(module: Applied) -> bool:
    """Return whether every entry reads all pixels that it changes with.

    Raises:
        MnistZooError: The analysis refuses the operator.
    """
    image = module.image()
    layout = trace(module, read_arguments(module, tuple(image.shape[1:]))).outputs[""]
    if layout is not None:
        canonical = layout.canonical()
        layout = canonical if canonical.shape == layout.shape else layout
    shape = layout.shape if layout else None
    before = first_result(module, image, shape)
    first, last = reported(layout) if layout else (image.shape[2], -1)
    for pixel in range(image.shape[2]):
        perturbed = image.clone()
        perturbed[0, 0, pixel] += 0.37
        after = first_result(module, perturbed, shape)
        if before is None or after is None or after.shape != before.shape:
            continue
        same = (after == before) | (after.isnan() & before.isnan())
        read = (first <= pixel) & (pixel <= last)
        if np.any(~same.numpy() & ~read):
            return False
    return True


def main() -> None:
    """Check all operators, or those that are named."""
    warnings.simplefilter("ignore")
    counted: Counter[str] = Counter()
    for info in op_db:
        undefined = info.name.startswith(("new_empty", "empty"))
        if undefined or (len(sys.argv) > 1 and info.name not in sys.argv):
            continue
        if torch.float64 not in info.dtypes:
            continue
        for module in samples(info):
            try:
                outcome = "held" if holds(module) else "did not hold"
            except MnistZooError:
                outcome = "refused"
            except Exception:  # the operator refuses the perturbed pixel, or these inputs
                outcome = "not run"
            counted[outcome] += 1
            if outcome == "did not hold":
                print(f"{info.name} of tensors {module.parts} did not hold")
    print(dict(counted))


if __name__ == "__main__":
    with torch.no_grad():
        main()
