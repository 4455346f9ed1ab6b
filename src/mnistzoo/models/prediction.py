"""What a model reads in an image: `predict` for one digit, `read` for all of them."""

from __future__ import annotations

import copy
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.data.mnist import normalize
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.images.loading import load_grayscale
from mnistzoo.images.preprocessing import to_mnist

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike

_BATCH = 256

_LOADED_IN = os.getpid()


@dataclass(frozen=True)
class Prediction:
    """What a network reads in a picture.

    Attributes:
        label: the most probable class.
        probability: how probable the network takes it to be.
        probabilities: of every class, in order; they sum to 1.
    """

    label: int
    probability: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Digit(Prediction):
    """One of several digits in a picture.

    Attributes:
        box: left, top, right and bottom of its ink, in pixels of the picture turned upright; the
            right and the bottom are outside.
    """

    box: tuple[int, int, int, int]


@overload
def predict(network: nn.Module, pictures: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...
@overload
def predict(network: nn.Module, pictures: ImageLike) -> Prediction: ...
def predict(
    network: nn.Module, pictures: ImageLike | list[Any] | tuple[Any, ...]
) -> Prediction | list[Prediction]:
    """What `network` reads in one picture, or in each of a list or tuple of them.

    The network is used in evaluation mode, and left in the mode that it is in.

    Raises:
        ImageError, FileReadError, InputError: as `transforms()`; in a list the message names
            the picture. Also an empty list.
    """
    if not isinstance(pictures, list | tuple):
        return classify(network, [to_mnist(pictures)])[0]
    if not pictures:
        raise InputError("expected at least one picture, got an empty list.")
    return classify(network, [_numbered(i, picture) for i, picture in enumerate(pictures)])


def _numbered(index: int, picture: ImageLike) -> Tensor:
    try:
        return to_mnist(picture)
    except MnistZooError as error:
        path = f" ({os.fspath(picture)})" if isinstance(picture, str | os.PathLike) else ""
        raise type(error)(f"picture {index}{path}: {error}") from error


def read(network: nn.Module, picture: ImageLike) -> list[Digit]:
    """Every digit in one picture, in reading order: line by line, each from left to right.

    A digit is a connected piece of ink, with smaller pieces next to it that are parts of it, such
    as the bar of a 5; digits that touch each other are read as one. Specks, dots and lines much
    lower than the digits are passed over.

    Raises:
        ImageError, FileReadError, InputError: as `transforms()`.
    """
    from mnistzoo.images import components, grouping, rendering
    from mnistzoo.images.segmentation import segment

    grey = load_grayscale(picture)
    ink = segment(grey.levels)
    labelled, found = components.parts(ink)
    groups = grouping.in_reading_order(grouping.digits(found))
    drawn = [torch.from_numpy(rendering.draw(ink, labelled, group)) for group in groups]
    scale = np.divide(grey.size, ink.mask.shape[::-1])
    return [
        Digit(**asdict(prediction), box=_scaled(grouping.box_of(group), scale))
        for prediction, group in zip(classify(network, drawn), groups, strict=True)
    ]


def _scaled(
    box: tuple[int, int, int, int], scale: NDArray[np.float64]
) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(edge) for edge in np.multiply(box, np.tile(scale, 2)))
    return left, top, right, bottom


@torch.inference_mode()
def classify(network: nn.Module, digits: list[Tensor]) -> list[Prediction]:
    """What `network` makes of pixels in MNIST's style, each uint8 of shape `(28, 28)`.

    In a process forked from the one that loaded this module, torch is set to one thread: the
    parent's threads are not there, and GNU's OpenMP would wait for them for ever.
    """
    if os.getpid() != _LOADED_IN:
        torch.set_num_threads(1)
    if network.training:
        network = copy.deepcopy(network).eval()
    weight = next(network.parameters())
    images = normalize(torch.stack(digits))
    predictions = []
    for batch in torch.split(images, _BATCH):
        output = network(batch.to(weight.device, weight.dtype))
        for row in output.double().softmax(1).cpu():
            label = int(row.argmax())
            predictions.append(Prediction(label, float(row[label]), tuple(row.tolist())))
    return predictions
