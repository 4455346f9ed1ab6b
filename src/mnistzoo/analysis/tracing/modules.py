"""Which module is running: the calls of modules, and the rows that they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from threading import get_ident

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.analysis.table import Row


def tensors_of(output: object) -> list[Tensor]:
    """The tensors in an output: in tuples, dictionaries and dataclasses too, in their order."""
    items: Iterable[object]
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, list | tuple):
        items = output
    elif isinstance(output, dict):
        items = output.values()
    elif is_dataclass(output) and not isinstance(output, type):
        items = [getattr(output, entry.name) for entry in fields(output)]
    else:
        return []
    return [tensor for item in items for tensor in tensors_of(item)]


@dataclass(slots=True)
class ModuleCall:
    """One call of a module that has not returned yet."""

    path: str
    module: nn.Module
    input_shapes: list[tuple[int, ...]]
    first_row: int
    macs: int = 0
    has_inner_calls: bool = False

    def __str__(self) -> str:
        kind = type(self.module).__name__
        return f"layer {self.path!r} ({kind})" if self.path else f"the model ({kind})"


class ModuleTracker:
    """The stack of running modules, and the rows of those that have returned.

    Attributes:
        stack: calls that have not returned, the outermost first; after an error, where it rose.
        rows: one for each call of a layer, and one for each function that a module with inner
            layers calls itself.
        paths: the path of each module by its id; the first one, where it has several.
        outputs: for each path, the layout of what its last call returned, `None` where that was
            not made of the input.
    """

    def __init__(self, root: nn.Module, layout_of: Callable[[Tensor], Layout | None]) -> None:
        self.root = root
        self.layout_of = layout_of
        self.paths = {id(module): path for path, module in root.named_modules()}
        self.stack: list[ModuleCall] = []
        self.rows: list[Row] = []
        self.outputs: dict[str, Layout | None] = {}
        self.counted: set[int] = set()
        self.fields: dict[int, tuple[Layout, ReceptiveField]] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, calls of the root's modules in this thread are seen; the modules get no hook."""
        thread = get_ident()

        def enter(module: nn.Module, args: object) -> None:
            if get_ident() == thread and id(module) in self.paths:
                self._enter(module, args)

        def leave(module: nn.Module, args: object, output: object) -> None:
            if get_ident() == thread and id(module) in self.paths:
                self._leave(module, output)

        handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: object) -> None:
        if self.stack:
            self.stack[-1].has_inner_calls = True
        input_shapes = [tuple(tensor.shape) for tensor in tensors_of(args)]
        self.stack.append(ModuleCall(self.paths[id(module)], module, input_shapes, len(self.rows)))

    def _leave(self, module: nn.Module, output: object) -> None:
        while (frame := self.stack.pop()).module is not module:
            pass  # it raised an exception, which the network caught
        tensors = tensors_of(output)
        layouts = [self.layout_of(tensor) for tensor in tensors]
        made = [(x, y) for x, y in zip(tensors, layouts, strict=True) if y is not None]
        tensor, layout = made[0] if made else (tensors[0] if tensors else None, None)
        self.outputs[frame.path] = layout
        has_params = any(p is not None for p in frame.module._parameters.values())
        if not frame.has_inner_calls:
            del self.rows[frame.first_row :]
            self.rows.append(self._row(frame, tensor, layout, frame.macs, has_params))
        elif has_params:
            self.rows.append(self._row(frame, tensor, layout, 0, has_params))

    def _row(
        self,
        frame: ModuleCall,
        tensor: Tensor | None,
        layout: Layout | None,
        macs: int,
        params: bool,
    ) -> Row:
        return Row(
            frame.path,
            type(frame.module).__name__,
            () if tensor is None else unbatched(tensor),
            self.count(frame.module),
            macs,
            self.field_of(layout),
            params,
        )

    def function(self, name: str, out: Tensor, layout: Layout | None, macs: int) -> None:
        """Note a function that moves windows or multiplies, called by the running module itself."""
        if not self.stack:
            return
        frame = self.stack[-1]
        frame.macs += macs
        row = Row(frame.path, name, unbatched(out), 0, macs, self.field_of(layout))
        self.rows.append(row)

    def field_of(self, layout: Layout | None) -> ReceptiveField | None:
        """The record of a layout, made once for all the rows that have it."""
        if layout is None:
            return None
        if id(layout) not in self.fields:
            self.fields[id(layout)] = layout, receptive_field_of(layout)
        return self.fields[id(layout)][1]

    def count(self, module: nn.Module) -> int:
        """The module's own parameters that no earlier row has."""
        total = 0
        for parameter in module._parameters.values():
            if parameter is not None and id(parameter) not in self.counted:
                self.counted.add(id(parameter))
                total += parameter.numel()
        return total


def unbatched(tensor: Tensor) -> tuple[int, ...]:
    """The shape without the batch, where there is one."""
    shape = tuple(tensor.shape)
    return shape[1:] if shape[:1] == (1,) else shape


def receptive_field_of(layout: Layout) -> ReceptiveField:
    """The record of a layout."""
    return ReceptiveField.of(layout.axis_fields())
