"""The result of a training run, as it is stored in `metrics.json`."""

from __future__ import annotations

import os
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from statistics import mean
from typing import Annotated

from msgspec import Meta

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import DataError, InputError
from mnistzoo.files import read_bytes
from mnistzoo.records import Count, Record, Sha256, parse_json
from mnistzoo.training.run import DatasetInfo, Freeze, Run, Split
from mnistzoo.training.settings import Recipe

MAX_METRICS_BYTES = 2**22
"""Larger metrics files are not read; one of 30 epochs has 5 kB."""

NonNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Epoch(Record, frozen=True):
    """The metrics of one epoch.

    Attributes:
        epoch: Its number, from 1.
        loss: Mean training loss on the augmented images, in nats: the cross-entropy with the
            labels or, with a teacher, the divergence from it.
        train_accuracy: Accuracy on the same images, a fraction.
        accuracy: Accuracy on the test or validation images after the epoch, a fraction.
    """

    epoch: int
    loss: NonNegative
    train_accuracy: Fraction
    accuracy: Fraction


class TeacherResult(Record, frozen=True):
    """The part of a teacher's `Result` that the result of its student records."""

    correct: Count
    nll: NonNegative
    seconds: NonNegative
    sha256: Sha256


class ClassResult(Record, frozen=True):
    """The number of correctly classified images of one class."""

    name: str
    correct: Count
    total: Annotated[int, Meta(ge=1)]


class Result(Record, frozen=True, kw_only=True):
    """The result of a finished run. Its attributes are the fields of `metrics.json`.

    Attributes:
        architecture: The name that `get_model` takes.
        recipe: The recipe of the run.
        seed: The seed of the run.
        holdout: Number of held-out training images.
        dataset: The dataset; None for MNIST.
        initial: SHA-256 of the weights that the training started from; None for random weights.
        freeze: "features" if only the classifier was trained.
        keep_classifier: Whether it started from these weights' classifier too, or only from their
            features; False in older files.
        split: The images that the model was evaluated on: "test", or "validation" with a holdout.
        correct: Number of these images that the trained model classifies correctly.
        total: Number of these images.
        nll: Mean negative log-likelihood of their labels, in nats.
        per_class: The same counts for each class that has images; empty in older files.
        dtype: Type in which convolutions were computed during training.
        processes: Number of processes that trained together.
        threads: Number of threads of each process.
        versions: Versions of the packages that the weights depend on.
        teacher: The result of the run's teacher; None without one.
        seconds: Training time, without evaluation.
        epochs: The metrics of each epoch.
        sha256: SHA-256 of the weights file.

    Raises:
        InputError: The values contradict each other.
    """

    architecture: str
    recipe: Recipe
    seed: int
    holdout: int
    dataset: DatasetInfo | None = None
    initial: Sha256 | None = None
    freeze: Freeze | None = None
    keep_classifier: bool = False
    split: Split
    correct: Count
    total: Annotated[int, Meta(ge=1)]
    nll: NonNegative
    per_class: tuple[ClassResult, ...] = ()
    dtype: str
    processes: Annotated[int, Meta(ge=1)]
    threads: Annotated[int, Meta(ge=1)]
    versions: dict[str, str]
    teacher: TeacherResult | None = None
    seconds: NonNegative
    epochs: tuple[Epoch, ...]
    sha256: Sha256

    def __post_init__(self) -> None:
        run, numbers = self.run, [row.epoch for row in self.epochs]
        if self.split != run.split:
            raise InputError(f"Expected split {run.split!r}, got {self.split!r}.")
        if self.holdout and self.total != self.holdout:
            raise InputError(f"Expected a total of {self.holdout}, got {self.total}.")
        if self.correct > self.total:
            raise InputError(f"Expected at most {self.total} correct images, got {self.correct}.")
        if numbers != list(range(1, self.recipe.epochs + 1)):
            raise InputError(f"Expected epochs 1 to {self.recipe.epochs}, got {numbers}.")
        if self.accuracy != self.epochs[-1].accuracy:
            raise InputError(
                f"Expected {self.epochs[-1].accuracy} of the images to be correct, as after the "
                f"last epoch, got {self.correct} of {self.total}."
            )

    @property
    def run(self) -> Run:
        """The description of the run."""
        return Run(
            self.architecture,
            self.recipe,
            self.seed,
            self.holdout,
            self.dataset,
            self.initial,
            self.freeze,
            self.keep_classifier,
        )

    @property
    def key(self) -> tuple[str, str, int]:
        """Architecture, name of the recipe and seed: the order in which runs are sorted."""
        return self.architecture, self.recipe.name, self.seed

    @property
    def accuracy(self) -> float:
        """The fraction of images that the trained model classifies correctly."""
        return self.correct / self.total

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean of the accuracies of all classes; None in older files."""
        if not self.per_class:
            return None
        return mean(row.correct / row.total for row in self.per_class)

    @property
    def worst_drop(self) -> float | None:
        """The largest drop in accuracy from one epoch to the next, after the first third.

        A fraction: 0 if accuracy never fell, None without two such epochs. After a third of the
        run, a one-cycle learning rate is past its peak and the EMA has forgotten the initial
        weights. The share is the same for every recipe, which makes them comparable.
        """
        late = [row.accuracy for row in self.epochs[len(self.epochs) // 3 :]]
        if len(late) < 2:
            return None
        drop = max(0.0, *(before - after for before, after in pairwise(late)))
        return round(drop * self.total) / self.total  # exactly a whole number of images


def parse_result(data: bytes, source: str) -> Result:
    """Return the result that the bytes of a metrics file hold.

    Args:
        data: The content of the file.
        source: The name of the file, for the error.

    Raises:
        DataError: It is not the metrics file of a finished run, or it is damaged.
    """
    try:
        return parse_json(data, Result)
    except DataError as error:
        raise DataError(
            f"{source} is not the metrics of a finished run. {error}. "
            "Train again, or remove the file from the folder."
        ) from error


def read_result(path: str | os.PathLike[str]) -> Result:
    """Read a metrics file.

    Raises:
        DataError: It is not the metrics file of a finished run, or it is damaged.
        FileReadError: The file cannot be read.
    """
    return parse_result(read_bytes(path, limit=MAX_METRICS_BYTES), os.fspath(path))


def load_results(folder: str | os.PathLike[str]) -> list[Result]:
    """Read the results in a folder, sorted by architecture, recipe and seed.

    Args:
        folder: A study's folder, which holds a JSON file for each run, or the folder of one run.

    Raises:
        DataError: There are no results, or one is damaged.
        FileReadError: A file cannot be read.
    """
    paths = [Path(folder) / "metrics.json"]
    if not paths[0].exists():
        paths = result_paths(Path(folder))
    if not paths:
        raise DataError(
            f"Expected metrics of finished runs (*.json) in {os.fspath(folder)}, found none. "
            "Choose the folder of a run or a study."
        )
    results = sorted(map(read_result, paths), key=attrgetter("key"))
    for result in results:
        if result.architecture not in ARCHITECTURES:
            raise DataError(
                f"Expected runs of {', '.join(ARCHITECTURES)}, got one of {result.architecture} in "
                f"{os.fspath(folder)}. Choose another folder."
            )
    return results


def result_paths(folder: Path) -> list[Path]:
    """Return the JSON files of a folder, sorted by name, without hidden ones."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
