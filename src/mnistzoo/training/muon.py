"""Muon: SGD with orthogonalized momentum, which needs fewer steps (Jordan et al. 2024).

The iteration and its coefficients are from <https://kellerjordan.github.io/posts/muon/>.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

MOMENTUM = 0.6
"""Momentum of the kernels; other parameters have that of their group."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that moves singular values toward 1."""

ITERATIONS = 5


class Muon(SGD):
    """SGD whose groups with `kernels=True` step in an orthogonal direction.

    These groups hold convolution weights, which are rescaled to a Frobenius norm of √out_channels
    after each step. This is harmless only if batch norm follows, which undoes any scale.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # SGD takes a closure
        """Take one step; a closure is not supported."""
        kernels = [p for g in self.param_groups if g.get("kernels") for p in g["params"]]
        learning = [weight for weight in kernels if weight.grad is not None]
        for weight in learning:
            weight.grad = _direction(weight.grad, self.state[weight])
        super().step(closure)
        for weight in learning:
            weight.mul_(len(weight) ** 0.5 / weight.norm())


def _direction(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    """Return the Nesterov momentum, orthogonalized, in the shape of the kernel."""
    if "velocity" not in state:
        state["velocity"] = torch.zeros_like(gradient)
    velocity = state["velocity"].mul_(MOMENTUM).add_(gradient)
    return orthogonal((gradient + MOMENTUM * velocity).flatten(1)).view_as(gradient)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors and singular values of 0.7 to 1.2.

    Args:
        matrix: Shape `(rows, columns)`, any float type.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
