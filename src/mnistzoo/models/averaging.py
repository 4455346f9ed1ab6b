"""`average`: one model from several that were fine-tuned from the same weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from mnistzoo.architectures import BUILDABLE
from mnistzoo.errors import InputError
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.folding import plain_copy


def average(models: Iterable[ConvNet]) -> ConvNet:
    """Return a model whose weights are the mean of the weights of others.

    Fine-tune from the same weights with several seeds, and the mean of the results is about as
    accurate as their ensemble, but as fast as one of them ("model soup", Wortsman et al. 2022,
    arXiv:2203.05482). Models that were trained from different weights have no useful mean.

    >>> import mnistzoo
    >>> one, other = mnistzoo.exp5(pretrained=True), mnistzoo.exp5(pretrained="world")
    >>> averaged = mnistzoo.average([one, other])
    >>> weights = [model.classifier.weight for model in (one, other)]
    >>> bool(averaged.classifier.weight.isclose(sum(weights) / 2).all())
    True

    Args:
        models: Two or more of the same architecture, classes, labels and style.

    Returns:
        A new model in evaluation mode, on the device of the first.

    Raises:
        InputError: There are fewer than two models, or they differ in more than their weights.
        WeightsError: A model has other layers than its architecture.
    """
    copies = [_checked_copy(model) for model in models]
    if len(copies) < 2:
        raise InputError(f"Expected at least two models to average, got {len(copies)}.")
    made, *others = copies
    for other in others:
        if (expected := _describe(made)) != (found := _describe(other)):
            raise InputError(
                f"Expected models that differ only in their weights, got {expected} and {found}."
            )
    states = [copy.state_dict() for copy in copies]
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():  # the others count batches
            each = [state[name].to(tensor.device, torch.float64) for state in states]
            tensor.copy_(torch.stack(each).mean(dim=0))
    return made


def _checked_copy(model: ConvNet) -> ConvNet:
    """Return a copy with plain weights, in evaluation mode."""
    if not isinstance(model, ConvNet):
        raise InputError(
            f"Expected models of the zoo, got {type(model).__name__}. Load folders with "
            "mnistzoo.from_pretrained."
        )
    made = plain_copy(model)
    made.check_architecture()
    return made


def _describe(model: ConvNet) -> str:
    """Return what must be the same in models that are averaged."""
    fused = " (fused)" if model.architecture != BUILDABLE.get(model.architecture.name) else ""
    labels = "" if model.labels is None else f" ({', '.join(model.labels)})"
    classes = f"{model.num_classes} classes{labels}"
    return f"{model.architecture.name}{fused} with {classes} and the style {model.style}"
