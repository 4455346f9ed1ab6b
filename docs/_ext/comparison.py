"""Tables of `docs/comparison.csv`: other tools beside this library. Run it to print the summary."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from mnistzoo.tables import Table

FILE = Path(__file__).parent.parent / "comparison.csv"
Row = dict[str, str]

OURS = "mnistzoo"


def rows() -> list[Row]:
    """Return a row for each model and tool, as `tests/benchmarks/peers.py` writes them."""
    with FILE.open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file))


def _of(tool: str) -> list[Row]:
    return [row for row in rows() if row["tool"] == tool]


def _names(column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows()))


def summary() -> str:
    """Return a row for each tool: on how many models it is right, its time and its memory."""
    headers = ("tool", "receptive fields right", "MACs right", "time", "memory (MiB)")
    return Table(headers, [_summary(tool) for tool in _names("tool")]).to_markdown()


def _summary(tool: str) -> Sequence[str]:
    found, ours = _of(tool), {row["model"]: row for row in _of(OURS)}
    ratios = [
        float(row["milliseconds"]) / float(ours[row["model"]]["milliseconds"])
        for row in found
        if row["milliseconds"]
    ]
    return (
        f"{tool} {found[0]['version'].split('.post')[0].split('-')[0]}",
        _share(found, "receptive_field"),
        _share(found, "macs"),
        f"{median(ratios):.1f} ×" if ratios else "–",
        f"{median(float(row['peak_mib']) for row in found):.0f}",
    )


def _share(found: Sequence[Row], column: str) -> str:
    """Return how many models a tool is right on, or a dash if it does not report it."""
    said = [row[f"{column}_right"] for row in found]
    return f"{said.count('True')} of {len(found)}" if any(said) else "–"


def details() -> str:
    """Return each tool's receptive field, MACs and time of each model."""
    return (
        f"## Receptive fields, in pixels\n\n{_details('receptive_field')}\n"
        f"## MACs, in millions\n\n{_details('macs')}\n"
        f"## Processor time, in milliseconds\n\n{_times()}"
    )


def _details(column: str) -> str:
    tools = [tool for tool in _names("tool") if any(row[column] for row in _of(tool))]
    found = {(row["model"], row["tool"]): row for row in rows()}
    lines = []
    for model in _names("model"):
        reference = reference_cell(column, found[model, OURS][f"{column}_reference"])
        cells = [_cell(found[model, tool], column) for tool in tools]
        lines.append((model, reference, *cells))
    headers = ("model", "reference", *tools)
    return Table(headers, lines).to_markdown()


def _times() -> str:
    tools, found = _names("tool"), {(row["model"], row["tool"]): row for row in rows()}
    lines = [
        (model, *(found[model, tool]["milliseconds"] or "error" for tool in tools))
        for model in _names("model")
    ]
    return Table(("model", *tools), lines).to_markdown()


def reference_cell(column: str, text: str) -> str:
    """Return a number for readers: millions of MACs, or pixels."""
    return f"{float(text) / 1e6:,.0f}" if column == "macs" else text


def _cell(row: Row, column: str) -> str:
    if not row[column]:
        return "error" if row["error"] else "–"
    if row[f"{column}_right"] == "True":
        return "✓"
    return f"✗\N{NO-BREAK SPACE}{reference_cell(column, row[column])}"


if __name__ == "__main__":
    print(summary(), end="")
