"""The command that averages the weights of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnistzoo.cli.options import folder
from mnistzoo.cli.source import load
from mnistzoo.errors import TrainingError


def average(
    models: Annotated[
        list[str],
        typer.Argument(metavar="FOLDERS", help="Folders that `train` or `study` wrote."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            *("--output", "-o"), parser=folder, metavar="FOLDER", help="Folder for the new model."
        ),
    ],
) -> None:
    """Average the weights of fine-tuned models.

    They must have been fine-tuned from the same weights. The result is about as accurate as all of
    them together, and as fast as one.
    """
    from mnistzoo.training.folder import METRICS

    if (output / METRICS).exists():
        raise TrainingError(
            f"{output} holds a run, whose weights the average would replace. Name another folder."
        )
    loaded = [load(model) for model in models]
    from mnistzoo.models.averaging import average

    average(loaded).save_pretrained(output)
    print(f"{output}: the mean of {len(loaded)} models. Evaluate it: mnistzoo evaluate {output}")
