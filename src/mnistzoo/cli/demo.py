"""The command that writes a page to draw digits on, and opens it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.options import Models, ReadingWeights
from mnistzoo.cli.source import check, load, with_weights


def demo(
    models: Models = None,
    weights: ReadingWeights = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path(
        "mnistzoo.html"
    ),
    title: Annotated[str, typer.Option(help="Title of the page.")] = "Draw a digit",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page in the browser.")
    ] = False,
) -> None:
    """Write and open an HTML page that reads drawn digits.

    The page is one file that needs no server and no network.
    """
    names = [with_weights(name, weights, reading=True) for name in models or ARCHITECTURES]
    for name in names:
        check(name)
    from mnistzoo.export import export_page

    done = export_page([load(name) for name in names], output, title=title)
    print(f"{done.path}: {done.bytes:,} bytes")
    if not no_browser:
        webbrowser.open(done.path.resolve().as_uri())
