"""An analysis as one HTML file, with every unit's receptive field over an image.

The page is `page/`: plain JavaScript, no library, no request.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mnistzoo.analysis.algebra.pixel_ranges import PixelRanges
from mnistzoo.analysis.blocks import Block
from mnistzoo.analysis.effective import EffectiveReceptiveField
from mnistzoo.analysis.field import ReceptiveField
from mnistzoo.analysis.rendering import COLUMNS, totals
from mnistzoo.analysis.row import Row
from mnistzoo.analysis.table import Analysis
from mnistzoo.pages import PALETTE, fill, to_inert_json

HEAT = (255, 106, 40)
"""Color of an effective field, which shows on light and dark images."""

SHOWN_COLUMNS = ("receptive field", "output shape", "parameters", "MACs", "output bytes")

Effective = Mapping[str, EffectiveReceptiveField]
"""By the paths of layers."""


def to_html(analysis: Analysis, title: str, image: Tensor | None, effective: Effective) -> str:
    """Return the page: fields over an image of shape `(channels, *axes)` and any range."""
    source = files("mnistzoo.analysis") / "page"
    parts = {
        "TITLE": html.escape(title),
        "TOTALS": html.escape(totals(analysis)),
        "STYLE": PALETTE + (source / "report.css").read_text("utf8"),
        "DATA": to_inert_json(_Writer(analysis, effective).data(image)),
        "SCRIPT": (source / "report.js").read_text("utf8"),
    }
    return fill((source / "report.html").read_text("utf8"), parts)


class _Writer:
    """Writer of what the page reads. Rows refer to the axes of their fields, which many share."""

    def __init__(self, analysis: Analysis, effective: Effective) -> None:
        self.analysis, self.effective = analysis, effective
        self.axes: list[dict[str, Any]] = []
        self._known: dict[tuple[object, ...], int] = {}

    def data(self, image: Tensor | None) -> dict[str, Any]:
        field = self.analysis.receptive_field or self.analysis.output_receptive_field
        axes = len(field.size) if field else 0
        shape = self.analysis.input_shape
        if image is not None and image.ndim > axes:
            shape = (1, *image.shape[image.ndim - axes :])
        rows = list(self._rows(self.analysis.blocks(), 0, ""))
        return {
            "columns": ["layer", *SHOWN_COLUMNS],
            "size": list(shape[len(shape) - axes :]),
            "rows": rows,
            "selected": self._last_map(rows),
            "axes": self.axes,
            "image": None if image is None or axes not in (1, 2) else _png(_pixels(image, axes)),
        }

    def _rows(self, block: Block, level: int, parent: str) -> Iterator[dict[str, Any]]:
        for child in block.children:
            row = child.row
            name = row.path[len(parent) :].removeprefix(".")
            found = self.effective.get(row.path)
            yield {
                "level": level,
                "name": name or "·",
                "path": row.path,
                "kind": row.kind,
                "cells": [COLUMNS[column](row) for column in SHOWN_COLUMNS],
                "sort": _sort_keys(row),
                "inner": len(child.children) > 0,
                "local": self._fields(row.receptive_field, local=True),
                "whole": self._fields(row.receptive_field, local=False),
                "effective": _effective(found) if found and row.receptive_field else None,
            }
            yield from self._rows(child, level + 1, row.path)

    def _last_map(self, rows: Sequence[Mapping[str, Any]]) -> int | None:
        """Return the index of the last feature map's row, with an effective field if possible."""
        field = self.analysis.receptive_field
        shown = [self._fields(field, local=local) for local in (True, False)]
        found = [i for i, row in enumerate(rows) if field and [row["local"], row["whole"]] == shown]
        return max(found, key=lambda i: (rows[i]["effective"] is not None, i), default=None)

    def _fields(self, field: ReceptiveField | None, *, local: bool) -> list[int] | None:
        """Return the number of the field along each axis, of what moves or of what all share."""
        part = field and (field.local if local else field if field.is_global else None)
        if part is None:
            return None
        windows = zip(part.size, part.stride, part.padding, strict=True)
        return [self._axis(*each) for each in zip(windows, part.ranges, strict=True)]

    def _axis(self, window: Sequence[Any], ranges: PixelRanges) -> int:
        numbers, first, last = [*map(float, window)], ranges.first.tolist(), ranges.last.tolist()
        key = (*numbers, *first, *last)
        if key not in self._known:
            self._known[key] = len(self.axes)
            self.axes.append({"window": numbers, "first": first, "last": last})
        return self._known[key]


def _sort_keys(row: Row) -> list[float | str]:
    size = row.receptive_field.size if row.receptive_field else ()
    outputs = float(np.prod(row.output_shape or (0,), dtype=float))
    field = float(np.prod(size)) if size else 0.0
    return [row.path, field, outputs, row.num_params, row.macs, row.output_bytes]


def _effective(found: EffectiveReceptiveField) -> dict[str, Any] | None:
    """Return the central unit, and the square root of each pixel's share as an image."""
    energy = found.energy.cpu().numpy()
    if energy.ndim not in (1, 2) or not energy.max() > 0:
        return None
    strength = np.sqrt(energy.reshape(-1, energy.shape[-1]) / energy.max())
    pixels = np.empty((*strength.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = HEAT, np.rint(255 * strength)
    text = f"{found.share_in_half:.0%} of the effective field is in the middle half"
    return {"unit": list(found.unit), "image": _png(pixels), "text": text}


def _pixels(image: Tensor, axes: int) -> NDArray[np.uint8]:
    """Return an image of any range as gray levels or colors."""
    values = image.detach().float().cpu().numpy()
    values = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
    colored = axes == 2 and len(values) == 3
    shown = np.moveaxis(values, 0, -1) if colored else values.mean(0).reshape(-1, values.shape[-1])
    pixels: NDArray[np.uint8] = np.rint(255 * shown).astype(np.uint8)
    return pixels


def _png(pixels: NDArray[np.uint8]) -> str:
    """Return an image as a URL that holds it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
