"""The page of one network, written from what the library computes of it."""

from __future__ import annotations

from math import prod
from pathlib import Path

from matplotlib.figure import Figure

from drawings import progression
from mnistzoo import plots, zoo
from mnistzoo.analysis import Analysis, effective_receptive_field
from mnistzoo.architectures import ARCHITECTURES, INPUT_SHAPE
from mnistzoo.data.disputed import INDICES
from mnistzoo.data.mnist import mnist, normalize
from mnistzoo.evaluation import Evaluation, evaluate
from mnistzoo.models import get_model
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import Entry, read_manifest
from mnistzoo.tables import Table


def write(name: str, folder: Path) -> None:
    """Write `folder/NAME.md` and its pictures; without weights, only what needs none."""
    entry = read_manifest().get(name)
    model = get_model(name, pretrained=entry is not None)
    parts = [_head(name, entry), _layers(name, model.summary()), _fields(name, model, folder)]
    if entry is not None:
        parts += [_effective(name, model, folder), _answers(name, model, folder), _origin(entry)]
    (folder / f"{name}.md").write_text("\n".join(parts), encoding="utf8")


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the same figure gives the same bytes."""
    figure.savefig(path, metadata={"Date": None})


def _head(name: str, entry: Entry | None) -> str:
    row = next(row for row in zoo.rows() if row.name == name)
    facts = {
        "parameters": f"{row.num_params:,}",
        "multiply-accumulates an image": f"{row.macs:,}",
        "memory for one image": f"{row.memory:.2f} MiB",
        "receptive field": f"{row.receptive_field} × {row.receptive_field}",
        "test accuracy": "no weights ship" if row.accuracy is None else f"{row.accuracy:.2%}",
    }
    title = ARCHITECTURES[name].title
    load = f'model = mnistzoo.get_model("{name}"{", pretrained=True" if entry else ""})'
    return (
        f"# {name}{f': {title}' if title else ''}\n\n"
        f"{Table(('`mnistzoo list`', ''), [*facts.items()]).to_markdown()}\n"
        f"```python\nimport mnistzoo\n\n{load}\n"
        f"print(model.num_params())  # {row.num_params}\n```\n"
    )


def _layers(name: str, analysis: Analysis) -> str:
    outputs = sum(prod(row.output_shape or ()) for row in analysis if row.has_params)
    return (
        f"## Layers\n\n```sh\nmnistzoo analyze {name}\n```\n\n{analysis.to_markdown()}\n"
        "### Memory\n\n"
        f"The input ({prod(INPUT_SHAPE):,} numbers), twice the outputs of the layers that have "
        f"parameters (2 × {outputs:,}: values and gradients) and the parameters "
        f"({analysis.num_params:,}), four bytes each: "
        f"{analysis.footprint_mib:.2f} MiB for one image.\n"
    )


def _fields(name: str, model: ConvNet, folder: Path) -> str:
    save(progression(model, mnist(train=False).images[0].numpy()), folder / f"{name}-fields.svg")
    return (
        "## What its units see\n\n"
        "The middle unit of each convolution and pool, over the first test image. A window may "
        "reach beyond the image, where there is only padding.\n\n"
        f"![Receptive fields of {name}, layer by layer]({name}-fields.svg)\n"
    )


def effective(model: ConvNet, layer: str, path: Path) -> None:
    """Draw what `mnistzoo plot receptive-field` draws without further options."""
    digits = mnist(train=False)
    found = effective_receptive_field(model, normalize(digits.images[:100]), layer)
    title = f"{model.architecture.name} {layer}"
    save(plots.receptive_field(found, digits.images[0].numpy(), title), path)


def _effective(name: str, model: ConvNet, folder: Path) -> str:
    layer = [row.path for row in model.summary() if row.kind == "Conv2d"][-1]
    effective(model, layer, folder / f"{name}-effective.svg")
    return (
        "What the last convolution's middle unit makes use of, by its gradient over 100 images "
        "([how](/receptive-fields.md)):\n\n"
        f"```sh\nmnistzoo plot receptive-field {name} --layer {layer}\n```\n\n"
        f"![What a unit of {layer} sees, and what it uses]({name}-effective.svg)\n"
    )


def _answers(name: str, model: ConvNet, folder: Path) -> str:
    digits = mnist(train=False)
    found = evaluate(model, digits)
    save(plots.errors(found, digits.images, INDICES, name), folder / f"{name}-errors.svg")
    save(plots.confusion(found, name), folder / f"{name}-confusion.svg")
    return (
        "## Accuracy\n\n"
        f"```sh\nmnistzoo evaluate {name} --confusion\n```\n\n"
        f"{found.correct:,} of the {found.total:,} official test images are read as they are "
        f"labelled: {found.accuracy:.2%}. {_documented(name)}\n\n"
        f"![Which digit is read as which]({name}-confusion.svg)\n\n"
        f"### Its wrong answers\n\n```sh\nmnistzoo plot errors {name}\n```\n\n"
        f"All {_wrong(found)}: the label, the answer, and how sure the network is of it; the "
        "surest first. A frame marks an image whose label people dispute.\n\n"
        f"![The test images that {name} reads otherwise than labelled]({name}-errors.svg)\n"
    )


def _wrong(found: Evaluation) -> str:
    return f"{found.total - found.correct}"


def _documented(name: str) -> str:
    accuracy = ARCHITECTURES[name].documented_accuracy
    if accuracy is None:
        return ""
    return (
        f"The study documents {accuracy:.2%}, which is accuracy on *training* images; see "
        "[Documented and computed](/documented.md)."
    )


def _origin(entry: Entry) -> str:
    facts = {
        "file": f"`{entry.file}`, {entry.bytes:,} bytes",
        "SHA-256": f"`{entry.sha256}`",
        "recipe": f"[`{entry.recipe}`](/training.md), seed {entry.seed}",
        "made with": ", ".join(f"{name} {version}" for name, version in entry.versions.items()),
    }
    table = Table(("`mnistzoo verify`", ""), [*facts.items()], text_columns=2).to_markdown()
    return f"## Its weights\n\n{table}\n"
