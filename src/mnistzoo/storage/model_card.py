"""The model card, `README.md`: metadata that the Hub reads, and what a reader wants to know.

A card ends in a line that holds the digest of all before it. That is how a card that its owner has
edited is told from one that may be written anew: an edited card has another digest, a card from
elsewhere has no such line, and neither is ever replaced.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mnistzoo.architectures import BUILDABLE, INPUT_SHAPE, NUM_CLASSES
from mnistzoo.errors import InputError
from mnistzoo.files import is_dir, read_bytes, remove, sha256
from mnistzoo.storage.manifest import read_manifest
from mnistzoo.storage.model_folder import CARD, LIMITS, Config, write_folder

MNIST = "ylecun/mnist"
"""The data set's name on the Hub."""

_ANYWHERE = '"user/name"'
_SEAL = "<!-- written by mnistzoo, which keeps this card once it is edited; SHA-256 {} -->\n"
_SEALED = re.compile(_SEAL.format("([0-9a-f]{64})").encode() + rb"\Z")


@dataclass(frozen=True)
class Measured:
    """An accuracy, and what it was measured on.

    Attributes:
        accuracy: a fraction.
        dataset: the data set's name on the Hub.
        split: the part of the data set, where it is known.
        reported_by: who says so, in words.
    """

    accuracy: float
    dataset: str
    split: str | None
    reported_by: str


def is_generated(card: bytes) -> bool:
    """Whether a card was written by this library and not changed since."""
    seal = _SEALED.search(card)
    return seal is not None and sha256(card[: seal.start()]) == seal[1].decode()


def address(card: bytes, repo_id: str) -> bytes:
    """A generated card that names the repository in its example; an edited card as it is."""
    seal = _SEALED.search(card)
    if seal is None or not is_generated(card):
        return card
    return _sealed(card[: seal.start()].decode().replace(_ANYWHERE, json.dumps(repo_id)))


def write_with_card(folder: str | os.PathLike[str], files: dict[str, bytes]) -> None:
    """Put a network and its card into a folder; a card there that its owner has edited stays.

    Raises:
        FileReadError: the card there cannot be read.
        FileWriteError: the folder or the disk refuses.
    """
    there = Path(folder) / CARD
    if is_dir(folder) and there.exists():
        small = there.stat().st_size <= LIMITS[CARD]  # a larger one is not ours
        if not small or not is_generated(read_bytes(there, limit=LIMITS[CARD])):
            files = {name: data for name, data in files.items() if name != CARD}
        elif CARD not in files:
            remove(there)  # it is of the network that was there
    write_folder(folder, files)


def measured(config: Config, accuracy: float | None, dataset: str | None) -> Measured | None:
    """What a card may say of accuracy: the manifest's for shipped weights, else what is given.

    Whether weights are the shipped ones is decided by their SHA-256.

    Raises:
        InputError: the accuracy is not a fraction, its data set is not known, or the weights are
            the shipped ones, and it is not theirs.
    """
    entry = read_manifest().get(config.architecture)
    if entry is not None and entry.sha256 == config.sha256:
        if accuracy not in (None, entry.accuracy) or dataset not in (None, MNIST):
            raise InputError(
                f"these are the shipped weights, whose accuracy on {MNIST} is known "
                f"({entry.accuracy:.2%}); leave accuracy and dataset out."
            )
        counted = f"{entry.correct:,} of the 10,000 test images are classified correctly"
        return Measured(entry.accuracy, MNIST, "test", counted)
    if accuracy is None:
        return None
    if not 0 <= accuracy <= 1:
        raise InputError(f"accuracy should be a fraction from 0 to 1, got {accuracy}.")
    where = dataset or _trained_on(config)
    if where is None:
        raise InputError(
            f"an accuracy over {config.num_classes} classes needs the data set that it was "
            'measured on; give its name on the Hub, as dataset="user/name".'
        )
    return Measured(accuracy, where, None, "as stated by the owner")


def _trained_on(config: Config) -> str | None:
    return MNIST if config.num_classes == NUM_CLASSES else None


def render(model: nn.Module, config: Config, accuracy: float | None, dataset: str | None) -> bytes:
    """The card of a network.

    Args:
        model: the network itself, for the table of its layers.
        config: what is stated of it in `config.json`.
        accuracy: a fraction, for weights that are not the shipped ones.
        dataset: what `accuracy` was measured on, a name on the Hub; MNIST if the network has ten
            classes and nothing else is given.

    Raises:
        InputError: see `measured`.
    """
    result = measured(config, accuracy, dataset)
    name = config.architecture
    parts = [
        _metadata(config, result, dataset or _trained_on(config)),
        f"# {name}: {BUILDABLE[name].title}\n",
        f"A small convolutional network for images of 28×28 pixels, {config.num_classes} classes, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters.\n",
        _accuracy(result),
        _LOADING,
        _layers(model),
        _FILES,
    ]
    return _sealed("\n".join(parts))


def _sealed(body: str) -> bytes:
    return (body + _SEAL.format(sha256(body.encode()))).encode()


def _metadata(config: Config, result: Measured | None, dataset: str | None) -> str:
    """YAML front matter, by the client's own record of what the Hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    name, results = config.architecture, None
    if result is not None:
        results = [
            EvalResult(
                task_type="image-classification",
                dataset_type=result.dataset,
                dataset_name=result.dataset.rpartition("/")[2],
                dataset_split=result.split,
                metric_type="accuracy",
                metric_name="Accuracy",
                metric_value=result.accuracy,
            )
        ]
    data = ModelCardData(
        license="mit",
        library_name="mnistzoo",
        pipeline_tag="image-classification",
        tags=["mnist", "mnistzoo", "pytorch", "safetensors", name],
        datasets=dataset and [dataset],
        metrics=["accuracy"] if results else None,
        model_name=name if results else None,
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _accuracy(result: Measured | None) -> str:
    if result is None:
        return "Its accuracy has not been stated.\n"
    return f"Accuracy on {result.dataset}: {result.accuracy:.2%} ({result.reported_by}).\n"


_LOADING = f"""## Use

```python
import mnistzoo

model = mnistzoo.from_pretrained({_ANYWHERE})
model.predict("photo.png")
```

The weights are checked against the SHA-256 in `config.json` at every load.
"""

_FILES = """## Files

- `config.json`: `architecture`, `num_classes`, `mean` and `std` of the pixels on a scale of 0 to 1,
  `sha256` of the weights, `library_version`. Exactly these keys.
- `model.safetensors`: the tensors, by the names of PyTorch's `state_dict`. No pickle, no code.

"""


def _layers(model: nn.Module) -> str:
    from mnistzoo.analysis import analyze

    return f"## Layers and receptive fields\n\n{analyze(model, INPUT_SHAPE).to_markdown()}"
