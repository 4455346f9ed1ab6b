"""The result of an analysis as data: one row per call of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mnistzoo.analysis import rendering
from mnistzoo.analysis.blocks import Block, to_tree
from mnistzoo.analysis.blocks import fold as folded
from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.analysis.row import Row
from mnistzoo.errors import InputError
from mnistzoo.files import write_bytes
from mnistzoo.tables import Table, Tabular

if TYPE_CHECKING:
    from torch import Tensor

    from mnistzoo.analysis.devices import Device
    from mnistzoo.analysis.roofline import Roofline

MIB = 2**20
FLOAT32_BYTES = 4


class _Costs(Protocol):
    """Costs that take another run of the model; see the methods of `Analysis`."""

    def peak_memory(self, training: bool, batch_size: int | None, optimizer_state: int) -> int: ...
    def roofline(self, device: Device, batch_size: int | None) -> Roofline: ...
    def report(self, analysis: Analysis, images: Tensor | None, title: str | None) -> str: ...


@dataclass(frozen=True, repr=False)
class Analysis(Tabular[Row]):
    """Layers of a model with shapes, parameters, MACs and receptive fields.

    It is a sequence of rows, and prints as a table.

    Attributes:
        rows: In the order of the calls. Layers that were not called come last.
        input_shape: Shape of one input, without the batch. Receptive fields are for this input.
        receptive_field: Receptive field of the last feature map: the model's first output or, if
            that has a single unit along each axis, the last tensor with more. `None` if the input
            has no axes.
        output_receptive_field: Receptive field of the model's first output. `None` if it does not
            depend on the input.
        stopped_at: The operator that needed values, and the layer that called it. Rows and MACs
            end there. `None` for a model that runs without values.
    """

    rows: tuple[Row, ...]
    input_shape: tuple[int, ...]
    receptive_field: ReceptiveField | None
    output_receptive_field: ReceptiveField | None
    stopped_at: str | None = None
    _costs: _Costs | None = field(default=None, compare=False)
    _modules: Mapping[str, Row] = field(default_factory=dict, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the model out of pickles and copies."""
        return self.__dict__ | {"_costs": None}

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

    def peak_memory(
        self, training: bool = False, *, batch_size: int | None = None, optimizer_state: int = 0
    ) -> int:
        """Return the most bytes that PyTorch holds at once when it runs the model eagerly.

        These are parameters, buffers, the input and live activations; in training also gradients
        and what autograd saves. Temporary buffers inside an operator are not counted. The model
        runs again, without data, as it is now.

        Args:
            training: Count a forward and backward pass. Default: a forward pass without gradients.
            batch_size: Number of inputs in the batch. Default: as analyzed.
            optimizer_state: Numbers that the optimizer keeps for each trained parameter, such as 1
                for SGD with momentum and 2 for Adam.

        Raises:
            InputError: An argument is out of range, or the model rejects the batch.
            UnknownOperatorError: An operator does not run without data.
            AnalysisError: The model does not run without data, or trains an LSTM in 16 bits.

        >>> import mnistzoo
        >>> analysis = mnistzoo.exp5().summary()
        >>> analysis.peak_memory()
        246448
        >>> analysis.peak_memory(training=True, batch_size=64, optimizer_state=1)
        24106920
        """
        return self._run().peak_memory(training, batch_size, optimizer_state)

    def roofline(self, device: Device, *, batch_size: int | None = None) -> Roofline:
        """Return a lower bound on the time of each layer on a device, and of the whole model.

        An operator takes at least its multiply-accumulates divided by the device's peak rate, and
        at least the bytes that it reads and writes divided by the bandwidth. The larger of the two
        is its lower bound.

        Args:
            device: Such as `Device("cpu")`, which measures this machine, or `Device("A100")`.
            batch_size: Number of inputs in the batch. Default: as analyzed.

        Raises:
            InputError: The device has no figure for the model's dtype, or the model rejects the
                batch.
            UnknownOperatorError: An operator does not run without data.
            AnalysisError: The model does not run without data.

        >>> import mnistzoo
        >>> from mnistzoo.analysis import Device
        >>> roofline = mnistzoo.exp5().summary().roofline(Device("A100"), batch_size=64)
        >>> roofline.macs, roofline.bound_by
        (275258880, 'memory')
        """
        return self._run().roofline(device, batch_size)

    def to_html(self, images: Tensor | None = None, *, title: str | None = None) -> str:
        """Return an HTML page that shows the receptive field of any unit over an image.

        Args:
            images: A batch to compute effective receptive fields from, as for
                `effective_receptive_field`. The page shows the first image. Default: no effective
                receptive fields.
            title: Title of the page. Default: the class of the model.

        Raises:
            InputError: The images are not a batch of images, or another input is only a shape.

        >>> import mnistzoo
        >>> mnistzoo.exp5().summary().to_html(title="exp5")[:15]
        '<!doctype html>'
        """
        return self._run().report(self, images, title)

    def save_html(
        self, path: str | PathLike[str], images: Tensor | None = None, *, title: str | None = None
    ) -> Path:
        """Write the page of `to_html` to a file, and return its path.

        Raises:
            InputError: As for `to_html`.
            FileWriteError: The file cannot be written.
        """
        return write_bytes(path, self.to_html(images, title=title).encode())

    def _run(self) -> _Costs:
        if self._costs is not None:
            return self._costs
        raise InputError(
            "Expected an analysis that mnistzoo.analyze returned, got a copy or one made by hand. "
            "Call mnistzoo.analyze."
        )

    def blocks(self, depth: int | None = None) -> Block:
        """Return the rows as a tree of modules.

        Args:
            depth: Levels of modules. Default: all. Rows of the last level are totals.

        Raises:
            InputError: `depth` is not a positive integer.

        >>> import mnistzoo
        >>> [block.row.path for block in mnistzoo.exp1().summary().blocks().children]
        ['features', 'classifier']
        """
        if depth is not None and (type(depth) is not int or depth < 1):
            raise InputError(f"Expected depth as an integer of at least 1, got {depth!r}.")
        return to_tree(self.rows, self._modules).pruned(depth)

    def to_dict(self, *, depth: int | None = None) -> dict[str, Any]:
        """Return rows and totals as JSON values.

        Args:
            depth: As for `to_table`.

        >>> import mnistzoo
        >>> record = mnistzoo.exp1().summary().to_dict()
        >>> record["num_params"], record["layers"][0]["output_shape"]
        (21000, [6, 26, 26])
        """
        last, output = self.receptive_field, self.output_receptive_field
        totals = ("num_params", "unused_params", "macs", "footprint_mib")
        return {
            "input_shape": list(self.input_shape),
            **{name: getattr(self, name) for name in totals},
            "receptive_field": last and last.to_dict(),
            "output_receptive_field": output and output.to_dict(),
            "stopped_at": self.stopped_at,
            "layers": [row.to_dict() for (row,) in self._lines(depth, fold=False)],
        }

    def to_table(self, *columns: str, depth: int | None = None, fold: bool = False) -> Table:
        """Return the rows as a table of text, with the totals as its caption.

        Args:
            columns: Names of columns, such as `"layer"`. Default: all except those in bytes.
            depth: Levels of modules to show. Default: all. Deeper ones are added up.
            fold: Show consecutive repeated blocks once, with their number.

        Raises:
            UnknownNameError: There is no such column. The message suggests the nearest.
            InputError: `depth` is not a positive integer.

        >>> import mnistzoo
        >>> table = mnistzoo.exp1().summary().to_table("layer", "parameters", depth=1)
        >>> table.rows
        [['features', 830], ['classifier', 20170]]
        """
        lines = self._lines(depth, fold)
        return rendering.to_table(self, lines, columns or rendering.DEFAULT_COLUMNS)

    def _lines(self, depth: int | None, fold: bool) -> list[tuple[Row, ...]]:
        if fold:
            return list(folded([self.blocks(depth)]))
        rows = self.rows if depth is None else self.blocks(depth).leaves()
        return [(row,) for row in rows]
