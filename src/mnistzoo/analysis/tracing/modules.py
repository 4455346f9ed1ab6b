"""Which module is running, and the rows of the calls."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from mnistzoo.analysis.algebra.axis_field import AxisField
from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.analysis.row import Row
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.errors import AnalysisError


class Function(NamedTuple):
    """A call of a function, such as an addition, that is not a module."""

    name: str
    shape: tuple[int, ...]  # of the result, without the batch
    layout: Layout | None  # of the result
    macs: int
    output_bytes: int


@dataclass(slots=True)
class ModuleCall:
    """A call of a module that has not returned yet."""

    path: str
    module: nn.Module
    inputs: object  # positional arguments
    functions: list[Function] = field(default_factory=list)  # that it called itself, without a row
    macs: int = 0  # of the functions that it called itself
    has_inner_calls: bool = False  # it called a module

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the tensors among its positional arguments."""
        return [tuple(tensor.shape) for tensor in tensors_of(self.inputs)]

    def __str__(self) -> str:
        kind = type(self.module).__name__
        return f"layer {self.path!r} ({kind})" if self.path else f"the model ({kind})"


class ModuleTracker:
    """The stack of running modules, and the rows of those that have returned.

    Args:
        root: The model.
        layout_of: Function from a tensor to its layout. `None` if it does not depend on the input.
        batch_size: Number of inputs in the batch. Rows are for one of them.
    """

    def __init__(
        self, root: nn.Module, layout_of: Callable[[Tensor], Layout | None], batch_size: int = 1
    ) -> None:
        self.layout_of = layout_of
        self.batch_size = batch_size
        everywhere = list(root.named_modules(remove_duplicate=False))
        self.parts = dict(everywhere)
        self.paths: dict[int, str] = {}  # by id: the first one, if a module has several
        for path, module in everywhere:
            self.paths.setdefault(id(module), path)
        self.aliases = {path: self.paths[id(module)] for path, module in everywhere}
        self.stack: list[ModuleCall] = []  # outermost first; after an error: where it was raised
        self.rows: list[Row] = []
        self.outputs: dict[str, Layout | None] = {}  # of the last calls, by path
        self.blocks: dict[str, Row] = {}  # the last calls of modules that called inner ones
        self._counted: set[int] = set()
        self._fields: dict[Layout | tuple[AxisField, ...], ReceptiveField] = {}

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """Track calls of the root's modules in this thread, without hooks on the modules."""
        thread = get_ident()

        def enter(module: nn.Module, args: object) -> None:
            if id(module) not in self.paths:
                return
            if get_ident() == thread:
                self._enter(module, args)
            elif any(self.layout_of(tensor) is not None for tensor in tensors_of(args)):
                self._refuse_thread(module)

        def leave(module: nn.Module, args: object, output: object) -> None:
            if get_ident() == thread and id(module) in self.paths:
                self._leave(module, output)

        handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for call in self.stack:
                self._list_functions(call)

    def add_function(self, name: str, out: Tensor, layout: Layout | None, macs: int) -> None:
        """Record a function that the running module calls. Leaf modules list no functions."""
        if self.stack:
            call = self.stack[-1]
            call.macs += macs
            shape, size = self._without_batch(out), _bytes_of([out])  # it may be reshaped in place
            call.functions.append(Function(name, shape, layout, macs, size))
            if call.has_inner_calls:
                self._list_functions(call)

    def set_output(
        self, path: str, tensors: Sequence[Tensor]
    ) -> tuple[Tensor | None, Layout | None]:
        """Keep the first layout of what a module returned; return it and its tensor."""
        found = ((x, y) for x in tensors if (y := self.layout_of(x)) is not None)
        first = next(found, (tensors[0] if tensors else None, None))
        self.outputs[path] = first[1]
        return first

    def uncalled_rows(self, read: Container[Tensor] | None) -> list[Row]:
        """Return rows for modules with parameters that were not called, so that all count.

        Args:
            read: The tensors that an operator has read. Other parameters are unused. `None` if the
                model did not return.
        """
        rows = []
        for path, part in self.parts.items():
            own = _parameters_of(part) if path not in self.outputs else []
            new = [p for p in own if id(p) not in self._counted]
            if new:
                unused = 0 if read is None else sum(p.numel() for p in new if p not in read)
                kind, (count, size) = type(part).__name__, self._count(own)
                row = Row(path, kind, None, count, 0, None, False, unused, param_bytes=size)
                rows.append(row)
        return rows

    def _enter(self, module: nn.Module, args: object) -> None:
        if self.stack:
            self.stack[-1].has_inner_calls = True
            self._list_functions(self.stack[-1])
        self.stack.append(ModuleCall(self.paths[id(module)], module, args))

    def _refuse_thread(self, module: nn.Module) -> None:
        """Raise an error for a module that the model calls in another thread."""
        call = ModuleCall(self.paths[id(module)], module, ())
        raise AnalysisError(
            f"Expected a model that runs in one thread, got a call of {call} in another. "
            "Call all layers in the thread that calls the model."
        )

    def _leave(self, module: nn.Module, output: object) -> None:
        while (call := self.stack.pop()).module is not module:
            pass  # it raised an exception that the model caught
        tensors = tensors_of(output)
        tensor, layout = self.set_output(call.path, tensors)
        own, kind = _parameters_of(module), type(module).__name__
        macs = 0 if call.has_inner_calls else self._per_input(call.macs)
        shape = () if tensor is None else self._without_batch(tensor)
        count, size = self._count(own) if own else (0, 0)
        row = Row(
            *(call.path, kind, shape, count, macs, self._field_of(layout)),
            has_params=bool(own),
            output_bytes=self._per_input(_bytes_of(tensors)),
            param_bytes=size,
        )
        if call.has_inner_calls:
            self.blocks[call.path] = row
        if own or not call.has_inner_calls:
            self.rows.append(row)

    def _list_functions(self, call: ModuleCall) -> None:
        """Move the functions of a call to the rows."""
        for name, shape, layout, macs, size in call.functions:
            own, reads = self._per_input(macs), self._field_of(layout)
            made = self._per_input(size)
            self.rows.append(Row(call.path, name, shape, 0, own, reads, output_bytes=made))
        call.functions.clear()

    def _per_input(self, count: int) -> int:
        """Return the share of one input, rounded up: some functions run once for a batch."""
        return -(-count // self.batch_size)

    def _without_batch(self, tensor: Tensor) -> tuple[int, ...]:
        shape = tuple(tensor.shape)
        return shape[1:] if shape[:1] == (self.batch_size,) else shape

    def _field_of(self, layout: Layout | None) -> ReceptiveField | None:
        """Return the field of a layout. Rows with the same fields along the axes share it."""
        if layout is None:
            return None
        if layout not in self._fields:
            axes = layout.canonical().fields
            if axes not in self._fields:
                self._fields[axes] = ReceptiveField.along(axes)
            self._fields[layout] = self._fields[axes]
        return self._fields[layout]

    def _count(self, parameters: list[nn.Parameter]) -> tuple[int, int]:
        """Return how many parameters no earlier row has counted, and their bytes."""
        new = {id(p): p for p in parameters if id(p) not in self._counted}
        self._counted.update(new)
        return sum(p.numel() for p in new.values()), _bytes_of(new.values())


def _parameters_of(module: nn.Module) -> list[nn.Parameter]:
    """Return a module's own parameters."""
    return [p for p in module._parameters.values() if p is not None]


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
