"""The five networks by name: `exp1` … `exp5`, `list_models`, `get_model`."""

from __future__ import annotations

import torch

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE, NUM_CLASSES
from mnistzoo.errors import InputError, UnknownNameError
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import pretrained_state_dict
from mnistzoo.storage.state_dict import load_into


def list_models() -> list[str]:
    """The names of the networks that have pretrained weights; `get_model` takes them."""
    return list(ARCHITECTURES)


def get_model(name: str, *, pretrained: bool = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """One network by name.

    Args:
        name: one of `list_models()`, or "teacher": what others are trained on, without weights.
        pretrained: load the shipped weights, and set evaluation mode.
        num_classes: outputs of the classifier.

    Raises:
        UnknownNameError: there is no such network; the message names the nearest.
        InputError: `num_classes` is no positive integer, or `pretrained` with another one than the
            weights have.
        FileReadError: the file of weights is missing from the installation.
        WeightsError: it is not the one that was published.
    """
    if name not in BUILDABLE:
        raise UnknownNameError("model", name, ARCHITECTURES)
    if pretrained and num_classes != NUM_CLASSES:
        raise InputError(
            f"the pretrained weights have {NUM_CLASSES} classes, got num_classes={num_classes}; "
            f"load them as they are and call model.reset_classifier({num_classes})."
        )
    model = ConvNet(BUILDABLE[name], num_classes=num_classes)
    if pretrained:
        load_into(model.float(), pretrained_state_dict(name), f"the pretrained {name}")
        model.to(torch.get_default_dtype()).eval()
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
