"""Muon: momentum made orthogonal, which takes fewer steps than plain descent (Jordan et al. 2024).

See <https://kellerjordan.github.io/posts/muon/>; the iteration and its coefficients are from there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

MOMENTUM = 0.6
"""Of the kernels' gradients; that of the other parameters is the group's own."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that brings singular values near 1."""

ITERATIONS = 5


class Muon(SGD):
    """`SGD` whose groups marked `kernels=True` step along an orthogonal direction.

    Such a group holds weights of convolutions, which are kept at a Frobenius norm of √out_channels.
    That takes nothing from a network only where batch norm follows, as it undoes any scale.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # SGD's own takes one
        """One step; there is no closure, since directions are made of gradients that are there."""
        kernels = [p for g in self.param_groups if g.get("kernels") for p in g["params"]]
        learning = [weight for weight in kernels if weight.grad is not None]
        for weight in learning:
            weight.grad = _direction(weight.grad, self.state[weight])
        super().step(closure)
        for weight in learning:
            weight.mul_(len(weight) ** 0.5 / weight.norm())


def _direction(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    """The orthogonal matrix nearest to Nesterov's momentum, in the shape of the kernel."""
    if "velocity" not in state:
        state["velocity"] = torch.zeros_like(gradient)
    velocity = state["velocity"].mul_(MOMENTUM).add_(gradient)
    return orthogonal((gradient + MOMENTUM * velocity).flatten(1)).view_as(gradient)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` and singular values near 1, 0.7 to 1.2.

    Args:
        matrix: shape `(rows, columns)`, any float type.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
