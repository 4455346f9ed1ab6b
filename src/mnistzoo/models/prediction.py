"""Predict the digit in an image, or read every digit in it."""

from __future__ import annotations

import copy
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnistzoo.data.mnist import normalize
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.images.preprocessing import find_digits, to_mnist

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike

_BATCH = 256

_LOADED_IN = os.getpid()


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for an image.

    Attributes:
        label: the most probable class.
        probability: its probability.
        probabilities: the probability of each class, in order; they sum to 1.
    """

    label: int
    probability: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Digit(Prediction):
    """A model's prediction for one of several digits in an image.

    Attributes:
        box: where the digit is: left, top, right and bottom in pixels of the upright image; right
            and bottom are exclusive.
    """

    box: tuple[int, int, int, int]


@overload
def predict(model: nn.Module, images: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...
@overload
def predict(model: nn.Module, images: ImageLike) -> Prediction: ...
def predict(
    model: nn.Module, images: ImageLike | list[Any] | tuple[Any, ...]
) -> Prediction | list[Prediction]:
    """Predict the digit in an image, or in each of a list or tuple of images.

    The model predicts in evaluation mode; its own mode does not change.

    Raises:
        ImageError, FileReadError, InputError: as `transforms()`; for a list the message names the
            image. An empty list is an InputError, too.
    """
    if not isinstance(images, list | tuple):
        return classify(model, [to_mnist(images)])[0]
    if not images:
        raise InputError("Expected at least one image, got an empty list.")
    return classify(model, [_to_mnist_at(index, image) for index, image in enumerate(images)])


def _to_mnist_at(index: int, image: ImageLike) -> NDArray[np.uint8]:
    try:
        return to_mnist(image)
    except MnistZooError as error:
        path = f" ({os.fspath(image)})" if isinstance(image, str | os.PathLike) else ""
        raise type(error)(f"Image {index}{path}: {error}") from error


def read(model: nn.Module, image: ImageLike) -> list[Digit]:
    """Read every digit in an image, line by line from the top, each line from left to right.

    A digit is a connected component of the foreground, together with smaller ones that belong to
    it, such as the bar of a 5. Digits that touch are read as one. Components much lower than the
    digits, such as specks and dots, are ignored.

    Raises:
        ImageError, FileReadError, InputError: as `transforms()`.
    """
    digits = find_digits(image)
    predictions = classify(model, [digit.pixels for digit in digits])
    return [
        Digit(**asdict(prediction), box=digit.box)
        for prediction, digit in zip(predictions, digits, strict=True)
    ]


@torch.inference_mode()
def classify(model: nn.Module, digits: list[NDArray[np.uint8]]) -> list[Prediction]:
    """Predict digits in MNIST format, each uint8 of shape `(28, 28)`.

    In a process forked from the one that loaded this module, torch is set to one thread: the
    parent's threads do not exist there, and GNU's OpenMP would wait for them forever.
    """
    if os.getpid() != _LOADED_IN:
        torch.set_num_threads(1)
    if model.training:
        model = copy.deepcopy(model).eval()
    weight = next(model.parameters())
    images = normalize(torch.from_numpy(np.stack(digits)))
    predictions = []
    for batch in torch.split(images, _BATCH):
        output = model(batch.to(weight.device, weight.dtype))
        for row in output.double().softmax(1).cpu():
            label = int(row.argmax())
            predictions.append(Prediction(label, float(row[label]), tuple(row.tolist())))
    return predictions
