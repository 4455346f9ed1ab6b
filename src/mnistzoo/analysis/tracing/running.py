"""Running an operator on other tensors than those that the model passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mnistzoo.analysis.operators.base import Call
from mnistzoo.analysis.tracing.constants import META
from mnistzoo.analysis.tracing.containers import map_tensors, tensors_of


def run_on(call: Call, tensors: Sequence[Tensor], device: torch.device) -> Any:
    """Run an operator with the tensors among its arguments replaced, in their order."""
    rest = iter(tensors)
    args, kwargs = map_tensors(lambda _: next(rest), (call.args, call.kwargs))
    if "device" in kwargs:
        kwargs["device"] = device
    return call.overload.func(*args, **kwargs)


def run_on_meta(call: Call, tensors: Sequence[Tensor]) -> Any:
    """Return an operator's result on the meta device, or `None` if it does not run there."""
    try:
        return run_on(call, tensors, META)
    except (NotImplementedError, RuntimeError):
        return None


def written_tensors(call: Call) -> list[Tensor]:
    """Return the tensors that a call writes to."""
    written = call.overload.written
    return tensors_of([call[name] for name in written]) if written else []
