"""The page of one model, written from what the library computes."""

from __future__ import annotations

from math import prod
from pathlib import Path

from matplotlib.figure import Figure

from drawings import progression
from mnistzoo import plots, zoo
from mnistzoo.analysis import Analysis, effective_receptive_field
from mnistzoo.architectures import ARCHITECTURES, INPUT_SHAPE
from mnistzoo.data.disputed import INDICES
from mnistzoo.data.mnist import mnist
from mnistzoo.evaluation import evaluate
from mnistzoo.images.transforms import normalize
from mnistzoo.models import get_model
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import Entry, read_manifest, split_name
from mnistzoo.tables import Table


def write(name: str, folder: Path) -> None:
    """Write `folder/NAME.md` and its figures. Without weights, leave out what needs them."""
    entry = read_manifest().get(name)
    model = get_model(name, pretrained=entry is not None)
    parts = [_head(name, entry), _layers(name, model.summary()), _fields(name, model, folder)]
    if entry is not None:
        parts += [_effective(name, model, folder), _answers(name, model, folder), _origin(name)]
    (folder / f"{name}.md").write_text("\n".join(parts), encoding="utf8")


def save(figure: Figure, path: Path) -> None:
    """Write a figure. The same figure gives the same bytes."""
    figure.savefig(path, metadata={"Date": None})


def _head(name: str, entry: Entry | None) -> str:
    row = next(row for row in zoo.rows() if row.model == name)
    facts = {
        "parameters": f"{row.num_params:,}",
        "multiply-accumulates per image": f"{row.macs:,}",
        "memory for one image": f"{row.footprint_mib:.2f} MiB",
        "receptive field": f"{row.receptive_field} × {row.receptive_field}",
        "test accuracy": "no pretrained weights" if row.accuracy is None else f"{row.accuracy:.2%}",
    }
    load = f'model = mnistzoo.get_model("{name}"{", pretrained=True" if entry else ""})'
    return (
        f"# {ARCHITECTURES[name].display_name}\n\n"
        f"{Table(('`mnistzoo list`', ''), [*facts.items()]).to_markdown()}\n"
        f"```python\nimport mnistzoo\n\n{load}\n"
        f"print(model.num_params())  # {row.num_params}\n```\n"
    )


def _layers(name: str, analysis: Analysis) -> str:
    outputs = sum(prod(row.output_shape or ()) for row in analysis if row.has_params)
    return (
        f"## Layers\n\n```sh\nmnistzoo analyze {name}\n```\n\n{analysis.to_markdown()}\n"
        "### Memory\n\n"
        f"The study adds the input ({prod(INPUT_SHAPE):,} numbers), twice the outputs of layers "
        f"with parameters (2 × {outputs:,}, for values and gradients) and the parameters "
        f"({analysis.num_params:,}). At four bytes each that is {analysis.footprint_mib:.2f} MiB "
        "for one image.\n"
    )


def _fields(name: str, model: ConvNet, folder: Path) -> str:
    save(progression(model, mnist(train=False).images[0].numpy()), folder / f"{name}-fields.svg")
    return (
        "## Receptive fields\n\n"
        "The receptive field of the central unit of each convolution and pool, over the first test "
        "image. It may extend beyond the image.\n\n"
        f"![Receptive fields of {name}, layer by layer]({name}-fields.svg)\n"
    )


def effective(model: ConvNet, layer: str, path: Path) -> None:
    """Draw what `mnistzoo plot receptive-field` draws by default."""
    digits = mnist(train=False)
    found = effective_receptive_field(model, normalize(digits.images[:100]), layer)
    title = f"{model.architecture.name} {layer}"
    save(plots.receptive_field(found, digits.images[0].numpy(), title), path)


def _effective(name: str, model: ConvNet, folder: Path) -> str:
    layer = [row.path for row in model.summary() if row.kind == "Conv2d"][-1]
    effective(model, layer, folder / f"{name}-effective.svg")
    return (
        "The effective receptive field shows how much each pixel matters to the central unit of "
        "the last convolution, measured by its gradient over 100 images "
        "([details](/explanation/receptive-fields.md#effective-receptive-fields)):\n\n"
        f"```sh\nmnistzoo plot receptive-field {name} --layer {layer}\n```\n\n"
        f"![Receptive field and effective receptive field of {layer}]({name}-effective.svg)\n"
    )


def _answers(name: str, model: ConvNet, folder: Path) -> str:
    digits = mnist(train=False)
    found = evaluate(model, digits)
    save(plots.errors(found, digits.images, INDICES, name), folder / f"{name}-errors.svg")
    save(plots.confusion(found, name), folder / f"{name}-confusion.svg")
    return (
        "## Accuracy\n\n"
        f"```sh\nmnistzoo evaluate {name} --confusion\n```\n\n"
        f"{name} classifies {found.correct:,} of the {found.total:,} official test images "
        f"correctly: {found.accuracy:.2%}. {_documented(name)}\n\n"
        f"![Confusion matrix]({name}-confusion.svg)\n\n"
        f"### Errors\n\n```sh\nmnistzoo plot errors {name}\n```\n\n"
        f"All {found.total - found.correct} errors, the most confident first: label, prediction "
        "and confidence. A red frame marks a disputed label.\n\n"
        f"![The test images that {name} misclassifies]({name}-errors.svg)\n"
    )


def _documented(name: str) -> str:
    accuracy = ARCHITECTURES[name].documented_accuracy
    if accuracy is None:
        return ""
    return (
        f"The study documents {accuracy:.2%}, measured on *training* images: see "
        "[About the study](/explanation/study.md)."
    )


def _origin(name: str) -> str:
    """Return a table for each set of weights."""
    tables = [
        f"### {split_name(full)[1]}\n\n{_provenance(full, entry)}"
        for full, entry in read_manifest().items()
        if split_name(full)[0] == name
    ]
    return "\n".join(["## Weights\n", *tables])


def _provenance(name: str, entry: Entry) -> str:
    facts = {
        "test accuracy": f"{entry.accuracy:.2%}",
        "file": f"`{entry.file}`, {entry.bytes:,} bytes",
        "SHA-256": f"`{entry.sha256}`",
        "recipe": f"[`{entry.recipe}`](/reference/recipes.md), seed {entry.seed}",
        "versions": ", ".join(f"{name} {version}" for name, version in entry.versions.items()),
    }
    return Table((f"`mnistzoo verify {name}`", ""), [*facts.items()], text_columns=2).to_markdown()
