"""Which error a user sees when a model raises an exception while it is traced."""

from __future__ import annotations

from torch import nn

from mnistzoo.analysis.tracing.arguments import Arguments
from mnistzoo.analysis.tracing.modules import ModuleTracker
from mnistzoo.errors import AnalysisError, InputError, MnistZooError, UnknownOperatorError

_HIGHER_ORDER = (
    "Higher-order operators such as torch.cond are not supported: {place} calls one. Call a branch "
    "in its place."
)

_UNSUPPORTED = {
    "fake impl": "Expected operators that run on the meta device, got one in {place} that does not "
    "({reason}). Analyze the model before it is quantized, compiled or exported, and give "
    "operators of your own a fake kernel (torch.library.register_fake).",
    "nested": "Nested tensors are not supported: {place} makes one ({reason}). Pad its sequences, "
    "or analyze a part of the model.",
    "does not require grad": "Gradients inside a model are not supported: {place} computes one "
    "({reason}). Analyze the part whose gradient it is.",
    "higherorderoperator": _HIGHER_ORDER,
    "for hop ": _HIGHER_ORDER,  # as torch 2.6 says it
    "flexattention": "flex_attention is not supported: {place} calls it ({reason}). Replace it by "
    "torch.nn.functional.scaled_dot_product_attention, which has the same MACs.",
}
"""What cannot be analyzed, by what torch's message has in it."""

_DEVICES = "CUDA", "NVIDIA", "unallocated storage"
"""What torch's message has in it if a model needs a GPU or the values of a tensor."""


def explain(error: Exception, calls: ModuleTracker, given: Arguments) -> MnistZooError:
    """Return the error to raise for an exception from inside a model that was called."""
    call = calls.stack[-1] if calls.stack else None
    place = str(call) if call else "the model"
    shapes = call.input_shapes if call else ()  # without those of keyword arguments
    got = " and ".join(map(str, shapes or [tuple(given.example.shape)]))
    reason = (str(error) or type(error).__name__).splitlines()[0]
    kinds = [kind for kind in _UNSUPPORTED if kind in reason.lower()]
    if kinds or isinstance(error, NotImplementedError):
        kind = kinds[0] if kinds else "fake impl"
        return UnknownOperatorError(_UNSUPPORTED[kind].format(place=place, reason=reason))
    looks_up = call and isinstance(call.module, nn.Embedding | nn.EmbeddingBag)
    if looks_up and given.example.is_floating_point():
        return InputError(
            f"Expected integers for {place}, got floating-point numbers. Pass an example in place "
            "of its shape, such as torch.zeros(1, 128, dtype=torch.long)."
        )
    if isinstance(error, RecursionError):
        return AnalysisError(
            f"Expected fewer nested modules, got a RecursionError at depth {len(calls.stack)}. "
            "Raise the limit: sys.setrecursionlimit(10_000)."
        )
    of_inputs = isinstance(error, RuntimeError | ValueError | IndexError | AssertionError)
    if of_inputs and not any(word in reason for word in _DEVICES):
        return InputError(
            f"Expected inputs that fit the model, got the shape {given.shape}: {place} refused an "
            f"input of shape {got} ({reason}). {_advice(given)}"
        )
    remedy = "Fix the model or analyze a part of it."
    if isinstance(error, TypeError) and "argument" in reason:
        remedy = "Pass its inputs as a dictionary with the names that its forward takes."
    return AnalysisError(
        f"Expected a model that runs on the meta device, got {type(error).__name__} in {place} "
        f"for an input of shape {got} ({reason}). {remedy}"
    )


def _advice(given: Arguments) -> str:
    """Return what to pass instead, after a model refused its inputs."""
    shape = given.shape
    if not given.example.is_meta:
        return "Pass an example that the model takes, with its batch."
    if len(shape) > 3:
        return (
            f"If {shape[0]} is the batch, drop it: pass {shape[1:]}. batch_size=… sets another "
            "than 1."
        )
    return (
        "Pass the shape of one input, such as (channels, height, width). For a model that needs "
        "more than one, pass batch_size=…"
    )
