"""The network class, built from a row of `architectures`."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import torch
import torch.fx
from torch import Tensor, nn

from mnistzoo.architectures import INPUT_SHAPE, NUM_CLASSES, Architecture, Conv
from mnistzoo.errors import InputError
from mnistzoo.models.folding import fold_batch_norm
from mnistzoo.models.hub_mixin import HubMixin

if TYPE_CHECKING:
    from mnistzoo.analysis import Analysis, ReceptiveField
    from mnistzoo.images.loading import ImageLike
    from mnistzoo.models.prediction import Digit, Prediction

_WORTH_FUSING = 128
"""Pictures from which on `predict` is quicker with a fused copy, the making of it counted."""


class ConvNet(HubMixin):
    """A network of the zoo: `features`, named layer by layer, and a linear `classifier`.

    Args:
        architecture: the row of data that it is built from.
        num_classes: outputs of the classifier.

    Attributes:
        features: `conv1`, `bn1` (where there is batch norm), `relu1`, …, `pool1`, ….
        classifier: a linear layer to `num_classes`.

    Raises:
        InputError: `num_classes` is not a positive integer, or nothing is left of the image after
            one of the layers.
    """

    def __init__(self, architecture: Architecture, *, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.architecture = architecture
        self.features, width = _features(architecture)
        self.classifier = _classifier(width, num_classes)

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier."""
        return self.classifier.out_features

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities, shape `(N, num_classes)`.

        Args:
            images: floating point, shape `(N, 1, 28, 28)`, normalised as `mnistzoo.transforms()`
                does it (mean 0.1307, standard deviation 0.3081, on a scale of 0 to 1).

        Raises:
            InputError: `images` has another shape, or is not floating point.
        """
        _check_images(images)
        logits = self.classifier(torch.flatten(self.features(images), 1))
        return torch.log_softmax(logits, dim=1)

    def summary(self) -> Analysis:
        """Every layer: shape, parameters, multiply-accumulates, receptive field."""
        from mnistzoo.analysis import analyze

        return analyze(self, INPUT_SHAPE)

    @overload
    def receptive_field(self, layer: None = None) -> Analysis: ...
    @overload
    def receptive_field(self, layer: str) -> ReceptiveField: ...
    def receptive_field(self, layer: str | None = None) -> Analysis | ReceptiveField:
        """What the units of each layer see of the image, or those of one layer.

        Args:
            layer: its path, such as `"features.conv7"`. Without it, the whole progression: the
                table of `summary()`, printing only what concerns receptive fields.

        Raises:
            UnknownNameError: there is no such layer; the message names the nearest.
        """
        from mnistzoo.analysis import receptive_field

        if layer is not None:
            return receptive_field(self, INPUT_SHAPE, layer)
        columns = ("layer", "kind", "output shape", "receptive field", "stride", "padding")
        return self.summary().select(*columns)

    def num_params(self) -> int:
        """The number of parameters, 17,302 for exp5."""
        from mnistzoo.analysis import num_params

        return num_params(self)

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new, freshly initialised classifier of `num_classes` outputs in place.

        Raises:
            InputError: `num_classes` is not a positive integer.
        """
        old = self.classifier
        new = _classifier(old.in_features, num_classes)
        self.classifier = new.to(old.weight.device, old.weight.dtype)

    def fused(self) -> ConvNet:
        """A copy for inference, in evaluation mode, that gives the same answers in less time.

        Probabilities agree within 1e-5; log-probabilities within that share of their size, which
        is what float32 can do. Batch norm is folded into the convolutions, so that
        `architecture.batch_norm` is false and the parameters are fewer; the memory format is
        channels-last, which the processor's convolutions read without reordering. Later changes
        to this network do not reach the copy.
        """
        made = copy.deepcopy(self).eval()
        made.architecture = replace(self.architecture, batch_norm=False)
        made.features = fold_batch_norm(made.features)
        return made.to(memory_format=torch.channels_last)

    @overload
    def predict(self, pictures: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...
    @overload
    def predict(self, pictures: ImageLike) -> Prediction: ...
    def predict(
        self, pictures: ImageLike | list[Any] | tuple[Any, ...]
    ) -> Prediction | list[Prediction]:
        """The digit in a picture of any kind, or in each of a list or tuple of them.

        Args:
            pictures: a path, the bytes of a file, a PIL image, an array or a tensor; see
                `mnistzoo.transforms()` for their shapes and ranges. They need not be normalised.

        Raises:
            ImageError: no picture, a damaged or too large one, or one without ink. In a list,
                this and the next two name the picture.
            FileReadError: a path that cannot be read.
            InputError: an object that holds no picture, or an empty list.
        """
        from mnistzoo.models.prediction import predict

        many = isinstance(pictures, list | tuple) and len(pictures) >= _WORTH_FUSING
        return predict(self.fused() if many else self, pictures)

    def read(self, picture: ImageLike) -> list[Digit]:
        """Every digit in one picture, in reading order, with its box in pixels.

        Digits that touch each other are read as one. Arguments and errors are those of `predict`.
        """
        from mnistzoo.models.prediction import read

        return read(self, picture)

    def blank(self) -> ConvNet:
        """The same network as it was built, its tensors without memory and without values."""
        return blank(self.architecture, self.num_classes)

    def extra_repr(self) -> str:
        """The architecture's name, for `repr`."""
        return f"architecture={self.architecture.name!r}"


def _features(architecture: Architecture) -> tuple[nn.Sequential, int]:
    """The convolutions and pools, and how many numbers they make of one image."""
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
                f"nothing is left of an image of {INPUT_SHAPE[1]}×{INPUT_SHAPE[2]} pixels after "
                f"{next(reversed(layers))} of {architecture.name}; take fewer layers, or padding."
            )
    return nn.Sequential(layers), channels * side * side


def _classifier(width: int, num_classes: int) -> nn.Linear:
    if not isinstance(num_classes, int) or num_classes < 1:
        raise InputError(f"num_classes should be a positive integer, got {num_classes!r}.")
    return nn.Linear(width, num_classes)


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point():
        raise InputError(
            f"expected normalised floating-point images, got {images.dtype}; "
            "make them with mnistzoo.transforms(), or hand pictures to model.predict()."
        )
    if images.ndim != 1 + len(INPUT_SHAPE) or images.shape[1:] != INPUT_SHAPE:
        raise InputError(
            f"expected images of shape (N, 1, 28, 28), got {tuple(images.shape)}; "
            "add the batch and channel axes, or hand pictures of any size to model.predict()."
        )


torch.fx.wrap("_check_images")  # so that torch.fx can trace a network: its shape is not followed


def blank(architecture: Architecture, num_classes: int) -> ConvNet:
    """A network whose tensors have names, shapes and dtypes, but no memory and no values."""
    with torch.device("meta"):
        return ConvNet(architecture, num_classes=num_classes).float()
