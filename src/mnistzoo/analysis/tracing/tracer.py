"""Every operator that runs, on tensors without data, each with the layout of what it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.algebra.joins import expand
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators import MOVING, RULES, Call, macs_of
from mnistzoo.analysis.operators.mixing import CONSTANT, pointwise
from mnistzoo.analysis.operators.registry import Layouts, Rule
from mnistzoo.analysis.tracing.modules import ModuleTracker, tensors_of
from mnistzoo.analysis.tracing.writes import written
from mnistzoo.errors import AnalysisError, UnknownOperatorError

VALUES_NEEDED = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
    *("_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
}
"""Operators whose result, or its shape, depends on values."""

SHOWN = MOVING | {"mean"}
"""Functions that have rows, beside those with multiply-accumulates."""

SAME_SHAPE = {
    *("relu", "sigmoid", "silu", "gelu", "hardswish", "hardsigmoid", "hardtanh", "tanh"),
    *("leaky_relu", "elu", "mul", "add", "sub", "_softmax", "_log_softmax", "_safe_softmax"),
}
"""Operators whose result has the shape and the dtype of arguments that agree in both."""

CPU, META = torch.device("cpu"), torch.device("meta")

MAX_KEPT = 2**20
"""Of a tensor of more entries no values are kept; a mask of 1,024 tokens has as many."""

MAY_GROW = 2**10
"""Of tensors with no more entries, no operator on two makes one that is not kept."""


class LayoutTracer(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch types it not
    """Runs operators on `meta` tensors, and follows what their results see.

    A tensor that comes from outside, such as a parameter, is never written to: where it meets the
    input, an empty stand-in of its shape takes its place. What is no parameter keeps its values
    until then, so that control flow may read them; see `MAX_KEPT`.

    Args:
        on_meta: whether the network's own tensors are there too; floats that it makes then are.
    """

    def __init__(self, on_meta: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.on_meta = on_meta
        self.calls: ModuleTracker | None = None
        self.last_map: Layout | None = None
        self.read: set[int] = set()
        self._layouts: dict[int, Layout] = {}
        self._stand_ins: dict[int, Tensor] = {}
        self._twins: dict[int, Tensor] = {}
        self._storages: dict[int, int] = {}
        self._stored: dict[int, list[Tensor]] = {}
        self._alive: dict[int, Tensor] = {}
        self._views: dict[int, tuple[Tensor, Call, int]] = {}
        self._views_of: dict[int, list[Tensor]] = {}

    @contextmanager
    def telling(self, calls: ModuleTracker) -> Iterator[None]:
        """Inside, functions are noted as part of the calls of modules."""
        self.calls = calls
        try:
            yield
        finally:
            self.calls = None  # or the two would wait for the garbage collector

    def layout_of(self, tensor: Any) -> Layout | None:
        """The layout of a tensor; `None` if it is not made of the input."""
        if isinstance(tensor, Tensor) and tensor.is_meta:
            self._recognize(tensor)
        return self._known(tensor)

    def _known(self, tensor: Any) -> Layout | None:
        return self._layouts.get(id(self._now(tensor)))

    def _now(self, tensor: Tensor) -> Tensor:
        return self._stand_ins.get(id(tensor), tensor)

    def _call(
        self, func: Any, args: Any, kwargs: dict[str, Any], out: Any, tensors: list[Tensor]
    ) -> Call:
        return Call(func, args, kwargs, out, tensors, self._known, self._now)

    def track(self, tensor: Tensor, layout: Layout | None) -> None:
        """Give a tensor a layout, and keep it, so that no other takes its identity."""
        self._alive[id(tensor)] = tensor
        self._storages[id(tensor)] = storage = _storage(tensor)
        if tensor.is_meta:
            self._stored.setdefault(storage, []).append(tensor)
        if layout is None:
            self._layouts.pop(id(tensor), None)
            return
        if layout.shape != tuple(tensor.shape) or not layout.is_valid():
            raise AnalysisError(f"a rule made {layout.dims} of the shape {tuple(tensor.shape)}")
        self._layouts[id(tensor)] = layout

    def _recognize(self, tensor: Tensor) -> None:
        """Give a tensor that no operator made the layout of the one whose memory it has.

        So it is with `as_subclass`, `nn.Parameter(x)` and `y.data = x`.
        """
        if is_lazy(tensor):
            return
        storage = _storage(tensor)
        if self._storages.get(id(tensor)) == storage:
            return
        here = [other for other in self._stored.get(storage, ()) if _storage(other) == storage]
        same = [other for other in here if _geometry(other) == _geometry(tensor)]
        self.track(tensor, self._layouts.get(id(same[-1])) if same else None)
        if same:
            alias = torch.ops.aten.alias.default
            self._note_views(self._call(alias, (same[-1],), {}, tensor, same[-1:]))
        elif any(id(other) in self._layouts for other in here):
            raise AnalysisError(
                f"expected tensors that operators make of the input, got one in {self._place()} "
                "that has part of another's memory; write it as an operator."
            )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator, and note what it does."""
        kwargs = kwargs or {}
        name, rule = _kind(func)
        if rule is None and _is_composite(func):  # as they arrive in `torch.inference_mode`
            with self:
                return func.decompose(*args, **kwargs)
        if name in ("index", "index_put"):
            args = (args[0], self._numbers(args[1]), *args[2:])
        tensors = tensors_of([args, kwargs])
        for tensor in tensors:
            self.read.add(id(tensor))
            if tensor.is_meta:
                self._recognize(tensor)
        out = self._run(func, name, tensors, args, kwargs)
        call = self._call(func, args, kwargs, out, tensors)
        if _is_view(func):
            self._note_views(call)
        if any(self._known(tensor) is not None for tensor in tensors):
            self._follow(call, name)
            for target in _written_to(call):
                self._write_back(target)
        else:
            for tensor in tensors_of(out):
                self._recognize(tensor)
            self._note(name, call, None)
        return out

    def _run(
        self, func: Any, name: str, tensors: list[Tensor], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """What the operator returns, on `meta` if any of its arguments is there."""
        given = {id(tensor): self._inside(tensor, name) for tensor in tensors}
        random = torch.Tag.nondeterministic_seeded in func.tags
        on_meta = random or any(tensor.is_meta for tensor in given.values())
        masked = name == "index" and any(tensor.dtype == torch.bool for tensor in tensors[1:])
        if on_meta and (masked or name in VALUES_NEEDED):
            raise AnalysisError(
                f"expected a network whose course does not depend on values, got {func} in "
                f"{self._place()}; replace the `if`, `.item()` or mask that reads values there."
            )
        if on_meta:
            changed = self._changed_in(func, args, kwargs) if _changed(func) else ()
            given = {
                key: self._on_meta(key, tensor) if key in changed else self._twin(tensor)
                for key, tensor in given.items()
            }
            kwargs = _placed(kwargs, META)
            out = self._same_shape(func, name, given) if given else None
            if out is not None:
                return out
        elif "device" in kwargs:
            kwargs = _placed(kwargs, self._device(func, name, tensors, args, kwargs))
        elif any(tensor.numel() > MAY_GROW for tensor in tensors) and not _changed(func):
            given = self._twins_if_large(func, name, args, kwargs, given)
        if all(given[id(tensor)] is tensor for tensor in tensors):
            return func(*args, **kwargs)
        return func(*_replaced(args, given), **_replaced(kwargs, given))

    def _device(
        self, func: Any, name: str, tensors: list[Tensor], args: Any, kwargs: dict[str, Any]
    ) -> torch.device:
        """Where a constant is made, so that its values are kept if they may be."""
        device: torch.device = kwargs["device"]
        if device != META and (tensors or not self.on_meta):
            return device
        made = func(*args, **_placed(kwargs, META))
        kept = made.numel() <= MAX_KEPT and not name.startswith("empty")
        return CPU if kept and not (self.on_meta and made.is_floating_point()) else META

    def _twins_if_large(
        self, func: Any, name: str, args: Any, kwargs: dict[str, Any], given: dict[int, Tensor]
    ) -> dict[int, Tensor]:
        """Constants for an operator, without data where what it makes of them is too large."""
        if _is_view(func) or name in VALUES_NEEDED:
            return given
        twins = {key: self._twin(tensor) for key, tensor in given.items()}
        try:
            made = func(*_replaced(args, twins), **_replaced(kwargs, twins))
        except (NotImplementedError, RuntimeError):  # it does not run without data
            return given
        return twins if any(x.numel() > MAX_KEPT for x in tensors_of(made)) else given

    def _numbers(self, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Indices with masks of known values replaced by the places where they are true."""
        found: list[Tensor | None] = []
        for index in indices:
            known = index if index is None else self._inside(index, "")
            if known is None or known.dtype != torch.bool or known.is_meta:
                found.append(index)
            else:
                found.extend(known.nonzero(as_tuple=True))
        return found

    def _same_shape(self, func: Any, name: str, given: dict[int, Tensor]) -> Any:
        """The result of a simple operator without running torch's slow rules for its shape."""
        first, *others = given.values()
        if not first.is_floating_point() or not first.is_contiguous():
            return None
        alike = all(x.shape == first.shape and x.dtype == first.dtype for x in others)
        if name in SAME_SHAPE and alike and "out" not in _changed(func):
            return first if _changed(func) else _empty(first)
        if name == "native_batch_norm" and all(x.shape == first.shape[1:2] for x in others):
            nothing = torch.empty(0, device="meta")
            return _empty(first), nothing, nothing
        return None

    def _inside(self, tensor: Tensor, name: str) -> Tensor:
        """A tensor that may be written to: what was made inside itself, else what stands for it."""
        key = id(tensor)
        if key in self._stand_ins:
            return self._stand_ins[key]
        if key in self._alive or name == "lift_fresh":
            return tensor
        self._alive[key] = tensor
        if not tensor.is_meta:
            kept = not isinstance(tensor, nn.Parameter) and tensor.numel() <= MAX_KEPT
            stand_in = tensor.clone() if kept else _empty(tensor)
            self._stand_ins[key] = self._alive[id(stand_in)] = stand_in
            return stand_in
        return tensor

    def _changed_in(self, func: Any, args: Any, kwargs: dict[str, Any]) -> set[int]:
        """Which of the arguments the operator writes to."""
        return set(map(id, _written_to(self._call(func, args, kwargs, None, []))))

    def _twin(self, tensor: Tensor) -> Tensor:
        """A tensor without data beside one whose values are kept."""
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self._twins:
            self._twins[id(tensor)] = twin = _empty(tensor)
            self._alive[id(twin)] = twin
        return self._twins[id(tensor)]

    def _on_meta(self, key: int, tensor: Tensor) -> Tensor:
        """A tensor without data in place of another, whose values are lost from here on."""
        if tensor.is_meta:
            return tensor
        stand_in = self._stand_ins[key] = _empty(tensor)
        self._alive[id(stand_in)] = stand_in
        return stand_in

    def _follow(self, call: Call, name: str) -> None:
        """Give the results their layouts."""
        layouts = self._layouts_of(call)
        for tensor, layout in zip(tensors_of(call.out), layouts, strict=True):
            self.track(tensor, layout)
        first = layouts[0] if layouts else None
        if first is not None and first.axes():
            self.last_map = first
        self._note(name, call, first)

    def _layouts_of(self, call: Call) -> list[Layout | None]:
        """The layout of each result, by the operator's rule."""
        made = tensors_of(call.out)
        name, rule = _kind(call.func)
        if name in CONSTANT:
            return [None] * len(made)
        if not any(tensor.ndim for tensor in (*call.tensors, *made)):
            rule = pointwise  # numbers without a dimension, whatever is made of them
        if rule is None:
            raise UnknownOperatorError(
                f"expected operators whose window is known, got {call.func} in {self._place()}; "
                "replace it by known ones, or report it."
            )
        try:
            layouts: Layouts = rule(call)
        except (AnalysisError, UnknownOperatorError) as error:
            raise type(error)(f"{self._place()}, {call.func}: {error}") from error
        if isinstance(layouts, list):
            return layouts
        return [layouts, *(_beside(layouts, tensor) for tensor in made[1:])]

    def _note_views(self, call: Call) -> None:
        """Remember whose memory the results share."""
        base = root = call.args[0]
        while id(root) in self._views:
            root, _, _ = self._views[id(root)]
        for number, view in enumerate(tensors_of(call.out)):
            if view is not base:  # a tensor written as a list of numbers is its own view
                self._views[id(view)] = base, call, number
                self._views_of.setdefault(id(root), []).append(view)

    def _write_back(self, target: Tensor) -> None:
        """Tell what shares its memory that a tensor was written to.

        First what it is a view of, up to the whole; then other views of that, oldest first.
        """
        layout, told, memory = self._known(target), {id(target)}, _memory(target)
        while id(target) in self._views:
            base, view, number = self._views[id(target)]
            if layout is not None:
                layout = written(view, number, layout, self._known(base))
                self.track(self._on_meta(id(base), self._inside(base, "")), layout)
            target = base
            told.add(id(target))
        for other in self._views_of.get(id(target), ()):
            base, view, number = self._views[id(other)]
            apart = _memory(other).start >= memory.stop or memory.start >= _memory(other).stop
            if not apart and id(other) not in told and self._known(base) is not None:
                layout = self._layouts_of(view)[number]
                self.track(self._on_meta(id(other), self._inside(other, "")), layout)

    def _note(self, name: str, call: Call, layout: Layout | None) -> None:
        macs = macs_of(name, call)
        if self.calls and (macs or (layout and name in SHOWN)):
            self.calls.function(name.removesuffix("_with_indices"), call.result, layout, macs)

    def _place(self) -> str:
        return str(self.calls.stack[-1]) if self.calls and self.calls.stack else "the network"


@cache
def _kind(func: Any) -> tuple[str, Rule | None]:
    """The operator's name, without the underscore of in-place ones, and the rule for it."""
    name = func._schema.name.partition("::")[2]
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    tagged = pointwise if torch.Tag.pointwise in func.tags else None
    return name, RULES.get(name) or RULES.get(name.removesuffix("_copy"), tagged)


def _beside(layout: Layout | None, other: Tensor) -> Layout | None:
    """The layout of a further result: the same, or where its shape is another, all that is seen."""
    if layout is None or layout.shape == tuple(other.shape):
        return layout
    return expand(layout.union_all(), other.shape) if other.numel() else None


def _storage(tensor: Tensor) -> int:
    """What tells the memory of a tensor from that of others, on `meta` too."""
    storage: int = tensor.untyped_storage()._cdata
    return storage


def _geometry(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset()


def _memory(tensor: Tensor) -> range:
    """Where in its storage a tensor begins and ends, in elements."""
    start = tensor.storage_offset()
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return range(start, start + sum((size - 1) * step for size, step in steps) + 1)


@cache
def _is_composite(func: Any) -> bool:
    """Whether the operator is made of others."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


@cache
def _is_view(func: Any) -> bool:
    """Whether what the operator returns shares the memory of its first argument."""
    returned = func._schema.returns
    return bool(returned and returned[0].alias_info and not returned[0].alias_info.is_write)


def _written_to(call: Call) -> list[Tensor]:
    """The arguments that the operator changes."""
    return tensors_of([call[name] for name in _changed(call.func)])


@cache
def _changed(func: Any) -> tuple[str, ...]:
    """The names of the arguments that the operator changes."""
    arguments = func._schema.arguments
    return tuple(a.name for a in arguments if a.alias_info and a.alias_info.is_write)


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _placed(kwargs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Arguments that make a tensor on that device, where they say where."""
    return kwargs | {"device": device} if "device" in kwargs else kwargs


def _replaced(value: Any, given: dict[int, Tensor]) -> Any:
    """Arguments with tensors replaced."""
    if isinstance(value, Tensor):
        return given[id(value)]
    if isinstance(value, dict):
        return {key: _replaced(item, given) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, given) for item in value)
    return value
