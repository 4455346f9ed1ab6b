"""The graph of int8 files: the same function, in shapes for which kernels are fast.

ONNX Runtime's kernels multiply four 8-bit channels at once and fill vectors with 16 output
channels. Two changes suit them, and neither alters a sum:

- Channels of zeros widen each convolution.
- Convolutions with few input channels run on blocks: the 2×2 pixels of a block lie side by side as
  channels, and a 2×2 kernel over blocks computes four output pixels at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnistzoo.architectures import INPUT_SHAPE, Conv, Pool
from mnistzoo.export.onnx_graph import Chain, parameters_of
from mnistzoo.models.convnet import ConvNet

QUAD, VECTOR = 4, 16
"""Input channels come in multiples of the first, output channels number at least the second."""


def build(model: ConvNet) -> onnx.ModelProto:
    """Return the graph of a fused model, widened, its first convolutions on blocks."""
    return _Chain().build(widened(model))


class _Chain(Chain):
    def __init__(self) -> None:
        super().__init__()
        self.channels, self.side, _ = INPUT_SHAPE
        self.on_blocks = False

    def add_layer(self, name: str, layer: nn.Module) -> None:
        if isinstance(layer, nn.Conv2d):
            self._add_conv(name, layer)
        elif isinstance(layer, nn.MaxPool2d):
            self._add_pool(name, layer)
        else:
            super().add_layer(name, layer)

    def add_classifier(self, layer: nn.Linear) -> None:
        if self.on_blocks:
            self._to_pixels("flatten")
        super().add_classifier(layer)

    def _add_conv(self, name: str, conv: nn.Conv2d) -> None:
        few = self.channels < VECTOR and not any(conv.padding) and self.side % 2 == 0
        if few and not self.on_blocks:
            self._to_blocks(name)
        elif self.on_blocks and not few:
            self._to_pixels(name)
        self.on_blocks = few
        if few:
            constants = {key: _block(value) for key, value in parameters_of(conv).items()}
            self.add("Conv", name, constants=constants, kernel_shape=[2, 2])
        else:
            super().add_layer(name, conv)
        self.channels, self.side = conv.out_channels, self.side + 2 * int(conv.padding[0]) - 2

    def _add_pool(self, name: str, pool: nn.Module) -> None:
        if self.on_blocks:  # the maximum over each block, whose pixels become four columns
            rows = self.side // 2
            self._regroup(f"{name}_columns", (rows, 4 * rows, self.channels))
            self.add("MaxPool", name, kernel_shape=[1, 4], strides=[1, 4])
        else:
            super().add_layer(name, pool)
        self.on_blocks, self.side = False, self.side // 2

    def _to_blocks(self, name: str) -> None:
        rows, pair = self.side // 2, 2 * self.channels
        self._regroup(f"{name}_blocks", (rows, rows, 2 * pair), swap=(rows, 2, rows, pair))

    def _to_pixels(self, name: str) -> None:
        rows, pair = self.side // 2, 2 * self.channels
        pixels = self.side, self.side, self.channels
        self._regroup(f"{name}_pixels", pixels, swap=(rows, rows, 2, pair))

    def _regroup(self, name: str, shape: Sequence[int], swap: Sequence[int] = ()) -> None:
        """With channels last, swap the middle axes of the view `swap`, then take on `shape`."""
        self.add("Transpose", f"{name}_last", perm=[0, 2, 3, 1])
        if swap:
            self.add("Reshape", f"{name}_split", constants={"shape": np.array([0, *swap])})
            self.add("Transpose", f"{name}_swap", perm=[0, 1, 3, 2, 4])
        self.add("Reshape", f"{name}_join", constants={"shape": np.array([0, *shape])})
        self.add("Transpose", name, perm=[0, 3, 1, 2])


def _block(parameter: NDArray[Any]) -> NDArray[Any]:
    """Return a convolution's weight or bias for blocks, channels ordered by pixel, then channel."""
    if parameter.ndim == 1:
        return np.tile(parameter, 4)
    outputs, inputs, *_ = parameter.shape
    blocks = np.zeros((2, 2, outputs, 2, 2, inputs, 2, 2), np.float32)
    for y, x, row, column in product(range(2), range(2), range(3), range(3)):
        (tap_y, in_y), (tap_x, in_x) = divmod(y + row, 2), divmod(x + column, 2)
        blocks[y, x, :, in_y, in_x, :, tap_y, tap_x] = parameter[:, :, row, column]
    return blocks.reshape(4 * outputs, 4 * inputs, 2, 2)


@torch.no_grad()
def widened(model: ConvNet) -> ConvNet:
    """Return the same function with channels of zeros added, up to widths with fast kernels."""
    layers = tuple(_wide(model.architecture.layers))
    wide = ConvNet(replace(model.architecture, layers=layers), num_classes=model.num_classes)
    large = wide.state_dict()
    for name, small in model.state_dict().items():
        if name != "classifier.weight":
            _embed(large[name], small)
    _embed(_by_channel(wide), _by_channel(model))
    return wide.eval()


def _wide(layers: Sequence[Conv | Pool]) -> Iterator[Conv | Pool]:
    channels = INPUT_SHAPE[0]
    for layer in layers:
        if isinstance(layer, Conv):
            least = VECTOR if layer.padding or channels >= VECTOR else QUAD  # blocks have four
            channels = max(least, -(-layer.out_channels // QUAD) * QUAD)
            yield replace(layer, out_channels=channels)
        else:
            yield layer


def _by_channel(model: ConvNet) -> Tensor:
    """View the classifier's weights as `(classes, channels of the last convolution, pixels)`."""
    channels = [conv.out_channels for conv in model.features if isinstance(conv, nn.Conv2d)][-1]
    return model.classifier.weight.view(model.num_classes, channels, -1)


def _embed(large: Tensor, small: Tensor) -> None:
    """Copy `small` into the first corner of `large`, and zeros elsewhere."""
    large.zero_()
    large[tuple(map(slice, small.shape))] = small
