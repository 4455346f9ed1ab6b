"""Generated parts of the pages, as Markdown: figures, recipes, modules, commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from msgspec import to_builtins
from typer.testing import CliRunner

import package_diagram
import study
from mnistzoo.architectures import BUILDABLE
from mnistzoo.cli import app
from mnistzoo.data.world.fonts import FONTS, HELD_OUT, Font
from mnistzoo.tables import Table
from mnistzoo.training.recipes import RECIPES, get_recipe
from reasons import WHY, Figure


def printed(*args: str) -> str:
    """Return what `mnistzoo` prints for these arguments."""
    result = CliRunner().invoke(app, args, catch_exceptions=False, prog_name="mnistzoo")
    assert result.exit_code == 0, result.output
    return result.stdout


def _prose(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return Table(headers, [*rows], text_columns=len(headers)).to_markdown()


def study_figures() -> str:
    """Return a table for each heading of the study, and the reasons for differences."""
    letters: dict[str, str] = {}
    parts = []
    for heading, section in study.SECTIONS.items():
        parts.append(f"## {heading}\n")
        if section is study.layer_sums:
            parts.append(_layers(letters))
        rows = [_row(figure, letters) for figure in section()]
        parts.append(Table(("figure", "study", "computed", ""), rows).to_markdown())
    parts.append("(why-they-differ)=\n## Why they differ\n")
    parts += [f"- **{letter}**: {WHY[why]}" for why, letter in letters.items()]
    return "\n".join(parts) + "\n"


def _mark(figure: Figure, letters: dict[str, str]) -> str:
    """Return a tick, or the letter of the reason. Letters go out in order of appearance."""
    if figure.holds:
        return "✓"
    letter = letters.setdefault(figure.why, chr(ord("a") + len(letters)))
    return f"[{letter}](#why-they-differ)"


def _row(figure: Figure, letters: dict[str, str]) -> tuple[str, ...]:
    return figure.what, figure.documented, figure.computed, _mark(figure, letters)


def _layers(letters: dict[str, str]) -> str:
    """Return the study's table of layers. Cells that differ show both figures."""
    rows = []
    for row in study.layers():
        cells = [_cell(figure, letters) for figure in row.cells]
        rows.append((row.name, f"`{row.path}`", *cells))
    headers = ("study's row", "exp5", "input", "output", "parameters", "receptive field")
    return Table(headers, rows).to_markdown()


def _cell(figure: Figure, letters: dict[str, str]) -> str:
    if figure.holds:
        return figure.documented
    return f"{figure.documented}; computed **{figure.computed}** {_mark(figure, letters)}"


def recipes() -> str:
    """Return the recipes side by side, and the values that are a model's own."""
    flat = {name: _flat(to_builtins(recipe)) for name, recipe in RECIPES.items()}
    fields = [field for field in next(iter(flat.values())) if field != "name"]
    rows = [(f"`{field}`", *(_value(row[field]) for row in flat.values())) for field in fields]
    own = [(name, *(_own(recipe, name) for recipe in RECIPES)) for name in BUILDABLE]
    return (
        f"{Table(('field', *flat), rows).to_markdown()}\n"
        "These models have values of their own:\n\n"
        f"{_prose(('model', *flat), own)}"
    )


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Flatten nested records: `augmentation.degrees` for `degrees` inside `augmentation`."""
    laid: dict[str, Any] = {}
    for key, value in record.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        laid |= {f"{key}.{name}": found for name, found in inner.items()} or {key: value}
    return laid


def _value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    return f"{value}"


def _own(recipe: str, model: str) -> str:
    base, own = _flat(to_builtins(RECIPES[recipe])), _flat(to_builtins(get_recipe(recipe, model)))
    return ", ".join(f"{key} {_value(own[key])}" for key in base if own[key] != base[key]) or "–"


def fonts() -> str:
    """Return the fonts of the training set of recipe `world`, and those it leaves out."""
    rows = [(Path(font.file).stem, f"`{font.package}`", font.license, _use(font)) for font in FONTS]
    return _prose(("font", "Debian package", "license", "for"), rows)


def _use(font: Font) -> str:
    return "evaluation" if font in HELD_OUT else "training"


def modules() -> str:
    """Return the diagram of the package, and a table of its parts."""
    rows = [
        (f"`{part}`", summary, f"{lines:,}") for part, summary, lines in package_diagram.parts()
    ]
    table = Table(("part", "what it does", "lines"), rows, text_columns=2).to_markdown()
    scrolled = f'<div style="overflow-x: auto">{package_diagram.svg()}</div>'
    return f"```{{raw}} html\n{scrolled}\n```\n\n{table}"


def commands() -> str:
    """Return the help of every command."""
    return "\n".join(
        f"## mnistzoo {' '.join(names)}\n\n```text\n{printed(*names, '--help').strip()}\n```\n"
        for names in _leaves(typer.main.get_command(app))
    )


def _leaves(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner: dict[str, Any] = getattr(command, "commands", {})
    if not inner:
        yield names
    for name, found in inner.items():
        yield from _leaves(found, (*names, name))
