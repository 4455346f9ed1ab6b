"""Any picture in MNIST's style, and what a network reads in it."""

from __future__ import annotations

import copy
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.data.grey import GreyLevels
from mnistzoo.data.mnist import normalize
from mnistzoo.data.opening import open_grey
from mnistzoo.errors import InputError, MnistZooError

if TYPE_CHECKING:
    from mnistzoo.data.opening import Picture

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


@dataclass(frozen=True)
class PictureTransform:
    """A callable from a picture to what a network takes; made by `transforms()`."""

    def __call__(self, picture: Picture) -> Tensor:
        """The picture as a normalised float32 tensor of shape `(1, 28, 28)`.

        Raises:
            PictureError: it is no picture, is damaged or too large, or has no ink.
            FileReadError: a path that cannot be read.
            InputError: an object, shape, dtype or range that is not a picture's.
        """
        return normalize(mnist_style(picture).unsqueeze(0)).squeeze(0)


def transforms() -> PictureTransform:
    """A callable from a picture of any kind to a normalised tensor, as `torchvision` uses them.

    It takes a path, the bytes of a file, a PIL image of any mode, a NumPy array (`(H, W)` or
    `(H, W, C)`) or a tensor (`(H, W)` or `(C, H, W)`) with 1, 3 or 4 channels. Pixels are bool,
    or from 0 to 1, 255 or 65,535, the least of these that holds them all. Ink may be darker or
    lighter than its paper.

    The picture is brought into MNIST's style (see `mnist_style`); what is in it already, as are
    all 70,000 images of MNIST, is only normalised. The result is float32, of shape `(1, 28, 28)`.
    """
    return PictureTransform()


def mnist_style(picture: Picture) -> Tensor:
    """A picture as MNIST would show it: uint8, shape `(28, 28)`, ink 255 on 0.

    The published way (LeCun et al., <http://yann.lecun.com/exdb/mnist/>): the ink's box is scaled
    to 20 pixels on its longer side, anti-aliased, and centred by mass in 28×28. Before that, the
    light is evened out, ink is told from paper, and strokes much thinner or thicker than MNIST's
    are drawn with a pen of its width. A picture in that style already is returned unchanged.

    Raises:
        PictureError, FileReadError, InputError: as `transforms()`.
    """
    from mnistzoo.data import glyphs, layout
    from mnistzoo.data.ink import find_ink

    _check_single(picture)
    levels = open_grey(picture).levels
    ready = _already_mnist(levels)
    if ready is None:
        ink = find_ink(levels)
        labelled, found = glyphs.parts(ink)
        ready = glyphs.draw(ink, labelled, layout.main_digit(found))
    return torch.from_numpy(ready)


def _check_single(picture: Picture) -> None:
    """Refuse three or four images of MNIST in one tensor; they would pass for colours of one."""
    if not isinstance(picture, Tensor) or picture.shape[1:] != (28, 28) or len(picture) < 2:
        return
    images = [_already_mnist(open_grey(plane).levels) for plane in picture]
    if all(image is not None for image in images) and not torch.equal(picture[0], picture[1]):
        raise InputError(
            f"expected one picture, got {len(images)} images of MNIST in a tensor of shape "
            f"{tuple(picture.shape)}; hand several pictures over as a list: list(images)."
        )


def _already_mnist(levels: GreyLevels) -> NDArray[np.uint8] | None:
    """The pixels, if they are as MNIST's are: 28×28, ink up to white on a black ground.

    All 70,000 have a box 19 or 20 long, and their centre of mass within 0.53 of pixel 14.
    """
    if levels.shape != (28, 28):
        return None
    pixels = np.rint(levels * 255).astype(np.uint8)
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    if pixels.max() < 254 or max(np.ptp(rows), np.ptp(columns)) not in (18, 19):
        return None
    mass = pixels.astype(float)
    centres = [np.average(np.arange(28), weights=mass.sum(axis)) for axis in (1, 0)]
    return pixels if np.allclose(centres, 14, rtol=0, atol=0.53) else None


@overload
def predict(network: nn.Module, pictures: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...
@overload
def predict(network: nn.Module, pictures: Picture) -> Prediction: ...
def predict(
    network: nn.Module, pictures: Picture | list[Any] | tuple[Any, ...]
) -> Prediction | list[Prediction]:
    """What `network` reads in one picture, or in each of a list or tuple of them.

    The network is used in evaluation mode, and left in the mode that it is in.

    Raises:
        PictureError, FileReadError, InputError: as `transforms()`; in a list the message names
            the picture. Also an empty list.
    """
    if not isinstance(pictures, list | tuple):
        return classify(network, [mnist_style(pictures)])[0]
    if not pictures:
        raise InputError("expected at least one picture, got an empty list.")
    return classify(network, [_numbered(i, picture) for i, picture in enumerate(pictures)])


def _numbered(index: int, picture: Picture) -> Tensor:
    try:
        return mnist_style(picture)
    except MnistZooError as error:
        path = f" ({os.fspath(picture)})" if isinstance(picture, str | os.PathLike) else ""
        raise type(error)(f"picture {index}{path}: {error}") from error


def read(network: nn.Module, picture: Picture) -> list[Digit]:
    """Every digit in one picture, in reading order: line by line, each from left to right.

    A digit is a connected piece of ink, with smaller pieces next to it that are parts of it, such
    as the bar of a 5; digits that touch each other are read as one. Specks, dots and lines much
    lower than the digits are passed over.

    Raises:
        PictureError, FileReadError, InputError: as `transforms()`.
    """
    from mnistzoo.data import glyphs, layout
    from mnistzoo.data.ink import find_ink

    grey = open_grey(picture)
    ink = find_ink(grey.levels)
    labelled, found = glyphs.parts(ink)
    groups = layout.in_reading_order(layout.digits(found))
    drawn = [torch.from_numpy(glyphs.draw(ink, labelled, group)) for group in groups]
    scale = np.divide(grey.size, ink.mask.shape[::-1])
    return [
        Digit(**asdict(prediction), box=_scaled(layout.box_of(group), scale))
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
