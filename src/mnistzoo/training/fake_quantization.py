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
from mnistzoo.export.integers import BYTE, shifts, stages
from mnistzoo.inference import NumpyModel
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import to_arrays


class FakeQuantized(nn.Module):
    """A model whose weights and activations are rounded as in its C header.

    The forward pass computes the header's integers in float32, which holds them exactly. The
    backward pass takes the derivative of rounding to be 1 (straight-through estimator; Bengio et
    al. 2013, arXiv:1308.3432). Batch norm is folded with its running statistics, which are not
    updated.

    Args:
        model: The model, whose parameters are trained.
        bits: Bits of a weight.
        images: uint8 in MNIST format, shape `(N, 28, 28)`; they calibrate the activations.
    """

    def __init__(self, model: ConvNet, bits: int, images: NDArray[np.uint8]) -> None:
        super().__init__()
        self.model, self.largest = model, 2 ** (bits - 1) - 1
        arrays = NumpyModel.from_state_dict(model.architecture, to_arrays(model.state_dict()))
        self.stages = [(row, pool, top / BYTE) for _, row, pool, top in stages(arrays, images)]

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities, shape `(N, num_classes)`, of normalized images."""
        with torch.autocast(images.device.type, enabled=False):
            maps = ((images.float() * STD + MEAN) * BYTE).round_().clamp_(0, BYTE)
            for weight, bias, (row, pool, _) in self._convolutions():
                maps = _ToByte.apply(F.conv2d(maps, weight, bias, padding=row.padding))
                maps = F.max_pool2d(maps, 2) if pool else maps
            weight, bias, unit = self._classifier()
            return (F.linear(maps.flatten(1), weight, bias) * unit).log_softmax(dim=1)

    def _convolutions(self) -> Iterator[tuple[Tensor, Tensor, Any]]:
        """Yield weights and biases in units of each output's byte, rounded, and the stage."""
        scale = 1.0
        for number, stage in enumerate(self.stages, 1):
            weight, bias = _folded(self.model, number)
            if number == 1:  # for pixels from 0 to 255, their normalization folded in
                bias = bias - weight.sum(dim=(1, 2, 3)) * (MEAN / STD)
                weight = weight / (BYTE * STD)
            made = stage[-1]
            yield *self._rounded(weight * (scale / made), bias / made), stage
            scale = made

    def _rounded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        rows, offsets = (tensor.detach().double().cpu().numpy() for tensor in (weight, bias))
        shift = shifts(rows.reshape(len(rows), -1), offsets, self.largest)
        factor = torch.from_numpy(2.0**shift).to(weight)
        kernels = _straight_through(weight, factor[:, None, None, None], self.largest)
        return kernels, _straight_through(bias, factor)

    def _classifier(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return integer weights and biases, and their unit in logits."""
        layer, scale = self.model.classifier, self.stages[-1][-1]
        weight = layer.weight * scale
        unit = weight.detach().abs().max() / self.largest
        one = torch.ones(())
        return (
            _straight_through(weight / unit, one, self.largest),
            _straight_through(layer.bias / unit, one),
            unit,
        )

    @torch.no_grad()
    def dequantized(self) -> ConvNet:
        """Return a copy of the model whose weights have the values that the integers stand for."""
        made = copy.deepcopy(self.model)
        scale = 1.0
        for number, (weight, bias, stage) in enumerate(self._convolutions(), 1):
            weight, bias = weight * (stage[-1] / scale), bias * stage[-1]
            scale = stage[-1]
            if number == 1:
                weight = weight * (BYTE * STD)
                bias = bias + weight.sum(dim=(1, 2, 3)) * (MEAN / STD)
            _unfold(made, number, weight, bias)
        weight, bias, unit = self._classifier()
        made.classifier.weight.copy_(weight * unit / scale)
        made.classifier.bias.copy_(bias * unit)
        return made


class _ToByte(torch.autograd.Function):
    """Round to the nearest integer from 0 to 255, halves upward, as the shift does."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        output = sums.add(0.5).floor_().clamp_(0, BYTE)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        return gradients[0] * ((output > 0) & (output < BYTE))


def _straight_through(tensor: Tensor, factor: Tensor, largest: int | None = None) -> Tensor:
    """Round a tensor to multiples of `1 / factor`, with the gradient of the identity."""
    rounded = (tensor.detach() * factor).round_()
    if largest is not None:
        rounded = rounded.clamp_(-largest, largest)
    return tensor + (rounded / factor - tensor).detach()


def _folded(model: ConvNet, number: int) -> tuple[Tensor, Tensor]:
    """Return a convolution's weight and bias, the batch norm behind it folded in."""
    conv = model.get_submodule(f"features.conv{number}")
    scale, shift = _affine(model, number)
    return conv.weight * scale[:, None, None, None], conv.bias * scale + shift


def _unfold(model: ConvNet, number: int, weight: Tensor, bias: Tensor) -> None:
    """Change a convolution so that `_folded` returns this weight and bias."""
    conv = model.get_submodule(f"features.conv{number}")
    scale, shift = _affine(model, number)
    conv.weight.copy_(weight / scale[:, None, None, None])
    conv.bias.copy_((bias - shift) / scale)


def _affine(model: ConvNet, number: int) -> tuple[Tensor, Tensor]:
    """Return what the batch norm behind a convolution multiplies by, and what it adds."""
    conv = model.get_submodule(f"features.conv{number}")
    if not model.architecture.batch_norm:
        return torch.ones_like(conv.bias), torch.zeros_like(conv.bias)
    norm = model.get_submodule(f"features.bn{number}")
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale
