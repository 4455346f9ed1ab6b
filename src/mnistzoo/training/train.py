"""Train a model on a dataset of your own: the function `mnistzoo.train`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from msgspec.structs import replace
from torch import Tensor, nn

from mnistzoo.architectures import Style
from mnistzoo.data.datasets import ImageDataset, Source, load_dataset
from mnistzoo.data.sources import has_splits
from mnistzoo.errors import InputError, check_callable
from mnistzoo.files import check_path, sha256
from mnistzoo.models import from_pretrained
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import to_arrays
from mnistzoo.storage.state_dict import serialize_state_dict
from mnistzoo.training.inputs import Inputs, Splits, mnist_inputs, prepare, starting_weights
from mnistzoo.training.loop import train_run
from mnistzoo.training.metrics import Epoch, Result
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import (
    DatasetInfo,
    Freeze,
    Run,
    default_recipe,
    keeps_classifier,
    shipped_digest,
)
from mnistzoo.training.settings import Recipe, change_settings


class Trained(NamedTuple):
    """The trained model and its result.

    Attributes:
        model: The trained model, in evaluation mode.
        result: Its accuracy, and everything that determined it.
    """

    model: ConvNet
    result: Result


class Start(NamedTuple):
    """The model and the weights that training starts from.

    Attributes:
        architecture: The name of the model.
        digest: SHA-256 of the weights; None for random ones.
        keep_classifier: Whether they include the classifier.
        weights: Their values; None for random and shipped ones.
    """

    architecture: str
    digest: str | None = None
    keep_classifier: bool = False
    weights: Mapping[str, Tensor] | None = None


def train(
    model: str | ConvNet,
    dataset: Source,
    *,
    test: Source | None = None,
    recipe: str | Recipe | None = None,
    output: str | os.PathLike[str] | None = None,
    pretrained: bool | str = False,
    freeze: Freeze | None = None,
    validation: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    style: Style | None = None,
    strict: bool = False,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> Trained:
    """Train a model on labeled images.

    The model has the classes of the dataset. It is evaluated after each epoch, on the test split or
    on held-out training images. No epoch is selected by accuracy: the result is the model after the
    last one.

    >>> import mnistzoo
    >>> images, labels = mnistzoo.mnist(train=True)
    >>> few = images[:200], labels[:200]
    >>> model, result = mnistzoo.train("exp5", few, pretrained=True, epochs=2)
    >>> result.total, result.split, model.labels[:3]
    (20, 'validation', ('0', '1', '2'))

    Args:
        model: One of `mnistzoo.list_models()`, or a model to start from, which is not changed. Its
            classifier is kept if the dataset has the same classes, by name and in the same order.
        dataset: The images: whatever `mnistzoo.load_dataset` takes or returns.
        test: The test images. Default: the test split of `dataset`, if it is a folder with splits.
        recipe: A recipe, or its name. Default: "adapt" when training starts from trained weights
            with their classifier, "fine-tune" with a new one, "record" from random weights.
        output: The run folder. It keeps the model, and an interrupted run resumes from it.
            Default: a temporary folder.
        pretrained: Start from shipped weights: True for those trained on MNIST, or the name of
            others, such as "world". The classifier is kept if the dataset's classes are named "0"
            to "9", as numbered classes are, and new otherwise.
        freeze: "features" to train only the classifier. Batch norm then keeps its statistics.
        validation: Training images to hold out for evaluation, stratified by class: a fraction
            below 1 or a number of images. Default: none with test images, else 0.1.
        epochs: Number of epochs. Default: that of the recipe.
        seed: Seed of the initial weights, the order of the images and the augmentation.
        style: See `mnistzoo.load_dataset`. It is saved with the model.
        strict: See `mnistzoo.load_dataset`.
        on_epoch: Called with the metrics of each epoch. During training, torch's default dtype is
            float32.

    Raises:
        UnknownNameError: There is no such model or recipe.
        InputError: An option has a wrong type or value, the model's weights are not finite, or a
            class has a name that cannot be saved.
        WeightsError: A layer of the model's features was changed, pruned or parametrized.
        TrainingError: The loss is no longer finite, or `output` holds another run or a run on
            other images.
        MnistZooError: See `mnistzoo.load_dataset`.
    """
    if output is not None:
        check_path(output)
    check_callable("on_epoch", on_epoch)
    splits = load_splits(dataset, test, partial(load_dataset, style=style, strict=strict))
    run, inputs = plan(
        model,
        splits,
        recipe=recipe,
        pretrained=pretrained,
        freeze=freeze,
        validation=validation,
        epochs=epochs,
        seed=seed,
    )
    with ExitStack() as stack:
        folder = output
        if folder is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="mnistzoo-"))
        result = train_run(run, folder, inputs, on_epoch=lambda _, epoch: on_epoch(epoch))
        return Trained(from_pretrained(Path(folder)), result)


def load_splits(dataset: Source, test: Source | None, load: Callable[..., ImageDataset]) -> Splits:
    """Read a dataset, and its test images if there are any.

    Args:
        dataset: The source of the training images, and of the test images if it has both splits.
        test: A separate source of test images.
        load: Reads a source; `split` is "train" or "test".

    Raises:
        MnistZooError: See `mnistzoo.load_dataset`.
    """
    if test is None and isinstance(dataset, str | os.PathLike) and has_splits(Path(dataset)):
        test = dataset
    train = load(dataset, split="train")
    return Splits(train, None if test is None else load(test, split="test"))


def plan(
    model: str | ConvNet,
    splits: Splits | None,
    *,
    recipe: str | Recipe | None,
    settings: Iterable[str] = (),
    pretrained: bool | str,
    freeze: Freeze | None,
    validation: float | None,
    epochs: int | None,
    seed: int,
) -> tuple[Run, Inputs | None]:
    """Return the run that the options of `train` describe, and its inputs: None for MNIST.

    The dataset is MNIST if `splits` is None. `settings` are changes to the recipe, each
    `FIELD=VALUE`. Other options and errors are those of `train`.
    """
    holdout, info, inputs = prepare(splits, validation)
    name, initial, keep, weights = _start(model, pretrained, info)
    if not isinstance(recipe, Recipe):
        default = default_recipe(initial is not None, keep)
        recipe = get_recipe(default if recipe is None else recipe, name)
    recipe = change_settings(recipe, settings)
    recipe = replace(recipe, epochs=recipe.epochs if epochs is None else epochs)
    if weights is not None:
        inputs = dataclasses.replace(inputs or mnist_inputs(holdout), initial=weights)
    return Run(name, recipe, seed, holdout, info, initial, freeze, keep), inputs


def _start(model: str | ConvNet, pretrained: bool | str, dataset: DatasetInfo | None) -> Start:
    """Return what training starts from; the values of shipped weights are left to the run."""
    if not isinstance(pretrained, bool | str):
        raise InputError(f"Expected pretrained to be True, False or a name, got {pretrained!r}.")
    if not isinstance(model, ConvNet):
        if not isinstance(model, str):
            raise InputError(
                f"Expected the name of a model or one of this library's models, got {model!r}."
            )
        if pretrained is False:
            return Start(model)
        return Start(model, shipped_digest(model, pretrained), keeps_classifier(dataset))
    if pretrained is not False:
        raise InputError(
            f"Expected either a model or pretrained weights to start from, got both: a model and "
            f"pretrained={pretrained!r}. Drop one: a model gives its own weights."
        )
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise InputError("Expected a model with weights, got one on the meta device. Load weights.")
    model.check_architecture("features.")
    keep = _has_own_classifier(model) and keeps_classifier(dataset, model.labels, model.num_classes)
    weights = {
        name: tensor.detach().cpu() for name, tensor in starting_weights(model, keep).items()
    }
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise InputError(
                f"Expected a model with finite weights, got NaN or infinity in {name}. "
                "Load or train the model again."
            )
    digest = sha256(serialize_state_dict(to_arrays(weights), {}))
    return Start(model.architecture.name, digest, keep, weights)


def _has_own_classifier(model: ConvNet) -> bool:
    """Return whether a model still has a plain linear classifier of all its features."""
    classifier = model.classifier
    return (
        type(classifier) is nn.Linear  # a subclass may compute something else
        and classifier.in_features == model.num_features
        and set(classifier.state_dict()) == {"weight", "bias"}
    )
