"""Commands that draw figures into files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.cli.console import print_record
from mnistzoo.cli.options import (
    Data,
    Format,
    Model,
    Results,
    Strict,
    StyleName,
    StyleOption,
    check_data_options,
    check_suffix,
)
from mnistzoo.cli.source import check, check_data, load, load_data, style_for, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from mnistzoo.data.datasets import ImageDataset
    from mnistzoo.data.mnist import Digits
    from mnistzoo.evaluation import Evaluation
app = typer.Typer(
    help="Draw training curves, errors and other figures.",
    no_args_is_help=True,
    epilog="Example: mnistzoo plot errors exp5",
)

Output = Annotated[
    Path,
    typer.Option(
        *("--output", "-o"),
        callback=check_suffix(".png", ".pdf", ".svg"),
        help="The file to write: .png, .pdf or .svg.",
    ),
]


@app.command(
    epilog="Example: mnistzoo plot receptive-field exp5 --layer features.conv5 -o field.png"
)
def receptive_field(
    model: Model,
    layer: Annotated[str, typer.Option(help="The layer's name, such as features.conv5.")],
    image: Annotated[int, typer.Option(min=0, max=9999, help="Index of a test image.")] = 0,
    images: Annotated[
        int, typer.Option(min=1, max=10000, help="Number of test images to average over.")
    ] = 100,
    output: Output = Path("receptive-field.png"),
    format_: Format = "table",
) -> None:
    """Draw a receptive field.

    The figure shows the theoretical and the effective field of the layer's central unit.
    """
    check(model)
    from mnistzoo import plots
    from mnistzoo.analysis import effective_receptive_field
    from mnistzoo.data.mnist import mnist
    from mnistzoo.images.transforms import normalize

    digits, _ = mnist(train=False)
    effective = effective_receptive_field(load(model), normalize(digits[:images]), layer)
    figure = plots.receptive_field(effective, digits[image].numpy(), f"{title(model)}, {layer}")
    share = effective.share_in_half
    facts = {"model": model, "layer": layer, "share_in_half": share}
    _finish(figure, output, facts, f"{share:.1%} of the energy in the middle half", format_)


@app.command(epilog="Example: mnistzoo plot curves runs -o curves.pdf")
def curves(folder: Results, output: Output = Path("curves.png"), format_: Format = "table") -> None:
    """Draw training curves.

    The figure shows accuracy and training loss by epoch, with mean and range over seeds.
    """
    from mnistzoo import plots
    from mnistzoo.training.metrics import load_results

    results = load_results(folder)
    text = _count(results, "run")
    _finish(plots.curves(results), output, plots.facts_of_runs(results), text, format_)


@app.command(epilog="Example: mnistzoo plot accuracy-vs-parameters runs -o points.svg")
def accuracy_vs_parameters(
    folder: Results,
    output: Output = Path("accuracy-vs-parameters.png"),
    format_: Format = "table",
) -> None:
    """Draw accuracy over parameters.

    The figure also shows what the study documents.
    """
    from mnistzoo import plots
    from mnistzoo.training.metrics import load_results

    results = load_results(folder)
    facts, text = plots.facts_of_summaries(results), _count(results, "run")
    _finish(plots.accuracy_vs_parameters(results), output, facts, text, format_)


@app.command(epilog="Example: mnistzoo plot fine-tuning runs -o fine-tuning.svg")
def fine_tuning(
    folder: Results, output: Output = Path("fine-tuning.png"), format_: Format = "table"
) -> None:
    """Draw accuracy over training images.

    The figure compares runs from pretrained features with runs from scratch.
    """
    from mnistzoo import plots
    from mnistzoo.training.metrics import load_results

    results = load_results(folder)
    facts, text = plots.facts_of_fine_tuning(results), _count(results, "run")
    _finish(plots.fine_tuning(results), output, facts, text, format_)


@app.command(epilog="Example: mnistzoo plot confusion exp5 -o confusion.svg")
def confusion(
    model: Model,
    data: Data = None,
    style: StyleOption = None,
    strict: Strict = False,
    output: Output = Path("confusion.png"),
    format_: Format = "table",
) -> None:
    """Draw the confusion matrix.

    The model is evaluated on the test images, or on your own.
    """
    evaluation, _ = _evaluate(model, data, style, strict)
    from mnistzoo import plots

    classes, counts = list(evaluation.classes), evaluation.confusion.tolist()
    facts = {"model": model, "classes": classes, "confusion": counts}
    figure = plots.confusion(evaluation, title(model))
    _finish(figure, output, facts, _count(evaluation.errors, "error"), format_)


@app.command(epilog="Example: mnistzoo plot errors exp5 -o errors.png")
def errors(
    model: Model,
    data: Data = None,
    style: StyleOption = None,
    strict: Strict = False,
    output: Output = Path("errors.png"),
    format_: Format = "table",
) -> None:
    """Draw the misclassified images.

    The model is evaluated on the test images, or on your own.
    """
    evaluation, images = _evaluate(model, data, style, strict)
    from mnistzoo import plots
    from mnistzoo.data import disputed

    marked = disputed.INDICES if data is None else ()
    shown = [
        {
            "index": index,
            "label": int(evaluation.labels[index]),
            "prediction": int(evaluation.predictions[index]),
            "confidence": float(evaluation.confidences[index]),
            "disputed": index in marked,
        }
        for index in plots.errors_by_confidence(evaluation)
    ]
    figure = plots.errors(evaluation, images, marked, title(model))
    facts = {"model": model, "errors": shown}
    _finish(figure, output, facts, _count(shown, "error"), format_)


@app.command(epilog="Example: mnistzoo plot reliability exp5 -o reliability.png")
def reliability(
    model: Model,
    data: Data = None,
    style: StyleOption = None,
    strict: Strict = False,
    output: Output = Path("reliability.png"),
    format_: Format = "table",
) -> None:
    """Draw the reliability diagram.

    The figure shows accuracy by confidence on the test images, or on your own.
    """
    evaluation, _ = _evaluate(model, data, style, strict)
    from mnistzoo import plots

    bins = [asdict(bin_) for bin_ in evaluation.reliability()]
    facts = {"model": model, "ece": evaluation.ece, "nll": evaluation.nll, "bins": bins}
    text = f"ECE {evaluation.ece:.2%}, NLL {evaluation.nll:.4f} nats"
    _finish(plots.reliability(evaluation, title(model)), output, facts, text, format_)


def _evaluate(
    model: str, data: Path | None, style: StyleName | None, strict: bool
) -> tuple[Evaluation, Tensor]:
    """Evaluate a model on the test images or those of a folder, and return the images too."""
    check_data_options(data, style, strict)
    check_data(data)
    loaded = load(model)
    from mnistzoo.data.mnist import mnist
    from mnistzoo.evaluation import evaluate

    if data is None:
        dataset: Digits | ImageDataset = mnist(train=False)
    else:
        dataset = load_data(data, style_for(loaded, style), strict=strict)
    return evaluate(loaded, dataset), dataset.images


def _count(things: Sequence[object] | Tensor, name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")


def _finish(figure: Figure, output: Path, facts: dict[str, Any], text: str, format_: str) -> None:
    """Write a figure, and print what it shows."""
    from mnistzoo import plots

    plots.save(figure, output, facts)
    print_record(format_, {"file": str(output), **facts}, f"{output}: {text}")
