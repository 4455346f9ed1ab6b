"""The forward pass in NumPy, without torch.

Batch norm is folded into the convolutions; then every layer is one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import MEAN, STD, Architecture, Conv

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


def read_layers(
    architecture: Architecture, state: Mapping[str, Any]
) -> tuple[tuple[Layer, ...], Layer]:
    """Return the convolutions, batch norm folded, and the classifier of a state dict of arrays."""
    count = sum(isinstance(layer, Conv) for layer in architecture.layers)
    convolutions = tuple(_folded(state, number + 1) for number in range(count))
    return convolutions, _layer(state, "classifier")


def feature_maps(
    architecture: Architecture, convolutions: Sequence[Layer], images: NDArray[np.uint8]
) -> Iterator[Floats]:
    """Yield the feature maps of each layer, shape `(N, height, width, channels)`.

    Args:
        architecture: The order of convolutions and pools.
        convolutions: From the input on.
        images: uint8 in MNIST format, shape `(N, 28, 28)`.
    """
    maps: Floats = np.asarray((images[..., None] / 255 - MEAN) / STD, dtype=np.float32)
    remaining = iter(convolutions)
    for layer in architecture.layers:
        if isinstance(layer, Conv):
            maps = _convolve(maps, next(remaining), layer.padding)
        else:
            maps = _pool(maps)
        yield maps


def classify(classifier: Layer, maps: Floats) -> Floats:
    """Return the logits for the last feature maps, shape `(N, num_classes)`."""
    return classifier(maps.transpose(0, 3, 1, 2).reshape(len(maps), -1))


def log_softmax(logits: Floats) -> Floats:
    """Return log-probabilities, row by row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


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
