"""A model in integers alone: 8- or 4-bit weights, 8-bit activations, 32-bit sums.

An activation is an unsigned byte times a scale of its layer. A sum becomes the next layer's byte by
a shift to the right that rounds. `integer_quantization` makes such a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import INPUT_SHAPE

BYTE = 255
"""The largest activation."""

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class IntegerConv:
    """A 3×3 convolution, its ReLU, and the 2×2 max pool behind it, if there is one.

    Attributes:
        weight: Shape `(out, 3, 3, in)`.
        bias: Shape `(out,)`.
        shift: Bits by which a sum is shifted to the right, shape `(out,)`.
        padding: Rows and columns of zeros around its input.
        pool: Whether a max pool follows.
    """

    weight: Ints
    bias: Ints
    shift: Ints
    padding: int
    pool: bool

    def __call__(self, maps: Ints) -> Ints:
        """Return bytes, shape `(N, H, W, out)`, for bytes of shape `(N, H, W, in)`."""
        pad = (self.padding, self.padding)
        padded = np.pad(maps, ((0, 0), pad, pad, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)
        sums = _multiply(rows, self.weight.reshape(len(self.weight), -1).T) + self.bias
        outputs = np.clip((sums + (1 << self.shift >> 1)) >> self.shift, 0, BYTE)
        return _max_pool(outputs) if self.pool else outputs


@dataclass(frozen=True)
class IntegerModel:
    """A model that computes in integers; the reference for exported C code.

    Attributes:
        bits: Bits of each weight, 4 or 8.
        convolutions: From the input on.
        classifier: Weights, shape `(classes, rows, columns, channels)`.
        bias: Of the classifier, shape `(classes,)`.
        shift: Bits by which the classifier's sums are shifted to make scores.
        step: One unit of a score, as a difference of logits.
    """

    bits: int
    convolutions: tuple[IntegerConv, ...]
    classifier: Ints
    bias: Ints
    shift: int
    step: float

    def sums(self, images: NDArray[np.uint8]) -> Ints:
        """Return the classifier's sums, shape `(N, classes)`; the largest is the prediction.

        Args:
            images: uint8 in MNIST format, shape `(N, 28, 28)`.
        """
        maps = images[..., None].astype(np.int32)
        for convolution in self.convolutions:
            maps = convolution(maps)
        weight = self.classifier.reshape(len(self.classifier), -1)
        return _multiply(maps.reshape(len(maps), -1), weight.T) + self.bias

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Return the sums as scores from −128 to 127, shape `(N, classes)`."""
        scores: NDArray[np.int8] = (self.sums(images) >> self.shift).clip(-128, 127).astype(np.int8)
        return scores


def _multiply(one: Ints, other: Ints) -> Ints:
    """Return an exact matrix product: float64 holds every sum below 2**53, and is fast."""
    product: Ints = (one.astype(np.float64) @ other.astype(np.float64)).astype(np.int32)
    return product


def _max_pool(maps: Ints) -> Ints:
    count, height, width, channels = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    squares = even.reshape(count, height // 2, 2, width // 2, 2, channels)
    return np.asarray(squares.max(axis=(2, 4)))


def input_sides(model: IntegerModel) -> Iterator[int]:
    """Yield the side of each convolution's input, without padding, then the classifier's."""
    side = INPUT_SHAPE[-1]
    yield side
    for convolution in model.convolutions:
        side += 2 * convolution.padding - 2
        side //= 2 if convolution.pool else 1
        yield side
