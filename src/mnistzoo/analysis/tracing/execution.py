"""One pass of a model as it runs on the CPU, without data: what memory and time are counted from.

The pass of `trace` reads a model's meaning. It holds on to every tensor, and takes attention and
recurrent layers apart. This one calls the operators that eager execution calls, on fake tensors,
and frees them when eager execution does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.operators import fakes
from mnistzoo.analysis.operators.base import Call, Overload
from mnistzoo.analysis.operators.registry import overload_of
from mnistzoo.analysis.tracing.arguments import Arguments
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.analysis.tracing.failures import explain
from mnistzoo.analysis.tracing.inputs import is_lazy_module
from mnistzoo.analysis.tracing.meta_copies import MetaCopies
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.modules import ModuleCall, ModuleTracker
from mnistzoo.analysis.tracing.trace import uncompiled, unfused_attention
from mnistzoo.errors import AnalysisError, InputError, MnistZooError


class Observer(Protocol):
    """The receiver of a pass's operators."""

    def hold(self, tensors: Sequence[Tensor]) -> None:
        """Take note of the tensors that are there before the pass: parameters and inputs."""

    def observe(self, call: Call, running: ModuleCall) -> None:
        """Take note of a call of an operator, right after it, by the module that is running."""


@torch.inference_mode(False)  # inside, composite operators would arrive whole
def execute(
    module: nn.Module, given: Arguments, observer: Observer, batch_size: int, training: bool = False
) -> None:
    """Run the forward pass of a model without data, and let an observer see every operator.

    The model is left as it was. In training, it runs in training mode, and backward from the sum
    of its outputs. The batch has `batch_size` inputs, whatever the arguments have.

    Raises:
        InputError: The model has lazy parameters, or rejects the inputs.
        UnknownOperatorError: An operator does not run without data.
        AnalysisError: The model does not.
    """
    if is_lazy_module(module.modules()):
        raise InputError("Expected initialized parameters, got lazy ones. Call the model once.")
    calls = ModuleTracker(module, lambda _: None, batch_size)
    with preserve_module_state(module), _fake_tensors(calls, given):
        weights = MetaCopies(_fake_copy)
        weights.replace_in(module)
        inputs = MetaCopies(lambda tensor: _with_batch(tensor, given.batch_size, batch_size))
        positional, named = map(inputs.of, given.holding(given.example))
        observer.hold([*weights.made, *inputs.made])
        if training:  # an exported model has no mode to set
            module.train()
        with (
            unfused_attention(),
            uncompiled(),
            torch.set_grad_enabled(training),
            calls.tracking(),
        ):
            _observe(module, calls, observer, positional, named)


def _observe(
    module: nn.Module,
    calls: ModuleTracker,
    observer: Observer,
    positional: tuple[Any, ...],
    named: dict[str, Any],
) -> None:
    """Call a module, in training also the backward pass, and report every operator."""
    outermost = ModuleCall("", module, ())

    def report(call: Call) -> None:
        observer.observe(call, calls.stack[-1] if calls.stack else outermost)

    with _Reporter(report):
        output = module(*positional, **named)
        if module.training:
            _backward(output)


@contextmanager
def _fake_tensors(calls: ModuleTracker, given: Arguments) -> Iterator[None]:
    """Run operators as on the CPU, but on tensors without values."""
    from torch._subclasses import fake_tensor as fake  # imports sympy, which takes long

    try:
        with fake.FakeTensorMode(allow_non_fake_inputs=True):
            yield
    except MnistZooError:
        raise
    except (fake.DataDependentOutputException, fake.DynamicOutputShapeException) as error:
        place = calls.stack[-1] if calls.stack else "the model"
        raise AnalysisError(
            f"Memory and time are known only if they do not depend on values, got {error.func} in "
            f"{place}. Analyze a part of the model."
        ) from error
    except Exception as error:
        raise explain(error, calls, given) from error


def _fake_copy(tensor: Tensor) -> Tensor:
    """Return a fake tensor on the CPU, wherever the model is."""
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _with_batch(tensor: Tensor, own: int, batch_size: int) -> Tensor:
    """Return a fake argument for another batch size, if it has the batch."""
    if own == batch_size or tensor.ndim == 0 or tensor.shape[0] != own:
        return _fake_copy(tensor)
    return torch.empty(batch_size, *tensor.shape[1:], dtype=tensor.dtype, device="cpu")


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
        given, overload = kwargs or {}, overload_of(func)
        if overload.is_composite:
            with self:  # in `torch.inference_mode` only
                return func.decompose(*args, **given)
        out = _run(func, overload, args, given)
        found, itself = tensors_of([args, given]), lambda tensor: tensor
        self._report(Call(overload, args, given, out, found, lambda _: None, itself))
        return out


def _run(func: Any, overload: Overload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operator on fake tensors."""
    if overload.name == "aten::_grouped_mm":  # torch's kernel refuses float32
        made = fakes.grouped_mm(*args, **kwargs)
        if made is not None:
            return torch.empty_like(made, device="cpu")
    return func(*args, **kwargs)
