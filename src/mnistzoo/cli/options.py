"""Arguments and options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from typer.models import ArgumentInfo, OptionInfo

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE
from mnistzoo.errors import UnknownNameError
from mnistzoo.training.recipes import MAX_SEED, RECIPES

FormatName = Literal["table", "json", "csv", "markdown", "latex"]


class StyleName(str, Enum):
    """A conversion of images to 28×28 pixels."""

    mnist = "mnist"
    plain = "plain"


def complete_model(incomplete: str) -> list[str]:
    """Return the names of models that start with `incomplete`, for shell completion."""
    return [name for name in ARCHITECTURES if name.startswith(incomplete)]


def _complete_trainable(incomplete: str) -> list[str]:
    return [name for name in BUILDABLE if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Return the names of recipes that start with `incomplete`, for shell completion."""
    return [name for name in RECIPES if name.startswith(incomplete)]


_SOURCE = "A name from `mnistzoo list`, or a folder that `train` or `pull` wrote."

Model = Annotated[str, typer.Argument(metavar="MODEL", help=_SOURCE, autocompletion=complete_model)]
Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL", help=f"{_SOURCE}  [default: all]", autocompletion=complete_model
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Names from `mnistzoo list`.  [default: all]",
        autocompletion=complete_model,
    ),
]
Trainable = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name from `mnistzoo list`, teacher (a larger model), or a folder to start from.",
        autocompletion=_complete_trainable,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option("--model", metavar="MODEL", help=_SOURCE, autocompletion=complete_model),
]


def _weights_option(default: str) -> OptionInfo:
    """Return the option `--weights`."""
    return cast(
        "OptionInfo",
        typer.Option(
            "--weights",
            metavar="NAME",
            help="Pretrained weights: mnist, world or four-bit.",
            show_default=default,
        ),
    )


Weights = Annotated[str | None, _weights_option("mnist")]
ReadingWeights = Annotated[str | None, _weights_option("world if the model has them, else mnist")]
ExportWeights = Annotated[
    str | None, _weights_option("world for .html, four-bit for .h with 4 bits, else mnist")
]


def any_model(name: str) -> ArgumentInfo:
    """Return an argument that names a model of any library."""
    return cast(
        "ArgumentInfo",
        typer.Argument(
            metavar=name,
            help="A name from `mnistzoo list`, a folder, torchvision:NAME, timm:NAME, "
            "transformers:CLASS, or package.module:callable.",
            autocompletion=complete_model,
        ),
    )


def check_suffix(*suffixes: str) -> Callable[[Path | None], Path | None]:
    """Return a callback that refuses an output file with another suffix."""

    def check(output: Path | None) -> Path | None:
        if output is not None and output.suffix.lower() not in suffixes:
            raise typer.BadParameter(f"Expected a file that ends in {' or '.join(suffixes)}.")
        return output

    return check


Format = Annotated[
    FormatName, typer.Option("--format", help="Output format; csv and json are for programs.")
]
Results = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="A folder with the results (*.json) of finished runs."),
]


def folder(value: str) -> Path:
    """Return the path of a folder; the empty name would mean the working folder."""
    if not value:
        raise typer.BadParameter("Expected a folder, got an empty name.")
    return Path(value)


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=folder,
        metavar="FOLDER",
        help="A folder with a subfolder of images for each class, or with IDX files.  "
        "[default: MNIST]",
    ),
]
StyleOption = Annotated[
    StyleName | None,
    typer.Option(
        "--style",
        help="Redraw images as MNIST digits (mnist), or only convert them to 28×28 gray pixels "
        "(plain).  "
        "[default: mnist for image files, plain for IDX files]",
        show_default=False,
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Fail at the first image that cannot be read.")
]


def check_data_options(data: Path | None, style: StyleName | None, strict: bool) -> None:
    """Refuse the options of a dataset without one."""
    if data is None and (style or strict):
        raise typer.BadParameter("--style and --strict need --data.")


RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Run on a Ray cluster instead: auto or HOST:PORT."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the run.")]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="Passes over the training images.", show_default="the recipe's"),
]
Validation = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SHARE|COUNT",
        help="Hold out training images, such as 0.1 of them or 5000 images, and evaluate on them "
        "instead of the test images.  [default: 0.1 without test images, otherwise none]",
    ),
]
RECIPE_HELP = (
    f"Training recipe: {', '.join(RECIPES)}.  "
    "[default: record; with pretrained weights adapt, or fine-tune if the classifier is new]"
)


def _check_recipes(names: str | list[str] | None) -> str | list[str] | None:
    """Refuse unknown recipes before torch is imported."""
    for name in [names] if isinstance(names, str) else names or ():
        if name not in RECIPES:
            raise UnknownNameError("recipe", name, RECIPES)
    return names


def _recipe_option(help_: str) -> OptionInfo:
    """Return the option `--recipe`."""
    return cast(
        "OptionInfo",
        typer.Option(
            "--recipe",
            metavar="NAME",
            help=help_,
            callback=_check_recipes,
            autocompletion=complete_recipe,
        ),
    )


RecipeName = Annotated[str | None, _recipe_option(RECIPE_HELP)]
RecipeNames = Annotated[list[str] | None, _recipe_option(f"{RECIPE_HELP} Can be repeated.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a setting of the recipe, such as learning_rate=0.01. Can be repeated.",
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained",
        help="Start from pretrained weights, with a new classifier unless the classes are 0 to 9.",
    ),
]
StartingWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME",
        help="Start from these weights, such as world. Implies --pretrained.",
        show_default=False,
    ),
]
FreezeOption = Annotated[
    Literal["features"] | None,
    typer.Option("--freeze", help="Train only the classifier.", show_default=False),
]
