"""Whether the analysis holds on torch's own samples of its operators, one pixel moved at a time.

Run by hand, beside `pip install expecttest`, which torch's samples need:

    python tests/benchmarks/operators.py [NAME ...]

Each sample's tensors of floats are laid out along one axis, all of them or the first or the others;
the rest are constants. An entry of the result that changes with a pixel must be told to see it.
Printed is how many samples held, how many were refused with an error, and each that did not hold.
What is drawn at random and what has no value (`torch.empty_like`) is left out.
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
from mnistzoo.analysis.tracing.modules import tensors_of
from mnistzoo.analysis.tracing.trace import trace
from mnistzoo.errors import MnistZooError

SAMPLES, MAX_PIXELS = 5, 150
"""Of an operator, and along the axis; there are larger ones."""


class Applied(nn.Module):
    """An operator on the tensors of a sample, some of which lie along the axis of the input."""

    def __init__(self, operator: Callable[..., Any], sample: Any, made: tuple[int, ...]) -> None:
        super().__init__()
        self.operator, self.made = operator, made
        self.leaves, self.spec = tree_flatten(sample)

    def image(self) -> Tensor:
        """The tensors that are made of the input, shape `(1, 1, pixels)`."""
        return torch.cat([self.leaves[index].reshape(-1) for index in self.made])[None, None]

    def forward(self, image: Tensor) -> Any:
        """What the operator returns."""
        leaves = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        parts = image[0, 0].split([self.leaves[index].numel() for index in self.made])
        for index, part in zip(self.made, parts, strict=True):
            leaves[index] = part.reshape(self.leaves[index].shape).to(self.leaves[index].dtype)
        first, args, kwargs = tree_unflatten(leaves, self.spec)
        return self.operator(first, *args, **kwargs)


def samples(info: Any) -> Iterator[Applied]:
    """Modules for a few of an operator's samples, for each choice of what is made of the input."""
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
            for made in {tuple(floats), (floats[0],), tuple(floats[1:])} - {()}:
                yield Applied(info.op, given, made)


def first_result(module: nn.Module, image: Tensor, shape: tuple[int, ...] | None) -> Tensor | None:
    """The first tensor of a shape that comes out, of the same random numbers each time."""
    torch.manual_seed(0)
    found = [x for x in tensors_of(module(image)) if shape is None or tuple(x.shape) == shape]
    return found[0].clone() if found else None


def told(layout: Layout) -> tuple[Any, Any]:
    """The first and last pixel of each entry."""
    (reach,) = layout.fields
    units = np.zeros(layout.shape, dtype=int)
    for index, dim in enumerate(layout.dims):
        along = [-1 if index == other else 1 for other in range(len(layout.dims))]
        units += np.asarray(unit_numbers(dim)).reshape(along)
    units = units if len(reach.ranges) > 1 else np.zeros_like(units)
    return reach.ranges.first[units], reach.ranges.last[units]


def holds(module: Applied) -> bool:
    """Whether no entry changes with a pixel that it is not told to see.

    Raises:
        MnistZooError: the analysis refuses it.
    """
    image = module.image()
    layout = trace(module, tuple(image.shape[1:])).outputs[""]
    if layout is not None:
        settled = layout.canonical()
        layout = settled if settled.shape == layout.shape else layout
    shape = layout.shape if layout else None
    before = first_result(module, image, shape)
    first, last = told(layout) if layout else (image.shape[2], -1)
    for pixel in range(image.shape[2]):
        moved = image.clone()
        moved[0, 0, pixel] += 0.37
        after = first_result(module, moved, shape)
        if before is None or after is None or after.shape != before.shape:
            continue
        same = (after == before) | (after.isnan() & before.isnan())
        seen = (first <= pixel) & (pixel <= last)
        if np.any(~same.numpy() & ~seen):
            return False
    return True


def main() -> None:
    """Go through the operators."""
    warnings.simplefilter("ignore")
    counted: Counter[str] = Counter()
    for info in op_db:
        drawn = info.name.startswith(("new_empty", "empty"))
        if drawn or (len(sys.argv) > 1 and info.name not in sys.argv):
            continue
        if torch.float64 not in info.dtypes:
            continue
        for module in samples(info):
            try:
                outcome = "held" if holds(module) else "did not hold"
            except MnistZooError:
                outcome = "refused"
            except Exception:  # the operator does not take the moved pixel, or not these inputs
                outcome = "not run"
            counted[outcome] += 1
            if outcome == "did not hold":
                print(f"{info.name} of tensors {module.made} did not hold")
    print(dict(counted))


if __name__ == "__main__":
    with torch.no_grad():
        main()
