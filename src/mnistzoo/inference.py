"""Inference in NumPy: the zoo's models from their weight files, without importing torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import BUILDABLE, Architecture, Style
from mnistzoo.files import sha256
from mnistzoo.forward import Floats, Layer, classify, feature_maps, log_softmax, read_layers
from mnistzoo.images.prediction import Prediction, Reading, predict, read
from mnistzoo.storage.manifest import pretrained_state_dict, split_name
from mnistzoo.storage.model_folder import read_folder, unpack

if TYPE_CHECKING:
    from mnistzoo.images.loading import ImageLike


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
        weights = sha256(b"".join(state[name].tobytes() for name in sorted(state)))
        return cls(architecture, *read_layers(architecture, state), weights)

    def log_probabilities(self, images: NDArray[np.uint8]) -> Floats:
        """Return log-probabilities, shape `(N, num_classes)`.

        Args:
            images: uint8 in MNIST format, shape `(N, 28, 28)`.
        """
        *_, maps = self.activations(images)
        return log_softmax(classify(self.classifier, maps))

    def predict(self, image: ImageLike) -> Prediction:
        """Classify the digit in an image, as `ConvNet.predict` does."""
        return predict(self.classify, image, self.labels, self.style)

    def read(self, image: ImageLike, *, keep_all: bool = False) -> Reading:
        """Return every digit in an image, as `ConvNet.read` does."""
        return read(self.classify, image, self.labels, self.style, keep_all=keep_all)

    def classify(self, digits: list[NDArray[np.uint8]]) -> list[list[float]]:
        """Return the probabilities of digits in MNIST format, each uint8 of shape `(28, 28)`."""
        # one by one: a digit's numbers must not depend on the others
        logs = [self.log_probabilities(digit[None])[0].astype(np.float64) for digit in digits]
        return [(np.exp(row) / np.exp(row).sum()).tolist() for row in logs]

    def activations(self, images: NDArray[np.uint8]) -> Iterator[Floats]:
        """Yield the feature maps of each layer, shape `(N, height, width, channels)`."""
        return feature_maps(self.architecture, self.convolutions, images)


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
