"""The command line. Each command imports torch only when it needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from mnistzoo._version import __version__
from mnistzoo.cli import (
    analyze,
    average,
    compare,
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
from mnistzoo.cli.console import print_error
from mnistzoo.cli.interrupts import interrupts_repeated
from mnistzoo.errors import MnistZooError

COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "analyze": (analyze.analyze, "mnistzoo analyze torchvision:resnet50"),
    "compare": (compare.compare, "mnistzoo compare torchvision:resnet18 torchvision:resnet34"),
    "list": (zoo.list_, "mnistzoo list --sort macs"),
    "evaluate": (evaluate.evaluate, "mnistzoo evaluate exp5 --confusion"),
    "verify": (zoo.verify, "mnistzoo verify exp5"),
    "predict": (predict.predict, "mnistzoo predict photo.png --show"),
    "read": (predict.read, "mnistzoo read page.jpg --format json"),
    "train": (train.train, "mnistzoo train exp5 --seed 1 -o runs/exp5-1"),
    "study": (study.study, "mnistzoo study exp1 exp5 --jobs 2 -o runs"),
    "average": (average.average, "mnistzoo average runs/0 runs/1 runs/2 -o runs/average"),
    "results": (results.results, "mnistzoo results runs --format markdown"),
    "push": (hub.push, "mnistzoo push exp5 user/name"),
    "pull": (hub.pull, "mnistzoo pull user/name -o folder"),
    "export": (export.export, "mnistzoo export exp5 --bits 8 -o exp5.onnx"),
    "demo": (demo.demo, "mnistzoo demo --no-browser"),
}
"""Each command with an example, in the order of the help text."""


INTERRUPTED = 130
"""The exit status after Ctrl+C, which typer uses too."""


class _Group(TyperGroup):
    """The commands. Ctrl+C is raised to `main`, which prints a line; typer would print none."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except SystemExit as exit_:
            if exit_.code == INTERRUPTED:
                cause = exit_.__context__ and exit_.__context__.__cause__
                raise KeyboardInterrupt(*(cause.args if cause else ())) from None
            raise


app = typer.Typer(
    name="mnistzoo",
    cls=_Group,
    help="Receptive fields, MACs and memory of any PyTorch model, and five small MNIST models.",
    epilog="Example: mnistzoo analyze torchvision:resnet50",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, (function, example) in COMMANDS.items():
    app.command(name, epilog=f"Example: {example}")(function)
app.add_typer(plot.app, name="plot")


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
    """Run the command line.

    The exit status is 0, 1 after an error (one line on stderr), 2 for wrong usage, or 130 after
    Ctrl+C.
    Characters that the terminal cannot encode, such as ×, become question marks.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as in `mnistzoo list >&-`
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - it stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            with interrupts_repeated():
                app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt as error:  # its text says what was kept
        _fail(error if error.args else "Interrupted.", INTERRUPTED)
    except MnistZooError as error:
        _fail(error)
    except OSError as error:  # most likely the disk that the output goes to is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that nothing more is written there
        _fail(error)


def _fail(error: BaseException | str, status: int = 1) -> NoReturn:
    print_error(error)
    sys.exit(status)
