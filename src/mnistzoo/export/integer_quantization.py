"""Quantization of a model to the integers of a C header.

The scale of each output channel's weights is chosen so that a shift turns a sum into a byte. No sum
can overflow: each is bounded by computation, whatever the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import MEAN, STD, Conv, Pool
from mnistzoo.errors import InputError
from mnistzoo.export.integers import BYTE, IntegerConv, IntegerModel, Ints
from mnistzoo.forward import Layer
from mnistzoo.inference import NumpyModel

CALIBRATION_IMAGES = 500
"""The first training images, from which integer activations take their ranges."""

MAX_SHIFT = 24
"""Bits by which a sum is shifted at most: a channel of zeros has no scale of its own."""

MAX_BIAS = 2**30
"""The largest magnitude of a bias: with it, weights have half of the 32 bits left."""

MAX_SUM = 2**31 - 1

Floats = NDArray[np.float64]


def quantize(model: NumpyModel, images: NDArray[np.uint8], bits: int = 8) -> IntegerModel:
    """Return `model` in integers.

    Args:
        model: Batch norm folded.
        images: uint8 in MNIST format, shape `(N, 28, 28)`; the largest activation of each layer on
            them becomes 255.
        bits: Bits of each weight.

    Raises:
        InputError: A pool does not follow a convolution, the first convolution is padded, or a sum
            could overflow 32 bits.
    """
    largest = 2 ** (bits - 1) - 1
    convolutions: list[IntegerConv] = []
    scale = 1.0
    for stage in stages(model, images):
        layer = stage.layer if convolutions else _on_bytes(stage.layer)
        convolutions.append(_quantize_conv(layer, stage, scale, largest))
        scale = stage.scale
    return _with_classifier(model, tuple(convolutions), scale, largest, bits, images)


class Stage(NamedTuple):
    """A convolution, its ReLU, and the pool behind it, before quantization.

    Attributes:
        layer: The convolution, in floating point.
        padding: Rows and columns of zeros around its input.
        pool: Whether a max pool follows.
        scale: The activation that a byte of 1 stands for.
    """

    layer: Layer
    padding: int
    pool: bool
    scale: float


def stages(model: NumpyModel, images: NDArray[np.uint8]) -> list[Stage]:
    """Return a stage for each convolution. The largest activation on `images` becomes 255.

    Raises:
        InputError: A pool does not follow a convolution, or the first convolution is padded.
    """
    rows, layers = model.architecture.layers, iter(model.convolutions)
    _check_layers(rows)
    return [
        Stage(next(layers), row.padding, isinstance(following, Pool), _largest(maps) / BYTE)
        for row, following, maps in zip(
            rows, [*rows[1:], None], model.activations(images), strict=True
        )
        if isinstance(row, Conv)
    ]


def _largest(maps: NDArray[np.float32]) -> float:
    return float(maps.max()) or 1.0  # a layer of zeros has no scale of its own


def _check_layers(rows: Sequence[Conv | Pool]) -> None:
    for before, row in zip([None, *rows], rows, strict=False):
        if isinstance(row, Pool) and not isinstance(before, Conv):
            raise InputError("Expected a convolution before each pool. Export to ONNX instead.")
    if isinstance(rows[0], Conv) and rows[0].padding:
        raise InputError("Expected a first convolution without padding. Export to ONNX instead.")


def _on_bytes(layer: Layer) -> Layer:
    """Return the first convolution for pixels from 0 to 255, their normalization folded in."""
    bias = layer.bias - layer.weight.sum(axis=0) * np.float32(MEAN / STD)
    return Layer(layer.weight / np.float32(BYTE * STD), bias)


def _quantize_conv(layer: Layer, stage: Stage, scale: float, largest: int) -> IntegerConv:
    """Quantize the convolution of a stage, whose input has a scale of its own."""
    weight = layer.weight.T.astype(np.float64) * scale / stage.scale  # in the output's bytes
    bias = layer.bias.astype(np.float64) / stage.scale
    shift = shifts(weight, bias, largest)
    factor = 2.0**shift
    integers = np.rint(weight * factor[:, None]).astype(np.int32).clip(-largest, largest)
    offset = np.rint(bias * factor)
    _check_sums(BYTE * np.abs(integers).sum(axis=1) + np.abs(offset) + factor)
    kernels = integers.reshape(len(integers), -1, 3, 3).transpose(0, 2, 3, 1)
    return IntegerConv(kernels.copy(), offset.astype(np.int32), shift, stage.padding, stage.pool)


def shifts(weight: Floats, bias: Floats, largest: int) -> Ints:
    """Return the shift of each output channel: 2**shift times its weights are rounded to integers.

    Of two candidates it is the one with the smaller squared error: the largest shift at which all
    weights fit, and the next, at which the largest weights are clipped and the others finer.

    Args:
        weight: In units of the output's byte, shape `(out, inputs)`.
        bias: In the same unit, shape `(out,)`.
        largest: The largest magnitude of an integer.
    """
    least = np.maximum(2.0**-MAX_SHIFT, np.abs(bias) / MAX_BIAS)
    top = np.maximum(np.abs(weight).max(axis=1), largest * least)
    fitting = np.floor(np.log2(largest / top)).clip(0).astype(np.int32)
    finer = np.where(2.0 ** (fitting + 1) * least <= 1, fitting + 1, fitting)
    better = _error(weight, finer, largest) < _error(weight, fitting, largest)
    return np.asarray(np.where(better, finer, fitting))


def _error(weight: Floats, shift: Ints, largest: int) -> Floats:
    """Return the squared error of each output channel's weights as integers."""
    factor = 2.0 ** shift[:, None]
    rounded = np.rint(weight * factor).clip(-largest, largest) / factor
    return np.asarray(((rounded - weight) ** 2).sum(axis=1))


def _with_classifier(
    model: NumpyModel,
    convolutions: tuple[IntegerConv, ...],
    scale: float,
    largest: int,
    bits: int,
    images: NDArray[np.uint8],
) -> IntegerModel:
    """Quantize the classifier with one scale for all classes, so that sums compare."""
    weight = model.classifier.weight.T.astype(np.float64) * scale
    unit = (np.abs(weight).max() or 1.0) / largest
    integers = np.rint(weight / unit).astype(np.int32)
    channels = len(convolutions[-1].weight)
    side = int((integers.shape[1] // channels) ** 0.5)
    kernels = integers.reshape(-1, channels, side, side).transpose(0, 2, 3, 1).copy()
    offset = np.rint(model.classifier.bias / unit)
    _check_sums(BYTE * np.abs(integers).sum(axis=1) + np.abs(offset))
    bias = offset.astype(np.int32)
    made = IntegerModel(bits, convolutions, kernels, bias, 0, unit)
    shift = max(int(np.abs(made.sums(images)).max()).bit_length() - 7, 0)
    return IntegerModel(bits, convolutions, kernels, bias, shift, unit * 2**shift)


def _check_sums(bounds: Floats) -> None:
    """Refuse sums that could overflow: the bounds of their magnitudes for any image.

    Raises:
        InputError: A bound exceeds 32 bits.
    """
    if bounds.max() > MAX_SUM:
        raise InputError(
            f"Expected sums within 32 bits, got up to {bounds.max():.3g} for some image. "
            "Export to ONNX instead."
        )
