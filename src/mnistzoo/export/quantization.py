"""A network in 8-bit integers, by ONNX Runtime's static quantisation.

Which options (weights per channel, plain minima and maxima as ranges) was decided on held-out
training images. Needs the packages onnx and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from mnistzoo.architectures import Conv, Pool
from mnistzoo.errors import FileWriteError
from mnistzoo.export.onnx_graph import INPUT, build
from mnistzoo.models.convnet import ConvNet

CHANNELS_IN, CHANNELS_OUT = 4, 16
"""What the quick kernels of ONNX Runtime need: a multiple of 4 channels in (four 8-bit products
make one 32-bit sum), and at least 16 out (as many sums make a vector)."""

_BATCH = 100


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no type hints
    def __init__(self, images: NDArray[np.float32]) -> None:
        batches = range(0, len(images), _BATCH)
        self._batches: Iterator[Any] = iter([{INPUT: images[at : at + _BATCH]} for at in batches])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def quantize(network: ConvNet, images: NDArray[np.float32]) -> onnx.ModelProto:
    """The graph of a fused network with 8-bit weights and activations.

    Args:
        network: without batch norm.
        images: float32, `(N, 1, 28, 28)`, normalised; activations are scaled to their ranges here.

    Raises:
        FileWriteError: the system's folder for temporary files refuses.
    """
    try:
        return _quantize(network, images)
    except OSError as error:
        raise FileWriteError(
            f"cannot write temporary files: {error}; set TMPDIR to a folder that has room."
        ) from error


def _quantize(network: ConvNet, images: NDArray[np.float32]) -> onnx.ModelProto:
    with TemporaryDirectory() as folder:
        plain, prepared, small = (Path(folder) / name for name in ("plain", "prepared", "small"))
        onnx.save(build(widened(network), rows=CHANNELS_IN), plain)
        quant_pre_process(plain, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            small,
            _Images(images),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return onnx.load(small)


@torch.no_grad()
def widened(network: ConvNet) -> ConvNet:
    """The same function with channels of zeros added, up to widths with quick kernels."""
    layers = tuple(map(_wide, network.architecture.layers))
    wide = ConvNet(replace(network.architecture, layers=layers), num_classes=network.num_classes)
    large = wide.state_dict()
    for name, small in network.state_dict().items():
        if name != "classifier.weight":
            _embed(large[name], small)
    _embed(_by_channel(wide), _by_channel(network))
    return wide.eval()


def _wide(layer: Conv | Pool) -> Conv | Pool:
    if isinstance(layer, Pool):
        return layer
    quads = -(-layer.out_channels // CHANNELS_IN)
    return replace(layer, out_channels=max(CHANNELS_OUT, quads * CHANNELS_IN))


def _by_channel(network: ConvNet) -> Tensor:
    """The classifier's weights, shape `(classes, channels of the last convolution, pixels)`."""
    channels = [conv.out_channels for conv in network.features if isinstance(conv, nn.Conv2d)][-1]
    return network.classifier.weight.view(network.num_classes, channels, -1)


def _embed(large: Tensor, small: Tensor) -> None:
    """Copy `small` into the first corner of `large`, and zeros elsewhere."""
    large.zero_()
    large[tuple(map(slice, small.shape))] = small
