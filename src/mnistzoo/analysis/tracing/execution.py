"""One pass of a model as it runs on the CPU, without data: what memory and time are counted from.

The pass of `trace` reads a model's meaning. It holds on to every tensor, and takes attention and
recurrent layers apart. This one calls the operators that eager execution calls, on fake tensors,
and frees them when eager execution does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.failures import explain
from mnistzoo.analysis.tracing.inputs import (
    check_kwargs,
    check_shape,
    floating_dtype,
    is_lazy_module,
)
from mnistzoo.analysis.tracing.meta_copies import MetaCopies
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.modules import ModuleCall, ModuleTracker
from mnistzoo.analysis.tracing.trace import unfused_attention
from mnistzoo.errors import AnalysisError, InputError, MnistZooError


class Observer(Protocol):
    """What a pass reports to."""

    def hold(self, tensors: Sequence[Tensor]) -> None:
        """Take note of the tensors that are there before the pass: parameters and inputs."""

    def observe(self, call: Call, running: ModuleCall) -> None:
        """Take note of a call of an operator, right after it, by the module that is running."""


@torch.inference_mode(False)  # inside, composite operators would arrive whole
def execute(
    module: nn.Module,
    input_shape: Sequence[int],
    kwargs: Mapping[str, Any] | None,
    observer: Observer,
    batch: int = 1,
    training: bool = False,
) -> None:
    """Run the forward pass of a model, and in training the backward pass, without data.

    The model is left as it was.

    Args:
        module: The model.
        input_shape: Shape of its first argument, without the batch.
        kwargs: Its other arguments, for that batch.
        observer: Is told of every operator.
        batch: Number of inputs in the batch.
        training: Whether to run it in training mode, and backward from the sum of its outputs.

    Raises:
        InputError: The model has lazy parameters, or rejects the input.
        UnknownOperatorError: An operator does not run without data.
        AnalysisError: The model does not.
    """
    if is_lazy_module(module):
        raise InputError("Expected initialized parameters, got lazy ones. Call the model once.")
    shape = (batch, *check_shape(input_shape))
    calls = ModuleTracker(module, lambda _: None)
    with preserve_module_state(module), _fake_tensors(calls, shape[1:]) as copies:
        images = torch.empty(shape, dtype=floating_dtype(module))
        copies.replace_in(module)
        given = copies.of(check_kwargs(kwargs))
        observer.hold([*copies.made, images])
        module.train(training)
        outermost = ModuleCall("", module, [], 0)

        def report(call: Call) -> None:
            observer.observe(call, calls.stack[-1] if calls.stack else outermost)

        with (
            unfused_attention(),
            torch.set_grad_enabled(training),
            calls.tracking(),
            _Reporter(report),
        ):
            output = module(images, **given)
            if training:
                _backward(output)


@contextmanager
def _fake_tensors(calls: ModuleTracker, shape: tuple[int, ...]) -> Iterator[MetaCopies]:
    """Run operators as on the CPU, but on tensors without values."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # imports sympy, which takes long

    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield MetaCopies(_fake_copy)
    except MnistZooError:
        raise
    except Exception as error:
        raise explain(error, calls, shape) from error


def _fake_copy(tensor: Tensor) -> Tensor:
    """Return a fake tensor on the CPU, wherever the model is."""
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _backward(output: object) -> None:
    """Run backward from the sum of all outputs that have a gradient.

    Raises:
        AnalysisError: None has.
    """
    sums = [tensor.sum() for tensor in tensors_of(output) if tensor.requires_grad]
    if not sums:
        raise AnalysisError(
            "Expected an output that requires a gradient, got none. Unfreeze a parameter."
        )
    torch.autograd.backward(sums)


class _Reporter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types here
    """Reports each call of an operator."""

    def __init__(self, report: Callable[[Call], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self._report = report

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        tensors = tensors_of([args, given])
        self._report(Call(func, args, given, out, tensors, lambda _: None, lambda tensor: tensor))
        return out
