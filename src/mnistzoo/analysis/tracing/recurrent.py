"""Recurrent layers in a few operators; PyTorch runs several for each step."""

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
def fast_recurrent_layers(module: nn.Module) -> Iterator[None]:
    """Trace recurrent layers in a time that does not grow with the sequence.

    Their results have the right shapes, cost as many MACs, and depend on the whole sequence and on
    the initial state. Their values are wrong.
    """
    if any(isinstance(part, nn.RNNBase) for part in module.modules()):
        with _FastRecurrentLayers():
            yield
    else:
        yield


class _FastRecurrentLayers(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _GATES and not kwargs and len(args) == 9 and isinstance(args[3], bool):
            return _run_layers(name, *args)  # a packed sequence has its sizes in place of the flag
        return func(*args, **(kwargs or {}))


def _run_layers(
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
    """Return all outputs and the last states, as `torch.lstm` and `torch.gru` do."""
    states = [state] if isinstance(state, Tensor) else list(state)
    directions = 2 if bidirectional else 1
    count = len(weights) // (num_layers * directions)
    x = x.transpose(0, 1) if batch_first else x
    last: list[list[Tensor]] = []
    for layer in range(num_layers):
        outputs = []
        for number in range(layer * directions, (layer + 1) * directions):
            own = weights[number * count : (number + 1) * count]
            initial = [one[number] for one in states]
            output, cell = _run_direction(_GATES[name], x, initial, own, has_biases)
            outputs.append(output)
            last.append([output[-1], cell[-1]][: len(states)])
        x = torch.cat(outputs, dim=2)
    x = x.transpose(0, 1) if batch_first else x
    return x, *(torch.stack(parts) for parts in zip(*last, strict=True))


def _run_direction(
    gates: int, x: Tensor, initial: list[Tensor], weights: list[Tensor], has_biases: bool
) -> tuple[Tensor, Tensor]:
    """Return outputs and cells of one layer in one direction, both of shape (steps, N, size)."""
    of_input, of_state, *others = weights
    biases, projection = (others[:2], others[2:]) if has_biases else ([], others)
    size, steps = of_state.shape[0] // gates, len(x)
    gated = linear(x, of_input)
    gated = gated + linear(gated[..., : of_state.shape[1]], of_state)
    for bias in biases:
        gated = gated + bias
    cell = gated[..., :size].sum(0, keepdim=True).expand(steps, -1, -1)
    for state in initial:
        cell = cell + state.sum(-1, keepdim=True)
    return (linear(cell, projection[0]) if projection else cell), cell
