"""The model class, built from a row of `architectures`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import torch
import torch.fx
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]  # public, untyped

from mnistzoo.architectures import BUILDABLE, INPUT_SHAPE, MNIST_STYLE, NUM_CLASSES, Architecture
from mnistzoo.errors import InputError
from mnistzoo.models.folding import fuse
from mnistzoo.models.hub_mixin import HubMixin
from mnistzoo.models.layers import build_classifier, build_features, check_images
from mnistzoo.models.tensors import to_tensors

if TYPE_CHECKING:
    from typing_extensions import Self

    from mnistzoo.analysis import Analysis, ReceptiveField
    from mnistzoo.images.loading import ImageLike
    from mnistzoo.images.prediction import Prediction, Reading
    from mnistzoo.storage.model_folder import SavedModel


class ConvNet(HubMixin):
    """A model of the zoo: convolutional `features`, then a linear `classifier`.

    >>> import mnistzoo
    >>> model = mnistzoo.exp5()
    >>> model(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Args:
        architecture: The row of data to build.
        num_classes: Outputs of the classifier.

    Attributes:
        features: Layers by name: `conv1`, `bn1` (with batch norm), `relu1`, …, `pool1`, ….
        classifier: A linear layer from the flattened features to the classes.
        num_features: Inputs of the classifier.
        labels: Names of the classes, or None if they are only numbered. Saved with the model.
        style: "mnist" or "plain": how `load_dataset` converts images. Saved with the model.

    Raises:
        InputError: `num_classes` is not a positive integer, or the image is too small for the
            layers.
    """

    __jit_ignored_attributes__ = ("architecture", "labels")  # TorchScript can compile neither
    __jit_unused_properties__ = ("num_classes",)

    def __init__(self, architecture: Architecture, *, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.architecture = architecture
        self.labels: Sequence[str] | None = None
        self.style = MNIST_STYLE
        self.features, self.num_features = build_features(architecture)
        self.classifier = build_classifier(self.num_features, num_classes)

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier, or of its last linear layer if it was replaced.

        Raises:
            InputError: The classifier has no linear layer.
        """
        linear = [part for part in self.classifier.modules() if isinstance(part, nn.Linear)]
        if not linear:
            raise InputError(
                f"Expected a classifier with a linear layer, got {type(self.classifier).__name__}. "
                "Call model.reset_classifier() to get one."
            )
        return linear[-1].out_features

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities (not logits), shape `(N, num_classes)`.

        Args:
            images: Floating point, shape `(N, 1, 28, 28)`, normalized as `mnistzoo.transforms()`
                does: mean 0.1307 and standard deviation 0.3081 on a scale of 0 to 1.

        Raises:
            InputError: `images` has another shape or is not floating point.
        """
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last feature map. Takes what `forward` takes.

        >>> import mnistzoo
        >>> mnistzoo.exp5().forward_features(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 12, 3, 3])
        """
        if not is_scripting():
            check_images(images)
        features: Tensor = self.features(images)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Return the log-probabilities of a feature map that `forward_features` returned."""
        return torch.log_softmax(self.classifier(torch.flatten(features, 1)), dim=1)

    def get_classifier(self) -> nn.Module:
        """Return the classifier, a linear layer unless it was replaced."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a randomly initialized one, whose classes have no names.

        >>> import mnistzoo
        >>> model = mnistzoo.exp5(pretrained=True)
        >>> model.reset_classifier(26)
        >>> model.num_classes
        26

        Raises:
            InputError: `num_classes` is not a positive integer.
        """
        like = next(self.features.parameters())
        new = build_classifier(self.num_features, num_classes)
        self.classifier = new.to(like.device, like.dtype)
        self.labels = None

    def summary(self) -> Analysis:
        """Return the table of layers: shapes, parameters, MACs, receptive fields.

        >>> import mnistzoo
        >>> summary = mnistzoo.exp5().summary()
        >>> summary.num_params, summary.macs
        (17302, 4300920)
        """
        from mnistzoo.analysis import analyze

        return analyze(self, INPUT_SHAPE)

    def receptive_field(self, layer: str | None = None) -> ReceptiveField:
        """Return the receptive field of one unit.

        >>> import mnistzoo
        >>> mnistzoo.exp5().receptive_field().size
        (34, 34)

        Args:
            layer: A path such as `"features.conv7"`. Default: the last feature map.

        Raises:
            UnknownNameError: There is no such layer. The message suggests the nearest.
        """
        from mnistzoo.analysis import receptive_field

        return receptive_field(self, INPUT_SHAPE, layer)

    def num_params(self) -> int:
        """Return the number of parameters, 17,302 for exp5."""
        from mnistzoo.analysis import num_params

        return num_params(self)

    def fused(self) -> ConvNet:
        """Return a faster copy for inference, in evaluation mode.

        Batch norm is folded into the convolutions, pruning and parametrizations are made
        permanent, and the memory format is channels-last. Probabilities agree within 1e-5 in
        float32. The copy does not follow later changes to this model.

        >>> import mnistzoo
        >>> model = mnistzoo.exp5(pretrained=True)
        >>> images = torch.zeros(2, 1, 28, 28)
        >>> torch.allclose(model(images), model.fused()(images), atol=1e-4)
        True

        Raises:
            InputError: The model has hooks, which folded layers could not call.
        """
        return fuse(self)

    @overload
    def predict(self, image: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...
    @overload
    def predict(self, image: ImageLike) -> Prediction: ...
    def predict(
        self, image: ImageLike | list[Any] | tuple[Any, ...]
    ) -> Prediction | list[Prediction]:
        """Classify the digit in an image, or in each image of a list or tuple.

        Images run one by one, so the results do not depend on the others. For many images,
        `model.fused().predict(images)` is faster.

        >>> import mnistzoo
        >>> model = mnistzoo.exp5(pretrained=True)
        >>> model.predict(mnistzoo.mnist(train=False).images[0]).label
        7

        Args:
            image: A path, the bytes of a file, a PIL image, an array or a tensor, in any size and
                not normalized. See `mnistzoo.transforms()` for shapes and ranges.

        Raises:
            ImageError: The image is damaged, too large, or blank.
            FileReadError: A path cannot be read.
            InputError: An object is not an image, the list is empty, or the model's parameters
                have several dtypes or devices.
        """
        from mnistzoo.images.prediction import predict
        from mnistzoo.models.classify import classify

        return predict(partial(classify, self), image, self.labels, self.style)

    def read(self, image: ImageLike, *, keep_all: bool = False) -> Reading:
        """Return every digit in an image, in reading order, with its box in pixels.

        Touching digits are split. Other marks are left out unless `keep_all` is set. Arguments and
        errors are those of `predict`.

        >>> import mnistzoo
        >>> first, second, *_ = mnistzoo.mnist(train=False).images
        >>> page = torch.cat([first, second], dim=1)  # side by side
        >>> mnistzoo.exp5(pretrained=True).read(page).text
        '72'
        """
        from mnistzoo.images.prediction import read
        from mnistzoo.models.classify import classify

        return read(partial(classify, self), image, self.labels, self.style, keep_all=keep_all)

    @classmethod
    def from_saved(cls, saved: SavedModel) -> Self:
        """Return the model that was saved, in evaluation mode and the default dtype."""
        model = cls.on_meta(BUILDABLE[saved.config.architecture], saved.config.num_classes)
        model.load_state_dict(to_tensors(saved.state_dict), assign=True)
        model.labels, model.style = saved.config.labels, saved.config.style
        return model.to(torch.get_default_dtype()).eval()

    @classmethod
    def on_meta(cls, architecture: Architecture, num_classes: int) -> Self:
        """Return a float32 model on the meta device: names and shapes, no values."""
        with torch.device("meta"):
            return cls(architecture, num_classes=num_classes).float()

    def extra_repr(self) -> str:
        """Return the architecture's name for `repr`."""
        return f"architecture={self.architecture.name!r}"


torch.fx.wrap("check_images")  # torch.fx cannot trace its conditions
