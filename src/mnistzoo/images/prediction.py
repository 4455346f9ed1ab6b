"""Predict the digit in an image, or read every digit in it, with any classifier."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import Style
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.images.preprocessing import CONVERSIONS, Conversion, find_digits
from mnistzoo.labels import class_names

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike

Classifier: TypeAlias = Callable[[list[NDArray[np.uint8]]], list[list[float]]]
"""Takes digits in MNIST format, each uint8 of shape `(28, 28)`, and returns the probabilities of
the classes for each."""


@dataclass(frozen=True)
class Prediction:
    """The digit that a model reads in an image.

    Attributes:
        label: The most probable class.
        probability: Its probability.
        probabilities: Those of all classes, in order. They sum to 1.
        name: Name of the class: its number, if the model has no `labels`.
    """

    label: int
    probability: float
    probabilities: tuple[float, ...]
    name: str


@dataclass(frozen=True)
class Digit(Prediction):
    """One of several digits in an image.

    Attributes:
        box: Left, top, right and bottom of its foreground, in pixels of the image turned upright.
            The right and bottom edges are exclusive.
    """

    box: tuple[int, int, int, int]


@overload
def predict(
    classify: Classifier,
    image: list[Any] | tuple[Any, ...],
    labels: Sequence[str] | None = ...,
    style: Style = ...,
) -> list[Prediction]: ...
@overload
def predict(
    classify: Classifier,
    image: ImageLike,
    labels: Sequence[str] | None = ...,
    style: Style = ...,
) -> Prediction: ...
def predict(
    classify: Classifier,
    image: ImageLike | list[Any] | tuple[Any, ...],
    labels: Sequence[str] | None = None,
    style: Style = "mnist",
) -> Prediction | list[Prediction]:
    """Classify the digit in one image, or in each image of a list or tuple.

    Raises:
        ImageError, FileReadError, InputError: See `transforms()`. In a list, the message names
            the image. An empty list is an `InputError`.
    """
    convert = CONVERSIONS[style]
    if not isinstance(image, list | tuple):
        return predict_pixels(classify, [convert(image)], labels)[0]
    if not image:
        raise InputError("Expected at least one image, got an empty list.")
    pixels = [_convert_item(convert, index, item) for index, item in enumerate(image)]
    return predict_pixels(classify, pixels, labels)


def _convert_item(convert: Conversion, index: int, image: ImageLike) -> NDArray[np.uint8]:
    try:
        return convert(image)
    except MnistZooError as error:
        path = f" ({os.fspath(image)})" if isinstance(image, str | os.PathLike) else ""
        raise type(error)(f"Image {index}{path}: {error}") from error


def read(
    classify: Classifier,
    image: ImageLike,
    labels: Sequence[str] | None = None,
    style: Style = "mnist",
) -> list[Digit]:
    """Return every digit in one image, in reading order: line by line, left to right.

    A digit is a connected component of the foreground, together with smaller components beside it
    that belong to it, such as the bar of a 5. Digits that touch are read as one. Specks, dots and
    lines much lower than the digits are skipped.

    Raises:
        ImageError, FileReadError, InputError: See `transforms()`. A model in plain style, which
            needs one object per image, is an `InputError`.
    """
    if style != "mnist":
        raise InputError(
            "Expected a model of handwriting, got one in plain style, for which a page cannot be "
            "taken apart. Cut the image into one image for each object, and use predict."
        )
    digits = find_digits(image)
    predictions = predict_pixels(classify, [digit.pixels for digit in digits], labels)
    return [
        Digit(**asdict(prediction), box=digit.box)
        for prediction, digit in zip(predictions, digits, strict=True)
    ]


def predict_pixels(
    classify: Classifier, images: list[NDArray[np.uint8]], labels: Sequence[str] | None
) -> list[Prediction]:
    """Classify images that are converted already, each uint8 of shape `(28, 28)`."""
    return [_prediction(probabilities, labels) for probabilities in classify(images)]


def _prediction(probabilities: list[float], labels: Sequence[str] | None) -> Prediction:
    if not np.isfinite(probabilities).all():
        raise InputError(
            "Expected a model with finite outputs, got NaN. Check its weights, or use float32."
        )
    label, names = int(np.argmax(probabilities)), class_names(labels, len(probabilities))
    return Prediction(label, probabilities[label], tuple(probabilities), names[label])
