"""Tables of the pages as Markdown: the study's figures, the recipes, the modules, the commands."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from msgspec import to_builtins
from typer.testing import CliRunner

import documented
from mnistzoo.architectures import BUILDABLE
from mnistzoo.cli import app
from mnistzoo.tables import Table
from mnistzoo.training.recipes import RECIPES, get_recipe
from reasons import WHY, Figure

ROOT = Path(__file__).parents[2]


def printed(*args: str) -> str:
    """What `mnistzoo` prints for these arguments."""
    result = CliRunner().invoke(app, args, catch_exceptions=False, prog_name="mnistzoo")
    assert result.exit_code == 0, result.output
    return result.stdout


def _prose(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of words, all columns to the left."""
    return Table(headers, [*rows], text_columns=len(headers)).to_markdown()


def study() -> str:
    """*Documented and computed*: a table for each heading of the study, then the reasons."""
    letters: dict[str, str] = {}
    parts = []
    for heading, section in documented.SECTIONS.items():
        parts.append(f"## {heading}\n")
        if section is documented.layer_sums:
            parts.append(_layers(letters))
        rows = [_row(figure, letters) for figure in section()]
        parts.append(Table(("figure", "study", "computed", ""), rows).to_markdown())
    parts.append("(why-they-differ)=\n## Why they differ\n")
    parts += [f"- **{letter}**: {WHY[why]}" for why, letter in letters.items()]
    return "\n".join(parts) + "\n"


def _mark(figure: Figure, letters: dict[str, str]) -> str:
    """A tick, or the letter of the reason, given out in the order of need."""
    if figure.holds:
        return "✓"
    letter = letters.setdefault(figure.why, chr(ord("a") + len(letters)))
    return f"[{letter}](#why-they-differ)"


def _row(figure: Figure, letters: dict[str, str]) -> tuple[str, ...]:
    return figure.what, figure.documented, figure.computed, _mark(figure, letters)


def _layers(letters: dict[str, str]) -> str:
    """The study's table of layers: a cell that is not what is computed shows both."""
    rows = []
    for row in documented.layers():
        cells = [_cell(figure, letters) for figure in row.cells]
        rows.append((row.name, f"`{row.path}`", *cells))
    headers = ("study's row", "exp5", "input", "output", "parameters", "receptive field")
    return Table(headers, rows).to_markdown()


def _cell(figure: Figure, letters: dict[str, str]) -> str:
    if figure.holds:
        return figure.documented
    return f"{figure.documented}; computed **{figure.computed}** {_mark(figure, letters)}"


def recipes() -> str:
    """The fields of the recipes side by side, and what differs from network to network."""
    flat = {name: _flat(to_builtins(recipe)) for name, recipe in RECIPES.items()}
    fields = [field for field in next(iter(flat.values())) if field != "name"]
    rows = [(f"`{field}`", *(_value(row[field]) for row in flat.values())) for field in fields]
    own = [(name, *(_own(recipe, name) for recipe in RECIPES)) for name in BUILDABLE]
    return (
        f"{Table(('field', *flat), rows).to_markdown()}\n"
        "And what a network has of its own, in place of that:\n\n"
        f"{_prose(('network', *flat), own)}"
    )


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Nested records laid out, `augmentation.degrees` for one inside `augmentation`."""
    laid: dict[str, Any] = {}
    for key, value in record.items():
        inner = _flat(value) if isinstance(value, dict) else {}
        laid |= {f"{key}.{name}": found for name, found in inner.items()} or {key: value}
    return laid


def _value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    return f"{value}"


def _own(recipe: str, network: str) -> str:
    base, own = _flat(to_builtins(RECIPES[recipe])), _flat(to_builtins(get_recipe(recipe, network)))
    return ", ".join(f"{key} {_value(own[key])}" for key in base if own[key] != base[key]) or "–"


def modules() -> str:
    """The layers that `tests/test_package.py` enforces, top to bottom, and what each part is."""
    source = ROOT / "src" / "mnistzoo"
    rows = []
    for number, layer in enumerate(_enforced_layers(), 1):
        for part in sorted(layer):
            path = source / f"{part}.py"
            files = [path] if path.exists() else sorted((source / part).rglob("*.py"))
            home = path if path.exists() else source / part / "__init__.py"
            text = (ast.get_docstring(ast.parse(home.read_text("utf8"))) or "").split("\n\n")[0]
            lines = sum(len(file.read_text("utf8").splitlines()) for file in files)
            rows.append((str(number), f"`{part}`", text.replace("\n", " "), f"{lines:,}"))
    return _prose(("layer", "part", "what it does", "lines"), rows)


def _enforced_layers() -> Sequence[set[str]]:
    """The table as the test has it, read and not run."""
    tree = ast.parse((ROOT / "tests" / "test_package.py").read_text("utf8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS":
            layers: list[set[str]] = ast.literal_eval(node.value)
            return layers
    raise LookupError("tests/test_package.py has no LAYERS")


def commands() -> str:
    """The help of every command, as `mnistzoo COMMAND --help` prints it."""
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
