"""The command that writes a network for other runtimes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.cli.console import JSON, print_json
from mnistzoo.cli.source import HELP, METAVAR, load


def export(
    network: Annotated[str, typer.Argument(metavar=METAVAR, help=HELP)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    format_: Annotated[
        str | None,
        typer.Option("--format", help="onnx, pt2 or pte; by the ending of OUT if not given."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="In 8-bit integers (ONNX only).")] = False,
    as_json: JSON = False,
) -> None:
    """Write a network for ONNX, torch.export or ExecuTorch."""
    from mnistzoo.export import export

    done = export(load(network), out, format=format_, int8=int8)
    if as_json:
        print_json(asdict(done) | {"path": str(done.path)})
    else:
        kind = f"{done.format}, int8" if done.int8 else done.format
        print(f"{network} as {kind}: {done.bytes:,} bytes in {done.path}")
