"""The command that writes a model for other runtimes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.cli.console import print_record
from mnistzoo.cli.options import ExportWeights, Format, Model, check_suffix
from mnistzoo.cli.source import load, with_weights
from mnistzoo.storage.manifest import join_name, read_manifest


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            *("--output", "-o"),
            callback=check_suffix(".onnx", ".pt2", ".pte", ".html", ".h"),
            help="The file to write: .onnx, .pt2 (torch.export), .pte (ExecuTorch), .html (a page "
            "to draw on) or .h (a C header).",
        ),
    ],
    weights: ExportWeights = None,
    bits: Annotated[
        int | None,
        typer.Option(
            help="Bits of a weight: 32 or 8 (.onnx), 8 or 4 (.h).",
            show_default="32, 16 for .html, 8 for .h",
        ),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(help="Title of a page or a header.", show_default="the model's name"),
    ] = None,
    format_: Format = "table",
) -> None:
    """Write a model for another runtime."""
    model = _choose(model, weights, output.suffix.lower(), bits)
    loaded = load(model)
    from mnistzoo.export import export

    done = export(loaded, output, bits=bits, title=title)
    text = f"{done.path}: {model} as {done.format}, {done.bits} bits, {done.bytes:,} bytes"
    if done.flash is not None:
        text += f"; {done.flash:,} bytes of constants, {done.ram:,} bytes of RAM"
    print_record(format_, asdict(done) | {"path": str(done.path)}, text)


def _choose(model: str, weights: str | None, suffix: str, bits: int | None) -> str:
    """Return the name of a model with weights for the file: by default those trained for 4 bits."""
    trained = join_name(model, "four-bit")
    if weights is None and (suffix, bits) == (".h", 4) and trained in read_manifest():
        return trained
    return with_weights(model, weights, reading=suffix == ".html")
