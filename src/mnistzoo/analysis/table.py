"""The result of an analysis as data: one row per call of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, overload

from mnistzoo.analysis import rendering
from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.tables import Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MIB = 2**20
FLOAT32_BYTES = 4


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
    """

    path: str
    kind: str
    output_shape: tuple[int, ...] | None
    num_params: int
    macs: int
    receptive_field: ReceptiveField | None
    has_params: bool = False
    unused_params: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        field = self.receptive_field
        return {
            "path": self.path,
            "kind": self.kind,
            "output_shape": self.output_shape and list(self.output_shape),
            "num_params": self.num_params,
            "unused_params": self.unused_params,
            "macs": self.macs,
            "receptive_field": field and field.to_dict(),
        }


@dataclass(frozen=True, repr=False)
class Analysis(Sequence[Row]):
    """Layers of a model with shapes, parameters, MACs and receptive fields.

    It is a sequence of rows. It prints as a table in a terminal and in a notebook.

    Attributes:
        rows: In the order of the calls. Layers that were not called come last.
        input_shape: Shape of one input, without the batch. Receptive fields are for this input.
        receptive_field: Receptive field of the last feature map, which is the last tensor with more
            than one unit along an axis. `None` if the input has no axes.
        output_receptive_field: Receptive field of the model's output. `None` if the output does not
            depend on the input.
        stopped_at: The operator that needed the values of a tensor, and the layer that called it.
            Rows and MACs end there, and there is no field of the output. `None` for a model that
            runs without values.
    """

    rows: tuple[Row, ...]
    input_shape: tuple[int, ...]
    receptive_field: ReceptiveField | None
    output_receptive_field: ReceptiveField | None
    stopped_at: str | None = None

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_params(self) -> int:
        """Number of parameters. Shared ones count once."""
        return sum(row.num_params for row in self.rows)

    @property
    def unused_params(self) -> int:
        """Number of parameters that no operator read."""
        return sum(row.unused_params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input, without biases."""
        return sum(row.macs for row in self.rows)

    @property
    def footprint_mib(self) -> float:
        """The study's memory footprint for one image in float32, in MiB.

        It adds up the input, the parameters, and twice the outputs of all layers with parameters:
        once for the values, once for their gradients. It is not what PyTorch allocates.
        """
        outputs = sum(prod(row.output_shape or (0,)) for row in self.rows if row.has_params)
        numbers = prod(self.input_shape) + 2 * outputs + self.num_params
        return numbers * FLOAT32_BYTES / MIB

    def to_dict(self) -> dict[str, Any]:
        """Return rows and totals as JSON values."""
        field, output = self.receptive_field, self.output_receptive_field
        return {
            "input_shape": list(self.input_shape),
            "num_params": self.num_params,
            "unused_params": self.unused_params,
            "macs": self.macs,
            "footprint_mib": self.footprint_mib,
            "receptive_field": field and field.to_dict(),
            "output_receptive_field": output and output.to_dict(),
            "stopped_at": self.stopped_at,
            "layers": [row.to_dict() for row in self.rows],
        }

    def to_table(self, *columns: str) -> Table:
        """Return the rows as a table of text, with the totals as its caption.

        Args:
            columns: Names of columns, such as `"layer"` and `"receptive field"`; default: all.

        Raises:
            UnknownNameError: There is no such column. The message suggests the nearest.
        """
        return rendering.to_table(self, columns or tuple(rendering.COLUMNS))

    def to_csv(self) -> str:
        """Return the rows as comma-separated values, header first."""
        return self.to_table().to_csv()

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table, followed by the totals."""
        return self.to_table().to_markdown()

    def _repr_html_(self) -> str:
        return self.to_table()._repr_html_()

    def __rich__(self) -> RichTable:
        return self.to_table().__rich__()

    def __str__(self) -> str:
        return str(self.to_table())

    __repr__ = __str__
