"""The description of a training run: everything that determines its weights."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from mnistzoo.architectures import BUILDABLE, NUM_CLASSES, Conv, Style
from mnistzoo.errors import InputError, UnknownNameError
from mnistzoo.labels import class_names
from mnistzoo.records import Count, Sha256
from mnistzoo.storage.manifest import join_name, read_manifest, split_name
from mnistzoo.training.recipes import ADAPT, FINE_TUNE, MAX_SEED, RECORD, get_recipe
from mnistzoo.training.settings import Recipe, check_recipe

NUM_TRAIN, NUM_TEST = 60_000, 10_000
"""The numbers of images in MNIST; `data.mnist` has them too, but imports torch."""

Split = Literal["test", "validation"]

Freeze = Literal["features"]
"""The part of a model that is not trained."""


def shipped_digest(architecture: str, pretrained: bool | str = True) -> str:
    """Return the SHA-256 of a model's shipped weights, for `Run.initial`.

    Args:
        architecture: The name of a model.
        pretrained: True for the weights trained on MNIST, or the name of others.

    Raises:
        InputError: No weights of that name are shipped.
    """
    manifest = read_manifest()
    name = architecture if pretrained is True else join_name(architecture, str(pretrained))
    if name not in manifest:
        pairs = map(split_name, manifest)
        others = [weights for model, weights in pairs if model == architecture]
        if others:
            raise InputError(
                f"Expected weights of {architecture} ({', '.join(others)}), got {pretrained!r}."
            )
        raise InputError(
            f"Expected a model with pretrained weights ({', '.join(manifest)}), got "
            f"{architecture}. Train it from random weights."
        )
    return manifest[name].sha256


def keeps_classifier(
    dataset: DatasetInfo | None,
    labels: Sequence[str] | None = None,
    num_classes: int = NUM_CLASSES,
) -> bool:
    """Return whether training on a dataset keeps a model's classifier: its classes are the same.

    >>> keeps_classifier(None), keeps_classifier(None, ["zero", "one"], 2)
    (True, False)

    Args:
        dataset: The dataset; None for MNIST.
        labels: Names of the model's classes, in their order; None if they are only numbered.
        num_classes: Outputs of the model's classifier.
    """
    digits = class_names(None, NUM_CLASSES)
    classes = digits if dataset is None else dataset.classes
    named = class_names(None, num_classes) if labels is None else tuple(labels)
    return num_classes == len(classes) and named == classes


def default_recipe(pretrained: bool, keep_classifier: bool) -> str:
    """Return the name of the recipe for a run that names none."""
    if not pretrained:
        return RECORD.name
    return ADAPT.name if keep_classifier else FINE_TUNE.name


def _to_int(name: str, value: object) -> int:
    try:
        return index(value)  # type: ignore[arg-type]  # the TypeError is the check
    except TypeError as error:
        raise InputError(f"Expected {name} to be a whole number, got {value!r}.") from error


def _check_convs(architecture: str, recipe: Recipe) -> None:
    convs = sum(isinstance(layer, Conv) for layer in BUILDABLE[architecture].layers)
    if recipe.frozen_convs > convs:
        raise InputError(
            f"Expected frozen_convs of at most {convs}, the convolutions of {architecture}, got "
            f"{recipe.frozen_convs}. Freeze fewer."
        )


class DatasetInfo(Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset of your own, as a run records it.

    Attributes:
        digest: SHA-256 of its classes, labels and images, of both splits.
        classes: The name of each class.
        style: How its images became 28×28 pixels.
        num_train: Number of training images, including those that are held out.
        num_test: Number of test images; 0 without a test split.
    """

    digest: Sha256
    classes: tuple[str, ...]
    style: Style
    num_train: Count
    num_test: Count


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """One training run; equal runs on the same kind of machine give the same weights.

    Attributes:
        architecture: A name that `get_model` takes.
        recipe: How the model is trained.
        seed: Seed of the initial weights, the order of the images and the augmentation, 0 to
            2³² − 1.
        holdout: Number of training images that are held out. The model is evaluated on them, and
            the test images are never read. MNIST's are the last ones; those of other datasets are
            drawn at random, stratified by class.
        dataset: The dataset; None for MNIST.
        initial: SHA-256 of the weights that the training starts from; None for random weights.
        freeze: "features" if only the classifier is trained.
        keep_classifier: Whether it starts from these weights' classifier too, or only from their
            features.

    Raises:
        UnknownNameError: There is no such architecture.
        InputError: A setting is out of range, no images are left to train or to evaluate on, or
            random features would be frozen or a random classifier kept.

    >>> from mnistzoo.training.recipes import get_recipe
    >>> run = Run("exp5", get_recipe("record", "exp5"), seed=1, holdout=10_000)
    >>> run.num_images, run.split, run.teacher.architecture
    (50000, 'validation', 'teacher')
    """

    architecture: str
    recipe: Recipe
    seed: int = 0
    holdout: int = 0
    dataset: DatasetInfo | None = None
    initial: Sha256 | None = None
    freeze: Freeze | None = None
    keep_classifier: bool = False

    def __post_init__(self) -> None:
        if self.architecture not in BUILDABLE:
            raise UnknownNameError("model", self.architecture, BUILDABLE)
        for name in ("seed", "holdout"):  # NumPy integers cannot be serialized
            force_setattr(self, name, _to_int(name, getattr(self, name)))
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"Expected a seed from 0 to {MAX_SEED}, got {self.seed}.")
        check_recipe(self.recipe)
        _check_convs(self.architecture, self.recipe)
        self._check_images()
        self._check_start()

    def _check_images(self) -> None:
        """Check that the dataset has images to train and evaluate on, which suit the recipe."""
        if not 0 <= self.holdout < self.num_train:
            raise InputError(
                f"Expected a holdout of 0 to {self.num_train - 1:,} of the {self.num_train:,} "
                f"training images, got {self.holdout:,}."
            )
        if not self.total:
            raise InputError(
                "Expected images to evaluate on, got no test split and no holdout. Hold out some "
                "training images."
            )
        if self.recipe.pretrained and self.dataset is not None:
            raise InputError(
                f"Expected MNIST for the recipe {self.recipe.name}, which starts from MNIST's "
                "weights, got another dataset. Use another recipe."
            )
        if self.recipe.synthetic_images and self.dataset is not None:
            raise InputError(
                f"Expected MNIST with {self.recipe.synthetic_images:,} synthetic images, which "
                "show digits, got another dataset. Set synthetic_images to 0."
            )

    def _check_start(self) -> None:
        """Check that the weights that training starts from exist."""
        if self.recipe.pretrained:
            shipped_digest(self.architecture)
        if self.recipe.synthetic_teacher is not None:
            shipped_digest(*split_name(self.recipe.synthetic_teacher))
        if self.freeze not in (None, *get_args(Freeze)):
            raise InputError(f"Expected freeze to be 'features' or None, got {self.freeze!r}.")
        if self.freeze and self.initial is None:
            raise InputError(
                "Expected pretrained features to freeze, got random ones. Start from "
                "pretrained ones, or pass a model."
            )
        if self.keep_classifier and self.initial is None:
            raise InputError(
                "Expected pretrained weights whose classifier is kept, got random ones. Start from "
                "pretrained ones, or pass a model."
            )

    @property
    def num_train(self) -> int:
        """The number of training images, including those that are held out."""
        return NUM_TRAIN if self.dataset is None else self.dataset.num_train

    @property
    def num_images(self) -> int:
        """The number of images in an epoch."""
        synthetic = self.recipe.synthetic_images
        return self.recipe.epoch_size(self.num_train - self.holdout + synthetic)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return NUM_CLASSES if self.dataset is None else len(self.dataset.classes)

    @property
    def split(self) -> Split:
        """The images that the model is evaluated on: "test", or "validation" with a holdout."""
        return "validation" if self.holdout else "test"

    @property
    def total(self) -> int:
        """The number of images that the model is evaluated on."""
        return self.holdout or (NUM_TEST if self.dataset is None else self.dataset.num_test)

    @property
    def repeated(self) -> Run:
        """The run with seed 0: equal for runs that differ only in their seed."""
        return replace(self, seed=0)

    @property
    def teacher(self) -> Run | None:
        """The run that trains the recipe's teacher: same seed and images, no more epochs."""
        if self.recipe.teacher is None:
            return None
        recipe = get_recipe(self.recipe.name, self.recipe.teacher)
        recipe = replace(recipe, epochs=min(recipe.epochs, self.recipe.epochs))
        return Run(self.recipe.teacher, recipe, self.seed, self.holdout, self.dataset)
