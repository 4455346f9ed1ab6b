"""Inference in NumPy: the zoo's models from their weight files, without importing torch.

Batch norm is folded into the convolutions; then every layer is one matrix product.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import BUILDABLE, MEAN, STD, Architecture, Conv, Style
from mnistzoo.files import sha256
from mnistzoo.images.prediction import Digit, Prediction, predict, read
from mnistzoo.storage.manifest import pretrained_state_dict, split_name
from mnistzoo.storage.model_folder import read_folder, unpack

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike

EPSILON = 1e-5
"""Added to the variance in batch norm, PyTorch's default."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A convolution or the classifier, batch norm folded.

    Attributes:
        weight: float32, shape `(inputs, outputs)`; for a convolution the inputs are channels, rows
            and columns of its 3×3 kernel, in this order.
        bias: float32, shape `(outputs,)`.
    """

    weight: Floats
    bias: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Return the outputs for rows of inputs."""
        return np.asarray(rows @ self.weight + self.bias)


@dataclass(frozen=True)
class NumpyModel:
    """A model of the zoo as NumPy arrays.

    Attributes:
        architecture: the row of data that it is built from.
        convolutions: one layer per convolution, from the input on.
        classifier: the linear layer.
        sha256: digest of the state dict.
        labels: names of the classes, or None if they are only numbered.
        style: how images become 28×28 pixels.
    """

    architecture: Architecture
    convolutions: tuple[Layer, ...]
    classifier: Layer
    sha256: str
    labels: tuple[str, ...] | None = None
    style: Style = "mnist"

    @classmethod
    def from_state_dict(cls, architecture: Architecture, state: Mapping[str, Any]) -> NumpyModel:
        """Fold a state dict of arrays into a model."""
        count = sum(isinstance(layer, Conv) for layer in architecture.layers)
        convolutions = tuple(_folded(state, number + 1) for number in range(count))
        weights = sha256(b"".join(state[name].tobytes() for name in sorted(state)))
        return cls(architecture, convolutions, _layer(state, "classifier"), weights)

    def log_probabilities(self, images: NDArray[np.uint8]) -> Floats:
        """Return log-probabilities, shape `(N, num_classes)`.

        Args:
            images: uint8 in MNIST format, shape `(N, 28, 28)`.
        """
        *_, maps = self.activations(images)
        logits = self.classifier(maps.transpose(0, 3, 1, 2).reshape(len(maps), -1))
        logits -= logits.max(axis=1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))

    def predict(self, image: ImageLike) -> Prediction:
        """Classify the digit in an image, as `ConvNet.predict` does."""
        return predict(self.classify, image, self.labels, self.style)

    def read(self, image: ImageLike) -> list[Digit]:
        """Return every digit in an image, as `ConvNet.read` does."""
        return read(self.classify, image, self.labels, self.style)

    def classify(self, digits: list[NDArray[np.uint8]]) -> list[list[float]]:
        """Return the probabilities of digits in MNIST format, each uint8 of shape `(28, 28)`."""
        # one by one: a digit's numbers must not depend on the others
        logs = [self.log_probabilities(digit[None])[0].astype(np.float64) for digit in digits]
        return [(np.exp(row) / np.exp(row).sum()).tolist() for row in logs]

    def activations(self, images: NDArray[np.uint8]) -> Iterator[Floats]:
        """Yield the feature maps of each layer, shape `(N, height, width, channels)`."""
        maps: Floats = np.asarray((images[..., None] / 255 - MEAN) / STD, dtype=np.float32)
        convolutions = iter(self.convolutions)
        for layer in self.architecture.layers:
            if isinstance(layer, Conv):
                maps = _convolve(maps, next(convolutions), layer.padding)
            else:
                maps = _pool(maps)
            yield maps


def load_model(name: str) -> NumpyModel:
    """Load a model of the zoo with its pretrained weights, or others: "exp5.world".

    >>> load_model("exp5").log_probabilities(np.zeros((1, 28, 28), np.uint8)).shape
    (1, 10)

    Raises:
        UnknownNameError: No weights of that name are shipped.
        FileReadError: The file is missing.
        WeightsError: The file is not the one that the manifest describes.
    """
    state_dict = pretrained_state_dict(name)
    return NumpyModel.from_state_dict(BUILDABLE[split_name(name)[0]], state_dict)


def load_folder(folder: str | os.PathLike[str]) -> NumpyModel:
    """Load a model from a folder that `save_pretrained`, `mnistzoo train` or `pull` wrote.

    Raises:
        FileReadError: The folder or one of its files is missing or cannot be read.
        WeightsError: The files are altered, foreign or incomplete.
    """
    saved = unpack(read_folder(folder), os.fspath(folder))
    model = NumpyModel.from_state_dict(BUILDABLE[saved.config.architecture], saved.state_dict)
    return replace(model, labels=saved.config.labels, style=saved.config.style)


def _layer(state: Mapping[str, Any], name: str) -> Layer:
    weight = state[f"{name}.weight"]
    return Layer(weight.reshape(len(weight), -1).T.copy(), state[f"{name}.bias"])


def _folded(state: Mapping[str, Any], number: int) -> Layer:
    """Return a convolution with the batch norm behind it, if any, folded in."""
    layer, norm = _layer(state, f"features.conv{number}"), f"features.bn{number}"
    if f"{norm}.weight" not in state:
        return layer
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + EPSILON)
    bias = (layer.bias - state[f"{norm}.running_mean"]) * scale + state[f"{norm}.bias"]
    return Layer(layer.weight * scale, bias)


def _convolve(maps: Floats, layer: Layer, padding: int) -> Floats:
    """Apply a 3×3 convolution with stride 1 and a ReLU to maps of shape `(N, H, W, C)`."""
    if padding:
        maps = np.pad(maps, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(1, 2))
    outputs = layer(windows.reshape(*windows.shape[:3], -1))
    return np.maximum(outputs, 0, out=outputs)


def _pool(maps: Floats) -> Floats:
    """Take the maximum of each 2×2 square; an odd last row or column is dropped."""
    count, height, width, channels = maps.shape
    squares = maps[:, : height // 2 * 2, : width // 2 * 2].reshape(
        count, height // 2, 2, width // 2, 2, channels
    )
    return np.asarray(squares.max(axis=(2, 4)))
