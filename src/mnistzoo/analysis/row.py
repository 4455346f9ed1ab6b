"""One row of an analysis, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mnistzoo.analysis.field import ReceptiveField


@dataclass(frozen=True)
class Row:
    """One call of a layer, or of a function that a module with inner layers calls itself.

    Attributes:
        path: The module's path, as in `named_modules`. For a function, the calling module's.
        kind: Class of the module or name of the function.
        output_shape: Shape of the first tensor returned, without the batch. `None` if the module
            was not called.
        num_params: The module's own parameters. Shared ones count in the first row that has them.
        macs: Multiply-accumulates for one input, without the bias.
        receptive_field: Receptive field of the output. `None` if the output does not depend on the
            input.
        has_params: Whether the module has parameters, counted in this row or in an earlier one.
        unused_params: Number of its parameters that no operator read.
        output_bytes: Bytes of all tensors returned, for one image, in the dtypes that they have.
        param_bytes: Bytes of the parameters that `num_params` counts.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...] | None
    num_params: int
    macs: int
    receptive_field: ReceptiveField | None
    has_params: bool = False
    unused_params: int = 0
    output_bytes: int = 0
    param_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        shape, reads = self.output_shape, self.receptive_field
        numbers = ("num_params", "unused_params", "macs", "output_bytes", "param_bytes")
        return {
            "path": self.path,
            "kind": self.kind,
            "output_shape": None if shape is None else list(shape),
            **{name: getattr(self, name) for name in numbers},
            "receptive_field": reads and reads.to_dict(),
        }
