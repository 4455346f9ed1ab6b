"""Figures as files."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mnistzoo.errors import InputError
from mnistzoo.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: Figure, path: str | os.PathLike[str], facts: dict[str, Any]) -> None:
    """Write a figure atomically, in the format of the file's suffix.

    The description of a PNG holds `facts`, the data that the figure was drawn from.

    Raises:
        InputError: matplotlib knows no format of that suffix.
        FileWriteError: The folder or disk refuses.
    """
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in figure.canvas.get_supported_filetypes():
        raise InputError(f"Expected a file such as figure.png, .pdf or .svg, got {str(path)!r}.")
    file = io.BytesIO()
    figure.savefig(file, format=suffix, dpi=120)
    write_bytes(path, _with_description(file, facts) if suffix == "png" else file.getvalue())


def _with_description(png: IO[bytes], facts: dict[str, Any]) -> bytes:
    """Return a PNG of 256 colors, which is enough for a figure, with a description."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    info.add_text("Description", json.dumps(facts))
    with Image.open(png) as image:
        drawn = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    drawn.save(file, "PNG", optimize=True, pnginfo=info)
    return file.getvalue()
