"""Every figure of the study that can be computed, beside what the library computes.

`documented` is text as the study prints it. Where the computed text differs, `why` names the entry
of `reasons.WHY` that explains it. A test checks that every difference has a reason.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from itertools import pairwise

from mnistzoo import zoo
from mnistzoo.architectures import ARCHITECTURES, INPUT_SHAPE, NUM_CLASSES, Architecture, Conv, Pool
from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.evaluation import Evaluation, evaluate
from mnistzoo.models import get_model
from mnistzoo.training.recipes import DOCUMENTED, get_recipe
from reasons import Figure, LayerRow


def studied() -> list[Architecture]:
    """Return the architectures that the study documents."""
    return [row for row in ARCHITECTURES.values() if row.documented_num_params is not None]


@functools.cache
def on_training_images(name: str) -> Evaluation:
    """Evaluate a pretrained model on the first 10,000 training images."""
    digits = mnist(train=True)
    return evaluate(
        get_model(name, pretrained=True), Digits(digits.images[:10_000], digits.labels[:10_000])
    )


@functools.cache
def _rows() -> dict[str, zoo.Row]:
    return {row.model: row for row in zoo.rows()}


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.2%}"


def _best(column: str, largest: bool = False) -> str:
    """Return the model with the lowest, or highest, figure in a column, as the study names it."""
    rows = [_rows()[row.name] for row in studied()]
    pick = max if largest else min
    return pick(rows, key=lambda row: getattr(row, column) or 0.0).model.replace("exp", "Exp ")


def _convs(name: str) -> list[Conv]:
    return [layer for layer in ARCHITECTURES[name].layers if isinstance(layer, Conv)]


def experiments() -> Iterator[Figure]:
    """Yield the figures under Architecture Experiments."""
    yield Figure("models", "5", str(len(studied())))
    yield Figure("size of an image", "28×28", f"{INPUT_SHAPE[1]}×{INPUT_SHAPE[2]}")
    yield Figure("classes", "10", str(NUM_CLASSES))
    for row in studied():
        params = f"{row.documented_num_params:,}"
        yield Figure(
            f"{row.name}: parameters", params, f"{_rows()[row.name].num_params:,}", "rounded"
        )
    for row in studied():
        found = _percent(_rows()[row.name].accuracy)
        documented = _percent(row.documented_accuracy)
        yield Figure(f"{row.name}: test accuracy", documented, found, "training-images")
    yield Figure("exp1: convolutions", "2", str(len(_convs("exp1"))))
    channels = "→".join(str(conv.out_channels) for conv in _convs("exp3"))
    yield Figure("exp3: channels", "64→32→8", channels)
    yield Figure("exp4: convolutions", "7", str(len(_convs("exp4"))))


_THOUSANDS = ("21K", "27.7K", "23.4K", "17K", "17.3K")
_GAINS = ("+2.49%", "+2.21%", "+2.82%", "+0.25%")


def progression() -> Iterator[Figure]:
    """Yield those under Performance Progression and Efficiency Analysis."""
    for row, text in zip(studied(), _THOUSANDS, strict=True):
        thousands = _rows()[row.name].num_params / 1000
        found = f"{thousands:.1f}K" if "." in text else f"{thousands:.0f}K"
        yield Figure(f"{row.name}: parameters", text, found)
    for (before, after), text in zip(pairwise(studied()), _GAINS, strict=True):
        yield from _gain(before, after, text)
    yield Figure("most accurate", "Exp 5", _best("accuracy", largest=True), "training-images")
    yield Figure("fewest parameters", "Exp 4", _best("num_params"))


def _gain(before: Architecture, after: Architecture, text: str) -> Iterator[Figure]:
    """Yield a gain in accuracy, computed from the study's accuracies and from ours."""
    what = f"gain of {after.name} over {before.name}"
    own = (after.documented_accuracy or 0) - (before.documented_accuracy or 0)
    ours = (_rows()[after.name].accuracy or 0) - (_rows()[before.name].accuracy or 0)
    yield Figure(f"{what}, from the study's accuracies", text, f"{own:+.2%}")
    yield Figure(f"{what}, from ours", text, f"{ours:+.2%}", "gains")


def architecture() -> Iterator[Figure]:
    """Yield those under Best Performing Architecture."""
    params = {row.path: row.num_params for row in get_model("exp5").summary()}
    listed = ("320 + 64", "4,624 + 32", *["2,320 + 32"] * 4, "1,740 + 24")
    for number, text in enumerate(listed, 1):
        conv, norm = params[f"features.conv{number}"], params[f"features.bn{number}"]
        yield Figure(f"convolution {number} + batch norm", text, f"{conv:,} + {norm:,}")
    yield Figure("Linear(108→10)", "1,090", f"{params['classifier']:,}")
    pools = sum(isinstance(layer, Pool) for layer in ARCHITECTURES["exp5"].layers)
    yield Figure("pools", "1", str(pools), "one-pool")
    yield Figure("total parameters", "17,302", f"{sum(params.values()):,}")
    yield Figure(
        "memory footprint", "0.69 MB", f"{_rows()['exp5'].footprint_mib:.2f} MiB", "mebibytes"
    )


_TABLE = (
    ("Conv2d-1", "conv1", "[1, 28, 28]", "[32, 26, 26]", "320", "3×3"),
    ("BatchNorm2d-2", "bn1", "[32, 26, 26]", "[32, 26, 26]", "64", "3×3"),
    ("Conv2d-3", "conv2", "[32, 26, 26]", "[16, 24, 24]", "4,624", "5×5"),
    ("BatchNorm2d-4", "bn2", "[16, 24, 24]", "[16, 24, 24]", "32", "5×5"),
    ("Conv2d-5", "conv3", "[16, 24, 24]", "[16, 22, 22]", "2,320", "7×7"),
    ("BatchNorm2d-6", "bn3", "[16, 22, 22]", "[16, 22, 22]", "32", "7×7"),
    ("MaxPool2d-7", "pool1", "[16, 22, 22]", "[16, 9, 9]", "0", "8×8"),
    ("Conv2d-8", "conv5", "[16, 9, 9]", "[16, 7, 7]", "2,320", "12×12"),
    ("BatchNorm2d-9", "bn5", "[16, 7, 7]", "[16, 7, 7]", "32", "12×12"),
    ("Conv2d-10", "conv6", "[16, 7, 7]", "[16, 3, 3]", "2,320", "20×20"),
    ("BatchNorm2d-11", "bn6", "[16, 3, 3]", "[16, 3, 3]", "32", "20×20"),
    ("Conv2d-12", "conv7", "[16, 3, 3]", "[12, 3, 3]", "1,740", "28×28"),
    ("BatchNorm2d-13", "bn7", "[12, 3, 3]", "[12, 3, 3]", "24", "28×28"),
    ("Linear-14", "classifier", "[108]", "[10]", "1,090", "Full Image"),
)
"""The study's table: its row, our layer with those parameters and that output, its columns."""


def layers() -> list[LayerRow]:
    """Return the table under Layer-wise Output Shapes & Receptive Fields."""
    model = get_model("exp5")
    found: dict[str, tuple[str, ...]] = {}
    before: tuple[int, ...] = INPUT_SHAPE
    for row in model.summary():
        shape = row.output_shape or ()
        inputs = before if len(shape) == len(before) else (model.classifier.in_features,)
        field = str(model.receptive_field(row.path)).split(" (")[0]
        texts = (str(list(inputs)), str(list(shape)), f"{row.num_params:,}", field)
        found[row.path.removeprefix("features.")], before = texts, shape
    return [
        LayerRow(name, path, tuple(_cells(name, path, texts, found[path])))
        for name, path, *texts in _TABLE
    ]


def _cells(name: str, path: str, texts: list[str], found: tuple[str, ...]) -> Iterator[Figure]:
    whys = ("folded", "folded", "", "image" if path in ("conv7", "bn7", "classifier") else "folded")
    columns = ("input", "output", "parameters", "receptive field")
    for column, documented, computed, why in zip(columns, texts, found, whys, strict=True):
        yield Figure(f"{name}: {column}", documented, computed, why)


def layer_sums() -> Iterator[Figure]:
    """Yield the sums over the table of layers."""
    listed = sum(int(row[4].replace(",", "")) for row in _TABLE)
    total = f"{_rows()['exp5'].num_params:,}"
    yield Figure("sum of the table's parameters", f"{listed:,}", total, "left-out")
    convs = str(sum(row[0].startswith("Conv") for row in _TABLE))
    yield Figure("convolutions in the table", convs, str(len(_convs("exp5"))), "left-out")


def insights() -> Iterator[Figure]:
    """Yield those under Key Insights."""
    first, deep = ARCHITECTURES["exp1"], ARCHITECTURES["exp4"]
    convs = f"{len(_convs('exp1'))} to {len(_convs('exp4'))}"
    yield Figure("convolutional layers, exp1 to exp4", "2 to 7", convs)
    yield from _gain(first, deep, "+7.52%")


def receptive_fields() -> Iterator[Figure]:
    """Yield those under Receptive Field Analysis and Receptive Field vs Accuracy."""
    model = get_model("exp5")
    listed = {
        **{"conv1": "3×3", "conv2": "5×5", "conv3": "7×7", "pool1": "8×8"},
        **{"conv4": "12×12", "conv5": "20×20", "conv6": "28×28"},
    }
    for path, text in listed.items():
        yield Figure(f"exp5, {path}", text, str(model.receptive_field(f"features.{path}")), "field")
    sizes = {row.name: _rows()[row.name].receptive_field for row in studied()}
    small = [sizes[name] for name in ("exp1", "exp2", "exp3")]
    found = ", ".join(f"{size}×{size}" for size in small)
    yield Figure("exp1, exp2, exp3: final size", "<20×20", found, agrees=max(small) < 20)
    for name in ("exp4", "exp5"):
        yield Figure(f"{name}: final size", "28×28", f"{sizes[name]}×{sizes[name]}", "image")
    seen = str(model.receptive_field("classifier")).split(" (")[0]
    yield Figure("exp5: pixels that its output depends on", "28×28", seen, "image")


def recommendations() -> Iterator[Figure]:
    """Yield those under Recommendations."""
    yield Figure("maximum accuracy", "Exp 5", _best("accuracy", largest=True), "training-images")
    yield Figure("most parameter-efficient", "Exp 4", _best("num_params"))
    yield Figure("quick prototyping", "Exp 3", _best("macs"), "quickest")
    yield Figure("least memory", "Exp 4", _best("footprint_mib"), "least-memory")


def training() -> Iterator[Figure]:
    """Yield those under Training Configuration, beside the recipe `documented`."""
    recipes = [get_recipe("documented", row.name) for row in studied()]
    batches, epochs = [r.batch_size for r in recipes], [r.epochs for r in recipes]
    normed = ", ".join(row.name.replace("exp", "Exp ") for row in studied() if row.batch_norm)
    yield Figure("input shape", "(1, 28, 28)", str(INPUT_SHAPE))
    yield Figure("batch size", "32-128", f"{min(batches)}-{max(batches)}")
    yield Figure("epochs", "10-20", f"{min(epochs)}-{max(epochs)}")
    yield Figure("learning rate", "0.01", str(DOCUMENTED.learning_rate))
    yield Figure("momentum", "0.9", str(DOCUMENTED.momentum))
    yield Figure("batch norm", "Exp 5", normed)


def log() -> Iterator[Figure]:
    """Yield those under Training Details, the log of exp5."""
    batch = get_recipe("documented", "exp5").batch_size
    steps, train = math.ceil(60_000 / batch), on_training_images("exp5")
    tested = str(len(mnist(train=False).labels))
    least = (60_000 - 59_701) * math.log(2) / 60_000
    ours = "our weights on the first 10,000 of these"
    rows = (
        ("epoch 19: 59701/60000", "99.50%", _percent(59_701 / 60_000), ""),
        ("epoch 20: 59689/60000", "99.48%", _percent(59_689 / 60_000), ""),
        (ours, "99.50%", _percent(train.accuracy), "other-weights"),
        ("images of the test set", "60000", tested, "training-images"),
        (f"steps per epoch, batch {batch}", "938", str(steps), ""),
        ("index of the last batch", "937", str(steps - 1), ""),
        ("seconds in epoch 19, at 39.33 it/s", "23", str(int(steps / 39.33)), ""),
        ("seconds in epoch 20, at 38.84 it/s", "24", str(int(steps / 38.84)), ""),
        ("average loss, lower bound with 59701 correct", "0.0003", f"{least:.4f}", "loss"),
        (f"average loss, {ours}", "0.0003", f"{train.nll:.4f}", "loss"),
    )
    yield from (Figure(*row) for row in rows)


SECTIONS = {
    "Architecture Experiments": experiments,
    "Key Results": progression,
    "Best Performing Architecture": architecture,
    "Layer-wise Output Shapes & Receptive Fields": layer_sums,
    "Key Insights": insights,
    "Receptive Field Analysis": receptive_fields,
    "Recommendations": recommendations,
    "Training Configuration": training,
    "Training Details": log,
}
"""The study's headings in its order, and the function that yields the figures under each."""


def figures() -> list[Figure]:
    """Return all figures."""
    listed = [figure for section in SECTIONS.values() for figure in section()]
    return listed + [figure for row in layers() for figure in row.cells]
