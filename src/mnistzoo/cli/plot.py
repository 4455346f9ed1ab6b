"""Commands that draw figures into files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from mnistzoo.cli.console import JSON, print_json
from mnistzoo.cli.source import HELP, METAVAR, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from mnistzoo.evaluation import Evaluation
    from mnistzoo.training.metrics import Result

app = typer.Typer(help="Draw figures.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar=METAVAR, help=HELP)]
Folder = Annotated[Path, typer.Argument(help="Holds the metrics (*.json) of finished runs.")]

PICTURES = (".png", ".pdf", ".svg")


def _picture(output: Path) -> Path:
    if output.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"expected a file that ends in {', '.join(PICTURES)}.")
    return output


Output = Annotated[
    Path,
    typer.Option("--output", "-o", callback=_picture, help="Image to write (png, pdf or svg)."),
]


@app.command("receptive-field")
def receptive_field(
    network: Source,
    layer: Annotated[str, typer.Option(help="Path of a layer, such as features.conv5.")],
    image: Annotated[int, typer.Option(min=0, max=9999, help="Number of a test image.")] = 0,
    images: Annotated[
        int, typer.Option(min=1, max=10000, help="Test images to average the gradient over.")
    ] = 100,
    output: Output = Path("receptive-field.png"),
    as_json: JSON = False,
) -> None:
    """Draw what the central unit of a layer can see of a digit, and what it makes use of."""
    from mnistzoo import plots
    from mnistzoo.analysis import effective_receptive_field
    from mnistzoo.data.mnist import mnist, normalize

    digits, _ = mnist(train=False)
    effective = effective_receptive_field(load(network), normalize(digits[:images]), layer)
    figure = plots.receptive_field(effective, digits[image].numpy(), f"{network} {layer}")
    share = effective.share_in_half
    text = f"{share:.1%} of the energy in the middle half"
    _finish(figure, output, {"layer": layer, "share_in_half": share}, text, as_json=as_json)


@app.command()
def curves(folder: Folder, output: Output = Path("curves.png"), as_json: JSON = False) -> None:
    """Draw accuracy and training loss by epoch: the mean over seeds, and their range."""
    from mnistzoo import plots
    from mnistzoo.training.metrics import load_results

    results = load_results(folder)
    facts, text = runs_shown(results), _counted(results, "run")
    _finish(plots.curves(results), output, facts, text, as_json=as_json)


@app.command("accuracy-vs-parameters")
def accuracy_vs_parameters(
    folder: Folder, output: Output = Path("accuracy-vs-parameters.png"), as_json: JSON = False
) -> None:
    """Draw accuracy over parameters: ours with the spread over seeds, the study's hollow."""
    from mnistzoo import plots
    from mnistzoo.training.metrics import load_results

    results = load_results(folder)
    facts, text = points_shown(results), _counted(results, "run")
    _finish(plots.accuracy_vs_params(results), output, facts, text, as_json=as_json)


@app.command()
def confusion(
    network: Source, output: Output = Path("confusion.png"), as_json: JSON = False
) -> None:
    """Draw which digit of the test set a network reads as which."""
    from mnistzoo import plots

    evaluation, _ = _evaluate(network)
    facts = {"network": network, "confusion": evaluation.confusion.tolist()}
    text = f"{len(evaluation.errors)} errors"
    _finish(plots.confusion(evaluation, network), output, facts, text, as_json=as_json)


@app.command()
def errors(network: Source, output: Output = Path("errors.png"), as_json: JSON = False) -> None:
    """Draw the test images that a network reads otherwise than labelled."""
    from mnistzoo import plots
    from mnistzoo.data.disputed import INDICES

    evaluation, images = _evaluate(network)
    shown = [
        {
            "index": index,
            "label": int(evaluation.labels[index]),
            "answer": int(evaluation.predictions[index]),
            "probability": float(evaluation.confidences[index]),
            "disputed": index in INDICES,
        }
        for index in plots.surest_errors(evaluation)
    ]
    figure = plots.errors(evaluation, images, INDICES, network)
    facts = {"network": network, "errors": shown}
    _finish(figure, output, facts, _counted(shown, "error"), as_json=as_json)


@app.command()
def reliability(
    network: Source, output: Output = Path("reliability.png"), as_json: JSON = False
) -> None:
    """Draw how often a network is right on the test set when it is so sure."""
    from mnistzoo import plots

    evaluation, _ = _evaluate(network)
    bins = [asdict(bin_) for bin_ in evaluation.reliability()]
    facts = {"network": network, "ece": evaluation.ece, "nll": evaluation.nll, "bins": bins}
    text = f"ECE {evaluation.ece:.2%}, NLL {evaluation.nll:.4f} nats"
    _finish(plots.reliability(evaluation, network), output, facts, text, as_json=as_json)


def _evaluate(network: str) -> tuple[Evaluation, Tensor]:
    """What a network answers for the test images, and those images."""
    from mnistzoo.data.mnist import mnist
    from mnistzoo.evaluation import evaluate

    digits = mnist(train=False)
    return evaluate(load(network), digits), digits.images


def runs_shown(results: Sequence[Result]) -> dict[str, Any]:
    """What the figure of the curves is drawn from."""
    return {"runs": [[r.architecture, r.recipe.name, r.seed, r.correct] for r in results]}


def points_shown(results: Sequence[Result]) -> dict[str, Any]:
    """What the figure of accuracy over parameters is drawn from."""
    from msgspec import to_builtins

    from mnistzoo.training.summary import summarize

    return {"points": to_builtins(summarize(results))}


def write_figure(figure: Figure, output: Path, facts: dict[str, Any]) -> None:
    """Write a figure whole or not at all.

    A PNG also carries `facts` as its description, so that it can be told what it was drawn from.
    """
    import io

    from mnistzoo.files import write_bytes

    suffix = output.suffix.removeprefix(".").lower()
    file = io.BytesIO()
    figure.savefig(file, format=suffix, dpi=120)
    write_bytes(output, _described(file, facts) if suffix == "png" else file.getvalue())


def _described(png: IO[bytes], facts: dict[str, Any]) -> bytes:
    """A PNG with `facts` as its description, in 256 colours, which a figure has enough of."""
    import io

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, file = PngInfo(), io.BytesIO()
    info.add_text("Description", json.dumps(facts))
    with Image.open(png) as picture:
        drawn = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    drawn.save(file, "PNG", optimize=True, pnginfo=info)
    return file.getvalue()


def _counted(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")


def _finish(
    figure: Figure, output: Path, facts: dict[str, Any], text: str, *, as_json: bool
) -> None:
    """Write a figure, and print what it shows."""
    write_figure(figure, output, facts)
    if as_json:
        print_json({"file": str(output), **facts})
    else:
        print(f"{output}: {text}")
