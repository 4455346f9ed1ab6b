"""The inputs of a run: its images, and the weights that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from mnistzoo.data.datasets import ImageDataset
from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.data.world import world
from mnistzoo.errors import DataError, InputError, TrainingError
from mnistzoo.files import sha256
from mnistzoo.labels import check_labels
from mnistzoo.models import get_model
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import read_manifest, split_name
from mnistzoo.training.run import NUM_TRAIN, DatasetInfo, Run

DEFAULT_VALIDATION = 0.1
"""The fraction of the training images held out of a dataset without a test split."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a run.

    Attributes:
        training: The images to train on.
        evaluation: The images to evaluate on.
        initial: The state dict of the model that the run starts from; None if it starts from
            shipped or random weights.
    """

    training: ImageDataset
    evaluation: ImageDataset
    initial: Mapping[str, Tensor] | None = None


class Splits(NamedTuple):
    """A dataset of your own.

    Attributes:
        train: The training images.
        test: The test images; None without a test split.
    """

    train: ImageDataset
    test: ImageDataset | None

    def describe(self) -> DatasetInfo:
        """Return the record of the dataset, which a run carries.

        Raises:
            InputError: A class has a name that cannot be saved.
            DataError: The splits have different classes or styles.
        """
        train, test = self.train, self.test
        check_labels(train.classes, len(train.classes))
        if test is not None and (test.classes, test.style) != (train.classes, train.style):
            raise DataError(
                f"Expected test images of the training images' classes ({_some(train.classes)}) "
                f"and style ({train.style}), got {_some(test.classes)} and {test.style}. Load both "
                "splits alike."
            )
        digest = train.digest if test is None else sha256((train.digest + test.digest).encode())
        return DatasetInfo(
            digest, train.classes, train.style, len(train), 0 if test is None else len(test)
        )

    def count_held_out(self, validation: float | None) -> int:
        """Return the number of training images to hold out.

        Args:
            validation: A fraction below 1, or a number of images. Default: none with a test split,
                else `DEFAULT_VALIDATION`.

        Raises:
            InputError: It is negative, not a whole number, or leaves no images to train on.
        """
        if validation is None:
            validation = DEFAULT_VALIDATION if self.test is None else 0
        return count_held_out(validation, len(self.train))

    def select(self, holdout: int) -> Inputs:
        """Return the inputs of a run that holds out this many training images.

        Raises:
            DataError: A class has no image left to train on.
        """
        if holdout == 0 and self.test is not None:
            return Inputs(self.train, self.test)
        order = stratified_order(self.train.labels)
        held_out, kept = order[:holdout].sort().values, order[holdout:].sort().values
        missing = set(range(len(self.train.classes))) - set(self.train.labels[kept].tolist())
        if missing:
            raise DataError(
                f"Expected an image of each class to train on, got none of "
                f"{self.train.classes[min(missing)]} after {holdout:,} of {len(order):,} images "
                "were held out. Hold out fewer, or add images."
            )
        return Inputs(self.train.take(kept), self.train.take(held_out))


def count_held_out(validation: float, num_train: int) -> int:
    """Return the number of images that a fraction below 1, or a number, stands for.

    >>> count_held_out(0.1, 500), count_held_out(20, 500)
    (50, 20)

    Raises:
        InputError: It is negative, not a whole number, or leaves no images to train on.
    """
    try:
        count = max(1, round(validation * num_train)) if 0 < validation < 1 else validation
        if 0 <= count < num_train and not count % 1:
            return int(count)
    except TypeError:
        pass  # not a number
    raise InputError(
        f"Expected a fraction below 1 or a number of the {num_train:,} training images to hold "
        f"out, got {validation!r}."
    )


def stratified_order(labels: Tensor) -> Tensor:
    """Return indices in a fixed random order in which every prefix is stratified by class.

    >>> labels = torch.tensor([0] * 8 + [1] * 4)
    >>> labels[stratified_order(labels)[:6]].bincount()
    tensor([4, 2])

    Args:
        labels: int64, shape `(N,)`.

    Returns:
        int64, shape `(N,)`.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in range(int(labels.max()) + 1):
        own = order[labels[order] == label]
        place[own] = (torch.arange(len(own), dtype=torch.float64) + 0.5) / len(own)
    return order[place[order].argsort(stable=True)]


class Prepared(NamedTuple):
    """A dataset, ready for runs.

    Attributes:
        holdout: Number of held-out training images.
        dataset: The record of the dataset; None for MNIST.
        inputs: Its images; None for MNIST, which a run reads by itself.
    """

    holdout: int
    dataset: DatasetInfo | None
    inputs: Inputs | None


def prepare(splits: Splits | None, validation: float | None) -> Prepared:
    """Hold out training images of a dataset or of MNIST, as `Splits.count_held_out` says.

    Raises:
        InputError: The number is out of range, or a class has a name that cannot be saved.
        DataError: The splits differ, or a class has no image left to train on.
    """
    if splits is None:
        return Prepared(count_held_out(validation or 0, NUM_TRAIN), None, None)
    holdout = splits.count_held_out(validation)
    return Prepared(holdout, splits.describe(), splits.select(holdout))


def starting_weights(model: ConvNet, keep_classifier: bool) -> dict[str, Tensor]:
    """Return the tensors of a model that a run starts from, by their names in the model."""
    parts = ("features.", "classifier.") if keep_classifier else ("features.",)
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith(parts)}


def shipped_weights(run: Run) -> dict[str, Tensor]:
    """Return the shipped weights that a run starts from.

    Raises:
        TrainingError: `run.initial` is the digest of other weights.
    """
    names = [
        name
        for name, entry in read_manifest().items()
        if split_name(name)[0] == run.architecture and entry.sha256 == run.initial
    ]
    if not names:
        raise TrainingError(
            f"The run starts from weights of {run.architecture} with the SHA-256 {run.initial}, "
            "which do not ship with this version. Pass the model that it starts from."
        )
    return starting_weights(get_model(names[0], pretrained=True), run.keep_classifier)


def mnist_inputs(holdout: int) -> Inputs:
    """Return MNIST's training images, and the last `holdout` of them or the test images."""
    digits = _as_dataset(mnist(train=True))
    if holdout == 0:
        return Inputs(digits, _as_dataset(mnist(train=False)))
    end = len(digits) - holdout
    places = torch.arange(len(digits))
    return Inputs(digits.take(places[:end]), digits.take(places[end:]))


def add_synthetic_images(inputs: Inputs, count: int, seed: int) -> Inputs:
    """Add synthetic images, which `mnistzoo.data.world` makes, to the training images.

    Raises:
        DataError: A font that they need is not installed.
    """
    if not count:
        return inputs
    digits = Digits(inputs.training.images, inputs.training.labels)
    return replace(inputs, training=_as_dataset(world(digits, count, seed=seed)))


def _as_dataset(digits: Digits) -> ImageDataset:
    return ImageDataset(*digits, classes=tuple(map(str, range(10))), style="mnist")


def _some(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
