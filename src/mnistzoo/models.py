"""The network class, and the five networks: `exp1` … `exp5`, `list_models`, `get_model`."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mnistzoo.architectures import ARCHITECTURES, INPUT_SHAPE, NUM_CLASSES, Architecture, Conv
from mnistzoo.card import render, without_edited
from mnistzoo.checkpoint import CARD, decode, encode, write_folder
from mnistzoo.errors import InputError, UnknownNameError
from mnistzoo.weights import check_state, load_into, pretrained_state_dict

if TYPE_CHECKING:
    from mnistzoo.hub import Pushed


class ConvNet(nn.Module):
    """A network of the zoo: `features`, named layer by layer, and a linear `classifier`.

    Args:
        architecture: the row of data that it is built from.
        num_classes: outputs of the classifier.

    Attributes:
        features: `conv1`, `bn1` (where there is batch norm), `relu1`, …, `pool1`, ….
        classifier: a linear layer to `num_classes`.

    Raises:
        InputError: `num_classes` is not a positive integer.
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

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new, freshly initialised classifier of `num_classes` outputs in place.

        Raises:
            InputError: `num_classes` is not a positive integer.
        """
        old = self.classifier
        new = _classifier(old.in_features, num_classes)
        self.classifier = new.to(old.weight.device, old.weight.dtype)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        accuracy: float | None = None,
        dataset: str | None = None,
    ) -> None:
        """Write `config.json`, `model.safetensors` and a model card, `README.md`, to a folder.

        A card that is there and that its owner has edited is kept. See `checkpoint` for the format.

        Args:
            folder: made if it does not exist.
            accuracy: what the card is to state, a fraction; for the shipped weights it is known.
            dataset: what `accuracy` was measured on, a name on the Hub; MNIST if the network has
                ten classes and nothing else is given.

        Raises:
            InputError: the accuracy cannot be stated so.
            WeightsError: the network is not as it was built, not float32, or not finite.
            FileWriteError: the folder or the disk refuses.
        """
        write_folder(folder, without_edited(folder, self._files(accuracy, dataset)))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        accuracy: float | None = None,
        dataset: str | None = None,
        card: str | None = None,
    ) -> Pushed:
        """Put the network on the Hugging Face Hub, in one commit of the three files.

        No commit is made if all is there already. The repository is made if it does not exist. A
        card there that its owner has edited is kept.

        Args:
            repo_id: `user/name`.
            revision: a branch, made if it does not exist; `main` if nothing is given.
            private: whether a new repository is private.
            token: one that may write; `HF_TOKEN` or the stored one if nothing is given.
            commit_message: its title.
            create_pr: propose the commit as a pull request in place of making it.
            accuracy: see `save_pretrained`.
            dataset: see `save_pretrained`.
            card: the text of the model card, in place of one written from the network.

        Raises:
            InputError: `repo_id` is not of that form, or the accuracy cannot be stated so.
            WeightsError: the network is not as it was built, not float32, or not finite.
            HubError: the Hub does not take it; the message says what to do.
        """
        from mnistzoo.hub import push

        if card is not None and (accuracy, dataset) != (None, None):
            raise InputError(
                "accuracy goes into a card written for you; pass it, or card, not both."
            )
        files = self._files(accuracy, dataset)
        if card is not None:
            files[CARD] = card.encode()
        return push(
            repo_id,
            files,
            revision=revision,
            private=private,
            token=token,
            commit_message=commit_message,
            create_pr=create_pr,
        )

    def _files(self, accuracy: float | None, dataset: str | None) -> dict[str, bytes]:
        """The three files, once they are known to load again."""
        name, state = self.architecture.name, self.state_dict()
        check_state(blank(name, self.num_classes).state_dict(), state, f"this {name}")
        files = encode(name, self.num_classes, state)
        config = decode(files, name).config
        return {**files, CARD: render(self, config, accuracy, dataset)}

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


def blank(name: str, num_classes: int) -> ConvNet:
    """A network whose tensors have names, shapes and dtypes, but no memory and no values."""
    with torch.device("meta"):
        return ConvNet(ARCHITECTURES[name], num_classes=num_classes)


def list_models() -> list[str]:
    """The names that `get_model` takes."""
    return list(ARCHITECTURES)


def get_model(name: str, *, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """One network by name.

    Args:
        name: one of `list_models()`.
        pretrained: load the shipped weights, and set evaluation mode.
        num_classes: outputs of the classifier.

    Raises:
        UnknownNameError: there is no such network; the message names the nearest.
        InputError: `pretrained` with another `num_classes` than the weights have.
        WeightsError: the file of weights is not the one that was published.
    """
    if name not in ARCHITECTURES:
        raise UnknownNameError("network", name, ARCHITECTURES)
    if pretrained and num_classes != NUM_CLASSES:
        raise InputError(
            f"the pretrained weights have {NUM_CLASSES} classes, got num_classes={num_classes}; "
            f"load them as they are and call model.reset_classifier({num_classes})."
        )
    model = ConvNet(ARCHITECTURES[name], num_classes=num_classes)
    if pretrained:
        load_into(model, pretrained_state_dict(name), f"the pretrained {name}")
        model.eval()
    return model


def exp1(*, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """The study's baseline: two convolutions, a pool, a linear layer. See `get_model`."""
    return get_model("exp1", pretrained=pretrained, num_classes=num_classes)


def exp2(*, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Three convolutions, from 64 channels down to 16. See `get_model`."""
    return get_model("exp2", pretrained=pretrained, num_classes=num_classes)


def exp3(*, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Three convolutions, from 64 channels down to 8. See `get_model`."""
    return get_model("exp3", pretrained=pretrained, num_classes=num_classes)


def exp4(*, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Seven convolutions, no batch norm. See `get_model`."""
    return get_model("exp4", pretrained=pretrained, num_classes=num_classes)


def exp5(*, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Seven convolutions with batch norm, 17,302 parameters. See `get_model`."""
    return get_model("exp5", pretrained=pretrained, num_classes=num_classes)
