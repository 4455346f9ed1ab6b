"""The layers of a `ConvNet`, built from a row of `architectures`, and their input."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from mnistzoo.architectures import INPUT_SHAPE, Architecture, Conv
from mnistzoo.errors import InputError


def build_features(architecture: Architecture) -> tuple[nn.Sequential, int]:
    """Return the convolutions and pools, and the size of their flattened output.

    Raises:
        InputError: Nothing is left of the image after one of the layers.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, side, _ = INPUT_SHAPE
    convs = pools = 0
    for layer in architecture.layers:
        if isinstance(layer, Conv):
            convs += 1
            layers[f"conv{convs}"] = nn.Conv2d(
                channels, layer.out_channels, kernel_size=3, padding=layer.padding
            )
            if architecture.batch_norm:
                layers[f"bn{convs}"] = nn.BatchNorm2d(layer.out_channels)
            layers[f"relu{convs}"] = nn.ReLU()
            channels, side = layer.out_channels, side + 2 * layer.padding - 2
        else:
            pools += 1
            layers[f"pool{pools}"] = nn.MaxPool2d(kernel_size=2)
            side //= 2
        if side < 1:
            raise InputError(
                f"Expected layers that fit an image of {INPUT_SHAPE[1]}×{INPUT_SHAPE[2]} pixels, "
                f"got {architecture.name}, which has nothing left after "
                f"{next(reversed(layers))}. Use fewer layers, or padding."
            )
    return nn.Sequential(layers), channels * side * side


def build_classifier(num_features: int, num_classes: int) -> nn.Linear:
    """Return a linear layer to `num_classes` outputs.

    Raises:
        InputError: `num_classes` is not a positive integer.
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 1:
        raise InputError(f"Expected num_classes to be a positive integer, got {num_classes!r}.")
    return nn.Linear(num_features, num_classes)


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of normalized images.

    Raises:
        InputError: The images have another shape or are not floating point.
    """
    if not images.is_floating_point():
        raise InputError(
            f"Expected normalized floating-point images, got {images.dtype}. "
            "Use mnistzoo.transforms(), or pass images to model.predict()."
        )
    if images.ndim != 1 + len(INPUT_SHAPE) or images.shape[1:] != INPUT_SHAPE:
        raise InputError(
            f"Expected images of shape (N, 1, 28, 28), got {tuple(images.shape)}. "
            "Add the batch and channel axes, or pass images of any size to model.predict()."
        )
