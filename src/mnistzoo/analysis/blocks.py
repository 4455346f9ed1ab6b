"""Rows as a tree of modules: totals at a depth, and repeated blocks shown once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mnistzoo.analysis.row import Row


@dataclass(frozen=True)
class Block:
    """A module with inner modules, or a single row.

    Attributes:
        row: What the module returned last, and the totals of all calls inside it.
        children: What it called, each inner module where it was called first. A single row has
            none.
    """

    row: Row
    children: tuple[Block, ...] = ()

    def pruned(self, depth: int | None) -> Block:
        """Return the block with at most `depth` levels of children. `None` keeps all levels."""
        if depth is None:
            return self
        inner = self.children if depth > 0 else ()
        return Block(self.row, tuple(child.pruned(depth - 1) for child in inner))

    def leaves(self) -> Iterator[Row]:
        """Yield the rows of the blocks without children."""
        if not self.children:
            yield self.row
        for child in self.children:
            yield from child.leaves()


def to_tree(rows: Sequence[Row], modules: Mapping[str, Row], path: str = "") -> Block:
    """Return the module at `path` as a tree, given all rows of it and of those inside it.

    `modules` has a row for each module with inner modules, by path: what it returned last.
    """
    names = [_child(path, row.path) for row in rows]
    inner = {name for name, row in zip(names, rows, strict=True) if name and name != row.path}
    parts: dict[str | int, list[Row]] = {}
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        parts.setdefault(name if name in inner else number, []).append(row)
    children = tuple(
        to_tree(part, modules, key) if isinstance(key, str) else Block(part[0])
        for key, part in parts.items()
    )
    return Block(_total(rows, modules.get(path, Row(path, "", (), 0, 0, None))), children)


def _child(path: str, row_path: str) -> str | None:
    """Return the path of the module just inside `path` that holds a row, `None` if it is its own.

    >>> _child("layer1", "layer1.0.conv1"), _child("", "conv1"), _child("layer1", "layer1")
    ('layer1.0', 'conv1', None)
    """
    if row_path == path:
        return None
    start = len(path) + 1 if path else 0
    return row_path[:start] + row_path[start:].partition(".")[0]


def _total(rows: Sequence[Row], module: Row) -> Row:
    return replace(
        module,
        num_params=sum(row.num_params for row in rows),
        macs=sum(row.macs for row in rows),
        has_params=any(row.has_params for row in rows),
        unused_params=sum(row.unused_params for row in rows),
        param_bytes=sum(row.param_bytes for row in rows),
    )


def fold(blocks: Sequence[Block]) -> Iterator[tuple[Row, ...]]:
    """Yield the rows of blocks that repeat, each with its counterparts in the other blocks.

    Blocks repeat if they follow each other in one module, and agree in everything but their
    receptive fields.
    """
    first = blocks[0]
    if not first.children:
        yield tuple(block.row for block in blocks)
    start = 0
    while start < len(first.children):
        stop = _end_of_run(first.children, start)
        yield from fold([child for block in blocks for child in block.children[start:stop]])
        start = stop


def _end_of_run(blocks: Sequence[Block], start: int) -> int:
    """Return the end of the blocks that repeat the one at `start`."""
    signature = _signature(blocks[start])
    stop = start + 1
    while stop < len(blocks) and _signature(blocks[stop]) == signature:
        stop += 1
    return stop


def _signature(block: Block) -> object:
    """Return what repeated blocks have in common."""
    row, start = replace(block.row, path="", receptive_field=None), len(block.row.path)
    return row, tuple((child.row.path[start:], _signature(child)) for child in block.children)
