"""Training for a C header's integers: the model as `export.integers` runs it, with gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mnistzoo.architectures import MEAN, STD
from mnistzoo.export.integer_quantization import shifts, stages
from mnistzoo.export.integers import BYTE
from mnistzoo.inference import NumpyModel
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import to_arrays


class FakeQuantized(nn.Module):
    """A model whose weights and activations are rounded as in its C header.

    The forward pass computes the header's integers in float32, which holds them exactly. The
    backward pass takes the derivative of rounding to be 1 (the straight-through estimator: Bengio
    et al. 2013, arXiv:1308.3432). Batch norm uses its running statistics, which stay.

    Args:
        model: The model, whose parameters are trained.
        bits: Bits of a weight.
        images: uint8 in MNIST format, shape `(N, 28, 28)`. They calibrate the activations.
    """

    def __init__(self, model: ConvNet, bits: int, images: NDArray[np.uint8]) -> None:
        super().__init__()
        self.model, self.largest = model, 2 ** (bits - 1) - 1
        arrays = NumpyModel.from_state_dict(model.architecture, to_arrays(model.state_dict()))
        self.stages = stages(arrays, images)

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities, shape `(N, num_classes)`, of normalized images."""
        with torch.autocast(images.device.type, enabled=False):
            maps = ((images.float() * STD + MEAN) * BYTE).round_().clamp_(0, BYTE)
            for (weight, bias), stage in zip(self._convolutions(), self.stages, strict=True):
                maps = _to_bytes(F.conv2d(maps, weight, bias, padding=stage.padding))
                maps = F.max_pool2d(maps, 2) if stage.pool else maps
            weight, bias, unit = self._classifier()
            return (F.linear(maps.flatten(1), weight, bias) * unit).log_softmax(dim=1)

    @torch.no_grad()
    def dequantized(self) -> ConvNet:
        """Return a copy of the model whose weights have the values that the integers stand for."""
        made = copy.deepcopy(self.model)
        scale = 1.0
        pairs = zip(self._convolutions(), self.stages, strict=True)
        for number, ((weight, bias), stage) in enumerate(pairs, 1):
            kernels, offsets = weight * (stage.scale / scale), bias * stage.scale
            if number == 1:
                kernels = kernels * (BYTE * STD)
                offsets = offsets + kernels.sum(dim=(1, 2, 3)) * (MEAN / STD)
            _unfold(made, number, kernels, offsets)
            scale = stage.scale
        weight, bias, unit = self._classifier()
        made.classifier.weight.copy_(weight * unit / scale)
        made.classifier.bias.copy_(bias * unit)
        return made

    def _convolutions(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rounded weights and biases, from the input's bytes to the output's."""
        scale = 1.0
        for number, stage in enumerate(self.stages, 1):
            weight, bias = _folded(self.model, number)
            if number == 1:  # for pixels from 0 to 255, their normalization folded in
                bias = bias - weight.sum(dim=(1, 2, 3)) * (MEAN / STD)
                weight = weight / (BYTE * STD)
            yield self._rounded(weight * (scale / stage.scale), bias / stage.scale)
            scale = stage.scale

    def _rounded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        rows, offsets = (tensor.detach().double().cpu().numpy() for tensor in (weight, bias))
        shift = shifts(rows.reshape(len(rows), -1), offsets, self.largest)
        factor = torch.from_numpy(2.0**shift).to(weight)
        kernels = _straight_through(weight, factor[:, None, None, None], self.largest)
        return kernels, _straight_through(bias, factor)

    def _classifier(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return integer weights and biases, and their unit in logits."""
        layer = self.model.classifier
        weight = layer.weight * self.stages[-1].scale
        unit = (weight.detach().abs().max() / self.largest).clamp(min=1e-30)
        one = torch.ones_like(unit)
        kernels = _straight_through(weight / unit, one, self.largest)
        return kernels, _straight_through(layer.bias / unit, one), unit


class _ToBytes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        output = sums.add(0.5).floor_().clamp_(0, BYTE)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        output: Tensor = ctx.saved_tensors[0]
        return gradient * ((output > 0) & (output < BYTE))


def _to_bytes(sums: Tensor) -> Tensor:
    """Round to the nearest integer from 0 to 255, halves upward, as a shift does."""
    made: Tensor = _ToBytes.apply(sums)
    return made


def _straight_through(tensor: Tensor, factor: Tensor, largest: float = torch.inf) -> Tensor:
    """Round a tensor to multiples of `1 / factor`, with the gradient of the identity."""
    rounded = (tensor.detach() * factor).round_().clamp_(-largest, largest)
    return tensor + (rounded / factor - tensor).detach()


def _folded(model: ConvNet, number: int) -> tuple[Tensor, Tensor]:
    """Return a convolution's weight and bias, the batch norm behind it folded in."""
    conv, scale, offset = _parts(model, number)
    return conv.weight * scale[:, None, None, None], conv.bias * scale + offset


def _unfold(model: ConvNet, number: int, weight: Tensor, bias: Tensor) -> None:
    """Change a convolution so that `_folded` returns this weight and bias."""
    conv, scale, offset = _parts(model, number)
    conv.weight.copy_(weight / scale[:, None, None, None])
    conv.bias.copy_((bias - offset) / scale)


def _parts(model: ConvNet, number: int) -> tuple[Any, Tensor, Tensor]:
    """Return a convolution, and what the batch norm behind it multiplies by and adds."""
    conv: Any = model.get_submodule(f"features.conv{number}")
    if not model.architecture.batch_norm:
        return conv, torch.ones_like(conv.bias), torch.zeros_like(conv.bias)
    norm: Any = model.get_submodule(f"features.bn{number}")
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return conv, scale, norm.bias - norm.running_mean * scale
