"""Predict the digit in an image, or read every digit in it, with any classifier."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import Style, check_style_name
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.images.detector import digit_log_odds
from mnistzoo.images.preprocessing import CONVERSIONS, Conversion, find_digits
from mnistzoo.labels import class_names

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike

Classifier: TypeAlias = Callable[[list[NDArray[np.uint8]]], list[list[float]]]
"""Takes digits in MNIST format, each uint8 of shape `(28, 28)`, and returns the probabilities of
the classes for each."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Prediction:
    """The digit that a model reads in an image.

    Attributes:
        label: The most probable class.
        probability: Its probability.
        probabilities: Those of all classes, in order. They sum to 1.
        name: Name of the class: its number, if the model has no `labels`.
        is_digit: Whether the image shows a digit, rather than a letter, a shape or anything else.
            None if the model's classes are not the ten digits.
    """

    label: int
    probability: float
    probabilities: tuple[float, ...]
    name: str
    is_digit: bool | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Digit(Prediction):
    """One of several digits in an image.

    Attributes:
        box: Left, top, right and bottom of its foreground, in pixels of the image turned upright.
            The right and bottom edges are exclusive.
        touching: Whether it may be several digits that touch and could not be split.
    """

    box: tuple[int, int, int, int]
    touching: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Reading(Sequence[Digit]):
    """The digits of an image in reading order: a sequence of `Digit`.

    Attributes:
        rows: The digits of each line, from the top.
    """

    rows: tuple[tuple[Digit, ...], ...]

    @property
    def text(self) -> str:
        """The lines, separated by newlines; longer names of classes are separated by spaces."""
        names = [[digit.name for digit in row] for row in self.rows]
        space = " " if any(len(name) > 1 for row in names for name in row) else ""
        return "\n".join(space.join(row) for row in names)

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    @overload
    def __getitem__(self, index: int) -> Digit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Digit, ...]: ...
    def __getitem__(self, index: int | slice) -> Digit | tuple[Digit, ...]:
        return tuple(digit for row in self.rows for digit in row)[index]


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
    check_style_name(style)
    convert = CONVERSIONS[style]
    if not isinstance(image, list | tuple):
        return predict_pixels(classify, [convert(image)], labels, style)[0]
    if not image:
        raise InputError("Expected at least one image, got an empty list.")
    pixels = [_convert_item(convert, index, item) for index, item in enumerate(image)]
    return predict_pixels(classify, pixels, labels, style)


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
    *,
    keep_all: bool = False,
) -> Reading:
    """Return every digit in one image, in reading order: line by line, left to right.

    A digit is a connected component of the foreground, together with smaller components beside it
    that belong to it, such as the bar of a 5. Touching digits are split if the pieces read
    clearly better than the whole. Specks, dots and lines much lower than the digits are skipped.
    Other marks and words of text are left out unless `keep_all` is set.

    Raises:
        ImageError, FileReadError, InputError: See `transforms()`. A model of the plain style,
            which needs one object per image, is an `InputError`.
    """
    if style != "mnist":
        raise InputError(
            f"Expected a model of the style 'mnist', got {style!r}: read finds pen strokes. Crop "
            "each object into an image of its own, and use predict."
        )
    from mnistzoo.images.splitting import digit_score
    from mnistzoo.images.words import in_numbers

    probabilities = _memoized(lambda pixels: classify([pixels])[0])
    log_odds = _memoized(digit_log_odds)
    score = digit_score(probabilities, log_odds) if _are_digits(labels) else None
    rows = []
    for line in find_digits(image, score):
        odds = [log_odds(digit.pixels) for digit in line] if score else None
        predictions = _predictions([probabilities(digit.pixels) for digit in line], labels, odds)
        row = [
            Digit(**asdict(prediction), box=digit.box, touching=digit.touching)
            for prediction, digit in zip(predictions, line, strict=True)
        ]
        if odds is not None and row[0].is_digit is not None and not keep_all:
            numbers = in_numbers(line, odds)
            row = [digit for digit, kept in zip(row, numbers, strict=True) if kept]
        rows.append(tuple(row))
    return Reading(tuple(row for row in rows if row))


def _memoized(function: Callable[[NDArray[np.uint8]], _T]) -> Callable[[NDArray[np.uint8]], _T]:
    """Return a function that computes its result once for each image."""
    results: dict[bytes, _T] = {}

    def memoized(pixels: NDArray[np.uint8]) -> _T:
        key = pixels.tobytes()
        if key not in results:
            results[key] = function(pixels)
        return results[key]

    return memoized


def _are_digits(labels: Sequence[str] | None) -> bool:
    """Return whether the classes may be the ten digits; without labels, a model may have others."""
    return labels is None or tuple(labels) == class_names(None, 10)


def predict_pixels(
    classify: Classifier,
    images: list[NDArray[np.uint8]],
    labels: Sequence[str] | None,
    style: Style = "mnist",
) -> list[Prediction]:
    """Classify images that are converted already, each uint8 of shape `(28, 28)`."""
    digits = style == "mnist" and _are_digits(labels)
    odds = [digit_log_odds(pixels) for pixels in images] if digits else None
    return _predictions(classify(images), labels, odds)


def _predictions(
    probabilities: list[list[float]], labels: Sequence[str] | None, odds: list[float] | None
) -> list[Prediction]:
    """Return a prediction for each row of probabilities; `odds` tells digits from other marks."""
    marks = [None] * len(probabilities) if odds is None else [each >= 0 for each in odds]
    return [
        _prediction(row, labels, is_digit)
        for row, is_digit in zip(probabilities, marks, strict=True)
    ]


def _prediction(
    probabilities: list[float], labels: Sequence[str] | None, is_digit: bool | None
) -> Prediction:
    if not np.isfinite(probabilities).all():
        raise InputError(
            "Expected a model with finite outputs, got NaN. Check its weights, or use float32."
        )
    label, names = int(np.argmax(probabilities)), class_names(labels, len(probabilities))
    if len(names) != 10:
        is_digit = None
    return Prediction(
        label, probabilities[label], tuple(probabilities), names[label], is_digit=is_digit
    )
