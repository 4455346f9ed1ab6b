"""What finished runs came to: their `metrics.json` files, read and checked."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, fields
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE
from mnistzoo.errors import DataError
from mnistzoo.files import read_bytes
from mnistzoo.training.recipes import MAX_SEED, RECIPES, Augmentation, Recipe

MAX_METRICS_BYTES = 2**22
"""No metrics file is read beyond this; one of 30 epochs has 5 kB."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to.

    Attributes:
        epoch: its number, from 1.
        loss: mean over the augmented training images, while training, in nats: the cross-entropy
            with the labels or, under a recipe with a teacher, the divergence from its answers.
        train_accuracy: on the same images, a fraction.
        accuracy: on the images that the run is judged on, after the pass; a fraction.
    """

    epoch: int
    loss: float
    train_accuracy: float
    accuracy: float


@dataclass(frozen=True)
class Result:
    """What a finished run came to; the fields of its metrics file, under the same names.

    Attributes:
        network: what `get_model` calls it.
        recipe: how it was trained.
        seed: of the run.
        split: "test", or "validation" where training images were held out.
        correct: how many of those images the last epoch's network reads as they are labelled.
        total: how many there are.
        nll: mean negative log-likelihood of their labels, in nats.
        seconds: the training's, without the judging.
        epochs: all epochs of the recipe, in order.
        sha256: of the weights' file.
    """

    network: str
    recipe: Recipe
    seed: int
    split: str
    correct: int
    total: int
    nll: float
    seconds: float
    epochs: tuple[Epoch, ...]
    sha256: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Network, name of the recipe and seed: what runs are sorted by."""
        return self.network, self.recipe.name, self.seed

    @property
    def accuracy(self) -> float:
        """The fraction of the images read as they are labelled, after the last epoch."""
        return self.correct / self.total

    @property
    def holdout(self) -> int:
        """How many training images were kept aside to judge it by."""
        return self.total if self.split == "validation" else 0

    @property
    def worst_drop(self) -> float | None:
        """How far accuracy fell at most from one epoch to the next, both after the first third.

        A fraction, 0 where it never fell; None where there are no two such epochs. A third of the
        way, a one-cycle learning rate is past its top and the moving average of the weights has
        forgotten where they began; the same share goes for every recipe, so that they compare.
        """
        settled = [row.accuracy for row in self.epochs[len(self.epochs) // 3 :]]
        if len(settled) < 2:
            return None
        drop = max(0.0, *(before - after for before, after in pairwise(settled)))
        return round(drop * self.total) / self.total  # a whole number of images, exactly


def load_results(folder: str | os.PathLike[str]) -> list[Result]:
    """The runs whose metrics are the `*.json` files of a folder, by network, recipe and seed.

    Raises:
        DataError: there is none, or one is damaged; the message names the file.
        FileReadError: one cannot be read.
    """
    paths = [Path(folder) / "metrics.json"]  # of one run, beside the network's own config.json
    if not paths[0].exists():
        paths = result_paths(Path(folder))
    if not paths:
        raise DataError(
            f"expected the metrics of finished runs (*.json) in {os.fspath(folder)}, found none; "
            "name the folder that holds them."
        )
    results = sorted(map(read_result, paths), key=attrgetter("key"))
    for result in results:
        if result.network not in ARCHITECTURES:
            raise DataError(
                f"{os.fspath(folder)} holds a run of {result.network}, which is none of the "
                f"networks {', '.join(ARCHITECTURES)}; name a folder of their runs."
            )
    return results


def result_paths(folder: Path) -> list[Path]:
    """The files that may be results, by name; hidden ones are somebody else's."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def read_result(path: str | os.PathLike[str]) -> Result:
    """The run whose metrics file is at `path`.

    Raises:
        DataError: it is no metrics file of a finished run, or it is damaged.
        FileReadError: it cannot be read.
    """
    return parse_result(read_bytes(path, limit=MAX_METRICS_BYTES), os.fspath(path))


def parse_result(data: bytes, source: str) -> Result:
    """The run that the bytes of a metrics file describe.

    Raises:
        DataError: it is no metrics file of a finished run, or it is damaged. `source` names it in
            the message.
    """
    try:
        return _parse(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(
            f"{source} is not the metrics of a finished run: {reason}; "
            "train again, or take the file out of the folder."
        ) from error


def _parse(found: Any) -> Result:
    """The run that a parsed metrics file describes; a fault is a KeyError, Type- or ValueError."""
    if found["network"] not in BUILDABLE:
        raise ValueError(f"there is no network {found['network']!r}")
    if found["recipe"]["name"] not in RECIPES:
        raise ValueError(f"there is no recipe {found['recipe']['name']!r}")
    if found["split"] not in {"test", "validation"}:
        raise ValueError(f"split is {found['split']!r}, neither test nor validation")
    total = _integer(found, "total", 1, 60_000)
    epochs = tuple(_epoch(row, number) for number, row in enumerate(found["epochs"], 1))
    result = Result(
        network=found["network"],
        recipe=parse_recipe(found["recipe"]),
        seed=_integer(found, "seed", 0, MAX_SEED),
        split=found["split"],
        correct=_integer(found, "correct", 0, total),
        total=total,
        nll=_number(found, "nll", math.inf),
        seconds=_number(found, "seconds", math.inf),
        epochs=epochs,
        sha256=_digest(found, "sha256"),
    )
    if len(epochs) != result.recipe.epochs:
        raise ValueError(f"expected {result.recipe.epochs} epochs, got {len(epochs)}")
    if result.accuracy != epochs[-1].accuracy:
        raise ValueError(
            f"correct is {result.correct} of {total}, and the last epoch's accuracy "
            f"{epochs[-1].accuracy}"
        )
    return result


def parse_recipe(found: Any) -> Recipe:
    """A recipe as files have it; a setting that another version knew is no fault where it was off.

    Raises:
        ValueError: a setting is on that this version does not know.
        KeyError, TypeError: it is no recipe.
    """
    known = {field.name for field in fields(Recipe)}
    if foreign := sorted(key for key in found if key not in known and found[key]):
        raise ValueError(f"its recipe has settings that are not known: {', '.join(foreign)}")
    settings = {key: value for key, value in found.items() if key in known}
    return Recipe(**settings | {"augmentation": Augmentation(**found["augmentation"])})


def _epoch(row: Any, number: int) -> Epoch:
    return Epoch(
        epoch=_integer(row, "epoch", number, number),
        loss=_number(row, "loss", math.inf),
        train_accuracy=_number(row, "train_accuracy", 1.0),
        accuracy=_number(row, "accuracy", 1.0),
    )


def _integer(found: Any, key: str, low: int, high: int) -> int:
    value = found[key]
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{key} is {value!r}, expected {low} to {high}")
    return value


def _digest(found: Any, key: str) -> str:
    value = found[key]
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{key} is {value!r}, expected 64 hexadecimal digits")
    return value


def _number(found: Any, key: str, high: float) -> float:
    value = found[key]
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= high:
        raise ValueError(f"{key} is {value!r}, expected a number from 0 to {high}")
    return float(value)
