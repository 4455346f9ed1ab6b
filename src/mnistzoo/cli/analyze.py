"""The command that analyzes any PyTorch model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard

import typer

from mnistzoo.architectures import BUILDABLE, INPUT_SHAPE
from mnistzoo.cli import source as source_of
from mnistzoo.cli.console import print_json, print_record, print_table
from mnistzoo.cli.options import Format, any_model
from mnistzoo.errors import InputError, MnistZooError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

    from mnistzoo.analysis import Analysis, ReceptiveField, Roofline
    from mnistzoo.tables import Table


COLUMNS = ("layer", "kind", "output shape", "parameters", "MACs", "receptive field")
"""The columns that fit a terminal. CSV and Markdown have all columns."""


Inputs = Annotated[
    str,
    typer.Option(
        "--input",
        metavar="C,H,W",
        help="Shape of one image.",
        show_default="1,28,28 for this zoo, timm's own for timm, else 3,224,224",
    ),
]


def analyze(
    model: Annotated[str, any_model("MODEL")],
    inputs: Inputs = "",
    layer: Annotated[
        str | None, typer.Option(help="Print the receptive field of this layer only.")
    ] = None,
    memory: Annotated[
        Literal["inference", "training"] | None,
        typer.Option(help="Print the peak memory only. Training is without an optimizer's state."),
    ] = None,
    roofline: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="Print lower bounds on the time on this device: cpu, which measures this machine, "
            "or A100, H100, H200.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images in a batch, for --memory and --roofline.")
    ] = 1,
    format_: Format = "table",
) -> None:
    """Analyze any PyTorch model, layer by layer.

    Prints output shapes, parameters, MACs, receptive fields, and the study's memory footprint. CSV
    and Markdown also have strides and paddings. CSV also has the bytes of outputs and parameters.
    """
    if sum(option is not None for option in (layer, memory, roofline)) > 1:
        raise typer.BadParameter("Expected one of --layer, --memory and --roofline.")
    given = shape_of(inputs) if inputs else None
    module = load(model)
    from mnistzoo import analysis

    shape = given or default_shape(model, module)
    if layer is not None:
        _print_field(layer, analysis.receptive_field(module, shape, layer), format_)
        return
    found = analysis.analyze(module, shape)
    if memory is not None:
        _print_memory(found.peak_memory(memory == "training", batch_size=batch_size), format_)
    elif roofline is not None:
        bounds = found.roofline(analysis.Device(roofline), batch_size=batch_size)
        _print(bounds, bounds.to_table(), format_)
    else:
        _print(found, found.to_table(*COLUMNS), format_)


def _print(found: Analysis | Roofline, table: Table, format_: str) -> None:
    if format_ == "json":
        print_json(found.to_dict())
    elif format_ in ("csv", "markdown"):
        sys.stdout.write(found.to_csv() if format_ == "csv" else found.to_markdown())
    else:
        print_table(table)


def _print_memory(peak: int, format_: str) -> None:
    text = f"peak memory: {peak:,} bytes ({peak / 2**20:,.2f} MiB)"
    print_record(format_, {"peak_memory": peak}, text)


def shape_of(text: str) -> tuple[int, ...]:
    """Return the shape that `--input` names."""
    try:
        return tuple(int(number) for number in text.replace("x", ",").split(","))
    except ValueError:
        raise typer.BadParameter(
            f"Expected whole numbers such as 3,224,224, got {text!r}.", param_hint="--input"
        ) from None


def default_shape(model: str, module: nn.Module) -> tuple[int, ...]:
    """Return the shape of one image that a model takes if `--input` names none."""
    if ":" not in model:
        return INPUT_SHAPE
    known = getattr(module, "pretrained_cfg", None) if model.startswith("timm:") else None
    return tuple((known or {}).get("input_size", (3, 224, 224)))


def _print_field(layer: str, field: ReceptiveField, format_: str) -> None:
    text = f"{layer}: {field!r}"
    if field.is_global and field.local:
        text += f"\n{' ' * len(layer)}  local: {field.local!r}"
    print_record(format_, {"layer": layer} | field.to_dict(), text)


def load(model: str) -> nn.Module:
    """Load the model named on the command line. Only a folder provides trained weights.

    Raises:
        UnknownNameError: torchvision, timm or the zoo has no such model.
        InputError: The name has another form, or is not that of a model.
    """
    source, colon, name = model.partition(":")
    if not colon and source_of.is_folder(model):
        return source_of.load(model)
    if not colon:
        source_of.check_names([model], BUILDABLE)
        from mnistzoo.models import get_model

        return get_model(model)
    made = _SOURCES[source](name) if source in _SOURCES else _call(source, name)
    if not _is_module(made):
        raise InputError(
            f"Expected {model} to be a torch.nn.Module or to return one, got "
            f"{type(made).__name__}. Name a callable that needs no arguments."
        )
    return made


def _from_torchvision(name: str) -> object:
    models: Any = import_module("torchvision.models")
    if name not in models.list_models():
        raise UnknownNameError("torchvision model", name, models.list_models())
    takes = signature(models.get_model_builder(name)).parameters
    options = {"weights_backbone": None} if "weights_backbone" in takes else {}
    made: object = models.get_model(name, weights=None, **options)
    return made


def _from_timm(name: str) -> object:
    try:
        timm: Any = import_module("timm")
    except ImportError:
        raise InputError(
            f"timm:{name} needs timm, which is not installed. Install it with: pip install timm"
        ) from None
    if name.partition(".")[0] not in timm.list_models():  # a tag of weights may follow
        raise UnknownNameError("timm model", name, timm.list_models())
    made: object = timm.create_model(name, pretrained=False)
    return made


def _call(module: str, name: str) -> object:
    """Call a function or return a module, importing from the working directory too."""
    sys.path.insert(0, "")
    try:
        value = import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
        return value() if callable(value) and not _is_module(value) else value
    except MnistZooError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"Expected package.module:callable that returns a model, got {module}:{name} "
            f"({reason}). Check both names, and that it needs no arguments."
        ) from error
    finally:
        sys.path.remove("")


def _is_module(value: object) -> TypeGuard[nn.Module]:
    from torch import nn

    return isinstance(value, nn.Module)


_SOURCES: dict[str, Callable[[str], object]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
}
