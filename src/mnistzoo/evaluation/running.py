"""Evaluation: a model's output for each image of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from mnistzoo.data.datasets import Source, load_dataset
from mnistzoo.data.labeled import labeled_images
from mnistzoo.errors import InputError, MnistZooError, check_callable
from mnistzoo.evaluation.metrics import Evaluation
from mnistzoo.images.transforms import normalize
from mnistzoo.labels import class_names
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.folding import find_hook

BATCH_SIZE = 500


@torch.inference_mode()
def evaluate(
    model: nn.Module, dataset: Source, *, on_batch: Callable[[int], object] = lambda _: None
) -> Evaluation:
    """Evaluate a model on labeled images.

    The model runs on normalized images of shape `(N, 1, 28, 28)`, in evaluation mode. Its own mode
    is restored afterward.

    Args:
        model: A ConvNet, or any module that returns a row of logits, log-probabilities or
            probabilities for each image.
        dataset: A pair (images, labels) of tensors, arrays or lists, such as
            `mnistzoo.mnist(train=False)`. Images have the shape `(N, 28, 28)` or
            `(N, 1, 28, 28)`, light on dark, with pixels from 0 to 1, 255 or 65,535, or normalized
            as by `mnistzoo.transforms()`. Or whatever `mnistzoo.load_dataset` takes or returns;
            its classes are matched to the model's by name. Images are read in the style "plain"
            if `model.style` is.
        on_batch: Called after each batch with the number of images in it.

    Raises:
        InputError: The dataset has another form, the model cannot read the images or returns
            something else, a label is not one of its classes, or `on_batch` is not a function.
        MnistZooError: See `mnistzoo.load_dataset`.

    >>> import mnistzoo
    >>> images, labels = mnistzoo.mnist(train=False)
    >>> result = mnistzoo.evaluate(mnistzoo.exp5(pretrained=True), (images[:500], labels[:500]))
    >>> result.total, result.confusion.shape
    (500, torch.Size([10, 10]))
    """
    check_callable("on_batch", on_batch)
    names: tuple[str, ...] = ()
    if isinstance(dataset, tuple | list):
        images, labels = labeled_images(dataset)
    else:
        plain = isinstance(model, ConvNet) and model.style == "plain"
        loaded = load_dataset(dataset, style="plain" if plain else None)
        images, labels, names = loaded.images, loaded.labels, loaded.classes
    batches = []
    with _inference(model) as infer:
        for batch in torch.split(images, BATCH_SIZE):
            batches.append(_log_probabilities(infer(batch), len(batch)))
            on_batch(len(batch))
    scores = torch.cat(batches)
    classes = _class_names(model, names, scores.shape[1])
    if names:
        labels = torch.tensor([classes.index(name) for name in names])[labels]
    if len(classes) <= int(labels.max()):
        raise InputError(
            f"Expected a class for each label from 0 to {int(labels.max())}, got a model of "
            f"{len(classes)} classes. Use a model that was trained on such images."
        )
    return Evaluation(scores, labels, classes)


def _class_names(model: nn.Module, names: tuple[str, ...], num_classes: int) -> tuple[str, ...]:
    """Return the names of a model's classes, which include those of the dataset.

    A model without class names takes those of a dataset with the same number of classes.
    """
    labels = model.labels if isinstance(model, ConvNet) else None
    classes = class_names(labels, num_classes)
    unknown = [name for name in names if name not in classes]
    if not unknown:
        return classes
    if labels is None and len(names) == num_classes:
        return names
    raise InputError(
        f"Expected images of the model's classes ({', '.join(classes[:10])}), got some of "
        f"{', '.join(unknown[:5])}. Use a model that was trained on these classes."
    )


@contextmanager
def _inference(model: nn.Module) -> Iterator[Callable[[Tensor], object]]:
    """Yield a function that runs the model on a batch of images, in evaluation mode."""
    if not isinstance(model, nn.Module):
        raise InputError(
            f"Expected a model, got {model!r}. Load one with mnistzoo.get_model() or "
            "mnistzoo.from_pretrained()."
        )
    tensors = chain(model.parameters(), model.buffers())
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
    if like.is_meta:
        raise InputError(
            "Expected a model with weights, got one on the meta device. Load some first."
        )
    used = model
    if isinstance(model, ConvNet) and find_hook(model) is None:
        used = model.fused()
    modes = [(part, part.training) for part in used.modules()]

    def infer(batch: Tensor) -> object:
        images = batch if batch.is_floating_point() else normalize(batch)
        try:
            return used(images.to(like.device, like.dtype, copy=True))
        except MnistZooError:
            raise
        except Exception as error:  # a foreign module may raise anything
            raise InputError(
                f"The model cannot read images of shape {tuple(images.shape)}. "
                f"Wrap it in a module that does. Its error: {' '.join(str(error).split())}"
            ) from error

    try:
        used.eval()
        yield infer
    finally:
        for part, training in modes:
            part.training = training


def _log_probabilities(output: object, images: int) -> Tensor:
    """Return logits, probabilities or log-probabilities as log-probabilities."""
    rows = isinstance(output, Tensor) and output.ndim == 2 and output.numel() > 0
    if not isinstance(output, Tensor) or not rows or len(output) != images:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            f"Expected a model that returns a tensor of shape ({images}, num_classes), got "
            f"{shape}. Wrap it in a module that does."
        )
    if output.is_complex():
        raise InputError(f"Expected a model that returns real numbers, got {output.dtype}.")
    scores = output.float().cpu()
    ones = torch.ones(images)
    if scores.min() >= 0 and torch.allclose(scores.sum(dim=1), ones, rtol=0, atol=1e-3):
        scores = scores.log()
    logs = scores.log_softmax(dim=1)
    if logs.isnan().any():
        raise InputError("The model returns values that are not numbers. Check its weights.")
    return logs
