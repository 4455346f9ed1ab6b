"""Recurrent layers in a few operators, where torch has several for each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


@contextmanager
def in_few_operators(module: nn.Module) -> Iterator[None]:
    """Inside, recurrent layers of a module take no longer for more steps.

    What comes out has the right shapes, sees what it may see, and costs what it costs: every place
    is taken to see the whole sequence and the initial state. The values are others.
    """
    if any(isinstance(part, nn.RNNBase) for part in module.modules()):
        with _InFewOperators():
            yield
    else:
        yield


class _InFewOperators(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _GATES and not kwargs and len(args) == 9 and isinstance(args[3], bool):
            return _layers(name, *args)  # a packed sequence has its sizes among the arguments
        return func(*args, **(kwargs or {}))


def _layers(
    name: str,
    x: Tensor,
    state: Tensor | tuple[Tensor, Tensor],
    weights: list[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """What `torch.lstm`, `torch.gru` and `torch.rnn_…` return: all outputs, and the last states."""
    states = [state] if isinstance(state, Tensor) else list(state)
    directions = 2 if bidirectional else 1
    count = len(weights) // (num_layers * directions)
    x = x.transpose(0, 1) if batch_first else x
    last: list[list[Tensor]] = []
    for layer in range(num_layers):
        made = []
        for number in range(layer * directions, (layer + 1) * directions):
            own = weights[number * count : (number + 1) * count]
            begun = [one[number] for one in states]
            output, cell = _direction(_GATES[name], x, begun, own, has_biases)
            made.append(output)
            last.append([output[-1], cell[-1]][: len(states)])
        x = torch.cat(made, dim=2)
    x = x.transpose(0, 1) if batch_first else x
    return x, *(torch.stack(parts) for parts in zip(*last, strict=True))


def _direction(
    gates: int, x: Tensor, begun: list[Tensor], weights: list[Tensor], has_biases: bool
) -> tuple[Tensor, Tensor]:
    """All outputs and all cells of one layer in one direction, shape `(steps, N, size)` each."""
    of_input, of_state, *others = weights
    biases, projection = (others[:2], others[2:]) if has_biases else ([], others)
    size, steps = of_state.shape[0] // gates, len(x)
    made = linear(x, of_input)
    made = made + linear(made[..., : of_state.shape[1]], of_state)
    for bias in biases:
        made = made + bias
    cell = made[..., :size].sum(0, keepdim=True).expand(steps, -1, -1)
    for state in begun:
        cell = cell + state.sum(-1, keepdim=True)
    return (linear(cell, projection[0]) if projection else cell), cell
