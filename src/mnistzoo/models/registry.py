"""The five models by name: `exp1` … `exp5`, `list_models`, `get_model`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE, NUM_CLASSES
from mnistzoo.errors import ArgumentError, InputError, UnknownNameError
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import load_into, to_arrays
from mnistzoo.storage.manifest import MNIST, join_name, pretrained_state_dict, split_name

P = ParamSpec("P")
T = TypeVar("T")


def _explain_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Raise `ArgumentError` for arguments of torchvision's or timm's constructors."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"{function.__name__}(): {error}. Its keyword arguments are pretrained (True or "
                'the name of weights, such as "world") and num_classes. Images have one channel.'
            ) from None
        return function(*args, **kwargs)

    return call


def list_models() -> list[str]:
    """Return the names of the models with pretrained weights.

    >>> list_models()
    ['exp1', 'exp2', 'exp3', 'exp4', 'exp5']
    """
    return list(ARCHITECTURES)


@_explain_arguments
def get_model(
    name: str, *, pretrained: bool | str = False, num_classes: int = NUM_CLASSES
) -> ConvNet:
    """Build a model by name.

    >>> model = get_model("exp5", pretrained=True, num_classes=26)
    >>> model.get_classifier()
    Linear(in_features=108, out_features=26, bias=True)

    Args:
        name: One of `list_models()`, such as "exp5"; with the name of weights, such as
            "exp5.world"; or "teacher", which has no pretrained weights.
        pretrained: Load shipped weights and set evaluation mode. True loads those trained on
            MNIST, and a name such as "world" loads others. If `num_classes` is not 10, only the
            features are pretrained.
        num_classes: Outputs of the classifier.

    Raises:
        UnknownNameError: There is no such model. The message suggests the nearest.
        ArgumentError: An option does not exist, such as torchvision's `weights`.
        InputError: `num_classes` is not a positive integer, or `pretrained` is neither a bool nor
            a string.
        FileReadError: The weights are missing from the installation.
        WeightsError: The weights are not the published ones.
    """
    architecture, weights = split_name(name) if isinstance(name, str) else ("", MNIST)
    if architecture not in BUILDABLE:
        raise UnknownNameError("model", name, ARCHITECTURES)
    if not isinstance(pretrained, bool | str):
        raise InputError(
            f"Expected pretrained to be True, False or a name, got {pretrained!r}. "
            "Load weights of your own with mnistzoo.from_pretrained(folder)."
        )
    model = ConvNet(BUILDABLE[architecture], num_classes=num_classes)
    if pretrained:
        _load_pretrained(
            model, join_name(architecture, weights if pretrained is True else pretrained)
        )
    return model


def _load_pretrained(model: ConvNet, name: str) -> None:
    """Load shipped weights. Unless the model has ten classes, it keeps its classifier."""
    state = pretrained_state_dict(name)
    if model.num_classes != NUM_CLASSES:
        state |= to_arrays(model.float().classifier.state_dict(prefix="classifier."))
    load_into(model.float(), state, f"The pretrained {name}")
    model.to(torch.get_default_dtype()).eval()


@_explain_arguments
def exp1(*, pretrained: bool | str = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Build exp1, the baseline: two convolutions. Options as in `get_model`.

    >>> exp1(pretrained=True).num_params()
    21000
    """
    return get_model("exp1", pretrained=pretrained, num_classes=num_classes)


@_explain_arguments
def exp2(*, pretrained: bool | str = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Build exp2: three convolutions, 64 to 16 channels. Options as in `get_model`.

    >>> exp2(pretrained=True).num_params()
    27738
    """
    return get_model("exp2", pretrained=pretrained, num_classes=num_classes)


@_explain_arguments
def exp3(*, pretrained: bool | str = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Build exp3: three convolutions, 64 to 8 channels. Options as in `get_model`.

    >>> exp3(pretrained=True).num_params()
    23426
    """
    return get_model("exp3", pretrained=pretrained, num_classes=num_classes)


@_explain_arguments
def exp4(*, pretrained: bool | str = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Build exp4: seven convolutions. Options as in `get_model`.

    >>> exp4(pretrained=True).num_params()
    17054
    """
    return get_model("exp4", pretrained=pretrained, num_classes=num_classes)


@_explain_arguments
def exp5(*, pretrained: bool | str = False, num_classes: int = NUM_CLASSES) -> ConvNet:
    """Build exp5: seven convolutions with batch norm. Options as in `get_model`.

    >>> exp5(pretrained=True).num_params()
    17302
    """
    return get_model("exp5", pretrained=pretrained, num_classes=num_classes)
