"""The command line. Importing it imports no torch: each command imports what it needs."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import NoReturn

import typer

from mnistzoo._version import __version__
from mnistzoo.cli import (
    analyze,
    demo,
    evaluate,
    export,
    hub,
    plot,
    predict,
    results,
    study,
    train,
    zoo,
)
from mnistzoo.errors import MnistZooError

app = typer.Typer(
    name="mnistzoo",
    help="Five small MNIST networks with verified weights, and exact analysis of any network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(zoo.list_)
app.command()(zoo.summary)
app.command()(analyze.analyze)
app.add_typer(plot.app, name="plot")
app.command()(evaluate.evaluate)
app.command()(zoo.verify)
app.command()(train.train)
app.command()(study.study)
app.command()(results.results)
app.command()(hub.push)
app.command()(hub.pull)
app.command()(predict.predict)
app.command()(predict.read)
app.command()(export.export)
app.command()(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mnistzoo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line: exit status 0, 1 with one line on stderr, or 2 for wrong usage.

    Where the terminal's encoding lacks a character, such as ×, a question mark takes its place.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except MnistZooError as error:
        _fail(error)
    except OSError as error:  # the disk that the output goes to is full, most likely
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing more is written there at the end
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    print(f"mnistzoo: {error}", file=sys.stderr)
    sys.exit(1)
