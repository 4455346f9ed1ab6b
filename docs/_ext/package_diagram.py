"""The layers of the package as a diagram, made from its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mnistzoo"

WIDTH, ROW, HEIGHT, GAP = 1170, 96, 34, 10
"""In pixels: width of the diagram, distance of rows, height of a box, gap between boxes."""

Imports = dict[str, set[str]]
Places = dict[str, tuple[int, int]]

STYLE = """
.package { width: 100%; min-width: 640px; font: 16px var(--font-stack, sans-serif) }
.package rect { fill: var(--color-background-secondary, #f8f9fb) }
.package rect, .package path { stroke: var(--color-foreground-muted, #6b6f76) }
.package path { fill: none } .package marker path { fill: var(--color-foreground-muted, #6b6f76) }
.package text { fill: var(--color-foreground-primary, #000); text-anchor: middle }
"""


def layers() -> list[set[str]]:
    """Return the layers that `tests/test_package.py` enforces, top to bottom."""
    tree = ast.parse((ROOT / "tests" / "test_package.py").read_text("utf8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS":
            found: list[set[str]] = ast.literal_eval(node.value)
            return found
    raise LookupError("tests/test_package.py has no LAYERS")


def files_of(part: str) -> list[Path]:
    """Return the source files of a part of the package: a module or a folder."""
    path = SOURCE / f"{part}.py"
    return [path] if path.exists() else sorted((SOURCE / part).rglob("*.py"))


def imports() -> Imports:
    """Return the parts that each part imports, as its source says."""
    parts = set[str]().union(*layers())
    found: Imports = {part: set() for part in parts}
    for part in parts:
        for file in files_of(part):
            named = set(_imported(ast.parse(file.read_text("utf8"))))
            found[part] |= (named & parts) - {part}
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "mnistzoo":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            package, *rest = node.module.split(".")
            if package == "mnistzoo":
                yield rest[0]


def reachable(part: str, edges: Imports) -> set[str]:
    """Return every part that a part imports, directly or through others."""
    direct = edges[part]
    return direct.union(*(reachable(other, edges) for other in direct))


def arrows(edges: Imports) -> list[tuple[str, str]]:
    """Return the imports that do not follow from others."""
    return sorted(
        (part, other)
        for part, direct in edges.items()
        for other in direct
        if not any(other in reachable(third, edges) for third in direct - {other})
    )


def svg() -> str:
    """Draw the diagram: a row for each layer, a box for each part, an arrow for each import."""
    rows, drawn = layers(), arrows(imports())
    places = _places(rows, drawn)
    lines = [_arrow(part, other, places) for part, other in drawn]
    width = WIDTH // max(3, *map(len, rows)) - GAP
    boxes = [_box(part, *place, width) for part, place in places.items()]
    height = ROW * (len(rows) - 1) + HEIGHT + 4
    head = (
        f'<svg class="package" viewBox="0 -2 {WIDTH} {height}" role="img" '
        'aria-label="The parts of the package and what they import">'
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
    )
    return "\n".join([f"<style>{STYLE}</style>", head, *lines, *boxes, "</svg>"])


def _places(rows: Sequence[set[str]], drawn: Sequence[tuple[str, str]]) -> Places:
    """Return the top center of each box, boxes of a row in the order of what imports them."""
    places: Places = {}
    for number, row in enumerate(rows):
        centers = {}
        for part in sorted(row):
            above = [places[other][0] for other, target in drawn if target == part]
            centers[part] = sum(above) / len(above) if above else WIDTH / 2
        for column, part in enumerate(sorted(centers, key=lambda part: centers[part])):
            places[part] = round(WIDTH * (column + 0.5) / len(row)), ROW * number
    return places


def _box(part: str, x: int, y: int, width: int) -> str:
    return (
        f'<rect x="{x - width // 2}" y="{y}" width="{width}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x}" y="{y + 23}">{escape(part)}</text>'
    )


def _arrow(part: str, other: str, places: Places) -> str:
    (x, y), (to_x, to_y) = places[part], places[other]
    y += HEIGHT
    bend = (to_y - y) * 0.5
    curve = f"M{x} {y}C{x} {y + bend:.0f} {to_x} {to_y - bend:.0f} {to_x} {to_y}"
    return f'<path data-from="{part}" data-to="{other}" d="{curve}" marker-end="url(#tip)"/>'


def summary(part: str) -> str:
    """Return the first paragraph of a part's docstring, in one line."""
    files = files_of(part)
    home = next((file for file in files if file.name == "__init__.py"), files[0])
    text = ast.get_docstring(ast.parse(home.read_text("utf8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def parts() -> Sequence[tuple[str, str, int]]:
    """Return each part, its summary and its lines of source, top to bottom."""
    return [
        (part, summary(part), sum(map(_lines, files_of(part))))
        for row in layers()
        for part in sorted(row)
    ]


def _lines(file: Path) -> int:
    return len(file.read_text("utf8").splitlines())
