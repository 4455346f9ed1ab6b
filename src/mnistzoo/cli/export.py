"""The command that writes a model for other runtimes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.cli.console import print_record
from mnistzoo.cli.options import Format, Model
from mnistzoo.cli.source import load

SUFFIXES = (".onnx", ".pt2", ".pte")


def _check_suffix(output: Path) -> Path:
    if output.suffix not in SUFFIXES:
        raise typer.BadParameter(f"Expected a file that ends in {', '.join(SUFFIXES)}.")
    return output


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(
            *("--output", "-o"),
            callback=_check_suffix,
            help="The file to write: .onnx, .pt2 (torch.export) or .pte (ExecuTorch).",
        ),
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to 8-bit integers (ONNX only).")
    ] = False,
    format_: Format = "table",
) -> None:
    """Write a model for ONNX Runtime, torch.export or ExecuTorch."""
    loaded = load(model)
    from mnistzoo.export import export

    done = export(loaded, output, int8=int8)
    kind = f"{done.format}, int8" if done.int8 else done.format
    text = f"{done.path}: {model} as {kind}, {done.bytes:,} bytes"
    print_record(format_, asdict(done) | {"path": str(done.path)}, text)
