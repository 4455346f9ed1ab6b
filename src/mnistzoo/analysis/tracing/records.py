"""One record per tensor: its layout, its values, its memory, and what it is a view of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor

from mnistzoo.analysis.algebra.layout import Layout
from mnistzoo.analysis.operators.base import Call, meta_copy
from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.errors import AnalysisError


@dataclass(slots=True, eq=False)
class TensorRecord:
    """The record of one tensor in a trace."""

    tensor: Tensor  # the one that the model holds
    is_meta: bool  # its values are unknown, and operators run on it on the meta device
    memory: Memory  # which its views share
    storage: int  # number of the memory that it had when it was recorded
    seen_writes: int  # how many of the writes to its memory its layout accounts for
    layout: Layout | None = None  # `None` if it does not depend on the input
    view: View | None = None  # the call that made it a view of another tensor
    copy: Callable[[TensorRecord], Tensor] | None = None  # for a tensor that came from outside
    _value: Tensor | None = None
    _meta: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """The tensor that operators run on in its place.

        It is the tensor itself if an operator made it, or a writable copy if it came from outside.
        """
        if self._value is None:
            self._value = self.copy(self) if self.copy else self.tensor
        return self._value

    @property
    def meta(self) -> Tensor:
        """Its value on the meta device, always the same tensor."""
        if self.is_meta:
            return self.value
        if self._meta is None:
            self._meta = meta_copy(self.value)
        return self._meta

    @property
    def is_stale(self) -> bool:
        """Whether the model gave the tensor other memory, as `y.data = x` does."""
        return storage_id(self.tensor) != self.storage

    @property
    def extent(self) -> range:
        """Where in its storage the tensor begins and ends, in elements."""
        start = self.tensor.storage_offset()
        steps = zip(self.tensor.shape, self.tensor.stride(), strict=True)
        return range(start, start + sum([(n - 1) * step for n, step in steps]) + 1)

    def overlaps(self, extents: Iterable[range]) -> bool:
        """Return whether any of some parts of its memory has an element of the tensor."""
        own = self.extent
        return any(part.start < own.stop and own.start < part.stop for part in extents)

    def forget_value(self) -> None:
        """Replace the value by its copy on the meta device."""
        self._value, self.is_meta = self.meta, True

    def set_layout(self, layout: Layout | None) -> None:
        """Set the layout.

        Raises:
            AnalysisError: A rule returned a layout that does not fit the tensor.
        """
        if layout is not None and not layout.fits(self.tensor.shape):
            shape = tuple(self.tensor.shape)
            raise AnalysisError(f"Expected a layout of shape {shape}, got {layout.dims}.")
        self.layout = layout

    def become_view(self, view: View) -> None:
        """Note that the tensor, whose geometry has changed, is a view of what it was."""
        self.view, self._meta = view, None


@dataclass(slots=True, eq=False)
class Memory:
    """The memory of a tensor and of its views, oldest records and writes first."""

    records: list[TensorRecord] = field(default_factory=list)
    writes: list[range] = field(default_factory=list)  # where each began and ended, in elements


class View(NamedTuple):
    """The call that made a view."""

    base: TensorRecord  # what it is a view of
    call: Call
    number: int  # among the results of the call


def storage_id(tensor: Tensor) -> int:
    """Return a number that only tensors with the same memory share, on the meta device too."""
    try:
        storage: int = tensor.untyped_storage()._cdata
    except (ValueError, NotImplementedError, RuntimeError):  # a lazy parameter, a sparse tensor
        return -id(tensor)
    return storage


def replace_in_view(
    view: View | None, old: TensorRecord, new: Tensor, base: TensorRecord | None = None
) -> View | None:
    """Return how a view was made, with one tensor in the call replaced by another."""
    if view is None:
        return None

    def swap(tensors: list[Tensor]) -> list[Tensor]:
        return [new if x is old.tensor else x for x in tensors]

    call, out = view.call, swap(tensors_of(view.call.out))
    args = (*swap([call.args[0]]), *call.args[1:])
    made = out[0] if isinstance(call.out, Tensor) else out
    call = replace(call, args=args, out=made, tensors=swap(call.tensors))
    return View(base or view.base, call, view.number)
