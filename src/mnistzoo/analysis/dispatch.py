"""Every operator that runs, on tensors without data, each with the layout of what it makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.calls import Calls, tensors_of
from mnistzoo.analysis.layout import Layout
from mnistzoo.analysis.operators import RULES, Call, macs_of
from mnistzoo.analysis.operators.call import Layouts, Rule
from mnistzoo.analysis.operators.mixing import CONSTANT, pointwise
from mnistzoo.errors import AnalysisError, UnknownOperatorError

VALUES_NEEDED = frozenset(
    [
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
        "equal",
        "is_nonzero",
        "bincount",
        "repeat_interleave",
    ]
)
"""Operators whose result, or its shape, depends on values."""

SHOWN = frozenset(("mean", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"))
"""Functions that have rows besides those of `sliding`."""


UNARY_OR_BINARY = frozenset(
    [
        "relu",
        "sigmoid",
        "silu",
        "gelu",
        "hardswish",
        "hardsigmoid",
        "hardtanh",
        "tanh",
        "leaky_relu",
        "elu",
        "mul",
        "add",
        "sub",
    ]
)
"""Pointwise operators whose result has the shape and the dtype of arguments that agree in both."""


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch types it not
    """Runs operators on `meta` tensors, and follows what their results see.

    A tensor that comes from outside, such as a parameter, is never written to: where it meets the
    input, an empty stand-in of its shape takes its place; small tensors of integers are copied, so
    that control flow may read them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.calls: Calls | None = None
        self.last_map: Layout | None = None
        self.read: set[int] = set()
        self._layouts: dict[int, Layout] = {}
        self._stand_ins: dict[int, Tensor] = {}
        self._alive: dict[int, Tensor] = {}
        self._kinds: dict[Any, tuple[str, Rule | None]] = {}

    def layout_of(self, tensor: Any) -> Layout | None:
        """The layout of a tensor; `None` if it is not made of the input."""
        if not self._layouts or not isinstance(tensor, Tensor):
            return None
        stand_in = self._stand_ins.get(id(tensor), tensor)
        return self._layouts.get(id(stand_in))

    def track(self, tensor: Tensor, layout: Layout | None) -> None:
        """Give a tensor a layout, and keep it, so that no other takes its identity."""
        self._alive[id(tensor)] = tensor
        if layout is None:
            self._layouts.pop(id(tensor), None)
            return
        if layout.shape != tuple(tensor.shape) or not layout.is_sound():
            raise AnalysisError(f"a rule made {layout.dims} of the shape {tuple(tensor.shape)}")
        self._layouts[id(tensor)] = layout

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator, and note what it does."""
        kwargs = kwargs or {}
        name, rule = self._kind(func)
        tensors = tensors_of([args, kwargs])
        self.read.update(map(id, tensors))
        given = {id(tensor): self._inside(tensor, name) for tensor in tensors}
        on_meta = any(tensor.is_meta for tensor in given.values())
        if on_meta and name in VALUES_NEEDED:
            raise AnalysisError(
                f"expected a network whose course does not depend on values, got {func} in "
                f"{self._place()}; replace the `if`, `.item()` or mask that reads values there."
            )
        if on_meta:
            given = {key: self._on_meta(tensor) for key, tensor in given.items()}
            if "device" in kwargs:
                kwargs = {**kwargs, "device": torch.device("meta")}
        out = self._same_shape(func, name, given) if on_meta else None
        if out is None:
            out = func(*_replaced(args, given), **_replaced(kwargs, given))
        call = Call(func, args, kwargs, out, tensors, self.layout_of)
        if any(self.layout_of(tensor) is not None for tensor in tensors):
            self._follow(call, name, rule)
        else:
            for tensor in tensors_of(out):
                self.track(tensor, None)
            self._note(name, call, None)
        return out

    def _same_shape(self, func: Any, name: str, given: dict[int, Tensor]) -> Any:
        """The result of a simple operator without running torch's slow rules for its shape."""
        first, *others = given.values()
        if not first.is_floating_point():
            return None
        if name in UNARY_OR_BINARY and all(
            other.shape == first.shape and other.dtype == first.dtype for other in others
        ):
            return first if func._schema.name.endswith("_") else torch.empty_like(first)
        if name == "native_batch_norm" and all(x.shape == first.shape[1:2] for x in others):
            return torch.empty_like(first), first.new_empty(0), first.new_empty(0)
        return None

    def _kind(self, func: Any) -> tuple[str, Rule | None]:
        """The operator's name, and the rule for it."""
        if func not in self._kinds:
            name = func._schema.name.partition("::")[2]
            if name.endswith("_") and not name.endswith("__"):
                name = name[:-1]
            rule = RULES.get(name)
            if rule is None and torch.Tag.pointwise in func.tags:
                rule = pointwise
            self._kinds[func] = name, rule
        return self._kinds[func]

    def _inside(self, tensor: Tensor, name: str) -> Tensor:
        """A tensor that may be written to: what was made inside itself, else what stands for it."""
        key = id(tensor)
        if key in self._stand_ins:
            return self._stand_ins[key]
        if key in self._alive or name == "lift_fresh":
            return tensor
        self._alive[key] = tensor
        if not tensor.is_meta:
            floating = tensor.is_floating_point() or tensor.is_complex()
            stand_in = _empty(tensor) if floating else tensor.clone()
            self._stand_ins[key] = self._alive[id(stand_in)] = stand_in
            return stand_in
        return tensor

    def _on_meta(self, tensor: Tensor) -> Tensor:
        return tensor if tensor.is_meta else _empty(tensor)

    def _follow(self, call: Call, name: str, rule: Rule | None) -> None:
        """Give the results their layouts."""
        if name in CONSTANT:
            layouts: Layouts = None
        elif rule is None:
            raise UnknownOperatorError(
                f"expected operators whose window is known, got {call.func} in {self._place()}; "
                "replace it by known ones, or report it."
            )
        else:
            try:
                layouts = rule(call)
            except (AnalysisError, UnknownOperatorError) as error:
                raise type(error)(f"{self._place()}, {call.func}: {error}") from error
        made = tensors_of(call.out)
        several = layouts if isinstance(layouts, list) else self._repeated(layouts, made)
        for tensor, layout in zip(made, several, strict=True):
            self.track(tensor, layout)
        first = several[0] if several else None
        if first is not None and first.live():
            self.last_map = first
        self._note(name, call, first)

    def _repeated(self, layout: Layout | None, made: list[Tensor]) -> list[Layout | None]:
        """The layout for every result of its shape, as indices have beside maxima."""
        return [layout if layout and layout.shape == tuple(x.shape) else None for x in made]

    def _note(self, name: str, call: Call, layout: Layout | None) -> None:
        macs = macs_of(name, call)
        rule = RULES.get(name)
        moves = layout is not None and rule is not None and rule.__module__.endswith("sliding")
        if self.calls and (macs or moves or (layout and name in SHOWN)):
            self.calls.function(name.removesuffix("_with_indices"), call.result, layout, macs)

    def _place(self) -> str:
        return str(self.calls.stack[-1]) if self.calls and self.calls.stack else "the network"


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _replaced(value: Any, given: dict[int, Tensor]) -> Any:
    """Arguments with tensors replaced."""
    if isinstance(value, Tensor):
        return given[id(value)]
    if isinstance(value, dict):
        return {key: _replaced(item, given) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, given) for item in value)
    return value
