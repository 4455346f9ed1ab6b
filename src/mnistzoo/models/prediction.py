"""Predictions for images: `predict` for one digit, `read` for all of them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.data.mnist import normalize
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.images.preprocessing import find_digits, to_mnist

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike

_IMPORTING_PROCESS = os.getpid()


@dataclass(frozen=True)
class Prediction:
    """The digit that a model reads in an image.

    Attributes:
        label: The most probable class.
        probability: Its probability.
        probabilities: Those of all classes, in order. They sum to 1.
    """

    label: int
    probability: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Digit(Prediction):
    """One of several digits in an image.

    Attributes:
        box: Left, top, right and bottom of its foreground, in pixels of the image turned upright.
            The right and bottom edges are exclusive.
    """

    box: tuple[int, int, int, int]


@overload
def predict(model: nn.Module, image: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...
@overload
def predict(model: nn.Module, image: ImageLike) -> Prediction: ...
def predict(
    model: nn.Module, image: ImageLike | list[Any] | tuple[Any, ...]
) -> Prediction | list[Prediction]:
    """Classify the digit in one image, or in each image of a list or tuple.

    The model runs in evaluation mode. Its own mode is unchanged.

    Raises:
        ImageError, FileReadError, InputError: See `transforms()`. In a list, the message names
            the image. An empty list is an `InputError`.
    """
    if not isinstance(image, list | tuple):
        return classify(model, [to_mnist(image)])[0]
    if not image:
        raise InputError("Expected at least one image, got an empty list.")
    return classify(model, [_load_item(index, item) for index, item in enumerate(image)])


def _load_item(index: int, image: ImageLike) -> NDArray[np.uint8]:
    try:
        return to_mnist(image)
    except MnistZooError as error:
        path = f" ({os.fspath(image)})" if isinstance(image, str | os.PathLike) else ""
        raise type(error)(f"Image {index}{path}: {error}") from error


def read(model: nn.Module, image: ImageLike) -> list[Digit]:
    """Return every digit in one image, in reading order: line by line, left to right.

    A digit is a connected component of the foreground, together with smaller components beside it
    that belong to it, such as the bar of a 5. Digits that touch are read as one. Specks, dots and
    lines much lower than the digits are skipped.

    Raises:
        ImageError, FileReadError, InputError: See `transforms()`.
    """
    digits = find_digits(image)
    predictions = classify(model, [digit.pixels for digit in digits])
    return [
        Digit(**asdict(prediction), box=digit.box)
        for prediction, digit in zip(predictions, digits, strict=True)
    ]


@torch.no_grad()  # not inference mode: hooks may keep tensors and compute with them
def classify(model: nn.Module, digits: list[NDArray[np.uint8]]) -> list[Prediction]:
    """Classify digits in MNIST format, each uint8 of shape `(28, 28)`.

    Every digit is a batch of its own, because the last bits of a convolution's output depend on
    the size of the batch. A digit's numbers therefore do not depend on the other digits.

    A forked process is set to one thread: it lacks the threads of its parent, and GNU OpenMP
    would wait for them forever.

    Raises:
        InputError: The model's parameters have several dtypes or devices, or no values, or its
            output is not finite.
    """
    if os.getpid() != _IMPORTING_PROCESS:
        torch.set_num_threads(1)
    device, dtype = _device_and_dtype(model)
    if any(layer.training for layer in model.modules()):  # a layer that was added may be
        model = _in_eval_mode(model, {})
    images = normalize(torch.from_numpy(np.stack(digits))).to(device, dtype)
    return [_prediction(model(image)) for image in torch.split(images, 1)]


def _prediction(output: Tensor) -> Prediction:
    probabilities = output[0].double().softmax(0).tolist()
    if not np.isfinite(probabilities).all():
        raise InputError(
            "Expected a model with finite outputs, got NaN. Check its weights, or use float32."
        )
    label = int(np.argmax(probabilities))
    return Prediction(label, probabilities[label], tuple(probabilities))


def _device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a model's parameters are, and their floating-point type."""
    found = {(p.device, p.dtype) for p in model.parameters() if p.is_floating_point()}
    if len(found) != 1 or next(iter(found))[0].type == "meta":
        got = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in found)) or "none"
        raise InputError(
            f"Expected parameters of one dtype on one device that holds values, got {got}. "
            "Call model.to(device, dtype) first."
        )
    return next(iter(found))


def _in_eval_mode(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return a copy in evaluation mode that shares tensors and hooks with the original.

    The original keeps its mode, so other threads that use it see no change.
    """
    if module not in made:
        made[module] = copied = module.__new__(type(module))
        vars(copied).update(vars(module), training=False)
        vars(copied)["_modules"] = {
            name: None if child is None else _in_eval_mode(child, made)
            for name, child in module._modules.items()
        }
    return made[module]
