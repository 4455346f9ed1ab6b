"""Two models side by side, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from mnistzoo.analysis.rendering import COLUMNS as CELLS
from mnistzoo.analysis.row import Row
from mnistzoo.analysis.table import MIB, Analysis
from mnistzoo.errors import AnalysisError, InputError, UnknownOperatorError
from mnistzoo.tables import Table, Tabular

COLUMNS = ("parameters", "MACs", "receptive field")
"""The columns that each model has."""

Pair = tuple[Row | None, Row | None]


def align(one: Analysis, other: Analysis) -> list[Pair]:
    """Return the rows of two analyses in pairs whose paths agree, in order.

    A row without a counterpart is paired with `None`.

    >>> from mnistzoo.models import exp1, exp3
    >>> pairs = align(exp1().summary(), exp3().summary())
    >>> [(one and one.path, other and other.path) for one, other in pairs[4:6]]
    [('features.pool1', 'features.pool1'), (None, 'features.conv3')]
    """
    keys, other_keys = list(map(_key, one)), list(map(_key, other))
    pairs: list[Pair] = []
    matcher = SequenceMatcher(None, keys, other_keys, autojunk=False)
    for kind, start, stop, other_start, other_stop in matcher.get_opcodes():
        if kind == "equal":
            pairs += zip(one[start:stop], other[other_start:other_stop], strict=True)
        else:
            pairs += [(row, None) for row in one[start:stop]]
            pairs += [(None, row) for row in other[other_start:other_stop]]
    return pairs


def _key(row: Row) -> tuple[str, str]:
    """Return what agrees in counterparts: the path, and for a function its name."""
    return row.path, "" if row.kind[:1].isupper() else row.kind


@dataclass(frozen=True, repr=False)
class Comparison(Tabular[Pair]):
    """Two analyses side by side. It prints as a table.

    Attributes:
        rows: Pairs of rows, `None` where one model has no such layer.
        names: Names of the models.
        analyses: Their analyses.
    """

    rows: tuple[Pair, ...]
    names: tuple[str, str]
    analyses: tuple[Analysis, Analysis]

    def to_dict(self) -> dict[str, Any]:
        """Return the totals of both models, and the rows in pairs, as JSON values."""
        return {
            "models": list(map(_totals, self.names, self.analyses)),
            "layers": [
                {"path": _path(pair), "rows": [row and row.to_dict() for row in pair]}
                for pair in self.rows
            ],
        }

    def to_table(self) -> Table:
        """Return the rows as a table of text, with the totals as its caption."""
        columns = ["layer", *(f"{column}: {name}" for column in COLUMNS for name in self.names)]
        rows = [
            [_path(pair), *(CELLS[x](row) if row else "-" for x in COLUMNS for row in pair)]
            for pair in self.rows
        ]
        caption = "\n".join(
            _sentence(_totals(*each)) for each in zip(self.names, self.analyses, strict=True)
        )
        return Table(columns, rows, caption, records=list(map(_record, self.rows)))


def compare(
    one: Analysis, other: Analysis, *, names: tuple[str, str] = ("one", "other")
) -> Comparison:
    """Compare two models, given their analyses.

    Layers with the same path share a row.

    >>> from mnistzoo.models import exp4, exp5
    >>> comparison = compare(exp4().summary(), exp5().summary())
    >>> [row.path for missing, row in comparison if missing is None][:2]
    ['features.bn1', 'features.bn2']
    """
    return Comparison(tuple(align(one, other)), names, (one, other))


def _path(pair: Pair) -> str:
    return next(row.path for row in pair if row)


def _totals(name: str, analysis: Analysis) -> dict[str, Any]:
    field = analysis.receptive_field or analysis.output_receptive_field
    return {
        "model": name,
        "input_shape": list(analysis.input_shape),
        "num_params": analysis.num_params,
        "macs": analysis.macs,
        "peak_memory": _peak(analysis),
        "receptive_field": field and str(field),
    }


def _peak(analysis: Analysis) -> int | None:
    try:
        return analysis.peak_memory()
    except (AnalysisError, InputError, UnknownOperatorError):  # the rest is worth comparing
        return None


def _sentence(totals: dict[str, Any]) -> str:
    peak = totals["peak_memory"]
    memory = "unknown" if peak is None else f"{peak / MIB:,.2f} MiB"
    return (
        f"{totals['model']}: {totals['num_params']:,} parameters, {totals['macs']:,} MACs, "
        f"{memory} peak memory, receptive field {totals['receptive_field'] or 'none'}"
    )


def _record(pair: Pair) -> dict[str, Any]:
    """Return a pair as one flat record: the path, and each value of both rows."""
    record: dict[str, Any] = {"path": _path(pair)}
    for name, row in zip(("one", "other"), pair, strict=True):
        values = (row or Row("", "", None, 0, 0, None)).to_dict()
        del values["path"]
        record |= {f"{name}_{key}": value if row else None for key, value in values.items()}
    return record
