"""The sections of a model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnistzoo._version import __version__
from mnistzoo.storage.manifest import MNIST, READING, join_name, read_manifest, split_name
from mnistzoo.storage.robustness import IMAGES, robustness
from mnistzoo.tables import Table

if TYPE_CHECKING:
    from mnistzoo.storage.model_card import Result

PLACEHOLDER = '"user/name"'
"""Where the name of the repository goes."""


def title(display_name: str, weights: str | None) -> str:
    """Return the title, with the name of shipped weights other than the default ones."""
    kind = split_name(weights)[1] if weights else MNIST
    return display_name if kind == MNIST else f"{display_name}, {kind} weights"


def classes(labels: Sequence[str] | None) -> str:
    """Return a paragraph with the names of the classes, as code, if they have names."""
    if labels is None:
        return ""
    return f"Classes: {', '.join('`' + name.replace('`', chr(39)) + '`' for name in labels)}.\n"


def training(weights: str | None) -> str:
    """Return how shipped weights were trained."""
    if weights is None:
        return "Not stated. The owner may add it here.\n"
    entry = read_manifest()[weights]
    versions = ", ".join(f"{package} {version}" for package, version in entry.versions.items())
    name, kind = split_name(weights)
    base = "" if kind == MNIST else f" It starts from the library's MNIST weights of {name}."
    extra = " and 110,000 generated images of digits" if kind == READING else ""
    return (
        f"On the 60,000 training images of MNIST{extra}, with the recipe `{entry.recipe}` and seed "
        f"{entry.seed} ({versions}).{base} The weights are those of the last epoch. The test "
        "images were not used to choose anything. This command repeats the training:\n\n"
        f"```sh\nmnistzoo train {name} --recipe {entry.recipe} --seed {entry.seed} -o run\n```\n"
    )


def evaluation(weights: str | None, result: Result | None) -> str:
    """Return the accuracy, and for shipped weights the accuracies under corruptions."""
    if result is None:
        return "No accuracy is stated.\n"
    stated = f"Accuracy on {result.dataset}: {result.accuracy:.2%} ({result.evidence}).\n"
    corrupted = robustness(weights or "")
    if not corrupted:
        return stated
    mean = sum(corrupted.values()) / len(corrupted)
    rows = [(name, f"{accuracy:.2%}") for name, accuracy in corrupted.items()]
    table = Table(("corruption", "accuracy"), [*rows, ("**mean**", f"{mean:.2%}")]).to_markdown()
    return (
        f"{stated}\n### Robustness\n\nAccuracy on the first {IMAGES:,} test images under the 15 "
        "corruptions of MNIST-C (Mu and Gilmer 2019, arXiv:1906.02337), reimplemented at the "
        "published severities. A 95% interval is at most 2.2 percentage points wide on either "
        f"side.\n\n{table}"
    )


def intended_use(weights: str | None) -> str:
    """Return what the model is for, and where it fails."""
    kind = split_name(weights)[1] if weights else None
    return f"{_USE}\n{_LIMITS.get(kind, _LIMITS[MNIST])}\n{_CAUTION}"


USAGE = f"""## Usage

```python
import mnistzoo

model = mnistzoo.from_pretrained({PLACEHOLDER})
model.predict("photo.png")
```

Every load checks the weights against the SHA-256 in `config.json`.
"""

_USE = """## Intended use and limits

For teaching, tests, demonstrations and fine-tuning: one character in an image, converted to 28×28
pixels.
"""

_LIMITS: dict[str | None, str] = {
    MNIST: "MNIST was written in the United States around 1990. Models trained on it read other "
    "forms of digits less well, such as a 1 with a long upstroke. They are not robust to a gray "
    "background.\n",
    READING: f"These weights also read forms of digits that MNIST lacks, such as a 1 with a long "
    f"upstroke. On MNIST itself they are less accurate than the library's MNIST weights "
    f"(`mnistzoo evaluate exp5 {join_name('exp5', READING)}`). A 1 with a flat upstroke is still "
    "read as a 7.\n",
}

_CAUTION = """The model names one of its classes for every image, even if the image shows none of
them, and a high probability is not a proof. Measure the accuracy on your own images before you
rely on it (`mnistzoo evaluate FOLDER --data IMAGES`), and do not use it alone where an error does
harm.
"""

LICENSE = f"""## License and citation

Unless the owner states otherwise, the weights are under the MIT license. MNIST is under CC BY-SA
3.0.

```bibtex
@software{{mnistzoo,
  title = {{mnistzoo: small MNIST models and exact analysis of PyTorch models}},
  author = {{{{The mnistzoo authors}}}},
  version = {{{__version__}}},
  license = {{MIT}},
}}
```
"""

FILES = """## Files

- `config.json`: `architecture`, `num_classes`, `mean` and `std` of the pixels on a scale of 0 to 1,
  `sha256` of the weights, `library_version`, and `labels` if the classes have names, and `style` if
  images are only converted to gray levels. Exactly these keys.
- `model.safetensors`: the tensors, by the names of PyTorch's `state_dict`. No pickle, no code.
"""
