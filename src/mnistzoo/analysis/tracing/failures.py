"""Which error a user sees when a model raises an exception while it is traced."""

from __future__ import annotations

from torch import nn

from mnistzoo.analysis.tracing.modules import ModuleTracker
from mnistzoo.errors import AnalysisError, InputError, MnistZooError, UnknownOperatorError


def explain(error: Exception, calls: ModuleTracker, shape: tuple[int, ...]) -> MnistZooError:
    """Return the error to raise for an exception from inside a model.

    Args:
        error: The exception.
        calls: The tracker, which knows the running module.
        shape: Shape of the input, without the batch.
    """
    call = calls.stack[-1] if calls.stack else None
    place = str(call) if call else "the model"
    got = " and ".join(map(str, call.input_shapes)) if call else str((1, *shape))
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, NotImplementedError) or "fake impl" in reason:
        return UnknownOperatorError(
            f"Expected operators that run on the meta device, got one in {place} that does not "
            f"({reason}). Analyze the model before it is quantized, compiled or exported, and "
            "give operators of your own a fake kernel (torch.library.register_fake)."
        )
    if call and isinstance(call.module, nn.Embedding):
        return InputError(
            f"Expected a model with floating-point input, got {place}, which takes integers. "
            "Analyze the part that follows it."
        )
    if isinstance(error, RuntimeError | ValueError | IndexError | AssertionError):
        hint = f" If {shape[0]} is the batch, pass {shape[1:]}." if len(shape) > 3 else ""
        return InputError(
            f"Expected an input_shape that fits the model, got {shape}: {place} refused an input "
            f"of shape {got} ({reason}). Pass the shape of one input, such as "
            f"(channels, height, width).{hint}"
        )
    remedy = "Fix the model or analyze a part of it."
    if isinstance(error, TypeError) and "argument" in reason:
        remedy = "Pass its other arguments as kwargs, or wrap it in a module that takes one tensor."
    return AnalysisError(
        f"Expected a model that runs on the meta device, got {type(error).__name__} in {place} "
        f"for an input of shape {got} ({reason}). {remedy}"
    )
